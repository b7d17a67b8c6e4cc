"""Hit ratios of what the store evicts, beside least recently used and the offline optimum.

It is the store's own sieve, with its own records and its own marks in shared memory; only the
rows are lists instead of a database, and a commit is of one response. The trace is made: some
URLs are asked for by Zipf's law, others once. All bodies have one size, so that the optimum is
exact: whatever is asked for last, of what is held and what has come, is not kept.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import OrderedDict
from heapq import heappop, heappush
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from proxy.policy.stored import StoredResponse
from proxy.store import records
from proxy.store.eviction import evict
from proxy.store.generations import Generations
from proxy.store.reading import RecordRow
from tests.bench.processes import progress
from tests.bench.report import Report, caption, surroundings, table
from tests.support.build import resp

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

SEED: Final = 20261122
PARTS: Final = (0.01, 0.1)  # of the octets of all that is asked for
_BODY: Final = 10_000
_ROOM: Final = 12_288 + 1024  # octets: in whole blocks, and its row
_MARGIN: Final = 256  # the store goes below its limit by this part of it
_NEVER: Final = 1 << 60


def configure(parser: ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--urls", type=int, default=100_000, help="that come again")
    parser.add_argument("--exponent", type=float, default=0.9)
    parser.add_argument("--once", type=float, default=0.2, help="the part that never comes again")


def run(options: Namespace) -> Report:
    """One row for each size of cache."""
    trace = trace_of(options.requests, options.urls, options.exponent, options.once)
    kinds = len(set(trace))
    rows: list[dict[str, float]] = []
    for part in PARTS:
        capacity = max(1, round(kinds * part))
        hits = {"LRU": least_recently_used(trace, capacity)}
        progress(f"{part:.0%}: LRU")
        hits["forecache"] = sieve(trace, capacity)
        progress(f"{part:.0%}: forecache")
        hits["optimum"] = optimum(trace, capacity)
        rows.append({"part": part} | {name: n / len(trace) for name, n in hits.items()})
    around = surroundings()
    how = (
        f"{len(trace):,} requests: Zipf({options.exponent:g}) over {options.urls:,} URLs,"
        f" {options.once:.0%} for a URL of their own; {kinds:,} URLs in all, of one size."
    )
    figures = table(
        ["cache", *list(rows[0])[1:]],
        [[f"{row['part']:.0%} of the octets", *_percents(row)] for row in rows],
    )
    return Report(f"{caption(around, how)}\nHit ratios:\n\n{figures}", around | {"hits": rows})


def _percents(row: dict[str, float]) -> list[str]:
    return [f"{100 * ratio:.2f} %" for name, ratio in row.items() if name != "part"]


def trace_of(requests: int, urls: int, exponent: float, once: float) -> list[int]:
    """Numbers of URLs; those that come once are above all others."""
    chance = random.Random(SEED)
    weights = list(accumulate(rank**-exponent for rank in range(1, urls + 1)))
    trace = chance.choices(range(urls), cum_weights=weights, k=requests)
    for at in range(requests):
        if chance.random() < once:
            trace[at] = urls + at
    return trace


def least_recently_used(trace: Sequence[int], capacity: int) -> int:
    """Hits."""
    held: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for url in trace:
        if url in held:
            hits += 1
            held.move_to_end(url)
        else:
            held[url] = None
            if len(held) > capacity:
                held.popitem(last=False)
    return hits


def optimum(trace: Sequence[int], capacity: int) -> int:
    """Hits of who knows what will be asked for: Belady's, which need not keep what has come."""
    following = [_NEVER] * len(trace)
    last: dict[int, int] = {}
    for at in range(len(trace) - 1, -1, -1):
        following[at] = last.get(trace[at], _NEVER)
        last[trace[at]] = at
    held: dict[int, int] = {}  # when each is asked for again
    latest: list[tuple[int, int]] = []
    hits = 0
    for url, again in zip(trace, following, strict=True):
        if held.pop(url, None) is not None:
            hits += 1
        if again == _NEVER:
            continue
        held[url] = again
        heappush(latest, (-again, url))
        if len(held) > capacity:
            leaving = heappop(latest)
            while held.get(leaving[1]) != -leaving[0]:
                leaving = heappop(latest)
            del held[leaving[1]]
    return hits


class Rows:
    """``eviction.Rows`` in lists."""

    def __init__(self) -> None:
        self._rowids: list[int] = []
        self._rows: dict[int, RecordRow] = {}
        self._last = 0
        self.keys: set[str] = set()

    def add(self, key: str, record: bytes) -> None:
        """One more, after all others."""
        self._last += 1
        self._rowids.append(self._last)
        self._rows[self._last] = RecordRow(self._last, key, record)
        self.keys.add(key)

    @property
    def octets(self) -> int:
        """What all of them take."""
        return len(self._rowids) * _ROOM

    def records_after(self, rowid: int, limit: int) -> list[RecordRow]:
        first = bisect_right(self._rowids, rowid)
        return [self._rows[each] for each in self._rowids[first : first + limit]]

    def forms(self, limit: int) -> list[RecordRow]:
        return []

    def delete_rows(self, rowids: Sequence[int]) -> None:
        for rowid in rowids:
            del self._rowids[bisect_right(self._rowids, rowid) - 1]
            self.keys.discard(self._rows.pop(rowid).key)

    def delete_bodies(self, ids: Sequence[str]) -> None:
        """They are not there."""

    def delete_bodies_of(self, key: str) -> None:
        """Nor is any of them damaged."""


def sieve(trace: Sequence[int], capacity: int) -> int:
    """Hits of the store's own eviction."""
    rows, limit = Rows(), capacity * _ROOM
    target = limit - limit // _MARGIN - _ROOM
    head, hits = resp(200, "max-age=3600", 'ETag: "v1"'), 0
    with TemporaryDirectory() as folder:
        marks = Generations(Path(folder) / "generations", anything_stored=False)
        try:
            for url in trace:
                key = f"http://a.example/{url}"
                if key in rows.keys:
                    hits += 1
                    marks.touch(key)
                    continue
                stored = StoredResponse(f"{url:x}", (), head, 0.0, 0.0, _BODY, b"\0\0\0\0")
                while rows.octets + _ROOM > limit:
                    evict(rows, marks, lambda: rows.octets <= target)
                rows.add(key, records.encode(key, (stored,)))
                marks.storing(key)
        finally:
            marks.close()
    return hits
