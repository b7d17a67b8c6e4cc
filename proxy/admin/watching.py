"""What is learned from finished exchanges, all in one place: it takes batches of records."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

from proxy.admin.recent import Recent
from proxy.admin.statistics import Statistics
from proxy.admin.top import Top
from proxy.policy.reasons import HITS

if TYPE_CHECKING:
    from proxy.admin.accesslog import Consumer
    from proxy.admin.batches import Batch

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

    def _use(self, batch: Batch) -> None:
        """Targets are keys, but for what ``ignore_query`` leaves out."""
        others = [record.what for record in batch.others if record.what.reason in HITS]
        now = batch.records[-1].start
        with self._lock:
            uses = self._uses
            for what, count in (*batch.repeated.items(), *Counter(others).items()):
                hits, _ = uses.get(what.target, (0, 0.0))
                if hits or len(uses) < _MOST_KEYS:
                    uses[what.target] = hits + count, now

    def uses(self) -> dict[str, tuple[int, float]]:
        """Hits and last use (epoch seconds) by key, since this was last asked."""
        with self._lock:
            taken, self._uses = self._uses, {}
        return taken
