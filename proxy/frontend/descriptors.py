"""What the system lets a process have open is bounded: before it is used up, idle connections end.

The system gives the lowest free number to whatever is opened, so that the number of a connection
that has just come tells how many there are. An eighth is left to origins and files: who is served
already is served to the end.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("forecache")

_SPARED: Final = 8  # one in so many
_WARN_EVERY: Final = 60.0  # seconds
GRACE: Final = 0.1  # seconds without a request after which a connection is idle
_SHORT: Final = (
    "file descriptors are short, idle connections are closed: this process may have %d open;"
    " raise that limit (ulimit -n), or lower [server] max_connections"
)


class Descriptors:
    """``most`` may be open. ``make_room`` closes so many idle connections, and says how many."""

    def __init__(self, most: int, make_room: Callable[[int], int]) -> None:
        self._most = most
        self._some = max(1, most // _SPARED)
        self._make_room = make_room
        self._room = 0  # for how many connections it was made
        self._look_again = 0.0  # for idle ones; there was none
        self._warned = -_WARN_EVERY

    def are_short(self, number: int) -> bool:
        """Whether the connection of this number cannot stay, as none that is idle could go."""
        if number < self._most - self._some:
            self._room = 0  # what has been closed is being used
            return False
        if not self._room:
            now = time.monotonic()
            if now < self._look_again:
                return True
            self._warn(now)
            self._room = self._make_room(self._some)
            if not self._room:
                self._look_again = now + GRACE
                return True
        self._room -= 1
        return False

    def are_gone(self, number: int) -> bool:
        """Whether even to say so would take what others need."""
        return number >= self._most - self._some // 2

    def _warn(self, now: float) -> None:
        if now - self._warned >= _WARN_EVERY:
            self._warned = now
            log.warning(_SHORT, self._most)
