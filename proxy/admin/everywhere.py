"""What all workers of this proxy know and do: this one, and those that are asked.

With one worker every answer is its own, at once.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, assert_never

from proxy.admin import together
from proxy.admin.peers import (
    AskAfter,
    AskExchange,
    AskLatest,
    AskSettled,
    AskState,
    AskUnderWay,
    AskUses,
    Named,
    Peers,
    Seen,
)
from proxy.admin.shapes import FillShape
from proxy.admin.together import Gone, State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.admin.accesslog import AccessLog
    from proxy.admin.peers import Question
    from proxy.admin.recent import Recorded
    from proxy.admin.watching import Watching
    from proxy.exchange.exchange import Exchange
    from proxy.exchange.fill import Fill
    from proxy.exchange.record import ExchangeRecord
    from proxy.frontend.door import Door
    from proxy.store.waiting import Opened

Uses = dict[str, tuple[int, float]]
Places = dict[int, int]  # the number of the latest exchange that was seen, by worker


@dataclass(slots=True)
class Everywhere:
    """One per process. ``worker`` is the number of this one."""

    watching: Watching
    door: Door
    store: Opened
    access_log: AccessLog | None = None
    peers: Peers = field(default_factory=Peers)
    worker: int = 0
    _gone: Gone = field(default_factory=Gone)

    @property
    def _exchange(self) -> Exchange:
        return self.door.exchange

    async def answer(self, question: Question) -> object:
        """To another worker."""
        match question:
            case AskState(series):
                return self._state(series=series)
            case AskLatest(most, target):
                return self._latest(most, target)
            case AskAfter(places, most):
                return self._after(places, most)
            case AskExchange(exchange_id):
                return self._find(exchange_id)
            case AskUses():
                return self.watching.uses()
            case AskUnderWay():
                return self._exchange.keys_under_way()
            case AskSettled(key):
                await self._exchange.settled(key)
                return None
            case _:
                assert_never(question)

    # Each of all workers.

    async def state(self, *, series: bool = True) -> tuple[State, list[dict[str, Any]]]:
        """What it all comes to, and a line for each worker."""
        own = self._state(series=series)
        asked = await self.peers.ask(AskState(series), State)
        states = [own, *asked.values()]
        lines = [together.line(state) for state in states]
        silent = [number for number in self.peers.numbers if number not in asked]
        lines += [{"worker": number, "silent": True} for number in silent]
        lines.sort(key=lambda line: line["worker"])
        return together.merged([*states, *self._gone.silent(states)]), lines

    async def latest(self, most: int, target: str = "") -> list[Named]:
        """Exchanges, the last first; those that are GET requests for a target if there is one."""
        asked = await self.peers.ask(AskLatest(most, target), list[Named])
        return _merged([self._latest(most, target), *asked.values()])[-most:][::-1]

    async def find(self, exchange_id: str) -> Named | None:
        """The exchange with that id, if anybody remembers it."""
        own = self._find(exchange_id)
        asked = {} if own else await self.peers.ask(AskExchange(exchange_id), list[Named])
        return next((named for part in (own, *asked.values()) for named in part), None)

    async def after(self, places: Places, most: int) -> tuple[list[Named], Places]:
        """What ended since, in its order, of more than ``most`` the latest; and the places now.

        From no place on nothing is shown: that is where to begin.
        """
        asked = await self.peers.ask(AskAfter(places, most), Seen)
        asked[self.worker] = self._after(places, most)
        latest = _merged([seen.exchanges for seen in asked.values()])[-most:]
        return latest, places | {number: seen.upto for number, seen in asked.items()}

    async def uses(self) -> list[Uses]:
        """Hits and last use by key, since this was last asked of each."""
        asked = await self.peers.ask(AskUses(), Uses)
        return [self.watching.uses(), *asked.values()]

    async def under_way(self) -> set[str]:
        """Keys for which an origin is being asked, or something is being stored."""
        asked = await self.peers.ask(AskUnderWay(), set[str])
        return self._exchange.keys_under_way().union(*asked.values())

    async def settled(self, key: str) -> None:
        """Wait for what has all its octets and is about to be stored under the key."""
        await self._exchange.settled(key)
        await self.peers.ask(AskSettled(key), type(None))

    # This one.

    def _state(self, *, series: bool) -> State:
        now, exchange, door = time.time(), self._exchange, self.door
        snapshot = self.watching.statistics.snapshot()
        return State(
            worker=self.worker,
            pid=os.getpid(),
            snapshot=snapshot if series else together.briefly(snapshot),
            leaders=self.watching.top.leaders(),
            coding=exchange.shop.counts,
            evictions=dict(self.store.evictions),
            stores=dict(exchange.keeping.ended),
            fills=[_fill(key, fill, now) for key, fill in exchange.keeping.under_way()],
            connections=len(door.connections),
            tunnels=len(door.tunnels),
            log_dropped=self.access_log.dropped if self.access_log is not None else 0,
        )

    def _latest(self, most: int, target: str) -> list[Named]:
        def wanted(record: ExchangeRecord) -> bool:
            return record.what.target == target and record.what.method == "GET"

        latest = self.watching.recent.latest(most, wanted if target else None)
        return self._named(reversed(latest))

    def _after(self, places: Places, most: int) -> Seen:
        recent = self.watching.recent
        place = places.get(self.worker, recent.upto)
        # The place may be that of a worker that was replaced by this one.
        watched = recent.watch(place if place <= recent.upto else 0, most)
        return Seen(self._named(watched.exchanges), watched.upto)

    def _find(self, exchange_id: str) -> list[Named]:
        recorded = self.watching.recent.find(exchange_id)
        return [] if recorded is None else self._named([recorded])

    def _named(self, exchanges: Iterable[Recorded]) -> list[Named]:
        recent = self.watching.recent
        return [Named(recent.id(recorded), recorded.record) for recorded in exchanges]


def _ended(named: Named) -> float:
    return named.record.start + named.record.elapsed


def _merged(parts: list[list[Named]]) -> list[Named]:
    """Each in its order; together in the order in which they ended."""
    return sorted((named for part in parts for named in part), key=_ended)


def _fill(key: str, fill: Fill, now: float) -> FillShape:
    started = fill.stored.response_time
    return FillShape(
        key=key,
        received=fill.received,
        length=fill.length,
        started=started,
        rate=fill.received / max(now - started, 0.001),
        followers=fill.readers,
    )
