"""Tunnels: octets both ways, half-close, backpressure, an end in every case."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from proxy.frontend.tunnel import Tunnel
from tests.support.transport import LOOPS, FakeTransport, LoopFactory, run_on, turns, until

param = pytest.param
IDLE = 600.0


class Joined:
    """A tunnel between two fake transports, and what it said when it ended."""

    def __init__(self) -> None:
        self.client, self.origin = FakeTransport(), FakeTransport()
        self.ends: list[tuple[int, int]] = []
        for transport in (self.client, self.origin):
            transport.set_protocol(asyncio.Protocol())
            transport.pause_reading()
        finished = self._finished
        self.tunnel = Tunnel(self.client, self.origin, finished, now=0.0)

    def _finished(self, up: int, down: int) -> None:
        self.ends.append((up, down))

    async def begin(
        self, up: bytes = b"", down: bytes = b"", *, half_closed: bool = False
    ) -> Joined:
        self.tunnel.begin(up, down, half_closed=half_closed)
        await turns()
        return self


async def test_both_ways() -> None:
    joined = await Joined().begin()
    joined.client.feed(b"ping")
    joined.origin.feed(b"pong")
    assert joined.origin.written == b"ping"
    assert joined.client.written == b"pong"


async def test_what_came_before_comes_first() -> None:
    joined = Joined()
    joined.client.feed(b"2")
    joined.origin.feed(b"b")
    await joined.begin(b"1", b"a")
    assert joined.origin.written == b"12"
    assert joined.client.written == b"ab"


@pytest.mark.parametrize("first", ["client", "origin"])
async def test_half_close_is_passed_on(first: str) -> None:
    joined = await Joined().begin()
    here, there = joined.client, joined.origin
    if first == "origin":
        here, there = there, here
    here.feed(b"the end")
    here.feed_eof()
    assert there.written == b"the end"
    assert there.eof_written
    assert not here.eof_written
    there.feed(b"answer")
    assert here.written == b"answer"
    assert not joined.ends
    there.feed_eof()
    await turns()
    assert joined.ends == [(7, 6) if first == "client" else (6, 7)]


async def test_a_client_that_half_closed_before() -> None:
    joined = await Joined().begin(b"all I have", half_closed=True)
    assert joined.origin.written == b"all I have"
    assert joined.origin.eof_written
    joined.origin.feed(b"answer")
    joined.origin.feed_eof()
    await turns()
    assert joined.client.written == b"answer"
    assert joined.ends == [(10, 6)]


@pytest.mark.parametrize("slow", ["client", "origin"])
async def test_a_side_that_does_not_read_pauses_the_other(slow: str) -> None:
    joined = await Joined().begin()
    here, there = joined.client, joined.origin
    if slow == "origin":
        here, there = there, here
    here.stalled = True
    for _ in range(50):
        there.feed(bytes(10_000))
    assert len(here.pending) < 80_000
    assert not there.is_reading()
    assert here.is_reading(), "the other direction goes on"
    while here.pending:
        here.take()
        await turns(3)
    assert there.is_reading()
    assert len(here.written) == 500_000


@pytest.mark.parametrize("slow", ["client", "origin"])
async def test_crumbs_do_not_pile_up(slow: str) -> None:
    """Each takes hundreds of octets in a transport, whatever is in it."""
    joined = await Joined().begin()
    here, there = joined.client, joined.origin
    if slow == "origin":
        here, there = there, here
    here.stalled = True
    for _ in range(100):
        there.feed(b"x")
    assert len(here.pending) == 1
    while there._inbox or here.pending:
        here.take()
        await turns(3)
    assert len(here.written) == 100


@pytest.mark.parametrize("slow", ["client", "origin"])
async def test_also_of_what_came_before(slow: str) -> None:
    joined = Joined()
    here, there = joined.client, joined.origin
    early = (b"", bytes(200_000))
    if slow == "origin":
        here, there, early = there, here, (bytes(200_000), b"")
    here.stalled = True
    await joined.begin(*early)
    assert not there.is_reading()
    there.feed(b"more")
    assert len(here.pending) == 200_000
    here.stalled = False
    here.take()
    await turns()
    assert there.is_reading()
    assert here.written.endswith(b"more")


async def test_a_client_that_was_full_before() -> None:
    joined = Joined()
    joined.client.stalled = True
    joined.client.write(bytes(100_000))
    await joined.begin()
    assert not joined.origin.is_reading()
    joined.client.take()
    await turns()
    assert joined.origin.is_reading()


@pytest.mark.parametrize("gone", ["client", "origin"])
async def test_a_side_that_is_lost_ends_the_other(gone: str) -> None:
    joined = await Joined().begin()
    here, there = joined.client, joined.origin
    if gone == "origin":
        here, there = there, here
    here.feed(b"last words")
    here.leave()
    await turns()
    assert there.written == b"last words"
    assert there.lost
    assert len(joined.ends) == 1


@pytest.mark.parametrize("gone", ["client", "origin"])
async def test_a_side_that_was_lost_before(gone: str) -> None:
    joined = Joined()
    transport = joined.client if gone == "client" else joined.origin
    transport.leave()
    await turns()
    await joined.begin(b"up", b"down")
    assert joined.client.lost
    assert joined.origin.lost
    assert len(joined.ends) == 1
    if gone == "origin":
        assert joined.client.written == b"down", "what it said before is not lost"


class TestIdle:
    """Bounds: a silent tunnel ends after 10 minutes."""

    async def test_silence(self) -> None:
        joined = await Joined().begin()
        joined.tunnel.sweep(IDLE, IDLE)
        assert not joined.client.is_closing()
        joined.tunnel.sweep(IDLE + 1, IDLE)
        await turns()
        assert joined.ends == [(0, 0)]

    @pytest.mark.parametrize("talker", ["client", "origin"])
    async def test_either_side_keeps_it_alive(self, talker: str) -> None:
        joined = await Joined().begin()
        for now in range(500, 3000, 500):
            (joined.client if talker == "client" else joined.origin).feed(b"x")
            joined.tunnel.sweep(now, IDLE)
            await turns()
        assert not joined.ends
        joined.tunnel.sweep(2500 + IDLE + 1, IDLE)
        await turns()
        assert len(joined.ends) == 1

    async def test_a_side_that_never_takes_the_rest(self) -> None:
        # Closing waits until everything is written: for a dead client that is never.
        joined = await Joined().begin()
        joined.client.stalled = True
        joined.origin.feed(bytes(1000))
        joined.origin.leave()
        joined.tunnel.sweep(1, IDLE)
        await turns()
        assert not joined.ends, "it is still counted"
        joined.tunnel.sweep(IDLE + 2, IDLE)
        await turns()
        assert joined.client.lost
        assert joined.ends == [(0, 1000)]


class Keeper(asyncio.Protocol):
    """Hands over the transport of a connection."""

    def __init__(self, made: asyncio.Future[asyncio.Transport]) -> None:
        self._made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._made.set_result(transport)  # type: ignore[arg-type]


@pytest.mark.parametrize("factory", LOOPS)
@pytest.mark.parametrize("slow", ["client", "origin"])
def test_on_real_sockets(factory: LoopFactory, slow: str) -> None:
    """A side that does not read for a while, 8 MiB, then half-closes both ways."""
    octets = bytes(range(256)) * 4096 * 8

    async def story() -> None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[tuple[int, int]] = loop.create_future()
        (client, near), (origin, far) = [await connected(loop) for _ in range(2)]
        tunnel = Tunnel(near, far, lambda up, down: ended.set_result((up, down)), now=0.0)
        tunnel.begin(b"", b"")
        (reader, sink), (_, writer) = (client, origin) if slow == "client" else (origin, client)
        sending = asyncio.ensure_future(send(writer, octets))
        blocked = near if slow == "client" else far
        source = far if slow == "client" else near
        await until(lambda: not source.is_reading())
        assert blocked.get_write_buffer_size() < 1024 * 1024
        received = await reader.read()
        await sending
        assert hashlib.sha256(received).digest() == hashlib.sha256(octets).digest()
        sink.write_eof()
        up, down = await ended
        assert {up, down} == {0, len(octets)}
        for _, stream in (client, origin):
            stream.close()
            await stream.wait_closed()

    async def send(writer: asyncio.StreamWriter, octets: bytes) -> None:
        writer.write(octets)
        await writer.drain()
        writer.write_eof()

    async def connected(
        loop: asyncio.AbstractEventLoop,
    ) -> tuple[tuple[asyncio.StreamReader, asyncio.StreamWriter], asyncio.Transport]:
        made: asyncio.Future[asyncio.Transport] = loop.create_future()
        server = await loop.create_server(lambda: Keeper(made), "127.0.0.1", 0)
        async with server:
            streams = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=2**16)
            transport = await made
            transport.pause_reading()
        return streams, transport

    run_on(factory, story())
