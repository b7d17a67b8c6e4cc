"""Promise 9: what leads back here ends in under a second, whichever way it goes."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.origin import reply
from tests.support.wire import Wire, request

if TYPE_CHECKING:
    from tests.conftest import StartHouse
    from tests.support.house import Door, House
    from tests.support.origin import Origin
    from tests.support.wire import Response

pytestmark = pytest.mark.slow

SECOND: Final = 1.0


def everywhere(*allowed: str) -> dict[str, object]:
    """It listens on every address."""
    access = {"clients": ["0.0.0.0/0"], "connect_ports": ["any"]}
    changes = {"allow_destinations": list(allowed)} if allowed else {}
    return {"server": {"listen": "0.0.0.0:0"}, "access": {**access, **changes}}


# Some origin that nobody reaches before a loop is seen.
FAR: Final = "http://192.0.2.1:8081/a"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def own_addresses() -> list[str]:
    """Those of this machine under its own name."""
    try:
        found = socket.getaddrinfo(socket.gethostname(), 0, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted({str(entry[4][0]) for entry in found})


async def is_told(door: Door, octets: bytes, method: str = "GET") -> Response:
    """The answer, which must not have taken a second, and nothing that comes after it."""
    wire = await Wire.connect(door.port)
    started = time.monotonic()
    try:
        await wire.send(octets)
        answer = await wire.response(method)
    finally:
        await wire.close()
    assert time.monotonic() - started < SECOND
    assert answer.proxy_status["error"] in LOOPS, answer
    return answer


LOOPS: Final = {"proxy_loop_detected", "destination_ip_prohibited", "http_request_denied"}


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "CONNECT"])
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.0.0.2", "0.0.0.0", "127.255.255.254"],
)
async def test_a_listener_on_every_address_by_any_name(
    start_house: StartHouse, host: str, method: str
) -> None:
    house = await start_house(everywhere())
    named = f"{host}:{house.port}"
    target = named if method == "CONNECT" else f"http://{named}/a"
    answer = await is_told(house, request(method, target, [f"Host: {named}"]), method)
    assert answer.status in {403, 502, 508}


@pytest.mark.parametrize("host", ["[::1]", "[0:0:0:0:0:0:0:1]", "[::]"])
@pytest.mark.parametrize("listen", ["[::1]:0", "[::]:0"])
async def test_a_listener_on_ipv6(start_house: StartHouse, listen: str, host: str) -> None:
    house = await start_house({"server": {"listen": listen}, "access": {"clients": ["::1/128"]}})
    reader, writer = await asyncio.open_connection("::1", house.port)
    wire = Wire(reader, writer)
    started = time.monotonic()
    await wire.send(request("GET", f"http://{host}:{house.port}/a"))
    answer = await wire.response()
    assert time.monotonic() - started < SECOND
    assert answer.status in {403, 502, 508}
    await wire.close()


async def test_an_address_of_this_machine(start_house: StartHouse) -> None:
    """Only the second time is it seen, by Via."""
    house = await start_house(everywhere("private"))
    for address in own_addresses():
        await is_told(house, request("GET", f"http://{address}:{house.port}/a"))


async def test_via_in_any_case_and_anywhere(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200))
    name = ((await house.get(origin.url("/a"))).get("via") or "").rpartition(" ")[2]
    for via in (f"1.1 {name}", f"1.0 a, 1.1 {name.upper()} (x), 1.1 b", f"HTTP/1.1 {name}"):
        answer = await is_told(house, request("GET", origin.url("/a"), [f"Via: {via}"]))
        assert answer.status == 508
        split = await is_told(
            house, request("GET", origin.url("/a"), ["Via: 1.0 a", f"via: {via}"])
        )
        assert split.status == 508
        answer = await is_told(house, request("CONNECT", origin.authority, [f"Via: {via}"]))
        assert answer.status == 508


def through(parent: int, listen: int) -> dict[str, object]:
    return {
        "server": {"listen": f"127.0.0.1:{listen}"},
        "upstream": {"parent": f"http://127.0.0.1:{parent}"},
        "access": {"connect_ports": ["any"], "allow_destinations": ["192.0.2.0/24", "loopback"]},
    }


WAYS: Final = [
    pytest.param(request("GET", FAR), "GET", id="GET"),
    pytest.param(request("GET", FAR, ["Cache-Control: no-store"]), "GET", id="past the cache"),
    pytest.param(request("POST", FAR, [], b"content"), "POST", id="POST"),
    pytest.param(request("GET", FAR.replace("http", "https")), "GET", id="https"),
    pytest.param(request("CONNECT", "192.0.2.1:443"), "CONNECT", id="CONNECT"),
    pytest.param(request("CONNECT", "192.0.2.1:80"), "CONNECT", id="CONNECT to port 80"),
    pytest.param(
        request("GET", FAR, ["Upgrade: websocket", "Connection: upgrade"]), "GET", id="upgrade"
    ),
]


def opened(house: House) -> int:
    return len(house.running.door.connections) + len(house.running.door.tunnels)


@pytest.mark.parametrize(("octets", "method"), WAYS)
async def test_a_parent_that_is_ourselves(
    start_house: StartHouse, octets: bytes, method: str
) -> None:
    port = free_port()
    house = await start_house(through(port, port))
    answer = await is_told(house, octets, method)
    assert answer.status in {502, 508}
    assert opened(house) <= 3


@pytest.mark.parametrize(("octets", "method"), WAYS)
async def test_two_that_are_each_others_parent(
    start_house: StartHouse, octets: bytes, method: str
) -> None:
    ports = free_port(), free_port()
    first = await start_house(through(ports[1], ports[0]))
    second = await start_house(through(ports[0], ports[1]))
    answer = await is_told(first, octets, method)
    assert answer.status in {502, 508}
    assert opened(first) + opened(second) <= 6
