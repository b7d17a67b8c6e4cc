"""How the time of a step grows with its input: measured, and where it matters again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

Step = Callable[[], object]
MOST: Final = 3.2  # times as long for twice as much: 2 is linear, 4 is quadratic
_TIMES: Final = 3
_ATTEMPTS: Final = 10


def took(step: Step, times: int = _TIMES) -> float:
    """Seconds of this thread, the best of some."""
    best = float("inf")
    for _ in range(times):
        began = time.thread_time()
        step()
        best = min(best, time.thread_time() - began)
    return best


def grows(make: Callable[[int], Step], size: int) -> float:
    """How many times as long it takes for twice as much; measured again where that is a lot."""
    once = twice = float("inf")
    for _ in range(_ATTEMPTS):
        once, twice = min(once, took(make(size))), min(twice, took(make(2 * size)))
        if twice < MOST * once:
            break
    return twice / max(once, 1e-6)
