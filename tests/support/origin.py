"""A scripted origin on a real socket: for each path what it says, byte for byte, and when.

``origin.serve("/a", reply(200, "Cache-Control: max-age=60"))`` adds one script for that path; the
scripts of a path are played in order and the last one repeats until another is added. A script is
a row of steps: bytes are sent as they are, everything else is said at its definition below.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from tests.support.clock import http_date
from tests.support.wire import DEADLINE, LIMIT, Head, linger_zero, parse_head

if TYPE_CHECKING:
    import ssl


class Step(Enum):
    """What an origin does between the bytes it sends."""

    READ_BODY = auto()  # read the request body here (else it is read before the first step)
    LEAVE_BODY = auto()  # do not read the request body at all
    CLOSE = auto()
    RESET = auto()
    HALF_CLOSE = auto()
    AWAIT_CLOSE = auto()  # until the proxy closes its side; sets ``Received.closed``


READ_BODY, LEAVE_BODY, CLOSE, RESET = Step.READ_BODY, Step.LEAVE_BODY, Step.CLOSE, Step.RESET
HALF_CLOSE, AWAIT_CLOSE = Step.HALF_CLOSE, Step.AWAIT_CLOSE


class Gate:
    """The script waits here until the test opens it."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._reached = asyncio.Event()

    def open(self) -> None:
        self._open.set()

    async def reached(self) -> None:
        """Until a script stands at this gate."""
        async with asyncio.timeout(DEADLINE):
            await self._reached.wait()

    async def wait(self) -> None:
        self._reached.set()
        await self._open.wait()


_BLOCK = 2**16
_NOISE = hashlib.shake_256(b"origin").digest(_BLOCK)


@dataclass(slots=True)
class Stream:
    """``size`` octets in blocks, no two alike; ``sent`` counts what the kernel has taken."""

    size: int
    sent: int = 0

    def blocks(self) -> list[tuple[int, int]]:
        return [(n, min(_BLOCK, self.size - n)) for n in range(0, self.size, _BLOCK)]

    @property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for offset, length in self.blocks():
            digest.update(block(offset, length))
        return digest.hexdigest()


def block(offset: int, length: int = _BLOCK) -> bytes:
    """The octets of every ``Stream`` from ``offset``, a multiple of 65,536."""
    return (offset.to_bytes(8, "big") + _NOISE[8:])[:length]


@dataclass(slots=True)
class Received(Head):
    """A request as the origin received it."""

    connection: int = 0
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def method(self) -> str:
        return self.start.split(" ")[0]

    @property
    def target(self) -> str:
        return self.start.split(" ")[1]


@dataclass(slots=True)
class Conversation:
    """One connection, as a step written by the test sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    received: Received
    over: bool = False

    async def body(self) -> AsyncIterator[bytes]:
        """The request body by its framing, piece by piece."""
        if self.received.get("transfer-encoding"):
            while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
                yield await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            while await self.reader.readuntil(b"\r\n") != b"\r\n":
                pass
        else:
            left = int(self.received.get("content-length") or 0)
            while left:
                if not (piece := await self.reader.read(min(left, _BLOCK))):
                    raise asyncio.IncompleteReadError(b"", left)
                left -= len(piece)
                yield piece

    async def read_body(self) -> None:
        async for piece in self.body():
            self.received.body += piece
        self.received.whole = True


Play = Callable[[Conversation], Awaitable[None]]
Steps = tuple[bytes | Gate | Stream | Step | Play, ...]


def head(status: int = 200, *fields: str, reason: str = "Said", date: bool = True) -> bytes:
    """A response head; Date is now unless given or unwanted."""
    lines = [f"HTTP/1.1 {status} {reason}", *fields]
    if date and not any(line.lower().startswith("date:") for line in fields):
        lines.append(f"Date: {http_date()}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def reply(status: int = 200, *fields: str, body: bytes = b"") -> bytes:
    """A whole response; Content-Length is that of the body, and left out where it has no place."""
    framing = () if status in (204, 304) else (f"Content-Length: {len(body)}",)
    return head(status, *fields, *framing) + body


def chunked(*pieces: bytes) -> bytes:
    """A chunked body, complete."""
    return b"".join(chunk(piece) for piece in pieces) + b"0\r\n\r\n"


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


class Origin:
    """The server: ``requests`` in the order of their heads, ``connections`` counted.

    ``otherwise`` answers for the paths that have no script (None: 404).
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.host = host
        self.requests: list[Received] = []
        self.connections = 0
        self.port = 0
        self._tls = tls
        self.otherwise: Steps | Play | None = None
        self._scripts: dict[str, list[Steps]] = defaultdict(list)
        self._turns: dict[str, int] = defaultdict(int)
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def url(self, path: str = "/") -> str:
        return f"{'https' if self._tls else 'http'}://{self.authority}{path}"

    def serve(self, path: str, *steps: bytes | Gate | Stream | Step | Play) -> None:
        """One more script for requests whose target is ``path`` (with its query)."""
        self._scripts[path].append(steps)

    def count(self, path: str) -> int:
        return sum(received.target == path for received in self.requests)

    async def seen(self, number: int) -> Received:
        """Until ``number`` requests have come; the last of them."""
        async with asyncio.timeout(DEADLINE), self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= number)
        return self.requests[number - 1]

    async def start(self) -> None:
        self._server = await asyncio.start_server(
            self._accept, self.host, self.port, ssl=self._tls, limit=LIMIT
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut every connection; ``start`` again takes the same port."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        number = self.connections
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            try:
                await self._converse(reader, writer, number)
            finally:
                writer.transport.abort() if task.cancelling() else writer.close()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        while True:
            try:
                asked = parse_head(await reader.readuntil(b"\r\n\r\n"))
            except asyncio.IncompleteReadError:
                return
            received = Received(asked.start, asked.lines, asked.raw, number)
            async with self._changed:
                self.requests.append(received)
                self._changed.notify_all()
            conversation = Conversation(reader, writer, received)
            try:
                await self._play(conversation, self._script(received.target))
            except asyncio.IncompleteReadError:
                received.closed.set()
                return
            if conversation.over:
                return

    def _script(self, target: str) -> Steps:
        scripts = self._scripts[target]
        if not scripts:
            other = self.otherwise or reply(404, "X-Origin: no script", body=b"no script")
            return other if isinstance(other, tuple) else (other,)
        turn = min(self._turns[target], len(scripts) - 1)
        self._turns[target] = turn + 1
        return scripts[turn]

    async def _play(self, conversation: Conversation, steps: Steps) -> None:
        if not {READ_BODY, LEAVE_BODY} & {step for step in steps if isinstance(step, Step)}:
            await conversation.read_body()
        for step in steps:
            match step:
                case bytes():
                    conversation.writer.write(step)
                    await conversation.writer.drain()
                case Gate():
                    await step.wait()
                case Stream():
                    await _pour(conversation.writer, step)
                case Step():
                    await _act(conversation, step)
                case _:
                    await step(conversation)
        conversation.over |= LEAVE_BODY in steps


async def _pour(writer: asyncio.StreamWriter, stream: Stream) -> None:
    writer.transport.set_write_buffer_limits(0)
    for offset, length in stream.blocks():
        writer.write(block(offset, length))
        await writer.drain()
        stream.sent += length


async def _act(conversation: Conversation, step: Step) -> None:
    match step:
        case Step.READ_BODY:
            await conversation.read_body()
        case Step.LEAVE_BODY:
            pass
        case Step.HALF_CLOSE:
            conversation.writer.write_eof()
        case Step.CLOSE:
            conversation.over = True
        case Step.RESET:
            linger_zero(conversation.writer)
            conversation.writer.transport.abort()
            conversation.over = True
        case Step.AWAIT_CLOSE:
            with contextlib.suppress(ConnectionError):
                await conversation.reader.read()
            conversation.received.closed.set()
            conversation.over = True
