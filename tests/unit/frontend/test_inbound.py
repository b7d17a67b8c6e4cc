"""The request body between the client and who sends it on."""

from __future__ import annotations

import asyncio

import pytest

from proxy.frontend.inbound import InboundBody
from proxy.upstream.base import ClientGone
from proxy.wire.framing import CHUNKED, Framing, Sized
from proxy.wire.heads import Limits
from tests.support.transport import FakeTransport, turns

param = pytest.param
WINDOW = 100


def body(framing: Framing) -> tuple[InboundBody, FakeTransport]:
    transport = FakeTransport()
    return InboundBody(transport, framing, Limits(), WINDOW), transport


def starves(inbound: InboundBody) -> bool:
    return inbound.starving


async def whole(inbound: InboundBody) -> bytes:
    pieces = []
    while piece := await inbound.read():
        pieces.append(piece)
    return b"".join(pieces)


ROWS = [
    param(Sized(5), b"hello", b"hello", id="sized"),
    param(Sized(0), b"", b"", id="empty"),
    param(CHUNKED, b"5\r\nhello\r\n0\r\n\r\n", b"hello", id="chunked"),
    param(CHUNKED, b"0\r\n\r\n", b"", id="chunked, empty"),
    param(CHUNKED, b"2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n", b"hello", id="extras dropped"),
]


@pytest.mark.parametrize(("framing", "octets", "content"), ROWS)
async def test_whole(framing: Framing, octets: bytes, content: bytes) -> None:
    inbound, _ = body(framing)
    assert inbound.feed(octets + b"GET /next") == b"GET /next"
    assert inbound.complete
    assert await whole(inbound) == content


@pytest.mark.parametrize(("framing", "octets", "content"), ROWS)
async def test_octet_by_octet(framing: Framing, octets: bytes, content: bytes) -> None:
    inbound, _ = body(framing)
    reading = asyncio.ensure_future(whole(inbound))
    for at in range(len(octets)):
        assert not inbound.complete
        assert inbound.feed(octets[at : at + 1]) == b""
        await turns(3)
    assert inbound.complete
    assert await reading == content


@pytest.mark.parametrize(("framing", "octets"), [(Sized(9), b"abc"), (CHUNKED, b"3\r\nabc\r\n")])
async def test_lost(framing: Framing, octets: bytes) -> None:
    inbound, _ = body(framing)
    inbound.feed(octets)
    assert await inbound.read() == b"abc"
    reading = asyncio.ensure_future(inbound.read())
    await turns()
    assert starves(inbound)
    inbound.lost()
    assert not starves(inbound)
    with pytest.raises(ClientGone):
        await reading


@pytest.mark.parametrize(
    ("first", "then"),
    [
        param(b"xyz\r\n", b"0\r\n\r\n", id="no size"),
        param(b"3\r\nabcd\r\n", b"0\r\n\r\n", id="longer than its size"),
        param(b"3\r\nabc\r\n0x3\r\n", b"\r\n0\r\n\r\n", id="a size that two read differently"),
    ],
)
async def test_malformed_never_completes(first: bytes, then: bytes) -> None:
    # Promise 3: not even when what follows would end it well.
    inbound, _ = body(CHUNKED)
    assert inbound.feed(first) == b""
    assert inbound.feed(then + b"GET /next") == b""
    assert inbound.malformed is not None
    assert not inbound.complete
    with pytest.raises(ClientGone):
        await whole(inbound)


async def test_malformed_wakes_who_waits() -> None:
    inbound, _ = body(CHUNKED)
    reading = asyncio.ensure_future(inbound.read())
    await turns()
    inbound.feed(b"xyz\r\n")
    with pytest.raises(ClientGone):
        await reading


async def test_the_client_waits_while_nobody_reads() -> None:
    inbound, transport = body(Sized(1000))
    inbound.feed(bytes(WINDOW))
    assert transport.is_reading()
    inbound.feed(b"x")
    assert not transport.is_reading()
    assert len(await inbound.read()) == WINDOW + 1
    assert transport.is_reading()


async def test_it_starves_only_while_somebody_waits() -> None:
    inbound, _ = body(Sized(1000))
    assert not starves(inbound)
    reading = asyncio.ensure_future(inbound.read())
    await turns()
    assert starves(inbound)
    inbound.feed(b"x")
    assert not starves(inbound)
    assert await reading == b"x"
