"""Promise 7: an origin connection is used again only when both messages ended where framing says.

Each way to an origin meets each thing after which nobody knows what would come next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.support.origin import LEAVE_BODY, Gate, Origin, head, reply
from tests.support.wire import Incoming, request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.house import House

    Change = Callable[[bytes], bytes]

pytestmark = pytest.mark.slow
NO_STORE: Final = "Cache-Control: no-store"
STALE: Final = ("Cache-Control: max-age=0", 'ETag: "1"')
EARLY: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
EVIL: Final = reply(200, "Cache-Control: max-age=60", body=b"evil")


async def stored(house: House, origin: Origin, change: Change) -> None:
    origin.serve("/a", change(reply(200, "Cache-Control: max-age=60", body=b"a")))
    await house.get(origin.url("/a"))


async def passed_on(house: House, origin: Origin, change: Change) -> None:
    origin.serve("/a", change(reply(200, NO_STORE, body=b"a")))
    await house.get(origin.url("/a"))


async def of_head(house: House, origin: Origin, change: Change) -> None:
    origin.serve("/a", change(head(200, NO_STORE, "Content-Length: 4")))
    await house.get(origin.url("/a"), method="HEAD")


async def without_content(house: House, origin: Origin, change: Change) -> None:
    origin.serve("/a", change(head(204, NO_STORE)))
    await house.get(origin.url("/a"))


async def validated(house: House, origin: Origin, change: Change) -> None:
    origin.serve("/a", reply(200, *STALE, body=b"a"))
    origin.serve("/a", change(reply(304, *STALE)))
    for _ in range(2):
        await house.get(origin.url("/a"))


async def refreshed(house: House, origin: Origin, change: Change) -> None:
    lines = ("Cache-Control: max-age=0, stale-while-revalidate=60", 'ETag: "1"')
    origin.serve("/a", reply(200, *lines, body=b"a"))
    origin.serve("/a", change(reply(304, *lines)))
    for _ in range(2):
        assert (await house.get(origin.url("/a"))).body == b"a"
    await origin.seen(2)
    for _ in range(3):
        await house.get("/healthz")  # what was said meanwhile is heard


async def repeated(house: House, origin: Origin, change: Change) -> None:
    """What the origin has said several times is expected of it, and not what it says now."""
    said = reply(200, NO_STORE, body=b"a")
    origin.serve("/a", said)
    for _ in range(3):
        await house.get(origin.url("/a"))
    origin.serve("/a", change(said))
    await house.get(origin.url("/a"))


async def repeated_alike(house: House, origin: Origin, change: Change) -> None:
    """What it says now is what it has always said; an idle connection is there for it."""
    origin.serve("/a", change(reply(200, NO_STORE, body=b"a")))
    origin.serve("/idle", reply(200, NO_STORE))
    for _ in range(4):
        await house.get(origin.url("/idle"))
        await house.get(origin.url("/a"))


async def validated_again(house: House, origin: Origin, change: Change) -> None:
    origin.serve("/a", reply(200, *STALE, body=b"a"))
    origin.serve("/a", reply(304, *STALE))
    for _ in range(3):
        await house.get(origin.url("/a"))
    origin.serve("/a", change(reply(304, *STALE)))
    await house.get(origin.url("/a"))


async def inside_connect(house: House, origin: Origin, change: Change) -> None:
    origin.serve("/a", change(reply(200, NO_STORE, body=b"a")))
    wire = await house.tunnel(origin.authority)
    await wire.send(request("GET", "/a", [f"Host: {origin.authority}"]))
    await Incoming(wire).whole()


async def uploaded(house: House, origin: Origin, change: Change) -> None:
    origin.serve("/a", change(reply(200, body=b"a")))
    await house.get(origin.url("/a"), method="POST", body=b"content")


async def uploaded_in_chunks(house: House, origin: Origin, change: Change) -> None:
    origin.serve("/a", change(reply(200, body=b"a")))
    body, coded = b"7\r\ncontent\r\n0\r\n\r\n", "Transfer-Encoding: chunked"
    await house.get(origin.url("/a"), coded, method="PUT", body=body)


WAYS: Final = [
    *(stored, passed_on, of_head, without_content, validated, refreshed, repeated, repeated_alike),
    *(validated_again, inside_connect, uploaded, uploaded_in_chunks),
]


def saying(line: bytes) -> Change:
    return lambda said: said.replace(b"\r\n", b"\r\n" + line + b"\r\n", 1)


def in_1_0(said: bytes) -> bytes:
    return said.replace(b"HTTP/1.1", b"HTTP/1.0")


LEFT_OVER: Final = [
    pytest.param(lambda said: said + b"\r\n", id="an empty line behind it"),
    pytest.param(lambda said: said + b"x", id="an octet behind it"),
    pytest.param(lambda said: said + EVIL, id="an answer behind it"),
    pytest.param(in_1_0, id="9112-9.3 HTTP/1.0"),
    pytest.param(
        lambda said: in_1_0(saying(b"Connection: keep-alive")(said)), id="9.3 keep-alive in 1.0"
    ),
    pytest.param(saying(b"Connection: close"), id="9.6 close"),
    pytest.param(saying(b"Connection: x, CLOSE"), id="9.6 close among others"),
    pytest.param(lambda said: EARLY * 50 + said, id="9110-15.2 a flood before it"),
]


async def next_one(house: House, origin: Origin) -> list[int]:
    """The next client gets what it asks for; the connections of all requests, this one at last."""
    origin.serve("/b", reply(200, NO_STORE, body=b"clean"))
    assert (await house.get(origin.url("/b"))).body == b"clean"
    return [received.connection for received in origin.requests]


@pytest.mark.parametrize("change", LEFT_OVER)
@pytest.mark.parametrize("way", WAYS)
async def test_not_used_again(
    house: House,
    origin: Origin,
    way: Callable[[House, Origin, Change], Awaitable[None]],
    change: Change,
) -> None:
    await way(house, origin, change)
    *_, last, fresh = await next_one(house, origin)
    assert fresh > last


@pytest.mark.parametrize("way", WAYS)
async def test_used_again(
    house: House, origin: Origin, way: Callable[[House, Origin, Change], Awaitable[None]]
) -> None:
    await way(house, origin, lambda said: said)
    assert set(await next_one(house, origin)) == {1}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "late",
    [
        pytest.param(EVIL, id="an answer"),
        pytest.param(b"\r\n", id="an empty line"),
        pytest.param(EARLY, id="an interim response"),
    ],
)
async def test_what_comes_unasked_is_nobodys(
    house: House,
    origin: Origin,
    way: Callable[[House, Origin, Change], Awaitable[None]],
    late: bytes,
) -> None:
    """The connection is idle when it comes."""
    await way(house, origin, lambda said: said)
    gate = Gate()
    origin.serve("/late", reply(200, NO_STORE, body=b"late"), gate, late)
    assert (await house.get(origin.url("/late"))).body == b"late"
    await gate.reached()
    gate.open()
    assert set(await next_one(house, origin)) == {1, 2}
    assert not (await house.get(origin.url("/b"))).hit


@pytest.mark.parametrize("status", [200, 204, 302, 400, 413, 500])
@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked"])
async def test_an_answer_before_the_upload_is_whole(
    house: House, origin: Origin, framing: str, status: int
) -> None:
    """The origin is owed the rest of a request: it would take the next one for that."""
    gate = Gate()
    origin.serve("/a", LEAVE_BODY, reply(status), gate)
    wire = await house.wire()
    start = b"hello" if "Length" in framing else b"5\r\nhello\r\n"
    await wire.send(request("POST", origin.url("/a"), [framing]) + start)
    assert (await Incoming(wire, "POST").head()).status == status
    assert set(await next_one(house, origin)) == {1, 2}
    gate.open()
