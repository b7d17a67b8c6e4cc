"""One exchange over a socket pair: each response is fed whole, octet by octet, and with junk."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import pytest

from proxy.semantics.targets import Origin
from proxy.semantics.units import Octets
from proxy.upstream.base import BadResponse, Lost, Outgoing
from proxy.upstream.connection import Connection, Raw
from proxy.upstream.options import UpstreamOptions
from proxy.upstream.response import Response
from proxy.upstream.routes import Direct
from tests.support.build import fields, uri

if TYPE_CHECKING:
    from proxy.semantics.messages import ResponseHead

TARGET = uri("http://a.example/")
OPTIONS = UpstreamOptions(interim_responses=2, response_head=Octets(1024))


class Keeper:
    """An ``Owner`` that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def released(self, connection: Connection) -> None:
        self.told.append("released")

    def gone(self, connection: Connection) -> None:
        self.told.append("gone")


class Rig:
    def __init__(self, connection: Connection, end: socket.socket) -> None:
        self.connection = connection
        self.end = end
        self.keeper = connection.owner = Keeper()
        self.interims: list[int] = []

    async def ask(self, method: str, *, upgrade: bool = False) -> Response | Raw:
        request = Outgoing(method, TARGET, fields("Host: a.example"), upgrade=upgrade)
        return await self.connection.ask(b"octets", request, self._interim)

    def _interim(self, head: ResponseHead) -> None:
        self.interims.append(head.status)

    async def answered(self, method: str, octets: list[bytes], *, end: bool = False) -> Response:
        asking = asyncio.ensure_future(self.ask(method))
        await asyncio.sleep(0)
        for piece in octets:
            self.connection.data_received(piece)
        if end and not self.connection.closed and not self.connection.eof_received():
            self.connection.connection_lost(None)
        response = await asking
        assert isinstance(response, Response)
        return response


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    ours, theirs = socket.socketpair()
    connection = Connection(OPTIONS, Direct(Origin("http", "a.example", 80)), "a.example")
    await asyncio.get_running_loop().create_connection(lambda: connection, sock=ours)
    yield Rig(connection, theirs)
    connection.abort()
    theirs.close()
    await asyncio.sleep(0)


Cut = Callable[[bytes], list[bytes]]


def whole(octets: bytes) -> list[bytes]:
    return [octets] if octets else []


def octet_by_octet(octets: bytes) -> list[bytes]:
    return [octets[i : i + 1] for i in range(len(octets))]


FEEDS = pytest.mark.parametrize("cut", [whole, octet_by_octet])

OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


async def body(response: Response) -> bytes:
    at_hand = response.at_hand()
    if at_hand is not None:
        return at_hand
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    return b"".join(pieces)


@FEEDS
@pytest.mark.parametrize(
    ("method", "octets", "content", "length", "released"),
    [
        pytest.param("GET", SIZED, b"hello", 5, True, id="9112-6.2 sized"),
        pytest.param("GET", CHUNKED, b"hello", None, True, id="9112-7.1 chunked"),
        pytest.param("HEAD", OK + b"Content-Length: 5\r\n\r\n", b"", 0, True, id="6.3.1 HEAD"),
        pytest.param(
            "GET", b"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", b"", 0, True, id="6.3.1 304"
        ),
        pytest.param("GET", b"HTTP/1.1 204 x\r\n\r\n", b"", 0, True, id="6.3.1 204"),
        pytest.param("GET", OK + b"Content-Length: 0\r\n\r\n", b"", 0, True, id="6.3.6 empty"),
        pytest.param(
            "GET",
            OK + b"Connection: close\r\nContent-Length: 1\r\n\r\nx",
            b"x",
            1,
            False,
            id="9.6 close",
        ),
        pytest.param(
            "GET", b"HTTP/1.0 200 x\r\nContent-Length: 1\r\n\r\nx", b"x", 1, False, id="9.3 1.0"
        ),
        pytest.param(
            "GET",
            b"HTTP/1.0 200 x\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
            b"x",
            1,
            False,
            id="9.3 1.0 keep-alive",
        ),
        pytest.param(
            "GET",
            b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 103 x\r\nLink: y\r\n\r\n" + SIZED,
            b"hello",
            5,
            True,
            id="9110-15.2 interim",
        ),
    ],
)
async def test_whole_responses(
    rig: Rig,
    method: str,
    octets: bytes,
    content: bytes,
    length: int | None,
    released: bool,
    cut: Cut,
) -> None:
    response = await rig.answered(method, cut(octets))
    assert response.length == length
    assert await body(response) == content
    assert await response.read() == b""
    response.close()
    assert rig.keeper.told == (["released"] if released else ["gone"])
    assert rig.interims == ([100, 103] if b" 103 " in octets else [])


@FEEDS
@pytest.mark.parametrize(
    ("octets", "coded"),
    [
        pytest.param(OK + b"A: b\r\n\r\nhello", False, id="6.3.8"),
        pytest.param(OK + b"Transfer-Encoding: foo\r\n\r\nhello", True, id="6.3.4 unknown coding"),
    ],
)
async def test_until_close(rig: Rig, octets: bytes, coded: bool, cut: Cut) -> None:
    response = await rig.answered("GET", cut(octets), end=True)
    assert response.length is None
    assert await body(response) == b"hello"
    assert "transfer-encoding" not in response.head.fields
    assert rig.keeper.told == ["gone"]


@FEEDS
@pytest.mark.parametrize("octets", [SIZED, CHUNKED])
async def test_octets_left_over(rig: Rig, octets: bytes, cut: Cut) -> None:
    """What comes after a response is never the next one: not with it, and not later."""
    response = await rig.answered("GET", cut(octets + b"HTTP/1.1 200 Evil\r\n\r\n"))
    assert await body(response) == b"hello"
    assert rig.keeper.told[-1] == "gone"


@FEEDS
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"SSH-2.0-OpenSSH\r\n", id="no HTTP"),
        pytest.param(b"HTTP/2 200 OK\r\n\r\n", id="other version"),
        pytest.param(OK + b"A : b\r\n\r\n", id="field syntax"),
        pytest.param(OK + b"A: b\r\n c\r\n\r\n", id="obs-fold"),
        pytest.param(OK + b"Content-Length: x\r\n\r\n", id="Content-Length"),
        pytest.param(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", id="two lengths"),
        pytest.param(OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", id="CL, TE"),
        pytest.param(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", id="unasked 101"),
        pytest.param(b"HTTP/1.1 102 x\r\n\r\n" * 3 + SIZED, id="flood of interims"),
        pytest.param(OK + b"A: " + b"x" * 1024 + b"\r\n\r\n", id="large head"),
    ],
)
async def test_malformed_heads(rig: Rig, method: str, octets: bytes, cut: Cut) -> None:
    with pytest.raises(BadResponse) as caught:
        await rig.answered(method, cut(octets))
    assert (caught.value.status, caught.value.word) == (502, "http_protocol_error")
    assert rig.keeper.told == ["gone"]


@FEEDS
async def test_interim_responses_may_go_on_for_long(
    rig: Rig, cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.upstream.response.COUNTED", 0.0)
    await rig.answered("GET", cut(b"HTTP/1.1 102 x\r\n\r\n" * 100 + SIZED))
    assert rig.interims == [102] * 100


@FEEDS
async def test_a_malformed_body(rig: Rig, cut: Cut) -> None:
    octets = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n"
    response = await rig.answered("GET", cut(octets))
    assert response.at_hand() is None
    with pytest.raises(BadResponse):
        await body(response)
    assert rig.keeper.told == ["gone"]


@FEEDS
@pytest.mark.parametrize(
    ("octets", "word"),
    [
        pytest.param(b"", "connection_terminated", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nConte", "http_response_incomplete", id="cut head"),
        pytest.param(b"HTTP/1.1 103 x\r\n\r\n", "http_response_incomplete", id="interim only"),
    ],
)
async def test_cut_heads(rig: Rig, octets: bytes, word: str, cut: Cut) -> None:
    with pytest.raises(Lost) as caught:
        await rig.answered("GET", cut(octets), end=True)
    assert (caught.value.status, caught.value.word) == (502, word)


@FEEDS
@pytest.mark.parametrize(
    "octets", [SIZED[:-1], CHUNKED[:-1], CHUNKED[:-5]], ids=["sized", "chunked", "no last chunk"]
)
async def test_cut_bodies(rig: Rig, octets: bytes, cut: Cut) -> None:
    response = await rig.answered("GET", cut(octets), end=True)
    assert response.at_hand() is None
    assert (await response.read()).startswith(b"hell")
    with pytest.raises(Lost) as caught:
        await body(response)
    assert caught.value.word == "http_response_incomplete"
    assert rig.keeper.told == ["gone"]


async def test_until_close_needs_a_proper_end(rig: Rig) -> None:
    """RFC 9112 §9.8: a reset, or TLS without close_notify, is no end."""
    response = await rig.answered("GET", [OK + b"\r\nhello"])
    rig.connection.connection_lost(ConnectionResetError())
    with pytest.raises(Lost):
        await body(response)


async def test_closing_early_closes_the_connection(rig: Rig) -> None:
    response = await rig.answered("GET", [SIZED[:-1]])
    response.close()
    response.close()
    assert rig.keeper.told == ["gone"]
    with pytest.raises(Lost):
        await response.read()


async def test_a_dead_connection_takes_no_request(rig: Rig) -> None:
    rig.connection.abort()
    with pytest.raises(Lost):
        await rig.ask("GET")


@FEEDS
async def test_upgrade(rig: Rig, cut: Cut) -> None:
    asking = asyncio.ensure_future(rig.ask("GET", upgrade=True))
    await asyncio.sleep(0)
    for piece in cut(b"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nearly"):
        rig.connection.data_received(piece)
    raw = await asking
    assert isinstance(raw, Raw)
    assert raw.head is not None
    assert (raw.head.status, rig.interims) == (101, [103])
    transport, early = raw.detach()
    assert early == b"early"
    assert not transport.is_closing()
    assert rig.keeper.told == ["gone"]
    raw.close()
    assert not transport.is_closing()
    transport.abort()


async def test_an_upgrade_may_be_declined(rig: Rig) -> None:
    asking = asyncio.ensure_future(rig.ask("GET", upgrade=True))
    await asyncio.sleep(0)
    rig.connection.data_received(SIZED)
    response = await asking
    assert isinstance(response, Response)
    assert rig.keeper.told == ["released"]


async def test_a_raw_connection_can_be_closed(rig: Rig) -> None:
    raw = rig.connection.raw()
    raw.close()
    raw.close()
    assert rig.keeper.told == ["gone"]


class Taker(asyncio.Protocol):
    def __init__(self, *, keep: bool) -> None:
        self.keep = keep
        self.heard: list[str] = []

    def eof_received(self) -> bool:
        self.heard.append("eof")
        return self.keep

    def connection_lost(self, exc: Exception | None) -> None:
        self.heard.append("lost")


@pytest.mark.parametrize(
    ("keep", "reset", "heard"),
    [
        pytest.param(True, False, ["eof"], id="half-close"),
        pytest.param(False, False, ["eof", "lost"], id="close"),
        pytest.param(True, True, ["lost"], id="reset"),
    ],
)
async def test_who_takes_a_connection_hears_that_it_has_ended(
    rig: Rig, keep: bool, reset: bool, heard: list[str]
) -> None:
    raw = rig.connection.raw()
    if reset:
        rig.connection.abort()
    else:
        assert rig.connection.eof_received()
    await asyncio.sleep(0)
    transport, _ = raw.detach()
    taker = Taker(keep=keep)
    transport.set_protocol(taker)
    for _ in range(5):
        await asyncio.sleep(0)
    assert taker.heard == heard
    transport.abort()


class TestDialled:
    """A connection of which nobody knows yet what it is for."""

    @staticmethod
    def dialled(rig: Rig) -> tuple[Raw, list[Connection]]:
        raw, pool = rig.connection.raw(), list[Connection]()
        raw.pool = pool.append
        rig.connection.transport.pause_reading()
        return raw, pool

    async def test_it_is_kept_for_requests(self, rig: Rig) -> None:
        raw, pool = self.dialled(rig)
        heard: list[str] = []
        raw.listen(lambda: heard.append("heard"))
        raw.keep()
        assert pool == [rig.connection]
        assert rig.connection.transport.is_reading()
        assert rig.connection.served == 1, "it is retried as one that was used"
        assert (await rig.answered("GET", [SIZED])).head.status == 200
        assert not heard

    @pytest.mark.parametrize("how", ["spoke", "ended", "lost", "closed"])
    async def test_unless_something_has_come(self, rig: Rig, how: str) -> None:
        raw, pool = self.dialled(rig)
        if how == "spoke":
            rig.connection.data_received(b"220 hello")
        elif how == "ended":
            rig.connection.eof_received()
        elif how == "lost":
            rig.connection.connection_lost(None)
        else:
            raw.close()
        raw.keep()
        assert not pool
        assert rig.connection.closed

    async def test_without_a_pool_it_is_closed(self, rig: Rig) -> None:
        rig.connection.raw().keep()
        assert rig.connection.closed

    @pytest.mark.parametrize("how", ["spoke", "ended", "lost"])
    @pytest.mark.parametrize("before", [False, True])
    async def test_what_happens_is_heard_once(self, rig: Rig, how: str, before: bool) -> None:
        raw, _ = self.dialled(rig)
        heard: list[tuple[bytes, bool]] = []

        def happen() -> None:
            if how == "spoke":
                rig.connection.data_received(b"220 hello")
            elif how == "ended":
                assert rig.connection.eof_received()
            else:
                rig.connection.connection_lost(None)

        if before:
            happen()
        raw.listen(lambda: heard.append((raw.early, raw.ended)))
        if not before:
            assert not heard
            happen()
        happen()
        assert heard == [(b"220 hello", False) if how == "spoke" else (b"", True)]
        assert not rig.connection.transport.is_reading()

    async def test_who_takes_it_hears_no_more(self, rig: Rig) -> None:
        raw, _ = self.dialled(rig)
        heard: list[str] = []
        raw.listen(lambda: heard.append("heard"))
        transport, early = raw.detach()
        assert not transport.is_reading()
        transport.abort()
        await asyncio.sleep(0)
        assert (early, heard) == (b"", [])
