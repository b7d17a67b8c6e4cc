"""The latest exchanges, to look one up by its id and to watch them go by.

Bounded in number and in text. Plain hits have a ring of their own, so that a busy cache does not
push out within a second what somebody wants to ask about. Whoever watches keeps his own place and
comes back for more: who is slow misses some, is told how many, and holds up nobody.
"""

from __future__ import annotations

import secrets
import threading
from bisect import bisect_left
from collections.abc import Callable
from itertools import starmap, takewhile
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.bounded import Ring
from proxy.exchange.record import ExchangeRecord
from proxy.policy.reasons import Reason

if TYPE_CHECKING:
    from proxy.admin.batches import Batch

HITS_KEPT: Final = 512
OTHERS_KEPT: Final = 4096
OCTETS: Final = 3 * 2**20  # of the others; of hits a quarter

Wanted = Callable[[ExchangeRecord], bool]


class Recorded(NamedTuple):
    """An exchange and its running number, from 1."""

    number: int
    record: ExchangeRecord


class Watched(NamedTuple):
    """Exchanges in their order; ``upto`` is the place to go on from, ``missed`` counts the gaps."""

    exchanges: tuple[Recorded, ...]
    upto: int
    missed: int


def _weight(recorded: Recorded) -> int:
    return 200 + recorded.record.what.octets


class Recent:
    """Takes batches on one thread; any thread may look.

    An id is the ``token`` of this process and the running number: ``3f9c2a81-1234``.
    """

    def __init__(self, token: str = "") -> None:
        self.token = token or secrets.token_hex(4)
        self._hits = Ring("recent hits", OCTETS // 4, _weight, HITS_KEPT)
        self._others = Ring("recent exchanges", OCTETS, _weight, OTHERS_KEPT)
        self._count = 0
        # Held for a copy of the rings at most: some microseconds.
        self._lock = threading.Lock()

    def take(self, batch: Batch) -> None:
        """Remember these, in the order in which they ended."""
        hit, first, records = Reason.HIT, self._count + 1, batch.records
        others = (
            [(n, r) for n, r in enumerate(records, first) if r.what.reason is not hit]
            if batch.others
            else []
        )
        late = max(0, len(records) - HITS_KEPT)
        hits = [(n, r) for n, r in enumerate(records[late:], first + late) if r.what.reason is hit]
        kept = list(starmap(Recorded, hits)), list(starmap(Recorded, others[-OTHERS_KEPT:]))
        with self._lock:
            self._hits.add(kept[0])
            self._others.add(kept[1])
            self._count += len(records)

    def id(self, recorded: Recorded) -> str:
        """What ``find`` finds it by: what its answer said, if it did."""
        return recorded.record.what.id or f"{self.token}-{recorded.number}"

    def find(self, exchange_id: str) -> Recorded | None:
        """The exchange with that id; None for one that is forgotten, or was never here."""
        named = exchange_id and self._named(exchange_id)
        if named:
            return named
        token, _, digits = exchange_id.rpartition("-")
        if token != self.token or not (digits.isascii() and digits.isdigit()):
            return None
        if len(digits) > _MOST_DIGITS:
            return None
        number = int(digits)
        for kept in self._copies():
            place = bisect_left(kept, (number,))
            if place < len(kept) and kept[place].number == number:
                return kept[place]
        return None

    def _named(self, name: str) -> Recorded | None:
        hits, others = self._copies()
        either = (recorded for recorded in others + hits if recorded.record.what.id == name)
        return next(either, None)

    def latest(self, count: int, wanted: Wanted | None = None) -> list[Recorded]:
        """The latest ``count`` of those that are wanted, the latest first."""
        hits, others = self._copies()
        found = sorted(hits + others, reverse=True)
        if wanted is not None:
            found = [recorded for recorded in found if wanted(recorded.record)]
        return found[:count]

    @property
    def upto(self) -> int:
        """The number of the latest: who watches from here on misses nothing."""
        return self._count

    def watch(self, after: int, most: int, wanted: Wanted | None = None) -> Watched:
        """What came after that number: of more than ``most`` the latest."""
        with self._lock:
            upto = self._count
            new = [
                recorded
                for ring in (self._hits, self._others)
                for recorded in takewhile(lambda kept: kept.number > after, reversed(ring))
            ]
        new.sort()
        missed = upto - after - len(new)
        if wanted is not None:
            new = [recorded for recorded in new if wanted(recorded.record)]
        shown = tuple(new[-most:])
        return Watched(shown, upto, missed + len(new) - len(shown))

    def _copies(self) -> tuple[list[Recorded], list[Recorded]]:
        with self._lock:
            return list(self._hits), list(self._others)


_MOST_DIGITS: Final = 18
