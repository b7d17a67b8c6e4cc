"""Answers as octets: framing by body, method and version; the pace of the client."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

import pytest

from proxy.exchange.answer import Body, FileSpan, Flow, Inline
from proxy.exchange.answer import Tunnel as TunnelBody
from proxy.frontend.sender import Disconnected, Sender, reset
from proxy.store.base import BodyLost
from proxy.upstream.base import Lost
from tests.support.build import fields, req, resp
from tests.support.door import Dialled, Reader, StoredOctets, flow, outcome
from tests.support.transport import LOOPS, FakeTransport, LoopFactory, run_on, turns

if TYPE_CHECKING:
    from collections.abc import Callable

param = pytest.param


class Receiver(asyncio.Protocol):
    """Passes flow control on, as a connection does."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, FakeTransport)
        self.sender = Sender(transport)

    def pause_writing(self) -> None:
        self.sender.pause()

    def resume_writing(self) -> None:
        self.sender.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self.sender.lost()


def sender() -> tuple[Sender, FakeTransport]:
    transport, receiver = FakeTransport(), Receiver()
    transport.attach(receiver)
    return receiver.sender, transport


CLOSE, LENGTH, CHUNKED = (
    "Connection: close\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
)
KEEP = "Connection: keep-alive\r\n"


def inline() -> Body:
    return Inline(b"hello")


def span() -> Body:
    return FileSpan(StoredOctets(b"__hello__"), 2, 5)


def sized() -> Body:
    return flow(b"he", b"llo", length=5)


def unsized() -> Body:
    return flow(b"he", b"llo")


def nothing() -> Body:
    return flow()


def empty() -> Body:
    return Inline(b"")


CHUNKS = "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("body", "method", "minor", "keep", "framing", "content", "goes_on"),
    [
        param(inline, "GET", 1, True, LENGTH, "hello", True, id="inline"),
        param(inline, "GET", 1, False, LENGTH + CLOSE, "hello", False, id="inline, close"),
        param(inline, "GET", 0, True, LENGTH + KEEP, "hello", True, id="inline, 1.0 kept"),
        param(inline, "GET", 0, False, LENGTH + CLOSE, "hello", False, id="inline, 1.0"),
        param(inline, "HEAD", 1, True, "", "", True, id="inline, HEAD"),
        param(empty, "GET", 1, True, "Content-Length: 0\r\n", "", True, id="empty"),
        param(span, "GET", 1, True, LENGTH, "hello", True, id="file"),
        param(span, "GET", 1, False, LENGTH + CLOSE, "hello", False, id="file, close"),
        param(sized, "GET", 1, True, LENGTH, "hello", True, id="stream of known length"),
        param(sized, "GET", 0, True, LENGTH + KEEP, "hello", True, id="the same, 1.0 kept"),
        param(sized, "HEAD", 1, True, "", "", True, id="the same, HEAD"),
        param(unsized, "GET", 1, True, CHUNKED, CHUNKS, True, id="9112 §7.1 chunked"),
        param(unsized, "GET", 1, False, CHUNKED + CLOSE, CHUNKS, False, id="chunked, close"),
        param(unsized, "GET", 0, True, CLOSE, "hello", False, id="9112 §6.3 1.0: until close"),
        param(unsized, "HEAD", 1, True, "", "", True, id="unknown length, HEAD"),
        param(unsized, "HEAD", 0, True, KEEP, "", True, id="unknown length, 1.0 HEAD"),
        param(nothing, "GET", 1, True, CHUNKED, "0\r\n\r\n", True, id="chunked, empty"),
    ],
)
async def test_framing(
    body: Callable[[], Body],
    method: str,
    minor: int,
    keep: bool,
    framing: str,
    content: str,
    goes_on: bool,
) -> None:
    sends, transport = sender()
    answer = outcome(body(), "ETag: x").answer
    request = req(f"{method} http://a.example/", minor=minor)
    assert await sends.send(request, answer, keep) is goes_on
    expected = f"HTTP/1.1 200 OK\r\nETag: x\r\n{framing}\r\n{content}".encode()
    assert bytes(transport.written) == expected
    assert sends.sent == len(expected)


@pytest.mark.parametrize(
    ("method", "minor", "length", "content"),
    [
        param("GET", 1, None, b"5\r\nhello\r\n0\r\nA: b\r\n\r\n", id="9112 §7.1.2 chunked"),
        param("GET", 0, None, b"hello", id="until close has none"),
        param("GET", 1, 5, b"hello", id="nor has a length"),
        param("HEAD", 1, None, b"", id="nor has no body"),
    ],
)
async def test_trailers(method: str, minor: int, length: int | None, content: bytes) -> None:
    sends, transport = sender()
    body = flow(b"hello", length=length)._replace(trailers=lambda: fields("A: b"))
    await sends.send(req(f"{method} http://a.example/", minor=minor), outcome(body).answer, True)
    assert bytes(transport.written).partition(b"\r\n\r\n")[2] == content


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("body", [empty, nothing], ids=["inline", "stream"])
async def test_statuses_without_a_body(status: int, body: Callable[[], Body]) -> None:
    # A 304 keeps the Content-Length it came with (RFC 9110 §15.4.5).
    sends, transport = sender()
    answer = outcome(body(), "Content-Length: 7", status=status).answer
    assert await sends.send(req("GET http://a.example/"), answer, True)
    lines = bytes(transport.written).split(b"\r\n")[1:]
    assert lines == [b"Content-Length: 7", b"", b""]


async def test_a_101_is_sent_as_it_is() -> None:
    sends, transport = sender()
    answer = outcome(TunnelBody(Dialled()), "Upgrade: x", "Connection: Upgrade", status=101).answer
    assert not await sends.send(req("GET http://a.example/"), answer, True)
    assert bytes(transport.written) == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
    )


async def test_interim() -> None:
    sends, transport = sender()
    sends.interim(resp(103, "Link: </x>"))
    assert bytes(transport.written) == b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    sends.pause()
    sends.interim(resp(103))
    assert not transport.written.endswith(b"Hints\r\n\r\n"), "of these there may be many"


class TestBodiesThatLie:
    """Promise 10: a body that is not what its head says never ends like one that is."""

    @pytest.mark.parametrize(
        ("body", "sent"),
        [
            param(flow(b"he", length=5), b"he", id="stream too short"),
            param(flow(b"hello", b"!", length=5), b"hello", id="stream too long"),
            param(FileSpan(StoredOctets(b"hel"), 0, 5), b"hel", id="file too short"),
        ],
    )
    async def test_length(self, body: Flow | FileSpan, sent: bytes) -> None:
        sends, transport = sender()
        with pytest.raises(BodyLost):
            await sends.send(req("GET http://a.example/"), outcome(body).answer, True)
        assert transport.written.endswith(b"\r\n\r\n" + sent)
        closing = body.reader if isinstance(body, Flow) else body.body
        assert getattr(closing, "closed")  # noqa: B009

    async def test_error(self) -> None:
        sends, transport = sender()
        body = flow(b"he", Lost(502, "http_response_incomplete", "cut"))
        with pytest.raises(Lost):
            await sends.send(req("GET http://a.example/"), outcome(body).answer, True)
        assert transport.written.endswith(b"2\r\nhe\r\n"), "no last chunk"

    @pytest.mark.parametrize(
        ("length", "minor", "shows"),
        [
            param(6, 1, True, id="before its length"),
            param(5, 1, False, id="after its length"),
            param(None, 1, True, id="chunked"),
            param(6, 0, True, id="HTTP/1.0, before its length"),
            param(None, 0, False, id="HTTP/1.0, until the end"),
        ],
    )
    async def test_whether_a_cut_shows(self, length: int | None, minor: int, shows: bool) -> None:
        """Only what the client would take for whole needs a reset."""
        sends, _ = sender()
        body = flow(b"hello", Lost(502, "http_response_incomplete", "cut"), length=length)
        request = req("GET http://a.example/", minor=minor)
        with pytest.raises(Lost):
            await sends.send(request, outcome(body).answer, True)
        assert sends.cut_shows is shows


class TestPace:
    """No more is taken from a body than the client takes."""

    @pytest.mark.parametrize("length", [300_000, None], ids=["length", "chunked"])
    async def test_a_stream_waits(self, length: int | None) -> None:
        sends, transport = sender()
        transport.stalled = True
        reader = Reader(*[bytes(100_000)] * 3)
        answer = outcome(Flow(reader, length)).answer
        task = asyncio.ensure_future(sends.send(req("GET http://a.example/"), answer, True))
        for taken in range(3):
            await turns()
            assert 100_000 <= len(transport.pending) < 101_000, taken
            assert sends.pending
            transport.take()
        assert await task
        assert transport.written.count(b"\0") == 300_000
        assert reader.closed

    @pytest.mark.parametrize("length", [1000, None], ids=["length", "chunked"])
    async def test_crumbs_do_not_pile_up(self, length: int | None) -> None:
        """Each takes hundreds of octets in a transport, whatever is in it."""
        sends, transport = sender()
        transport.stalled = True
        reader = Reader(*[b"\0"] * 1000)
        answer = outcome(Flow(reader, length)).answer
        task = asyncio.ensure_future(sends.send(req("GET http://a.example/"), answer, True))
        while not task.done():
            await turns(100)
            assert transport.pending.count(b"\0") <= 64
            transport.take()
        assert await task
        assert transport.written.count(b"\0") == 1000
        transport.stalled = True
        sends.write(bytes(1000))
        assert not sends.paused, "for the next answer it is as before"

    async def test_moved_says_whether_it_takes_anything(self) -> None:
        sends, transport = sender()
        assert not sends.moved()
        sends.write(b"x")
        assert sends.moved()
        assert not sends.moved()
        transport.stalled = True
        sends.write(bytes(100))
        assert not sends.moved()
        transport.take(1)
        assert sends.moved()
        assert not sends.moved()
        assert sends.pending
        transport.take()
        assert not sends.pending

    async def test_a_client_that_leaves_ends_the_wait(self) -> None:
        sends, transport = sender()
        transport.stalled = True
        body = flow(bytes(100_000), b"more")
        task = asyncio.ensure_future(
            sends.send(req("GET http://a.example/"), outcome(body).answer, True)
        )
        await turns()
        transport.leave()
        with pytest.raises(Disconnected):
            await task
        assert getattr(body.reader, "closed")  # noqa: B009

    async def test_nothing_is_written_to_nobody(self) -> None:
        sends, transport = sender()
        transport.leave()
        await turns()
        sends.interim(resp(103))
        with pytest.raises(Disconnected):
            await sends.drain()
        assert sends.sent == 0


@pytest.mark.parametrize("factory", LOOPS)
def test_reset(factory: LoopFactory) -> None:
    """Promise 10: also an HTTP/1.0 client can tell, though its body ends with the connection."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        made: asyncio.Future[asyncio.Transport] = loop.create_future()

        class Made(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                made.set_result(transport)  # type: ignore[arg-type]

        server = await loop.create_server(Made, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            transport = await made
            transport.write(b"HTTP/1.0 200 OK\r\n\r\npart")
            assert (await reader.readexactly(23)).endswith(b"part")
            reset(transport)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()

    run_on(factory, story())


def test_a_reset_is_no_time_to_linger() -> None:
    transport = FakeTransport()
    transport.set_protocol(asyncio.Protocol())

    async def story() -> None:
        reset(transport)

    asyncio.run(story())
    assert transport.socket.lingers == struct.pack("ii", 1, 0)
