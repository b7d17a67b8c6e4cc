"""A load generator for where wrk is not: ``python -m tests.bench.client PORT OPTIONS``.

It prints one JSON object, as ``load.lua`` does. It may be slower than the proxy: what a request
costs the proxy is right all the same, how many there are in a second is not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import sys
import time
from itertools import count, cycle
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import uvloop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"
_UNTIL_LAST: Final = -1
_GOOD: Final = frozenset({b"200", b"206", b"304"})


def head_of(url: str, fields: Sequence[str] = ()) -> bytes:
    """A request for ``url``, as clients send it to a proxy."""
    host = url.split("/", 3)[2]
    lines = [f"GET {url} HTTP/1.1", f"Host: {host}", "User-Agent: bench", "Accept: */*", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


class Tally:
    """Requests to be sent and what became of them, for all connections together."""

    def __init__(self, requests: Iterator[bytes], seconds: float) -> None:
        self._requests = requests
        self._began = time.perf_counter()
        self._until = self._began + seconds
        self.latencies: list[float] = []
        self.errors = 0
        self.octets = 0

    def next(self) -> bytes | None:
        """None when there is no more, or no more time."""
        return next(self._requests, None) if time.perf_counter() < self._until else None

    def figures(self) -> dict[str, float]:
        """Latencies in milliseconds."""
        ordered = sorted(self.latencies) or [0.0]
        return {
            "requests": len(self.latencies),
            "seconds": time.perf_counter() - self._began,
            "errors": self.errors,
            "p50": 1000 * ordered[len(ordered) // 2],
            "p99": 1000 * ordered[len(ordered) * 99 // 100],
            "octets": self.octets,
        }


class Caller(asyncio.Protocol):
    """One connection: the next request when the answer to the last has come whole."""

    transport: asyncio.Transport

    def __init__(self, tally: Tally, over: asyncio.Future[None]) -> None:
        self._tally = tally
        self._over = over
        self._sent: float | None = None
        self._head = self._tail = b""
        self._left: int | None = None  # octets of the body, once its head has come

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        request = self._tally.next()
        if request is None:
            self._sent = None
            self.transport.close()
            return
        self._head, self._left = b"", None
        self._sent = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._tally.octets += len(data)
        if self._left is None:
            self._head, end, data = (self._head + data).partition(b"\r\n\r\n")
            if not end:
                return
            self._left, self._tail = self._length(), b"\r\n"
        if self._left == _UNTIL_LAST:
            # Nothing was asked for that could follow it.
            self._tail = (self._tail + data)[-len(_LAST_CHUNK) :]
            whole = self._tail == _LAST_CHUNK
        else:
            self._left -= len(data)
            whole = self._left <= 0
        if whole and self._sent is not None:
            self._tally.latencies.append(time.perf_counter() - self._sent)
            self._ask()

    def _length(self) -> int:
        """Of the body after this head."""
        status = self._head[9:12]
        if status not in _GOOD:
            self._tally.errors += 1
        if _CHUNKED.search(self._head):
            return _UNTIL_LAST
        length = _LENGTH.search(self._head)
        return int(length[1]) if length and status != b"304" else 0

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sent is not None:
            self._tally.errors += 1
        if not self._over.done():
            self._over.set_result(None)


async def call(port: int, connections: int, tally: Tally) -> None:
    """Until there is nothing more to ask."""
    loop = asyncio.get_running_loop()
    ends = [loop.create_future() for _ in range(connections)]
    for end in ends:
        try:
            await loop.create_connection(lambda end=end: Caller(tally, end), "127.0.0.1", port)  # type: ignore[misc]
        except OSError:
            tally.errors += 1
            end.set_result(None)
    await asyncio.gather(*ends)


def requests(options: argparse.Namespace) -> Iterator[bytes]:
    """Those of a list once, else those that ``load.lua`` makes."""
    if options.list:
        return iter([head_of(url) for url in Path(options.list).read_text().split()])
    begin = f"http://{options.origin}{options.path}?{options.salt}-"
    if not options.urls:
        return (head_of(f"{begin}{number}", options.field) for number in count(1))
    return cycle([head_of(f"{begin}{n + 1}", options.field) for n in range(options.urls)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.client", description=__doc__)
    parser.add_argument("port", type=int, help="of the proxy")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--list", default="", help="a file with one URL a line, each asked once")
    parser.add_argument("--origin", default="")
    parser.add_argument("--path", default="/")
    parser.add_argument("--salt", default="")
    parser.add_argument("--urls", type=int, default=1)
    parser.add_argument("--field", action="append", default=[])
    options = parser.parse_args()
    tally = Tally(requests(options), options.seconds)
    uvloop.run(call(options.port, options.connections, tally))
    sys.stdout.write(json.dumps(tally.figures()) + "\n")


if __name__ == "__main__":
    main()
