"""Reads of packs by the loop itself: no thread waits for the disk, and the loop does not either.

What is in the page cache comes at once. For what is not, the same call has the kernel fetch it,
and a moment later it is there: on a busy loop with its next turn, where a thread for each would
cost three times as much. What has not come after some turns is waited for in a thread, and so is
everything where the system does not know such reads.
"""

from __future__ import annotations

import errno
import os
import resource
import threading
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from proxy.store import packs
from proxy.store.bodies import NOWAIT

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from proxy.store.bodies import Descriptor
    from proxy.store.directory import Span
    from proxy.store.threads import Threads

MOST_OPEN: Final = 512  # packs, or
_SHARE: Final = 8  # of the files that the process may have open, one in so many
_LOOKS: Final = 5  # turns of the loop, which are short only where it has nothing else to do


class _Waiting(Struct, gc=False):
    span: Span
    future: asyncio.Future[bytes]
    looks: int = 0


class PackReads:
    """Keeps packs open. Everything but ``_open_and_read`` happens on the loop."""

    def __init__(self, folder: Path, threads: Threads, loop: asyncio.AbstractEventLoop) -> None:
        """``folder`` is that of the bodies."""
        self._folder = folder
        self._threads = threads
        self._loop = loop
        self._nowait = NOWAIT
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        limited = files != resource.RLIM_INFINITY
        self._most_open = min(MOST_OPEN, files // _SHARE) if limited else MOST_OPEN
        self._files: dict[int, Descriptor] = {}
        self._opening = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._buffer = memoryview(bytearray(packs.BLOCK))

    def at_once(self, span: Span) -> memoryview | None:
        """The octets if they are in the page cache; if not they are on their way there.

        They stand until the next call.
        """
        file = self._files.get(span.pack)
        if file is None or self._nowait is None:
            return None
        size = span.size
        if len(self._buffer) < size:
            self._buffer = memoryview(bytearray(size))
        octets = self._buffer[:size]
        try:
            count = os.preadv(file.number, [octets], span.start, self._nowait)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                self._nowait = None
            return None  # a thread will meet it again
        return octets if count == size else None

    def read(self, span: Span) -> asyncio.Future[bytes]:
        """The octets, perhaps fewer, after ``at_once`` did not have them. Raises OSError."""
        if self._nowait is None or span.pack not in self._files:
            return self._threads.run(self._open_and_read, span)
        if not self._waiting:
            self._loop.call_soon(self._look)
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting.append(_Waiting(span, future))
        return future

    def _look(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if one.future.done():
                continue
            octets = self.at_once(one.span)
            if octets is not None:
                one.future.set_result(bytes(octets))
            elif one.looks < _LOOKS:
                one.looks += 1
                self._waiting.append(one)
            else:
                self._leave_to_threads(one)
        if self._waiting:
            self._loop.call_soon(self._look)

    def _leave_to_threads(self, one: _Waiting) -> None:
        self._threads.run_for(one.future, self._open_and_read, one.span)

    def _open_and_read(self, span: Span) -> bytes:
        """In a thread."""
        with self._opening:
            file = self._files.get(span.pack)
            if file is None:
                file = packs.opened(self._folder, packs.name_of(span.pack))
                if len(self._files) >= self._most_open:
                    del self._files[next(iter(self._files))]
                self._files[span.pack] = file
        return file.pread(span.size, span.start)

    def hand_over(self) -> None:
        """The threads are about to end: what is waited for is for them."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            self._leave_to_threads(one)

    def close(self) -> None:
        """When nothing is read any more."""
        self._files.clear()
