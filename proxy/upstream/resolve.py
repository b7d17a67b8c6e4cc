"""Names to addresses: the system's resolver in threads of its own, cached for a bounded time.

Look-ups of one name at one time are one look-up. Failures are not cached.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# Address family and address as text, in the order in which to try them (RFC 6724).
Addresses = tuple[tuple[int, str], ...]

_MAX_NAMES: Final = 4096
_THREADS: Final = 16


def look_up(name: str) -> Addresses:
    """Ask the system. Blocks. Raises socket.gaierror."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        # The codec refuses what DNS would: empty or overlong labels.
        raise socket.gaierror(socket.EAI_NONAME, "not a name that DNS knows") from error
    return tuple((int(family), str(address[0])) for family, *_, address in found)


class Resolver:
    """``ttl`` in seconds; ``lookup`` blocks and runs in a thread."""

    def __init__(self, ttl: float, lookup: Callable[[str], Addresses] = look_up) -> None:
        self._ttl = ttl
        self._lookup = lookup
        self._known: dict[str, tuple[float, Addresses]] = {}
        self._asking: dict[str, asyncio.Future[Addresses]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="dns")

    def known(self, name: str) -> Addresses | None:
        """What it resolves to, if that was asked a short while ago."""
        known = self._known.get(name)
        if known is None or asyncio.get_running_loop().time() >= known[0]:
            return None
        return known[1]

    def forget(self, name: str) -> None:
        """What it resolves to was of no use: ask again next time."""
        self._known.pop(name, None)

    async def resolve(self, name: str) -> Addresses:
        """At least one address. Raises socket.gaierror."""
        loop = asyncio.get_running_loop()
        known = self.known(name)
        if known is not None:
            return known
        asking = self._asking.get(name)
        if asking is None:
            asking = loop.run_in_executor(self._threads, self._lookup, name)
            self._asking[name] = asking
            asking.add_done_callback(partial(self._answered, name, loop))
        # Whoever gives up leaves the look-up to the others.
        return await asyncio.shield(asking)

    def _answered(
        self, name: str, loop: asyncio.AbstractEventLoop, asked: asyncio.Future[Addresses]
    ) -> None:
        del self._asking[name]
        if asked.cancelled() or asked.exception() is not None:
            return
        self._known.pop(name, None)
        self._known[name] = (loop.time() + self._ttl, asked.result())
        if len(self._known) > _MAX_NAMES:
            del self._known[next(iter(self._known))]

    def close(self) -> None:
        """Take no more questions; those under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
