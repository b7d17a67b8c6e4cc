"""What each worker knows of itself, and what that comes to for all of them: pure.

Counters only grow for who reads them: what a worker had counted when it was last asked stays in
the sums when it does not answer, or has been replaced by another.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from proxy.admin.shapes import FillShape  # noqa: TC001 - msgspec reads the types of a State
from proxy.admin.statistics import Counted, Durations, Moment, Snapshot
from proxy.admin.top import MEASURES, SHOWN, Leader, Leaders, Ranking
from proxy.exchange.transcoding import Counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_Name = TypeVar("_Name")


class State(msgspec.Struct, frozen=True):
    """One worker: what it has counted, and what is under way in it now."""

    worker: int
    pid: int
    snapshot: Snapshot
    leaders: Leaders = Leaders()
    coding: Counts = msgspec.field(default_factory=Counts)
    evictions: dict[str, int] = {}
    stores: dict[str, int] = {}
    fills: list[FillShape] = []
    connections: int = 0
    tunnels: int = 0
    log_dropped: int = 0


def merged(states: Sequence[State]) -> State:
    """All of them as if they were one: the first, with the sums."""
    first = states[0]
    if len(states) == 1:
        return first
    return State(
        worker=first.worker,
        pid=first.pid,
        snapshot=snapshots([state.snapshot for state in states]),
        leaders=leaders([state.leaders for state in states]),
        coding=counts([state.coding for state in states]),
        evictions=_sums(state.evictions for state in states),
        stores=_sums(state.stores for state in states),
        fills=[fill for state in states for fill in state.fills],
        connections=sum(state.connections for state in states),
        tunnels=sum(state.tunnels for state in states),
        log_dropped=sum(state.log_dropped for state in states),
    )


def line(state: State) -> dict[str, Any]:
    """A worker in a table of them."""
    snapshot = state.snapshot
    return {
        "worker": state.worker,
        "pid": state.pid,
        "started": snapshot.since,
        "requests": snapshot.requests,
        "hits": snapshot.hits,
        "octets_cache": snapshot.octets.get("cache", 0),
        "octets_origin": snapshot.octets.get("origin", 0),
        "connections": state.connections,
        "tunnels": state.tunnels,
        "fills": len(state.fills),
    }


class Gone:
    """Remembers what workers had counted that are no longer there."""

    def __init__(self) -> None:
        self._latest: dict[int, State] = {}
        self._replaced: list[State] = []

    def silent(self, states: Sequence[State]) -> list[State]:
        """Of those who are not among these any more, only what they had counted."""
        for state in states:
            before = self._latest.get(state.worker)
            if before is not None and before.pid != state.pid:
                self._replaced = [merged([*self._replaced, _past(before)])]
            self._latest[state.worker] = state
        here = {state.worker for state in states}
        missing = [_past(state) for worker, state in self._latest.items() if worker not in here]
        return self._replaced + missing


def _past(state: State) -> State:
    """What is under way, and lists of names, end with a worker."""
    return msgspec.structs.replace(state, leaders=Leaders(), fills=[], connections=0, tunnels=0)


def snapshots(parts: Sequence[Snapshot]) -> Snapshot:
    """Since the first of them began."""
    kinds: Counter[tuple[str, str, str]] = Counter()
    for part in parts:
        kinds.update({(kind[0], kind[1], kind[2]): kind.requests for kind in part.kinds})
    durations: dict[Any, Durations] = {}
    for part in parts:
        for group, lasted in part.durations.items():
            durations[group] = _longer(durations.get(group, Durations()), lasted)
    return Snapshot(
        since=min(part.since for part in parts),
        requests=sum(part.requests for part in parts),
        hits=sum(part.hits for part in parts),
        collapsed=sum(part.collapsed for part in parts),
        stale=sum(part.stale for part in parts),
        tunnels=sum(part.tunnels for part in parts),
        kinds=tuple(Counted(*kind, count) for kind, count in kinds.items()),
        results=_sums(part.results for part in parts),
        octets=_sums(part.octets for part in parts),
        durations=durations,
        asking=reduce(_longer, (part.asking for part in parts)),
        saved_seconds=sum(part.saved_seconds for part in parts),
        seconds=_moments(part.seconds for part in parts),
        minutes=_moments(part.minutes for part in parts),
    )


def briefly(snapshot: Snapshot) -> Snapshot:
    """Without how it went over time, which is most of it."""
    return replace(snapshot, seconds={}, minutes={})


def leaders(parts: Sequence[Leaders]) -> Leaders:
    """The busiest of all; who is not among the busiest of one worker counts nothing there."""
    return Leaders(
        _ranking([part.hosts for part in parts]), _ranking([part.urls for part in parts])
    )


def counts(parts: Sequence[Counts]) -> Counts:
    names = [each.name for each in fields(Counts)]
    return Counts(**{name: sum(getattr(part, name) for part in parts) for name in names})


def _longer(one: Durations, other: Durations) -> Durations:
    return Durations(tuple(map(add, one.counts, other.counts)), one.total + other.total)


def _sums(parts: Iterable[Mapping[_Name, int]]) -> dict[_Name, int]:
    total: Counter[_Name] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)


def _moments(rings: Iterable[Mapping[int, Moment]]) -> dict[int, Moment]:
    whole: dict[int, Moment] = {}
    for ring in rings:
        for start, more in ring.items():
            known = whole.get(start)
            whole[start] = more if known is None else Moment(start, *map(add, known[1:], more[1:]))
    return whole


def _ranking(parts: Sequence[Ranking]) -> Ranking:
    return Ranking(*(_busiest(parts, measure) for measure in MEASURES))


def _busiest(parts: Sequence[Ranking], measure: str) -> tuple[Leader, ...]:
    named: dict[str, list[Leader]] = {}
    for part in parts:
        for leader in getattr(part, measure):
            named.setdefault(leader.name, []).append(leader)
    summed = [_sum(each) for each in named.values()]
    summed.sort(key=lambda leader: -getattr(leader, measure))
    return tuple(summed[:SHOWN])


def _sum(same: Sequence[Leader]) -> Leader:
    """The reason is that of the worker with the most misses."""
    return Leader(
        same[0].name,
        sum(each.requests for each in same),
        sum(each.octets for each in same),
        sum(each.misses for each in same),
        max(same, key=lambda each: each.misses).reason,
    )
