"""What was learned of a key a short while ago: bounded, and forgotten in time."""

from __future__ import annotations

from typing import Final

from proxy.bounded import Bounded

KEYS: Final = 10_000
OCTETS: Final = 3 * 2**18


class Lately:
    """Keys noted in the last ``seconds``; of more than ``KEYS`` the latest."""

    __slots__ = ("_seconds", "_until")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # By hash: long keys take no more than others, and an error is a request more or less.
        self._until: Bounded[int, float] = Bounded("lately", OCTETS, lambda *_: 60, KEYS)

    def note(self, key: str, now: float) -> None:
        """It holds from ``now`` (epoch seconds) on."""
        self._until.keep(hash(key), now + self._seconds)

    def holds(self, key: str, now: float) -> bool:
        """Whether it was noted, and not too long ago; nor later than now, by a clock set back."""
        return now < self._until.get(hash(key), 0.0) <= now + self._seconds

    def forget(self, key: str) -> None:
        """It no longer holds."""
        self._until.drop(hash(key))
