"""What is learned from finished exchanges, all in one place: it takes batches of records."""

from __future__ import annotations

import threading
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from proxy.admin.recent import Recent
from proxy.admin.statistics import Statistics
from proxy.admin.top import Top
from proxy.policy.reasons import HITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.admin.accesslog import Consumer
    from proxy.exchange.record import ExchangeRecord

_WHAT: Final = attrgetter("what")
_MOST_KEYS: Final = 50_000  # whose uses wait until somebody takes them


class Watching:
    """``consumers`` on the access log's thread; everything else from any thread."""

    def __init__(self, since: float, token: str = "") -> None:
        """``token``: how the ids of exchanges begin, if not by chance."""
        self.statistics = Statistics(since)
        self.top = Top()
        self.recent = Recent(token)
        self._uses: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    @property
    def consumers(self) -> tuple[Consumer, ...]:
        """Each is to have every batch, in the order in which the exchanges ended."""
        return self.statistics.take, self.top.take, self.recent.take, self._use

    def _use(self, batch: Sequence[ExchangeRecord]) -> None:
        """Targets are keys, but for what ``ignore_query`` leaves out; batches are of a moment."""
        used: Counter[str] = Counter()
        for what, count in Counter(map(_WHAT, batch)).items():
            if what.reason in HITS:
                used[what.target] += count
        now = batch[-1].start
        with self._lock:
            uses = self._uses
            for target, count in used.items():
                hits, _ = uses.get(target, (0, 0.0))
                if hits or len(uses) < _MOST_KEYS:
                    uses[target] = hits + count, now

    def uses(self) -> dict[str, tuple[int, float]]:
        """Hits and last use (epoch seconds) by key, since this was last asked."""
        with self._lock:
            taken, self._uses = self._uses, {}
        return taken
