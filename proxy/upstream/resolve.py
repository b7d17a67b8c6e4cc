"""Names to addresses: the system's resolver in threads of its own, cached for a bounded time.

The system's, because a name must mean to the proxy what it means to everybody else on the machine:
hosts files, multicast and directory services, search lists and RFC 6724's order are known to it
alone. It blocks, and cannot be called back: so each client has a bounded number of look-ups under
way, and what is more waits in a line of its own. What nobody waits for any more is not begun.

Look-ups of one name at one time are one look-up. Failures are not cached.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Final

from proxy.access.clients import Lines, Shares
from proxy.bounded import Bounded

if TYPE_CHECKING:
    from collections.abc import Callable

# Address family and address as text, in the order in which to try them (RFC 6724).
Addresses = tuple[tuple[int, str], ...]

_MAX_NAMES: Final = 4096
_OCTETS: Final = 2**21  # of names and their addresses
# Look-ups under way: by far the most of a busy page, and threads that a process can spare.
_OF_ONE_CLIENT: Final = 16
_IN_ALL: Final = 256


def look_up(name: str) -> Addresses:
    """Ask the system. Blocks. Raises socket.gaierror."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        # The codec refuses what DNS would: empty or overlong labels.
        raise socket.gaierror(socket.EAI_NONAME, "not a name that DNS knows") from error
    return tuple((int(family), str(address[0])) for family, *_, address in found)


class _Asked:
    """One name, and how many wait for its addresses; it stands in the line of each of them."""

    __slots__ = ("begun", "found", "name", "waiting")

    def __init__(self, name: str, found: asyncio.Future[Addresses]) -> None:
        self.name = name
        self.found = found
        self.begun = False
        self.waiting = 0


class Resolver:
    """``ttl`` in seconds; ``lookup`` blocks and runs in a thread."""

    def __init__(self, ttl: float, lookup: Callable[[str], Addresses] = look_up) -> None:
        self._ttl = ttl
        self._lookup = lookup
        self._known: Bounded[str, tuple[float, Addresses]] = Bounded(
            "names", _OCTETS, _weight, _MAX_NAMES
        )
        self._asked: dict[str, _Asked] = {}
        self._shares = Shares(_IN_ALL, _OF_ONE_CLIENT)
        self._lines: Lines[_Turn] = Lines()

    def known(self, name: str) -> Addresses | None:
        """What it resolves to, if that was asked a short while ago."""
        known = self._known.get(name)
        if known is None or asyncio.get_running_loop().time() >= known[0]:
            return None
        return known[1]

    def forget(self, name: str) -> None:
        """What it resolves to was of no use: ask again next time."""
        self._known.drop(name)

    async def resolve(self, name: str, client: str = "") -> Addresses:
        """At least one address, on behalf of ``client``. Raises socket.gaierror."""
        known = self.known(name)
        if known is not None:
            return known
        asked = self._asked.get(name)
        if asked is None:
            future = asyncio.get_running_loop().create_future()
            asked = self._asked[name] = _Asked(name, future)
        turn = _Turn(asked)
        asked.waiting += 1
        self._lines.add(client, turn)
        self._begin()
        try:
            # Whoever gives up leaves the look-up to the others.
            return await asyncio.shield(asked.found)
        finally:
            asked.waiting -= 1
            self._lines.remove(client, turn)
            if not asked.waiting and not asked.begun:
                del self._asked[name]

    def _begin(self) -> None:
        """Begin the look-ups whose turn it is."""
        while (found := self._lines.next(self._shares.may_take)) is not None:
            client, turn = found
            if not turn.asked.begun:
                turn.asked.begun = True
                self._shares.take(client)
                self._start(client, turn.asked)

    def _start(self, client: str, asked: _Asked) -> None:
        # A thread each: they are few, as what is found is kept, and the process can end without.
        loop = asyncio.get_running_loop()
        args = (loop, client, asked)
        try:
            threading.Thread(target=self._look_up, args=args, name="dns", daemon=True).start()
        except RuntimeError:
            failure = socket.gaierror(socket.EAI_MEMORY, "no thread can be started")
            loop.call_soon(self._answered, client, asked, (), failure)

    def _look_up(self, loop: asyncio.AbstractEventLoop, client: str, asked: _Asked) -> None:
        found: Addresses = ()
        failure: Exception | None = None
        try:
            found = self._lookup(asked.name)
        except Exception as error:  # noqa: BLE001 - whoever asked gets it
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(self._answered, client, asked, found, failure)

    def _answered(
        self, client: str, asked: _Asked, found: Addresses, failure: Exception | None
    ) -> None:
        self._shares.give_back(client)
        del self._asked[asked.name]
        if failure is None:
            self._keep(asked.name, found)
        if not asked.found.done():
            if failure is None:
                asked.found.set_result(found)
            elif asked.waiting:
                asked.found.set_exception(failure)
        self._begin()

    def _keep(self, name: str, found: Addresses) -> None:
        self._known.keep(name, (asyncio.get_running_loop().time() + self._ttl, found))

    def close(self) -> None:
        """Begin no more look-ups; those under way end by themselves."""
        self._lines.clear()


class _Turn:
    """One of those who wait for a name."""

    __slots__ = ("asked",)

    def __init__(self, asked: _Asked) -> None:
        self.asked = asked


def _weight(name: str, known: tuple[float, Addresses]) -> int:
    return 150 + len(name) + 200 * len(known[1])
