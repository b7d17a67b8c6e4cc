"""What all exchanges come to: counters, octets, durations, and how they went over time.

Fed by the access log's thread with whole batches: what happened again is counted, not looked at
again, so that a hit costs next to nothing. After each batch a new ``Snapshot``
takes the place of the last one; whoever reads holds a whole value, and nobody waits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping  # noqa: TC003 - msgspec reads the types of a Snapshot
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from operator import add, attrgetter, mul
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from proxy.policy.reasons import HITS, OWN, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.admin.batches import Batch
    from proxy.exchange.record import ExchangeRecord, What

Group = Literal["hit", "miss", "own", "tunnel"]
Source = Literal["cache", "origin", "own", "tunnel"]

SECONDS: Final = 600  # of the last ten minutes
MINUTES: Final = 1440  # of the last day
# Upper bounds in seconds; what takes longer than the last is counted after it.
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PURGE", "PUT", "TRACE"}
)
OTHER: Final = "other"
STALE: Final = frozenset(
    {Reason.STALE_ALLOWED, Reason.STALE_WHILE_REVALIDATE, Reason.STALE_IF_ERROR}
)
# What a hit would have been: fetched whole and kept. Others may be streams that last for hours.
_COMPARABLE: Final = frozenset({Reason.MISS, Reason.VARY_MISS, Reason.EXPIRED})
_SOURCES: Final[Mapping[Group, Source]] = {
    "hit": "cache",
    "miss": "origin",
    "own": "own",
    "tunnel": "tunnel",
}
_WHAT, _ELAPSED, _REASON = map(attrgetter, ("what", "elapsed", "what.reason"))
_KIND, _SENT, _ASKED = attrgetter("method", "status"), attrgetter("sent"), attrgetter("what.asked")


def group(reason: Reason) -> Group:
    """Answered from the cache, by an origin, by the proxy itself, or not to be seen."""
    if reason in HITS:
        return "hit"
    if reason in OWN:
        return "own"
    return "tunnel" if reason is Reason.TUNNEL else "miss"


GROUPS: Final[Mapping[Reason, Group]] = {reason: group(reason) for reason in Reason}


class Counted(NamedTuple):
    """Requests of one kind. ``status_class`` is "2xx" for example, "other" for no answer."""

    method: str
    result: str
    status_class: str
    requests: int


class Moment(NamedTuple):
    """What ended in the second or minute that began at epoch second ``start``."""

    start: int
    requests: int
    hits: int
    octets_cache: int
    octets_origin: int


@dataclass(frozen=True, slots=True)
class Durations:
    """A histogram: how many lasted up to each of ``BOUNDS``, the longer ones last; seconds."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    total: float = 0.0

    def adding(self, elapsed: list[float]) -> Durations:
        """And these, which are sorted."""
        cuts = [0, *(bisect_right(elapsed, bound) for bound in BOUNDS), len(elapsed)]
        more = [upper - lower for lower, upper in pairwise(cuts)]
        counts = tuple(map(add, self.counts, more))
        return Durations(counts, self.total + sum(elapsed))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Since epoch second ``since``. ``octets`` to clients by where they came from.

    ``saved_seconds`` is an estimate: what clients would have waited longer if each hit had taken
    as long as the mean miss that was fetched and kept, of whatever host. ``asking`` is how long
    origins took for the heads of their responses. ``seconds`` and
    ``minutes`` have those in which something ended, in no order.
    """

    since: float
    requests: int = 0
    hits: int = 0
    collapsed: int = 0
    stale: int = 0
    tunnels: int = 0
    kinds: tuple[Counted, ...] = ()
    results: Mapping[str, int] = field(default_factory=dict)
    octets: Mapping[str, int] = field(default_factory=dict)
    durations: Mapping[Group, Durations] = field(default_factory=dict)
    asking: Durations = Durations()
    saved_seconds: float = 0.0
    seconds: Mapping[int, Moment] = field(default_factory=dict)
    minutes: Mapping[int, Moment] = field(default_factory=dict)

    def last_seconds(self, now: float) -> list[Moment]:
        """The last ``SECONDS`` up to ``now``, the oldest first, the quiet ones as zeros."""
        return _dense(self.seconds, 1, SECONDS, now)

    def last_minutes(self, now: float) -> list[Moment]:
        """The same for ``MINUTES``."""
        return _dense(self.minutes, 60, MINUTES, now)


class Statistics:
    """Takes batches on one thread; any thread may ask for the ``snapshot``."""

    def __init__(self, since: float) -> None:
        self._kinds: Counter[tuple[str, str, str]] = Counter()
        self._results: Counter[str] = Counter()
        self._octets: dict[str, int] = dict.fromkeys(_SOURCES.values(), 0)
        self._durations: dict[Group, Durations] = dict.fromkeys(_SOURCES, Durations())
        self._asking = Durations()
        self._fetched = 0
        self._fetching = 0.0
        self._saved = 0.0
        self._seconds: dict[int, Moment] = {}
        self._minutes: dict[int, Moment] = {}
        self._since = since
        self._published = self._snapshot()

    def take(self, batch: Batch) -> None:
        """Count these."""
        before = self._octets.copy()
        hits = len(batch.hits)
        if hits:
            self._take_alike(Reason.HIT, batch.hits, batch.repeated)
        for reason, records in groupby(sorted(batch.others, key=_REASON), _REASON):
            alike = list(records)
            self._take_alike(reason, alike, Counter(map(_WHAT, alike)))
            hits += len(alike) if reason in HITS else 0
        cache, origin = (self._octets[of] - before[of] for of in ("cache", "origin"))
        more = Moment(batch.second, len(batch.records), hits, cache, origin)
        _note(self._seconds, SECONDS, more)
        _note(self._minutes, MINUTES, more._replace(start=batch.second - batch.second % 60))
        self._published = self._snapshot()

    def snapshot(self) -> Snapshot:
        """As of the last batch; costs nothing."""
        return self._published

    def _take_alike(
        self, reason: Reason, records: Sequence[ExchangeRecord], seen: Counter[What]
    ) -> None:
        """Those with one and the same reason."""
        word, kind, elapsed = reason.value, GROUPS[reason], sorted(map(_ELAPSED, records))
        for (method, status), whats in groupby(sorted(seen, key=_KIND), _KIND):
            named = method if method in METHODS else OTHER
            count = sum(map(seen.__getitem__, whats))
            self._kinds[named, word, _status_class(status)] += count
        self._results[word] += len(elapsed)
        self._octets[_SOURCES[kind]] += sum(map(mul, map(_SENT, seen), seen.values()))
        self._durations[kind] = self._durations[kind].adding(elapsed)
        if reason is not Reason.HIT:
            asking = sorted(time for time in map(_ASKED, records) if time > 0)
            self._asking = self._asking.adding(asking)
        if reason in _COMPARABLE:
            self._fetched += len(elapsed)
            self._fetching += sum(elapsed)
        elif kind == "hit" and self._fetched:
            mean = self._fetching / self._fetched
            self._saved += max(0.0, len(elapsed) * mean - sum(elapsed))

    def _snapshot(self) -> Snapshot:
        results = dict(self._results)
        return Snapshot(
            since=self._since,
            requests=self._results.total(),
            hits=sum(results.get(reason, 0) for reason in HITS),
            collapsed=results.get(Reason.COLLAPSED, 0),
            stale=sum(results.get(reason, 0) for reason in STALE),
            tunnels=results.get(Reason.TUNNEL, 0),
            kinds=tuple(Counted(*kind, count) for kind, count in self._kinds.items()),
            results=results,
            octets=self._octets.copy(),
            durations=self._durations.copy(),
            asking=self._asking,
            saved_seconds=self._saved,
            seconds=self._seconds.copy(),
            minutes=self._minutes.copy(),
        )


def _note(ring: dict[int, Moment], size: int, more: Moment) -> None:
    known = ring.get(more.start)
    ring[more.start] = (
        more if known is None else Moment(known.start, *map(add, known[1:], more[1:]))
    )
    if len(ring) > size:
        del ring[next(iter(ring))]


def _dense(ring: Mapping[int, Moment], step: int, count: int, now: float) -> list[Moment]:
    last = int(now) - int(now) % step
    starts = range(last - step * (count - 1), last + step, step)
    return [ring.get(start) or Moment(start, 0, 0, 0, 0) for start in starts]


def _status_class(status: int) -> str:
    return f"{status // 100}xx" if 100 <= status < 600 else OTHER
