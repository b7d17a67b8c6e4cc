"""Records as the access log hands them on: what all who take them want to know is found once."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from proxy.policy.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxy.exchange.record import ExchangeRecord, What

_WHAT: Final = attrgetter("what")


class Batch:
    """Exchanges that ended within epoch second ``second``, in that order; at least one.

    ``hits`` are the plain ones, and ``repeated`` says how often each of them is there: what a busy
    cache answers is the same few things. ``others`` are all the rest. Nobody changes a batch.
    """

    __slots__ = ("hits", "others", "records", "repeated", "second")

    def __init__(self, second: int, records: Sequence[ExchangeRecord]) -> None:
        self.second = second
        self.records = records
        self.hits, self.others = records, records[:0]
        self.repeated: Counter[What] = Counter(map(_WHAT, records))
        # Of each only once: most batches are of hits alone.
        if not all(what.reason is Reason.HIT for what in self.repeated):
            self._divide()

    def _divide(self) -> None:
        hit = Reason.HIT
        self.hits = [record for record in self.records if record.what.reason is hit]
        self.others = [record for record in self.records if record.what.reason is not hit]
        self.repeated = Counter(map(_WHAT, self.hits))


def batches(records: Sequence[ExchangeRecord]) -> Iterator[Batch]:
    """Those of each second; where a clock was set back, more or less so."""
    first = 0
    while first < len(records):
        second = int(_ended(records[first]))
        after = bisect_left(records, second + 1.0, lo=first, key=_ended)
        yield Batch(second, records[first:after])
        first = after


def _ended(record: ExchangeRecord) -> float:
    return record.start + record.elapsed
