"""What is learned from finished exchanges, all in one place: it takes batches of records."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

from proxy.admin.recent import Recent
from proxy.admin.statistics import Statistics
from proxy.admin.top import Top
from proxy.bounded import Bounded
from proxy.exchange.record import LONGEST
from proxy.policy.reasons import HITS

if TYPE_CHECKING:
    from proxy.admin.accesslog import Consumer
    from proxy.admin.batches import Batch

_OCTETS: Final = 2 * 2**20  # of keys whose uses wait until somebody takes them


def _uses() -> Bounded[str, tuple[int, float]]:
    return Bounded("uses", _OCTETS, lambda key, _: 150 + len(key))


class Watching:
    """``consumers`` on the access log's thread; everything else from any thread."""

    def __init__(self, since: float, token: str = "") -> None:
        """``token``: how the ids of exchanges begin, if not by chance."""
        self.statistics = Statistics(since)
        self.top = Top()
        self.recent = Recent(token)
        self._uses = _uses()
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
                key = what.target
                hits, _ = uses.get(key, (0, 0.0))
                if hits:
                    uses[key] = hits + count, now
                elif len(key) < LONGEST:  # what is longer may have been cut
                    uses.keep(key, (count, now))

    def uses(self) -> dict[str, tuple[int, float]]:
        """Hits and last use (epoch seconds) by key, since this was last asked."""
        with self._lock:
            taken, self._uses = self._uses, _uses()
        return dict(taken)
