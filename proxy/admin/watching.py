"""What is learned from finished exchanges, all in one place: it takes batches of records."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from proxy.admin.recent import Recent
from proxy.admin.statistics import Statistics
from proxy.admin.top import Top
from proxy.policy.reasons import HITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.exchange.record import ExchangeRecord

_MOST_KEYS: Final = 50_000  # whose uses wait until somebody takes them


class Watching:
    """``take`` on the access log's thread; everything else from any thread."""

    def __init__(self, since: float) -> None:
        self.statistics = Statistics(since)
        self.top = Top()
        self.recent = Recent()
        self._uses: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def take(self, batch: Sequence[ExchangeRecord]) -> None:
        """Count these, in the order in which they ended."""
        self.statistics.take(batch)
        self.top.take(batch)
        self.recent.take(batch)
        self._use(batch)

    def _use(self, batch: Sequence[ExchangeRecord]) -> None:
        """Targets are keys, but for what ``ignore_query`` leaves out."""
        used = [(record.target, record.start) for record in batch if record.reason in HITS]
        with self._lock:
            uses = self._uses
            for target, start in used:
                hits, last = uses.get(target, (0, 0.0))
                if hits or len(uses) < _MOST_KEYS:
                    uses[target] = hits + 1, max(last, start)

    def uses(self) -> dict[str, tuple[int, float]]:
        """Hits and last use (epoch seconds) by key, since this was last asked."""
        with self._lock:
            taken, self._uses = self._uses, {}
        return taken
