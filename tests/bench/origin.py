"""An origin that costs little: ``python -m tests.bench.origin PORT OTHER``.

What a path begins with says how it may be cached: ``/fresh/N`` (N octets, for an hour),
``/passing/N`` (not at all), ``/checked/N`` (to be validated at each use). All have the entity tag
``"v1"``. ``/count`` tells how many such requests there were. On the port ``OTHER`` it does not
speak HTTP: octets come back as they are; after ``POUR`` zeros come until the client leaves.
"""

from __future__ import annotations

import asyncio
import sys
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, cast

import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable

HELLO: Final = b"\x16\x03\x01"  # so begins TLS, whatever follows
POUR: Final = HELLO + b"*"

_CACHE_CONTROL: Final = {
    b"fresh": b"max-age=3600",
    b"passing": b"no-store",
    b"checked": b"max-age=0",
}
_TEXT: Final = b"".join(b"Line %d of some text, not unlike any other.\n" % n for n in range(1000))
_ZEROS: Final = bytes(2**18)


class Answers:
    """What is said to each request; the parts that come again are kept."""

    def __init__(self) -> None:
        self.count = 0
        self._second = 0
        self._date = b""
        self._bodies: dict[int, bytes] = {}

    def answer(self, head: bytes) -> tuple[bytes, bytes]:
        """Head and body for a request head."""
        path = head.split(b" ", 2)[1].partition(b"?")[0]
        if path == b"/count":
            number = b"%d" % self.count
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(number), number
        kind, _, size = path[1:].partition(b"/")
        if kind not in _CACHE_CONTROL:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", b""
        self.count += 1
        fields = self._fields(kind)
        if b'\r\nif-none-match: "v1"\r\n' in head.lower():
            return b"HTTP/1.1 304 Not Modified\r\n" + fields, b""
        body = self._body(int(size))
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b" % (len(body), fields), body

    def _fields(self, kind: bytes) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second, self._date = second, formatdate(second, usegmt=True).encode()
        return (
            b"Date: %b\r\nContent-Type: text/plain\r\nCache-Control: %b\r\n"
            b'ETag: "v1"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n'
        ) % (self._date, _CACHE_CONTROL[kind])

    def _body(self, size: int) -> bytes:
        body = self._bodies.get(size)
        if body is None:
            body = self._bodies[size] = (_TEXT * (size // len(_TEXT) + 1))[:size]
        return body


class Http(asyncio.Protocol):
    """Requests without bodies, one after the other."""

    transport: asyncio.Transport

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        *heads, self._unread = (self._unread + data).split(b"\r\n\r\n")
        for head in heads:
            opening, body = self._answers.answer(head + b"\r\n")
            if len(body) < 65536:
                self.transport.write(opening + body)
            else:
                self.transport.writelines((opening, body))


class Other(asyncio.Protocol):
    """An echo, or a source of zeros."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if data.endswith(POUR):
            self.resume_writing()
        else:
            self.transport.write(data)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        while not self._full and not self.transport.is_closing():
            self.transport.write(_ZEROS)


async def serve(port: int, other: int) -> None:
    """Until it is ended."""
    answers = Answers()
    served: list[tuple[Callable[[], asyncio.Protocol], int]]
    served = [(lambda: Http(answers), port), (Other, other)]
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(protocol, "127.0.0.1", number, backlog=1024)
        for protocol, number in served
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    uvloop.run(serve(*map(int, sys.argv[1:3])))
