"""Stored bodies to clients on real sockets, by sendfile and without, on both event loops."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from proxy.exchange.answer import FileSpan
from proxy.frontend.sender import Disconnected, Sender
from proxy.frontend.sendfile import SMALL, send_file
from proxy.store.base import BodyLost
from tests.support.door import StoredOctets
from tests.support.transport import LOOPS, LoopFactory, run_on, until

if TYPE_CHECKING:
    from pathlib import Path

param = pytest.param
OCTETS = bytes(range(256)) * 4096 * 6  # 6 MiB: more than the kernel takes at once
Story = Callable[["Sending", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Sending(asyncio.Protocol):
    """The server side: a sender that hears of flow control and of the end."""

    def __init__(self) -> None:
        self.made: asyncio.Future[Sender] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.sender = Sender(transport)  # type: ignore[arg-type]
        self.made.set_result(self.sender)

    def pause_writing(self) -> None:
        self.sender.pause()

    def resume_writing(self) -> None:
        self.sender.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self.sender.lost()

    def send(self, span: FileSpan, before: bytes = b"", head: bytes = b"") -> asyncio.Future[None]:
        """In one turn of the loop, as an answer follows another."""

        async def both() -> None:
            self.sender.write(before)
            await send_file(self.sender, head, span)

        return asyncio.ensure_future(both())


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[StoredOctets]:
    """A body in a file."""
    path = tmp_path / "body"
    path.write_bytes(OCTETS)
    descriptor = os.open(path, os.O_RDWR)
    yield StoredOctets(OCTETS, descriptor)
    os.close(descriptor)


def play(factory: LoopFactory, story: Story) -> None:
    async def played() -> None:
        loop = asyncio.get_running_loop()
        sending = Sending()
        server = await loop.create_server(lambda: sending, "127.0.0.1", 0)
        async with server:
            address = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(*address, limit=2**16)
            await sending.made
        try:
            await story(sending, reader, writer)
        finally:
            sending.sender.transport.abort()
            writer.close()

    run_on(factory, played())


@pytest.mark.parametrize("factory", LOOPS)
@pytest.mark.parametrize(
    ("offset", "length"),
    [
        param(0, len(OCTETS), id="whole"),
        param(12_345, len(OCTETS) - 99_999, id="a range"),
        param(7, SMALL, id="as small as it gets"),
        param(7, SMALL - 1, id="too small for it"),
        param(7, 0, id="nothing"),
    ],
)
def test_a_slow_reader(
    factory: LoopFactory, stored: StoredOctets, offset: int, length: int
) -> None:
    async def story(
        sending: Sending, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        sender = sending.sender
        limits = sender.transport.get_write_buffer_limits()
        task = sending.send(FileSpan(stored, offset, length), head=b"head")
        # Nothing is read until the sender has to wait, or is done.
        await until(lambda: task.done() or sender.paused)
        assert await reader.readexactly(4) == b"head"
        assert await reader.readexactly(length) == OCTETS[offset : offset + length]
        await task
        assert sender.sent == 4 + length
        assert sender.transport.get_write_buffer_limits() == limits
        assert not sender.pending
        sender.write(b"next")
        assert await reader.readexactly(4) == b"next"

    play(factory, story)


@pytest.mark.parametrize("factory", LOOPS)
def test_without_a_descriptor(factory: LoopFactory) -> None:
    async def story(
        sending: Sending, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = sending.send(FileSpan(StoredOctets(OCTETS), 5, len(OCTETS) - 5))
        await until(lambda: sending.sender.paused)
        assert sending.sender.transport.get_write_buffer_size() < 512 * 1024
        assert await reader.readexactly(len(OCTETS) - 5) == OCTETS[5:]
        await task

    play(factory, story)


@pytest.mark.parametrize("factory", LOOPS)
def test_where_there_is_no_sendfile(
    factory: LoopFactory, stored: StoredOctets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sendfile")

    async def story(
        sending: Sending, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = sending.send(FileSpan(stored, 0, len(OCTETS)))
        assert await reader.readexactly(len(OCTETS)) == OCTETS
        await task

    play(factory, story)


@pytest.mark.parametrize("factory", LOOPS)
@pytest.mark.parametrize("waiting", [100, 16_000_000], ids=["a little", "a lot"])
@pytest.mark.parametrize("most", [1, 4_000_000], ids=["a head", "more than a socket takes"])
def test_what_waits_in_the_transport_comes_first(
    factory: LoopFactory, stored: StoredOctets, waiting: int, most: int
) -> None:
    async def story(
        sending: Sending, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        transport, before = sending.sender.transport, b"b" * waiting
        limits = transport.get_write_buffer_limits()
        task = sending.send(FileSpan(stored, 0, SMALL), before, b"head" * most)
        assert await reader.readexactly(waiting) == before
        assert await reader.readexactly(4 * most) == b"head" * most
        assert await reader.readexactly(SMALL) == OCTETS[:SMALL]
        await task
        assert sending.sender.sent == waiting + 4 * most + SMALL
        assert transport.get_write_buffer_limits() == limits

    play(factory, story)


@pytest.mark.parametrize("factory", LOOPS)
def test_a_file_cut_short_under_us(factory: LoopFactory, stored: StoredOctets) -> None:
    # Promise 13: never a wrong octet, and no signal as a mapped file would give.
    async def story(
        sending: Sending, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        descriptor = stored.fileno()
        assert descriptor is not None
        os.ftruncate(descriptor, 100_000)
        with pytest.raises(BodyLost):
            await sending.send(FileSpan(stored, 0, len(OCTETS)))
        assert await reader.readexactly(100_000) == OCTETS[:100_000]

    play(factory, story)


@pytest.mark.parametrize("factory", LOOPS)
@pytest.mark.parametrize("descriptor", [True, False], ids=["file", "memory"])
def test_a_client_that_leaves(factory: LoopFactory, stored: StoredOctets, descriptor: bool) -> None:
    async def story(
        sending: Sending, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        body = stored if descriptor else StoredOctets(OCTETS)
        task = sending.send(FileSpan(body, 0, len(OCTETS)))
        await until(lambda: sending.sender.paused)
        writer.transport.abort()
        with pytest.raises(Disconnected):
            await task

    play(factory, story)


@pytest.mark.parametrize("factory", LOOPS)
def test_a_cancelled_wait_for_an_empty_transport(
    factory: LoopFactory, stored: StoredOctets
) -> None:
    # What a connection does to its task when the client is lost; uvloop then refuses every call.
    async def story(
        sending: Sending, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        sender = sending.sender
        while sender.transport.get_write_buffer_size() < 1_000_000:
            sender.write(bytes(1_000_000))
        task = sending.send(FileSpan(stored, 0, len(OCTETS)))
        await until(lambda: sender.transport.get_write_buffer_limits() == (0, 0))
        sender.transport.abort()
        await until(lambda: sender.gone)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    play(factory, story)


@pytest.mark.parametrize("factory", LOOPS)
def test_no_descriptor_is_left(factory: LoopFactory, stored: StoredOctets) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - it is no path of ours
    test_a_client_that_leaves(factory, stored, True)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
