"""Flights: concurrent misses for one key make one request to the origin.

Whoever joins gets a role that is a type: ``Lead`` fetches, ``Follow`` waits for what the leader
learns, ``Alone`` does neither because the key proved uncacheable a short while ago. Among several
workers whoever leads also needs the lease of the flight.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import Struct

from proxy.exchange.lately import Lately

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from proxy.exchange.fill import Fill
    from proxy.policy.stored import StoredResponse
    from proxy.store.leases import Leases
    from proxy.upstream.base import UpstreamError

REMEMBER: Final = 30.0  # seconds for which a key that proved uncacheable is not queued behind
_T = TypeVar("_T")


class Filling(Struct, frozen=True):
    """The response is storable and on its way: read along."""

    fill: Fill


class Refreshed(Struct, frozen=True):
    """The origin said 304: what it validated, as it is now; nothing else was validated."""

    validated: tuple[StoredResponse, ...]


class Elsewhere(Struct, frozen=True):
    """Another worker has asked the origin: what is stored since."""

    variants: tuple[StoredResponse, ...]


class Erred(Struct, frozen=True):
    """The origin cannot be reached, or does not answer: nobody needs to try for himself."""

    error: UpstreamError


class Failing(Struct, frozen=True):
    """The origin failed: serve stale who may, the others ask for themselves, all at once.

    ``status`` is its 5xx; 0 if it gave none: what befell one request may be its own doing.
    """

    status: int


class Uncacheable(Struct, frozen=True):
    """Not for sharing: everybody fetches alone."""


class Left(Struct, frozen=True):
    """The leader's client went before the head came, or it was for him alone: elect another."""


Outcome = Filling | Refreshed | Elsewhere | Erred | Failing | Uncacheable | Left


class Flight:
    """One request to the origin that others may wait for. It lands once."""

    __slots__ = ("_waited", "began", "key", "lease", "outcome", "removals")

    def __init__(self, key: str, began: float, removals: int) -> None:
        self.key = key
        self.began = began  # epoch seconds
        self.removals = removals  # what the store said then
        self.outcome: Outcome | None = None  # once it has landed
        self.lease: int | None = None
        self._waited: asyncio.Future[Outcome] | None = None

    @property
    def followed(self) -> bool:
        """Whether anybody waits, or has waited, for the outcome."""
        return self._waited is not None

    def land(self, outcome: Outcome) -> None:
        """Tell the followers; only the first call counts."""
        if self.outcome is None:
            self.outcome = outcome
            if self._waited is not None:
                self._waited.set_result(outcome)

    async def landed(self) -> Outcome:
        """Wait for the outcome."""
        if self.outcome is not None:
            return self.outcome
        if self._waited is None:
            self._waited = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._waited)


class Lead(Struct, frozen=True):
    """You fetch, and land the flight whatever happens."""

    flight: Flight


class Follow(Struct, frozen=True):
    """Somebody fetches. ``early``: the head has not come, so any answer will be newer than you."""

    flight: Flight
    early: bool


class Alone(Struct, frozen=True):
    """Known uncacheable: do not queue."""


class Flights:
    """The flights under way, by key."""

    def __init__(self) -> None:
        self.leases: Leases | None = None  # there are other workers
        self._flights: dict[str, Flight] = {}
        self._asked: Counter[str] = Counter()
        self._uncacheable = Lately(REMEMBER), Lately(REMEMBER)

    def join(
        self, key: str, now: float, removals: int, since: float = 0.0, *, personal: bool = False
    ) -> Lead | Follow | Alone:
        """Your role for this key at ``now``; no flight will do that began before ``since``.

        Both are epoch seconds. ``removals`` is the store's count for the key: a flight that began
        before a removal carries what was removed, and nobody joins it any more. ``personal``: what
        proved uncacheable for those with Cookie or Authorization counts, too.
        """
        flight = self.under_way(key, removals)
        if flight is not None and flight.began >= since:
            return Follow(flight, early=flight.outcome is None)
        if self.is_uncacheable(key, now, personal=personal):
            return Alone()
        flight = self._flights[key] = Flight(key, now, removals)
        return Lead(flight)

    async def asking(self, key: str, work: Awaitable[_T]) -> _T:
        """Do the work, for which the origin is asked, with others to join or without."""
        self._asked[key] += 1
        try:
            return await work
        finally:
            self._asked[key] -= 1
            if not self._asked[key]:
                del self._asked[key]

    def keys(self) -> set[str]:
        """For which the origin is being asked, or is about to be; some more are of one variant."""
        return self._flights.keys() | self._asked.keys()

    def under_way(self, key: str, removals: int) -> Flight | None:
        """What who joins now would follow."""
        flight = self._flights.get(key)
        return flight if flight is not None and flight.removals == removals else None

    def lease(self, flight: Flight) -> bool:
        """Whether no other worker asks the origin for the same; from now on none will.

        A flight from before a removal has another lease, as nobody joins it.
        """
        if self.leases is None:
            return True
        flight.lease = self.leases.take(f"{flight.removals} {flight.key}")
        return flight.lease is not None

    def unlease(self, flight: Flight) -> None:
        """Other workers may ask the origin for it."""
        if flight.lease is not None and self.leases is not None:
            self.leases.give_back(flight.lease)
            flight.lease = None

    def over(self, flight: Flight, outcome: Outcome) -> None:
        """The flight ends: nobody joins any more. Lands it if it has not landed."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        self.unlease(flight)
        flight.land(outcome)

    def uncacheable(self, key: str, now: float, *, personal: bool = False) -> None:
        """Remember for a while that this key is not worth queueing for.

        What one client with credentials was answered says that to others with some.
        """
        everybodys, personals = self._uncacheable
        (personals if personal else everybodys).note(key, now)

    def is_uncacheable(self, key: str, now: float, *, personal: bool = False) -> bool:
        """Whether it proved so a short while ago."""
        everybodys, personals = self._uncacheable
        return everybodys.holds(key, now) or (personal and personals.holds(key, now))

    def cacheable(self, key: str) -> None:
        """It was stored after all."""
        for each in self._uncacheable:
            each.forget(key)
