"""The busiest hosts and URLs, in memory that is bounded whatever clients ask for.

Space-saving (Metwally, Agrawal, El Abbadi 2005): a name that has no slot takes the one with the
least weight, and its weight on top. So each name that has more than 1/``SLOTS`` of all has a slot,
and its weight is never too small. Its figures count from when it took the slot: they are never
too large, and it is ranked by them. When there is much to do, one record in some stands for all
of them: of hits and of what is missed, each for its own.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace, nlargest
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from proxy.admin.statistics import GROUPS
from proxy.policy.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.admin.batches import Batch

SLOTS: Final = 1000
SHOWN: Final = 50
LONGEST: Final = 512  # characters of a name
# A batch as long as this may be one of many: what is shown then waits for so many seconds.
BUSY: Final = 256
UNSEEN: Final = 0.25
CROWD: Final = 512  # records of a batch; of more
EVERY: Final = 8  # each so many are counted as that many
MEASURES: Final = ("requests", "octets", "misses")
_WHAT: Final = attrgetter("what")


@dataclass(frozen=True, slots=True)
class Leader:
    """One of the busiest. ``reason`` is the most frequent one of its misses, "" without."""

    name: str
    requests: int
    octets: int
    misses: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """The same kind of names by three measures, the busiest first, ``SHOWN`` at most."""

    requests: tuple[Leader, ...] = ()
    octets: tuple[Leader, ...] = ()
    misses: tuple[Leader, ...] = ()


@dataclass(frozen=True, slots=True)
class Leaders:
    """Hosts with their ports where these are not the default ones, and URLs."""

    hosts: Ranking = Ranking()
    urls: Ranking = Ranking()


class _Figures:
    __slots__ = ("misses", "octets", "reasons", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.octets = 0
        self.misses = 0
        self.reasons: dict[str, int] = {}

    def count(self, reason: Reason, requests: int, octets: int) -> None:
        self.requests += requests
        self.octets += octets
        if GROUPS[reason] == "miss":
            self.misses += requests
            self.reasons[reason.value] = self.reasons.get(reason.value, 0) + requests

    def add(self, more: _Figures) -> None:
        self.requests += more.requests
        self.octets += more.octets
        self.misses += more.misses
        for reason, count in more.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count

    def leader(self, name: str) -> Leader:
        reason = max(self.reasons, key=self.reasons.__getitem__, default="")
        return Leader(name, self.requests, self.octets, self.misses, reason)


class _Slots:
    """The names with the most of one measure."""

    def __init__(self, measure: str) -> None:
        self._measure = attrgetter(measure)
        self._figures: dict[str, _Figures] = {}
        self._weights: dict[str, int] = {}
        # Each name once, with a weight that may have grown since: it is looked at when it comes up.
        self._least: list[tuple[int, str]] = []

    def add(self, name: str, more: _Figures) -> None:
        weight = self._measure(more)
        known = self._figures.get(name)
        if known is not None:
            self._weights[name] += weight
            known.add(more)
        elif weight or len(self._weights) < SLOTS:
            weight += self._make_room()
            self._figures[name] = taken = _Figures()
            self._weights[name] = weight
            heappush(self._least, (weight, name))
            taken.add(more)

    def leaders(self) -> tuple[Leader, ...]:
        measure = self._measure
        first = nlargest(SHOWN, self._figures.items(), key=lambda item: measure(item[1]))
        return tuple(figures.leader(name) for name, figures in first if measure(figures))

    def _make_room(self) -> int:
        """The weight that whoever comes takes over."""
        if len(self._weights) < SLOTS:
            return 0
        weight, name = self._least[0]
        while (now := self._weights[name]) != weight:
            heapreplace(self._least, (now, name))
            weight, name = self._least[0]
        heappop(self._least)
        del self._weights[name], self._figures[name]
        return weight


class _Board:
    """One kind of names."""

    def __init__(self) -> None:
        self._slots = tuple(_Slots(measure) for measure in MEASURES)

    def add(self, batch: Mapping[str, _Figures]) -> None:
        for name, figures in batch.items():
            for slots in self._slots:
                slots.add(name, figures)

    def ranking(self) -> Ranking:
        return Ranking(*(slots.leaders() for slots in self._slots))


class Top:
    """Takes batches on one thread; any thread may ask for the ``leaders``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._hosts = _Board()
        self._urls = _Board()
        self._published = Leaders()
        self._clock = clock
        self._shown = clock()

    def take(self, batch: Batch) -> None:
        """Count these."""
        hosts: dict[str, _Figures] = defaultdict(_Figures)
        urls: dict[str, _Figures] = defaultdict(_Figures)
        for records in (batch.hits, batch.others):
            every = EVERY if len(records) > CROWD else 1
            for what, count in Counter(map(_WHAT, records[::every])).items():
                host, url = _names(what.target, what.reason)
                requests = count * every
                if host:
                    hosts[host].count(what.reason, requests, requests * what.sent)
                if url:
                    urls[url].count(what.reason, requests, requests * what.sent)
        self._hosts.add(hosts)
        self._urls.add(urls)
        now = self._clock()
        if len(batch.records) < BUSY or now - self._shown >= UNSEEN:
            self._shown = now
            self._published = Leaders(self._hosts.ranking(), self._urls.ranking())

    def leaders(self) -> Leaders:
        """As of a moment ago; costs nothing."""
        return self._published


def _names(target: str, reason: Reason) -> tuple[str, str]:
    """Host and URL, "" for none. A target that was refused may be anything."""
    if reason is Reason.BAD_REQUEST:
        return "", ""
    _, mark, rest = target.partition("://")
    if mark:
        return rest.partition("/")[0][:LONGEST], target[:LONGEST]
    return (target.removesuffix(":443")[:LONGEST], "") if reason is Reason.TUNNEL else ("", "")
