"""What was learned of a key a short while ago: bounded, and forgotten in time."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

KEYS: Final = 10_000


class Lately:
    """Keys noted in the last ``seconds``; of more than ``KEYS`` the latest."""

    __slots__ = ("_seconds", "_until")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: OrderedDict[str, float] = OrderedDict()

    def note(self, key: str, now: float) -> None:
        """It holds from ``now`` (epoch seconds) on."""
        self._until[key] = now + self._seconds
        self._until.move_to_end(key)
        if len(self._until) > KEYS:
            self._until.popitem(last=False)

    def holds(self, key: str, now: float) -> bool:
        """Whether it was noted, and not too long ago; nor later than now, by a clock set back."""
        return now < self._until.get(key, 0.0) <= now + self._seconds

    def forget(self, key: str) -> None:
        """It no longer holds."""
        self._until.pop(key, None)
