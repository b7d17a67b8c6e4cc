"""CONNECT: TLS is tunnelled, plain HTTP inside is served like any other request."""

import asyncio
import ssl

import pytest
import trustme

from tests.conftest import StartHouse
from tests.support.house import House
from tests.support.origin import Origin, reply
from tests.support.wire import request

FRESH = "Cache-Control: max-age=60"


async def inside(house: House, origin: Origin, path: str = "/a") -> tuple[bytes, bool]:
    """One request through a tunnel as clients of plain HTTP send it: origin-form, with Host."""
    wire = await house.tunnel(origin.authority)
    await wire.send(request("GET", path, (f"Host: {origin.authority}",)))
    answer = await wire.response()
    return answer.body, answer.hit


async def test_plain_http_inside_is_cached(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    assert await inside(house, origin) == (b"hello", False)
    assert await inside(house, origin) == (b"hello", True)
    assert (await house.get(origin.url("/a"))).hit
    assert len(origin.requests) == 1


async def test_several_requests_inside_one_tunnel(house: House, origin: Origin) -> None:
    wire = await house.tunnel(origin.authority)
    for number in range(3):
        origin.serve(f"/{number}", reply(200, FRESH, body=b"%d" % number))
        await wire.send(request("GET", f"/{number}", (f"Host: {origin.authority}",)))
        assert (await wire.response()).body == b"%d" % number


async def test_bytes_sent_with_the_connect_request(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, body=b"hello"))
    wire = await house.wire()
    early = request("GET", "/a", (f"Host: {origin.authority}",))
    await wire.send(request("CONNECT", origin.authority) + early)
    assert (await wire.head()).status == 200
    assert (await wire.response()).body == b"hello"


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "origin.test").configure_cert(context)
    return context


def client_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_tls_is_tunnelled(start_house: StartHouse, authority: trustme.CA) -> None:
    origin = Origin(tls=server_side(authority))
    await origin.start()
    try:
        house = await start_house(ports=(origin.port,))
        origin.serve("/a", reply(200, FRESH, body=b"secret"))
        for _ in range(2):
            wire = await house.tunnel(origin.authority)
            await wire.start_tls(client_side(authority), "127.0.0.1")
            await wire.send(request("GET", "/a", ("Host: origin.test",)))
            answer = await wire.response()
            assert answer.body == b"secret"
            assert answer.get("via") is None
            await wire.close()
        assert len(origin.requests) == 2
    finally:
        await origin.stop()


async def test_large_transfers_both_ways(start_house: StartHouse, authority: trustme.CA) -> None:
    origin = Origin(tls=server_side(authority))
    await origin.start()
    try:
        house = await start_house(ports=(origin.port,))
        body = bytes(range(256)) * 8192
        origin.serve("/a", reply(200, body=body[::-1]))
        wire = await house.tunnel(origin.authority)
        await wire.start_tls(client_side(authority), "127.0.0.1")
        await wire.send(request("PUT", "/a", ("Host: origin.test",), body))
        assert (await wire.response()).body == body[::-1]
        assert origin.requests[0].body == body
        await wire.close()
    finally:
        await origin.stop()


async def test_half_close_is_passed_on(start_house: StartHouse) -> None:
    # What is neither TLS nor HTTP is tunnelled by default: here a server that answers at the end.
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d octets" % len(await reader.read()))
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(count, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        house = await start_house(ports=(port,))
        wire = await house.tunnel(f"127.0.0.1:{port}")
        await wire.send(b"\x00" * 100_000)
        await wire.half_close()
        assert await wire.rest() == b"100000 octets"


async def test_a_server_that_speaks_first(start_house: StartHouse) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        house = await start_house(ports=(port,))
        wire = await house.tunnel(f"127.0.0.1:{port}")
        assert await wire.exactly(11) == b"220 ready\r\n"
        await wire.close()


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("127.0.0.1:25", id="a port that is not listed"),
        pytest.param("127.0.0.1:22", id="ssh"),
    ],
)
async def test_denied_ports(house: House, target: str) -> None:
    answer = await house.get(target, method="CONNECT")
    assert answer.status == 403
    assert answer.proxy_status["error"] == "http_request_denied"


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:443", "[::1]:443", "[::ffff:127.0.0.1]:443", "localhost:443"],
)
async def test_denied_destinations(start_house: StartHouse, target: str) -> None:
    house = await start_house({"access": {"allow_destinations": []}})
    answer = await house.get(target, method="CONNECT")
    assert answer.status == 403
    assert answer.proxy_status["error"] in ("destination_ip_prohibited", "http_request_denied")


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1", "127.0.0.1:", ":443", "127.0.0.1:0", "127.0.0.1:65536", "http://a.test/", "/"],
)
async def test_bad_authorities(house: House, target: str) -> None:
    answer = await house.raw(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_an_origin_that_refuses_is_502(house: House, origin: Origin) -> None:
    await origin.stop()
    answer = await house.get(origin.authority, method="CONNECT")
    assert answer.status in (502, 503)
    assert answer.proxy_status["error"] == "connection_refused"


async def test_neither_tls_nor_http_may_be_refused(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house({"server": {"connect_other": "refuse"}})
    wire = await house.tunnel(origin.authority)
    await wire.send(b"\x00\x01binary\r\n\r\n")
    await wire.rest()
    assert origin.requests == []
