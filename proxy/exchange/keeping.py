"""From the origin into the store: the pump of a fill, owned by the cache and by no client."""

from __future__ import annotations

import asyncio
import logging
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from proxy.codings.streams import TooMuch, Undecodable
from proxy.exchange.answer import BodyReader
from proxy.exchange.fill import Fill, FillState, deserted
from proxy.exchange.flights import Filling, Uncacheable
from proxy.exchange.tasks import launch
from proxy.store.base import BodyLost, StoreFailed, TooLarge
from proxy.upstream.base import Lost, UpstreamError

if TYPE_CHECKING:
    from proxy.exchange.flights import Flight, Flights
    from proxy.exchange.transcoding import Workshop
    from proxy.policy.partial import Finish
    from proxy.policy.stored import StoredResponse
    from proxy.store.base import Store


class Source(BodyReader, Protocol):
    """Where the octets of a fill come from: an ``UpstreamResponse``, or one joined to a part."""

    @property
    def length(self) -> int | None: ...

    def at_hand(self) -> bytes | None: ...


log = logging.getLogger("forecache")
NOT_STORED: Final = (StoreFailed, TooLarge, Undecodable)
PUMP: Final = "fill "  # names of the tasks that a shutdown waits for begin so


class Ended(StrEnum):
    """What came of storing something."""

    STORED = "stored"
    REMOVED = "removed"  # while it was on its way, or replaced by a newer one
    TOO_LARGE = "too-large"
    UNDECODABLE = "undecodable"  # it is not what its Content-Encoding says
    TOO_COSTLY = "too-costly"  # to decode: it becomes too much, or takes too long
    FAILED = "failed"
    INCOMPLETE = "incomplete"


class Keeping:
    """Begins fills and sees them through; counts in ``ended`` what came of them."""

    def __init__(self, store: Store, flights: Flights, finish_fill: Finish, shop: Workshop) -> None:
        self._store = store
        self._flights = flights
        self._shop = shop
        self._finish_fill = finish_fill
        self._fills: dict[str, tuple[Fill, int]] = {}  # the latest by key, and ``since``
        self.ended: dict[str, int] = dict.fromkeys(Ended, 0)

    def begin(
        self,
        key: str,
        stored: StoredResponse,
        response: Source,
        since: int,
        flight: Flight | None,
        largest: int | None,
    ) -> Fill:
        """Start to store; the fill can be read at once. Raises StoreFailed, TooLarge.

        ``largest``: a rule's own limit for the length, in octets. A body whose length is not
        known beforehand is not stored once it is longer.
        """
        try:
            self._reserve(response.length, largest)
        except (StoreFailed, TooLarge) as failure:
            self._refused(failure)
            raise
        verifier = self._shop.verifier(stored)
        fill = Fill(self._store, stored, _expected(stored, response), largest, verifier)
        octets = response.at_hand()
        if octets is not None:
            try:
                fill.take_whole(octets)
            except NOT_STORED as failure:
                self._refused(failure)
            work = self._finish(key, fill, since, flight)
        else:
            work = self._pump(key, fill, response, since, flight)
        if flight is not None:
            flight.land(Filling(fill))
        self._fills[key] = (fill, since)
        launch(work, PUMP + key)
        return fill

    def _reserve(self, length: int | None, largest: int | None) -> None:
        if largest is not None and length is not None and length > largest:
            raise TooLarge(f"{length} octets are more than the rule's {largest}")
        self._store.reserve(length)

    def unfinished(self) -> list[tuple[str, Fill]]:
        """The latest fill of each key until it is in the store, or never will be."""
        return [(key, fill) for key, (fill, _) in self._fills.items()]

    def begins(self, prefix: str) -> bool:
        """Whether something is on its way into the store whose key begins so."""
        return any(key.startswith(prefix) for key in self._fills)

    def under_way(self) -> list[tuple[str, Fill]]:
        """The latest fill of each key whose body is still coming."""
        return [pair for pair in self.unfinished() if pair[1].state is FillState.FLOWING]

    def arrived(self, key: str) -> Fill | None:
        """The latest fill for this key if it is whole, and about to be found in the store."""
        fill = self.latest(key)
        return fill if fill is not None and fill.state is FillState.WHOLE else None

    def latest(self, key: str) -> Fill | None:
        """The latest fill for this key, unless it is broken or nobody may join any more."""
        fill, since = self._fills.get(key, (None, 0))
        if fill is None or fill.state is FillState.BROKEN or not fill.storing:
            return None
        return fill if since == self._store.removals(key) else None

    async def _pump(
        self,
        key: str,
        fill: Fill,
        response: Source,
        since: int,
        flight: Flight | None,
    ) -> None:
        error: UpstreamError | None = Lost(502, "connection_terminated", "The fill was stopped.")
        pump = asyncio.current_task()
        assert pump is not None
        fill.watch(self._finish_fill, partial(self._stop, fill, flight, pump))
        try:
            await self._flow(key, fill, response, flight)
            error = None
        except UpstreamError as caught:
            error = caught
        except BodyLost as lost:  # of what is stored, and a part of this
            error = Lost(502, "connection_terminated", f"What is stored was lost: {lost}")
        finally:
            response.close()
            fill.end(error)
            # For a broken fill nothing in there waits, so that cancellation is safe.
            await self._finish(key, fill, since, flight)

    async def _flow(self, key: str, fill: Fill, response: Source, flight: Flight | None) -> None:
        while chunk := await response.read():
            try:
                await fill.feed(chunk)
            except NOT_STORED as failure:
                log.info("%s is not stored: %s", key, failure)
                self._refused(failure)
                self._over(flight)
                if not fill.readers:
                    raise deserted() from failure

    def _stop(self, fill: Fill, flight: Flight | None, pump: asyncio.Task[Any]) -> None:
        """Nobody may join any more, and who comes now begins anew, before it has ended."""
        fill.end(deserted())
        self._over(flight)
        pump.cancel()

    async def _finish(self, key: str, fill: Fill, since: int, flight: Flight | None) -> None:
        """Commit what is whole and may be stored; either way nobody joins any more."""
        try:
            if fill.storing and await self._is_outdated(key, fill):
                self.ended[Ended.REMOVED] += 1
            elif fill.storing and fill.state is FillState.WHOLE:
                await fill.store_as(key, since)
                self._flights.cacheable(key)
                removed = self._store.removals(key) != since
                self.ended[Ended.REMOVED if removed else Ended.STORED] += 1
            elif fill.storing:
                self.ended[Ended.INCOMPLETE] += 1
        except NOT_STORED as failure:
            log.info("%s is not stored: %s", key, failure)
            self._refused(failure)
        finally:
            self._over(flight)
            if self._fills.get(key, (None, 0))[0] is fill:
                del self._fills[key]
            fill.settle()

    async def _is_outdated(self, key: str, fill: Fill) -> bool:
        """Whether what was asked for later is stored before it, as no-cache waits for nobody."""
        latest, mine = self._fills.get(key, (None, 0))[0], fill.stored
        if fill.state is FillState.BROKEN or latest is fill:
            return False
        found = self._store.peek(key) or await self._store.lookup(key)
        coming = (latest.stored,) if latest is not None and latest is self.arrived(key) else ()
        return any(
            (one.selecting, one.part) == (mine.selecting, mine.part)
            and one.request_time > mine.request_time
            for one in (*found.variants, *coming)
        )

    def _refused(self, failure: Exception) -> None:
        match failure:
            case TooMuch():
                ended = Ended.TOO_COSTLY
            case Undecodable():
                ended = Ended.UNDECODABLE
            case TooLarge():
                ended = Ended.TOO_LARGE
            case _:
                ended = Ended.FAILED
        self.ended[ended] += 1

    def _over(self, flight: Flight | None) -> None:
        if flight is not None:
            self._flights.over(flight, Uncacheable())


def _expected(stored: StoredResponse, response: Source) -> int | None:
    """The octets that will have come, None if nothing says how many."""
    part = stored.part
    return response.length if part is None else part.last - part.first + 1
