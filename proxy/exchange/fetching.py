"""Asking the origin, together with others or alone, and what its answer means for all of them."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, assert_never

from proxy.exchange.answer import Outcome, release
from proxy.exchange.arriving import Arriving, content_range
from proxy.exchange.fill import FillState
from proxy.exchange.flights import (
    Alone,
    Erred,
    Failing,
    Filling,
    Follow,
    Lead,
    Left,
    Refreshed,
    Uncacheable,
)
from proxy.exchange.joined import Joined
from proxy.exchange.keeping import PUMP
from proxy.exchange.lately import Lately
from proxy.exchange.names import body_id
from proxy.exchange.origin import Wanted
from proxy.exchange.tasks import launch
from proxy.exchange.validating import Validating, selected
from proxy.exchange.voice import Forwarded
from proxy.policy import keys, partial, reuse, storing
from proxy.policy.reasons import Reason
from proxy.semantics.fields import NO_FIELDS
from proxy.store.base import BodyLost, Found, StoreFailed, TooLarge
from proxy.upstream.base import NotReached, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from proxy.exchange.answer import Inbound
    from proxy.exchange.delivery import Delivery
    from proxy.exchange.fill import Fill
    from proxy.exchange.flights import Flight, Flights
    from proxy.exchange.keeping import Keeping
    from proxy.exchange.origin import Asked, Asking
    from proxy.policy.options import Options
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.messages import Request
    from proxy.store.base import Store

log = logging.getLogger("forecache")

# These neither read what others fetch nor fetch for them.
_APART: Final = frozenset({Reason.REQUEST_NO_STORE, Reason.REQUEST_REFLECTED, Reason.RULE_NO_CACHE})
# What the origin answers to these may be for this request alone.
_OWN_VIEW: Final = frozenset(
    {"range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"}
)
# Of those, what no whole response answers in the end.
_ONE_BY_ONE: Final = frozenset({"range", "if-match", "if-unmodified-since"})
_PAST_US: Final = 600.0  # seconds for which a 304 that went past us is remembered
_FAILING: Final = frozenset({500, 502, 503, 504})  # RFC 5861 §4


class Fetching:
    """Each method answers one request; None says that something changed and to look again."""

    def __init__(
        self,
        store: Store,
        options: Options,
        flights: Flights,
        *,
        asking: Asking,
        delivery: Delivery,
        keeping: Keeping,
    ) -> None:
        self._store = store
        self._options = options
        self._flights = flights
        self._asking = asking
        self._delivery = delivery
        self._keeping = keeping
        self._validating = validating = Validating(store, options, flights)
        self._validated_past_us = Lately(_PAST_US)
        self.arriving = Arriving(
            options, flights, delivery=delivery, keeping=keeping, validating=validating
        )

    def ask(
        self, inbound: Inbound, key: str, found: Found, wanted: Wanted
    ) -> Awaitable[Outcome | None]:
        """Fetch, alone or as one of many."""
        if wanted.reason in _APART:
            return self.fetch(inbound, key, found, wanted, None)
        if _is_own_view(inbound.request, wanted):
            return self._ask_for_one(inbound, key, found, wanted)
        return self._join(inbound, key, found, wanted, key)

    def _ask_for_one(
        self, inbound: Inbound, key: str, found: Found, wanted: Wanted
    ) -> Awaitable[Outcome | None]:
        # Who may not lead can still read along once it is known what there is to read.
        if self._flights.landed(key, self._store.removals(key)):
            return self._join(inbound, key, found, wanted, key)
        if self._is_worth_having(inbound.request, key):
            whole = wanted._replace(conditional=NO_FIELDS)
            return self._join(inbound, key, found, whole, key)
        return self.fetch(inbound, key, found, wanted, None)

    def _is_worth_having(self, request: Request, key: str) -> bool:
        """Clients validate what they hold again and again: after the second time we hold it too.

        Not after the first, which may be the last: a whole response for one 304 is a bad bargain.
        """
        now = time.time()
        return (
            request.method == "GET"
            and _ONE_BY_ONE.isdisjoint(request.fields.names())
            and self._validated_past_us.holds(key, now)
            and not self._flights.is_uncacheable(key, now)
        )

    def _join(
        self, inbound: Inbound, key: str, found: Found, wanted: Wanted, flight_key: str
    ) -> Awaitable[Outcome | None]:
        role = self._flights.join(flight_key, time.time(), self._store.removals(key))
        match role:
            case Alone():
                return self.fetch(inbound, key, found, wanted, None)
            case Lead(flight):
                return self.lead(inbound, key, found, wanted, flight)
            case Follow():
                return self._follow(inbound, key, found, wanted, role)
            case _:
                assert_never(role)

    def revalidate_behind(self, inbound: Inbound, key: str, found: Found, wanted: Wanted) -> None:
        """Stale-while-revalidate: nobody waits for it (RFC 5861 §3)."""
        role = self._flights.join(key, time.time(), self._store.removals(key))
        if isinstance(role, Lead):
            getting = replace(inbound.request, method="GET")
            unseen = inbound._replace(request=getting, on_interim=lambda _: None)
            launch(self._behind(unseen, key, found, wanted, role.flight), PUMP + key)

    async def _behind(
        self, inbound: Inbound, key: str, found: Found, wanted: Wanted, flight: Flight
    ) -> None:
        outcome = await self.lead(inbound, key, found, wanted, flight)
        if outcome is not None:
            release(outcome.answer.body)

    async def lead(
        self, inbound: Inbound, key: str, found: Found, wanted: Wanted, flight: Flight
    ) -> Outcome | None:
        """Fetch for all who follow; when our client leaves too early another one leads."""
        try:
            return await self.fetch(inbound, key, found, wanted, flight)
        finally:
            if not flight.landed.done():
                self._flights.over(flight, Left())

    async def _follow(
        self, inbound: Inbound, key: str, found: Found, wanted: Wanted, role: Follow
    ) -> Outcome | None:
        outcome = await asyncio.shield(role.flight.landed)
        match outcome:
            case Left():
                return None
            case Filling(fill):
                return await self._read_along(inbound, key, found, wanted, (role, fill))
            case Refreshed(validated):
                return await self._refreshed(inbound, key, found, wanted, (role, validated))
            case Erred(error):
                stale = await self._stale(inbound.request, key, wanted)
                # What befell one request after it was sent may be its own doing: look again.
                shared = isinstance(error, NotReached) or error.status == 504
                return stale or (self.arriving.failed(error) if shared else None)
            case Failing(status):
                stale = await self._stale(inbound.request, key, wanted, status)
                return stale or await self.fetch(inbound, key, found, wanted, None)
            case Uncacheable():
                return await self.fetch(inbound, key, found, wanted, None)
            case _:
                assert_never(outcome)

    async def _read_along(
        self,
        inbound: Inbound,
        key: str,
        found: Found,
        wanted: Wanted,
        flying: tuple[Follow, Fill],
    ) -> Outcome | None:
        role, fill = flying
        if fill.state is FillState.BROKEN or not fill.storing:
            return await self.fetch(inbound, key, found, wanted, None)
        if not keys.selects(fill.stored, inbound.request):
            # Those who want the same other variant fly together, once: no third flight.
            if role.flight.key != key or _is_own_view(inbound.request, wanted):
                return await self.fetch(inbound, key, found, wanted, None)
            names = [name for name, _ in fill.stored.selecting]
            variant = keys.selecting(names, inbound.request.fields)
            return await self._join(inbound, key, found, wanted, f"{key} {variant}")
        now = time.time()
        if self._fitting((fill.stored,), inbound.request, now, role) is None:
            return await self.fetch(inbound, key, found, wanted, None)
        reason, asked = _told(role, wanted, fill.stored.head.status)
        answer = self._delivery.filling(inbound.request, fill, now, reason, asked)
        return Outcome(answer, reason, asked.status if asked is not None else 0)

    async def _refreshed(
        self,
        inbound: Inbound,
        key: str,
        found: Found,
        wanted: Wanted,
        flown: tuple[Follow, tuple[StoredResponse, ...]],
    ) -> Outcome | None:
        role, validated = flown
        now = time.time()
        stored = self._fitting(validated, inbound.request, now, role)
        if stored is None:
            return await self.fetch(inbound, key, found, wanted, None)
        reason, asked = _told(role, wanted, 304)
        return await self._delivery.serve(inbound.request, key, stored, now, reason, asked)

    def _fitting(
        self, offered: Sequence[StoredResponse], request: Request, now: float, role: Follow
    ) -> StoredResponse | None:
        """What policy lets this request have or, as it waited for the head, what it selects."""
        decision = reuse.decide(request, offered, now, self._options)
        if isinstance(decision, reuse.Serve):
            return decision.stored
        stored = selected(offered, request) if role.early else None
        if stored is not None and self._delivery.terms(request, stored).validate:
            return None  # §5.2.2.4: no-cache is not for others, however early they came
        # A part answers those only whose octets it has, which is for policy to say.
        return stored if stored is not None and stored.part is None else None

    async def _stale(
        self, request: Request, key: str, wanted: Wanted, status: int = 0
    ) -> Outcome | None:
        """The stale response, where it may be served because the origin failed (§4.2.4)."""
        now = time.time()
        if wanted.stale is None or now >= wanted.stale_until:
            return None
        asked = Forwarded(wanted.reason, status)
        reason = Reason.STALE_IF_ERROR
        return await self._delivery.serve(request, key, wanted.stale, now, reason, asked)

    async def fetch(
        self, inbound: Inbound, key: str, found: Found, wanted: Wanted, flight: Flight | None
    ) -> Outcome | None:
        """Ask the origin. ``flight``: others wait for the outcome."""
        since = self._store.removals(key)
        try:
            asked = await self._asking.ask(inbound, wanted.conditional)
        except UpstreamError as error:
            if flight is not None:
                self._flights.over(flight, Erred(error))
            return await self._stale(inbound.request, key, wanted) or self.arriving.failed(error)
        try:
            return await self._answered(inbound, key, found, wanted, (asked, flight, since))
        except BaseException:
            asked.response.close()  # cancelled: nobody will read it
            raise

    async def _answered(
        self,
        inbound: Inbound,
        key: str,
        found: Found,
        wanted: Wanted,
        flying: tuple[Asked, Flight | None, int],
    ) -> Outcome | None:
        asked, flight, _ = flying
        status = asked.head.status
        if status == 304:
            if wanted.conditional is not None:
                return await self._validated(inbound, key, found, wanted, flying)
            self._validated_past_us.note(key, asked.response_time)
        if status in _FAILING:
            stale = await self._stale(inbound.request, key, wanted, status)
            if stale is not None:
                asked.response.close()
                if flight is not None:
                    self._flights.over(flight, Failing(status))
                return stale
        return await self.arriving.final(inbound, key, found, wanted, flying)

    async def _validated(
        self,
        inbound: Inbound,
        key: str,
        found: Found,
        wanted: Wanted,
        flying: tuple[Asked, Flight | None, int],
    ) -> Outcome | None:
        """A 304 to our own preconditions (RFC 9111 §4.3.4)."""
        asked, flight, _ = flying
        asked.response.close()
        request, now = inbound.request, time.time()
        stored = self._validating.validated(request, key, found, asked, flight)
        if stored is None:
            # It validates nothing that we have: ask once more, for the whole thing.
            whole = wanted._replace(conditional=NO_FIELDS)
            return await self.fetch(inbound, key, found, whole, flight)
        forwarded = Forwarded(wanted.reason, 304)
        reason = Reason.REVALIDATED
        return await self._delivery.serve(request, key, stored, now, reason, forwarded)

    async def complete(
        self, inbound: Inbound, key: str, found: Found, decision: reuse.Complete
    ) -> Outcome | None:
        """Fetch what a stored part lacks and join the two (RFC 9111 §3.4)."""
        wanted = Wanted(decision.reason, decision.missing.fields)
        since = self._store.removals(key)
        try:
            asked = await self._asking.ask(inbound, wanted.conditional)
        except UpstreamError as error:
            return self.arriving.failed(error)
        try:
            if asked.head.status == 200:
                return await self.arriving.final(inbound, key, found, wanted, (asked, None, since))
            fill = await self._joined(inbound.request, key, decision, asked, since)
        except BaseException:
            asked.response.close()  # cancelled: nobody will read it
            raise
        if fill is not None:
            return self.arriving.filled(inbound.request, fill, wanted.reason, asked.head.status)
        # What came does not join: leave the part, and ask for what the client asked.
        asked.response.close()
        return await self.fetch(inbound, key, found, Wanted(decision.reason), None)

    async def _joined(
        self, request: Request, key: str, decision: reuse.Complete, asked: Asked, since: int
    ) -> Fill | None:
        """The fill of the stored part and what has come; None if they are not to be joined."""
        part, missing = decision.stored, decision.missing
        stored = partial.combine(
            part, asked.head, self._options, body_id(), asked.request_time, asked.response_time
        )
        if stored is None or content_range(asked) != (missing.first, missing.last):
            return None
        verdict = storing.may_store(request, stored.head, asked.response_time, self._options)
        if isinstance(verdict, storing.DoNotStore):
            return None
        try:
            held = await self._store.open(key, part)
        except BodyLost:
            return None
        octets = missing.last - missing.first + 1
        joined = Joined(held, asked.response, octets, found_first=_precedes(decision))
        try:
            return self._keeping.begin(key, stored, joined, since, None, verdict.max_object_size)
        except (StoreFailed, TooLarge) as failure:
            log.info("%s is not completed: %s", key, failure)
            joined.close()
            return None


def _is_own_view(request: Request, wanted: Wanted) -> bool:
    """Whether what the origin answers may be of use to this request alone."""
    if request.method == "HEAD":
        return True
    return wanted.conditional is None and not _OWN_VIEW.isdisjoint(request.fields.names())


def _told(role: Follow, wanted: Wanted, status: int) -> tuple[Reason, Forwarded | None]:
    """Who came before the head had his request collapsed; for who came later it is a hit."""
    if role.early:
        return Reason.COLLAPSED, Forwarded(wanted.reason, status, collapsed=True)
    return Reason.HIT, None


def _precedes(decision: reuse.Complete) -> bool:
    part = decision.stored.part
    return part is not None and part.first < decision.missing.first
