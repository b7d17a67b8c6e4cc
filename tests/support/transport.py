"""Transports without sockets, and the two event loops for tests that need real ones.

``FakeTransport`` is as strict as the strictest real one: uvloop refuses to write to a closed
handle, asyncio to write after EOF.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
import uvloop

LOOPS = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(uvloop.new_event_loop, id="uvloop"),
]
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def run_on(factory: LoopFactory, story: Coroutine[Any, Any, None]) -> None:
    """Play a story on a fresh loop of that kind."""
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(story)


async def turns(count: int = 25) -> None:
    """Let everything that is ready run; with fakes nothing waits for anything else."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it is so; the time limit of the test bounds it."""
    while not condition():  # noqa: ASYNC110 - it is about transports, which have no event
        await asyncio.sleep(0)


class FakeSocket:
    """Knows whether closing it would be a reset."""

    def __init__(self) -> None:
        self.lingers: bytes | None = None

    def fileno(self) -> int:
        return 0

    def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
        if isinstance(value, bytes):
            self.lingers = value

    def getsockopt(self, level: int, option: int) -> int:
        return 0


class FakeTransport(asyncio.Transport):
    """``written`` is what the peer has taken; with ``stalled`` set it takes nothing by itself."""

    def __init__(self, peer: tuple[str, int] | None = ("192.0.2.1", 40000)) -> None:
        super().__init__()
        self.written = bytearray()
        self.pending = bytearray()
        self.stalled = False
        self.reading = True
        self.eof_written = False
        self.aborted = False
        self.lost = False
        self.socket = FakeSocket()
        self._peer = peer
        self._inbox: list[bytes | None] = []  # None: the peer's EOF
        self._closing = False
        self._high, self._low = 64 * 1024, 16 * 1024
        self._protocol_paused = False
        self._protocol: asyncio.Protocol

    # What the code under test calls.

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        known = {"peername": self._peer, "socket": None if self.lost else self.socket}
        return known.get(name, default)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self.lost:
            raise RuntimeError("the handler is closed")
        if self.eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing:
            return
        self.pending += data
        if not self.stalled:
            self.take()
        elif len(self.pending) > self._high and not self._protocol_paused:
            self._protocol_paused = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self.lost:
            raise RuntimeError("the handler is closed")
        self.eof_written = self.eof_written or not self._closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        if not self.reading and not self._closing:
            self.reading = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def is_reading(self) -> bool:
        return self.reading and not self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self.lost:
            raise RuntimeError("the handler is closed")
        self._high = 64 * 1024 if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return len(self.pending)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self.pending:
                self._lose(None)

    def abort(self) -> None:
        self.aborted = True
        self.pending.clear()
        if not self.lost:
            self._closing = True
            self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        asyncio.get_running_loop().call_soon(self._lost, error)

    def _lost(self, error: Exception | None) -> None:
        if not self.lost:
            self._protocol.connection_lost(error)
            self.lost = True

    # What the peer does.

    @property
    def reset(self) -> bool:
        """Whether the peer saw the connection end in a way that is no end of a message."""
        return self.aborted and self.socket.lingers is not None

    @property
    def ended(self) -> bool:
        """Whether the peer saw, or will see after ``pending``, an orderly end."""
        return (self.eof_written or self._closing) and not self.reset

    def attach(self, protocol: asyncio.Protocol) -> None:
        """The connection is made."""
        self._protocol = protocol
        protocol.connection_made(self)

    def feed(self, octets: bytes) -> None:
        """The peer sends; what is not read waits."""
        self._inbox.append(octets)
        self._deliver()

    def feed_eof(self) -> None:
        """The peer closes its side."""
        self._inbox.append(None)
        self._deliver()

    def leave(self) -> None:
        """The peer resets the connection."""
        self._closing = True
        self._lose(ConnectionResetError())

    def take(self, count: int | None = None) -> None:
        """The peer takes so many octets of what is pending (None: all)."""
        count = len(self.pending) if count is None else count
        self.written += self.pending[:count]
        del self.pending[:count]
        if self._protocol_paused and len(self.pending) <= self._low:
            self._protocol_paused = False
            self._protocol.resume_writing()
        if self._closing and not self.pending:
            self._lose(None)

    def _deliver(self) -> None:
        while self._inbox and self.is_reading():
            octets = self._inbox.pop(0)
            if octets is not None:
                self._protocol.data_received(octets)
            elif not self._protocol.eof_received():
                self.close()
