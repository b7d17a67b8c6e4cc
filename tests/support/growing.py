"""How the time of a step grows with its input: measured, and where it matters again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

Step = Callable[[], object] if TYPE_CHECKING else object
MOST: Final = 3.2  # times as long for twice as much: 2 is linear, 4 is quadratic
_TIMES: Final = 3
_ATTEMPTS: Final = 4


def took(step: Step, times: int = _TIMES) -> float:
    """Seconds of this thread, the best of some."""
    best = float("inf")
    for _ in range(times):
        began = time.thread_time()
        step()
        best = min(best, time.thread_time() - began)
    return best


def grows(make: Callable[[int], Step], size: int) -> float:
    """How many times as long it takes for twice as much, the least of some attempts."""
    least = float("inf")
    for _ in range(_ATTEMPTS):
        once, twice = took(make(size)), took(make(2 * size))
        least = min(least, twice / max(once, 1e-6))
        if least < MOST:
            break
    return least
