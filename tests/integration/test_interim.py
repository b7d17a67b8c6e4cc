"""Interim responses are forwarded in order, and filtered as final ones are (RFC 9110 §15.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.support.origin import Gate, Origin, reply
from tests.support.wire import Incoming, request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.house import House
    from tests.support.wire import Wire

EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </%d>; rel=preload\r\n\r\n"


async def test_103_goes_through_before_the_answer(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", EARLY % 1, EARLY % 2, gate, reply(200, body=b"hello"))
    incoming = await house.open(origin.url("/a"))
    for number in (1, 2):
        hint = await incoming.wire.head()
        assert hint.status == 103
        assert hint.get("link") == f"</{number}>; rel=preload"
    gate.open()
    assert await incoming.rest() == b"hello"


async def test_interim_responses_are_not_stored(house: House, origin: Origin) -> None:
    final = reply(200, "Cache-Control: max-age=60", body=b"hello")
    origin.serve("/a", b"HTTP/1.1 102 Processing\r\n\r\n", EARLY % 1, final)
    first = await house.get(origin.url("/a"))
    assert [head.status for head in first.interim] == [102, 103]
    second = await house.get(origin.url("/a"))
    assert second.hit
    assert (second.interim, second.body) == ([], b"hello")


async def test_none_for_http_1_0(house: House, origin: Origin) -> None:
    # RFC 9110 §15.2: a server must not send a 1xx to an HTTP/1.0 client.
    origin.serve("/a", EARLY % 1, reply(200, body=b"hello"))
    answer = await house.get(origin.url("/a"), minor=0)
    assert (answer.interim, answer.body) == ([], b"hello")


async def test_a_flood_of_them_is_502(house: House, origin: Origin) -> None:
    origin.serve("/a", (EARLY % 1) * 50, reply(200, body=b"hello"))
    answer = await house.get(origin.url("/a"))
    assert answer.status == 502
    assert answer.proxy_status["error"]


# What belongs to the connection to the origin, or would frame a body that an interim has not.
OF_THE_CONNECTION: Final = (
    *("Connection: X-Hop, close", "X-Hop: 1", "Keep-Alive: timeout=5", "Proxy-Connection: close"),
    *("Transfer-Encoding: chunked", "Content-Length: 5", "Upgrade: h2c", "Trailer: X-Sum"),
    *("TE: trailers", "Proxy-Authenticate: Basic", "Proxy-Authentication-Info: x"),
)
KEPT: Final = ("Link: </a>; rel=preload", "X-Own: \xe9")


def interim(status: int) -> bytes:
    lines = (f"HTTP/1.1 {status} Some", *KEPT[:1], *OF_THE_CONNECTION, *KEPT[1:])
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def plainly(house: House, origin: Origin) -> tuple[Wire, str]:
    return await house.wire(), origin.url("/a")


async def inside_connect(house: House, origin: Origin) -> tuple[Wire, str]:
    return await house.tunnel(origin.authority), "/a"


async def again(house: House, origin: Origin) -> tuple[Wire, str]:
    """The origin is expected to say what it has said twice."""
    origin.serve("/a", reply(200, "Cache-Control: no-store", body=b"before"))
    for _ in range(3):
        await house.get(origin.url("/a"))
    return await house.wire(), origin.url("/a")


@pytest.mark.parametrize("way", [plainly, inside_connect, again])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [100, 102, 103, 104, 199])
async def test_what_is_of_the_connection_stays_there(
    house: House,
    origin: Origin,
    status: int,
    method: str,
    way: Callable[[House, Origin], Awaitable[tuple[Wire, str]]],
) -> None:
    """Promise 45."""
    wire, target = await way(house, origin)
    origin.serve("/a", interim(status), reply(200, "Cache-Control: no-store", body=b"hello"))
    body = b"content" if method == "POST" else None
    await wire.send(request(method, target, [f"Host: {origin.authority}"], body))
    passed = await wire.head()
    assert passed.status == status
    own = [f"{name}: {value}" for name, value in passed.lines]
    assert own[:-1] == list(KEPT)
    assert own[-1].startswith("Via: 1.1 forecache")
    answer = await Incoming(wire, method).whole()
    assert (answer.status, answer.body) == (200, b"hello")
    # The connection goes on: none of it was taken for a body, or for its end.
    await wire.send(request("GET", target, [f"Host: {origin.authority}"]))
    assert (await Incoming(wire).whole()).body == b"hello"


@pytest.mark.parametrize("way", [plainly, inside_connect, again])
@pytest.mark.parametrize("status", [100, 102, 103, 104, 199])
async def test_no_status_of_them_is_for_http_1_0(
    house: House,
    origin: Origin,
    status: int,
    way: Callable[[House, Origin], Awaitable[tuple[Wire, str]]],
) -> None:
    wire, target = await way(house, origin)
    origin.serve("/a", interim(status), reply(200, "Cache-Control: no-store", body=b"hello"))
    await wire.send(request("GET", target, [f"Host: {origin.authority}"], minor=0))
    octets = await wire.rest()
    assert octets.startswith(b"HTTP/1.1 200 ")
    assert octets.endswith(b"\r\n\r\nhello")
    assert b"X-Own" not in octets
