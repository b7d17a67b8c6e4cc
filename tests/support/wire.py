"""A raw HTTP/1 client: sends exactly the bytes given, reads what comes, hides nothing.

It reads framing (RFC 9112 §6.3) and nothing more of a response, so that a test sees what a
client would see. Every wait ends at ``DEADLINE`` seconds with a TimeoutError.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

DEADLINE = 10.0
LIMIT = 2**18


class Cut(Exception):
    """The connection ended before the message did."""


@dataclass(slots=True)
class Head:
    """A message head: its start line and field lines as received (latin-1)."""

    start: str
    lines: list[tuple[str, str]]
    raw: bytes

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1])

    def get(self, name: str) -> str | None:
        """The combined value, None when absent."""
        found = self.all(name)
        return ", ".join(found) if found else None

    def all(self, name: str) -> list[str]:
        """The value of each line of that name."""
        return [value for key, value in self.lines if key.lower() == name.lower()]


def parse_head(raw: bytes) -> Head:
    """A head including its blank line."""
    start, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Head(start, [(name, value.strip(" \t")) for name, _, value in pairs], raw)


@dataclass(slots=True)
class Response(Head):
    """A final response read whole; ``interim`` holds the 1xx heads before it."""

    body: bytes = b""
    interim: list[Head] = field(default_factory=list)

    @property
    def cache_status(self) -> dict[str, str]:
        return parameters(self.get("cache-status"))

    @property
    def proxy_status(self) -> dict[str, str]:
        return parameters(self.get("proxy-status"))

    @property
    def hit(self) -> bool:
        return "hit" in self.cache_status

    @property
    def age(self) -> int:
        return int(self.get("age") or "-1")


def parameters(value: str | None) -> dict[str, str]:
    """Parameters of the last member of a Cache-Status or Proxy-Status field (RFC 9211, 9209)."""
    _, *params = (value or "").rpartition(",")[2].split(";")
    pairs = (param.strip().partition("=") for param in params)
    return {name: text.strip('"') for name, _, text in pairs}


class Wire:
    """One client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, *, window: int = 0, source: str = "127.0.0.1") -> Self:
        """A connection to 127.0.0.1; ``window`` caps the receive buffer (octets) when given.

        ``source`` is another address of this machine, for another client.
        """
        sock = socket.socket()
        sock.setblocking(False)
        if source != "127.0.0.1":
            sock.bind((source, 0))
        if window:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        try:
            async with asyncio.timeout(DEADLINE):
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        return cls(*await asyncio.open_connection(sock=sock, limit=window or LIMIT))

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(DEADLINE):
            self.writer.write(data)
            await self.writer.drain()

    async def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        async with asyncio.timeout(DEADLINE):
            await self.writer.start_tls(context, server_hostname=name)

    async def head(self) -> Head:
        """The next head, interim or final."""
        try:
            async with asyncio.timeout(DEADLINE):
                return parse_head(await self.reader.readuntil(b"\r\n\r\n"))
        except asyncio.IncompleteReadError as error:
            raise Cut(f"no head, but {error.partial!r}") from error

    async def exactly(self, size: int) -> bytes:
        try:
            async with asyncio.timeout(DEADLINE):
                return await self.reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise Cut(f"{len(error.partial)} of {size} octets") from error

    async def rest(self) -> bytes:
        """Everything until the other side closes; ConnectionResetError if it resets."""
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read()

    async def response(self, method: str = "GET") -> Response:
        """One final response, read whole."""
        incoming = Incoming(self, method)
        return await incoming.whole()

    async def half_close(self) -> None:
        self.writer.write_eof()

    async def reset(self) -> None:
        """Close with a TCP reset."""
        linger_zero(self.writer)
        self.writer.transport.abort()
        await self.close()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(DEADLINE):
                await self.writer.wait_closed()


def linger_zero(writer: asyncio.StreamWriter) -> None:
    """What is closed from now on is closed by a reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Incoming:
    """A response as it arrives on a wire: its heads, then its body in the pieces asked for."""

    def __init__(self, wire: Wire, method: str = "GET") -> None:
        self.wire = wire
        self.method = method
        self.interim: list[Head] = []
        self._final: Head | None = None
        self._buffer = bytearray()
        self._left: int | None = 0
        self._chunked = False
        self._ended = False

    async def head(self) -> Head:
        """The final head; interim ones before it are collected."""
        while self._final is None:
            head = await self.wire.head()
            if 100 <= head.status < 200 and head.status != 101:
                self.interim.append(head)
            else:
                self._final = head
                self._frame(head)
        return self._final

    def _frame(self, head: Head) -> None:
        coding, length = head.get("transfer-encoding"), head.get("content-length")
        bodiless = head.status in (101, 204, 304)
        if self.method == "HEAD" or bodiless or (self.method == "CONNECT" and head.status == 200):
            self._ended = True
        elif coding is not None:
            assert coding == "chunked", f"Transfer-Encoding: {coding}"
            assert length is None, "Content-Length beside Transfer-Encoding"
            self._chunked = True
        else:
            self._left = None if length is None else int(length)
            self._ended = self._left == 0

    async def read(self, size: int) -> bytes:
        """Exactly ``size`` body octets. Raises Cut if the body ends before."""
        await self.head()
        while len(self._buffer) < size:
            if self._ended:
                raise Cut(f"the body ended after {bytes(self._buffer)!r}")
            await self._more()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def some(self) -> bytes:
        """What comes next of the body; b"" at its end."""
        await self.head()
        if not self._buffer and not self._ended:
            await self._more()
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken

    async def rest(self) -> bytes:
        """All that is left of the body. Raises Cut if it is not whole."""
        await self.head()
        while not self._ended:
            await self._more()
        return await self.some() if self._buffer else b""

    async def whole(self) -> Response:
        """The response, with what is left of its body."""
        final = await self.head()
        body = await self.rest()
        return Response(final.start, final.lines, final.raw, body, self.interim)

    async def _more(self) -> None:
        if self._chunked:
            await self._chunk()
            return
        async with asyncio.timeout(DEADLINE):
            piece = await self.wire.reader.read(min(self._left or LIMIT, LIMIT))
        if self._left is None:
            self._ended = not piece
        elif not piece:
            raise Cut(f"{self._left} octets are missing")
        else:
            self._left -= len(piece)
            self._ended = not self._left
        self._buffer += piece

    async def _line(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            line = await self.wire.reader.readline()
        if not line.endswith(b"\r\n"):
            raise Cut(f"cut in a chunk line: {line!r}")
        return line[:-2]

    async def _chunk(self) -> None:
        size = int(await self._line(), 16)
        if size:
            self._buffer += await self.wire.exactly(size)
            assert await self.wire.exactly(2) == b"\r\n"
            return
        await self._trailers()

    async def _trailers(self) -> None:
        self._ended = True
        assert self._final is not None
        while line := await self._line():
            name, _, value = line.decode("latin-1").partition(":")
            self._final.lines.append((name, value.strip()))


def request(
    method: str, target: str, fields: Sequence[str] = (), body: bytes | None = None, minor: int = 1
) -> bytes:
    """Request bytes; Host follows the target, Content-Length the body, unless given."""
    names = {line.partition(":")[0].lower() for line in fields}
    lines = [f"{method} {target} HTTP/1.{minor}"]
    if "host" not in names:
        lines.append(f"Host: {authority(target)}")
    lines += fields
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def authority(target: str) -> str:
    """The authority of an absolute-form or authority-form target; "proxy.test" for the others."""
    if "://" in target:
        return target.split("://")[1].partition("/")[0].partition("?")[0]
    return target if ":" in target and not target.startswith("/") else "proxy.test"
