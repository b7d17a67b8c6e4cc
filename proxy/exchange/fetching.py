"""Asking the origin, together with others or alone, and what its answer means for all of them."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, assert_never

from proxy.codings.transformable import can_receive, suits
from proxy.exchange import echo, elsewhere
from proxy.exchange.answer import Outcome, release
from proxy.exchange.arriving import Arriving, content_range
from proxy.exchange.delivery import begun
from proxy.exchange.fill import FillState
from proxy.exchange.flights import (
    Alone,
    Elsewhere,
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
from proxy.exchange.voice import Forwarded
from proxy.policy import keys, partial, reuse, revalidation, storing
from proxy.policy.reasons import Reason
from proxy.policy.standing import standing
from proxy.semantics.fields import NO_FIELDS
from proxy.store.base import BodyLost, StoreFailed, TooLarge
from proxy.upstream.base import BadResponse, NotReached, Prohibited, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from proxy.exchange.delivery import Delivery
    from proxy.exchange.fill import Fill
    from proxy.exchange.flights import Flight, Flights
    from proxy.exchange.keeping import Keeping
    from proxy.exchange.origin import Asked, Asking, Errand
    from proxy.policy.options import Options
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.messages import Request
    from proxy.store.base import Store

log = logging.getLogger("forecache")

# What the origin answers to these may be for this request alone.
_OWN_VIEW: Final = frozenset({"range", "if-none-match", "if-modified-since"})
PATIENCE: Final = 5.0  # seconds for the head that another waits for: it may never come to him
_PAST_US: Final = 600.0  # seconds for which a 304 that went past us is remembered


class Fetching:
    """Each method answers one request; None says that something changed and to look again."""

    def __init__(
        self,
        store: Store,
        options: Options,
        flights: Flights,
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
        self._validated_past_us = Lately(_PAST_US)
        self._fetched_beside = Lately(_PAST_US)
        self.arriving = Arriving(store, options, flights, delivery, keeping)

    def ask(self, errand: Errand) -> Awaitable[Outcome | None]:
        """Fetch, alone or as one of many."""
        if standing(errand.inbound.request, self._options).passes_by is not None:
            return self.fetch(errand)
        if not _is_own_view(errand.inbound.request, errand.wanted):
            return self._join(errand, errand.key)
        # Who may not lead can still read along once it is known what there is to read.
        flight = self._flights.under_way(errand.key, self._store.removals(errand.key))
        if flight is None or flight.outcome is None:
            return self.fetch(errand)
        return self._follow(errand, Follow(flight, early=False))

    def _join(self, errand: Errand, flight_key: str) -> Awaitable[Outcome | None]:
        now, stands = time.time(), standing(errand.inbound.request, self._options)
        since = reuse.asked_since(stands.directives, now)
        role = self._flights.join(
            flight_key, now, self._store.removals(errand.key), since, personal=stands.personal
        )
        match role:
            case Alone():
                return self.fetch(errand)
            case Follow():
                return self._follow(errand, role)
            case Lead(flight):
                errand.flight = flight
                # When another worker began nobody knows.
                alone = self._flights.leases is None or since > 0
                work = self.fetch(errand) if alone else self._among_workers(errand, flight)
                return self._landing(errand, work)
            case _:
                assert_never(role)

    def _passes(self, errand: Errand, asked: Asked) -> None:
        """A 304 goes past us. Who validated what we do not hold, will again: we fetch it, too.

        Not after the first time, which may be the last: a whole response for one 304 is a bad
        bargain. And not again soon, whatever comes of it.
        """
        key, now, request = errand.key, asked.response_time, errand.inbound.request
        stands = standing(request, self._options)
        known = self._flights.is_uncacheable(key, now, personal=stands.personal)
        if stands.passes_by is not None or known or self._fetched_beside.holds(key, now):
            return
        if not revalidation.whole_may_be_stored(request, asked.head, self._options, now):
            return
        if not self._validated_past_us.holds(key, now):
            self._validated_past_us.note(key, now)
            return
        self._fetched_beside.note(key, now)
        self.fetch_behind(replace(errand, wanted=errand.wanted._replace(conditional=NO_FIELDS)))

    def fetch_behind(self, errand: Errand) -> None:
        """For the cache: nobody waits for it (RFC 5861 §3), unless somebody joins."""
        key, inbound = errand.key, errand.inbound
        role = self._flights.join(key, time.time(), self._store.removals(key))
        if isinstance(role, Lead) and not self._flights.lease(role.flight):
            self._flights.over(role.flight, Left())  # another worker is about it
        elif isinstance(role, Lead):
            # What comes is stored, and no answer: for who has it already there is nothing to read.
            fields = inbound.request.fields.replacing("If-None-Match", "*")
            getting = replace(inbound.request, method="GET", fields=fields)
            errand.inbound = inbound._replace(request=getting, on_interim=lambda _: None)
            errand.flight = role.flight
            launch(self._behind(errand), PUMP + key)

    async def _behind(self, errand: Errand) -> None:
        outcome = await self._landing(errand, self.fetch(errand))
        if outcome is not None:
            release(outcome.answer.body)

    async def _among_workers(self, errand: Errand, flight: Flight) -> Outcome | None:
        """Another one may be asking the origin for the same: then see what it stores."""
        found = await elsewhere.stored(self._flights, flight, self._store, errand)
        if found is None:
            return await self.fetch(errand)
        self._flights.over(flight, Elsewhere(found))
        return await self._stored_elsewhere(errand, found)

    async def _stored_elsewhere(
        self, errand: Errand, found: tuple[StoredResponse, ...]
    ) -> Outcome | None:
        request, now, why = errand.inbound.request, time.time(), Reason.COLLAPSED
        stored = reuse.shared(request, found, now, self._options)
        if stored is None or not can_receive(request, stored):
            return None
        asked = Forwarded(errand.wanted.reason, stored.head.status, collapsed=True)
        return await self._delivery.serve(request, errand.key, stored, now, why, asked)

    async def heard(self, errand: Errand, coming: Awaitable[Asked]) -> Outcome | None:
        """The same for a request that was sent already."""
        return await self._landing(errand, self.hear(errand, coming))

    async def _landing(self, errand: Errand, work: Awaitable[Outcome | None]) -> Outcome | None:
        """Fetch for all who follow; when our client leaves too early another one leads."""
        try:
            return await work
        finally:
            if errand.flight is not None and errand.flight.outcome is None:
                self._flights.over(errand.flight, Left())

    async def _follow(self, errand: Errand, role: Follow) -> Outcome | None:
        try:
            async with asyncio.timeout(PATIENCE):
                outcome = await role.flight.landed()
        except TimeoutError:
            return await self.fetch(errand)
        match outcome:
            case Left():
                return None
            case Filling(fill):
                return await self._read_along(errand, role, fill)
            case Refreshed(validated):
                return await self._refreshed(errand, role, validated)
            case Elsewhere(found):
                return await self._stored_elsewhere(errand, found)
            case Erred(error):
                return await self._instead(errand, error)
            case Failing(status):
                return await self._stale(errand, status) or await self.fetch(errand)
            case Uncacheable():
                return await self.fetch(errand)
            case _:
                assert_never(outcome)

    async def _read_along(self, errand: Errand, role: Follow, fill: Fill) -> Outcome | None:
        request, wanted = errand.inbound.request, errand.wanted
        if fill.state is FillState.BROKEN or not fill.storing:
            return await self.fetch(errand)
        if not keys.selects(fill.stored, request):
            # Those who want the same other variant fly together, once: no third flight.
            if role.flight.key != errand.key or _is_own_view(request, wanted):
                return await self.fetch(errand)
            names = [name for name, _ in fill.stored.selecting]
            variant = keys.selecting(names, request.fields)
            return await self._join(errand, f"{errand.key} {variant}")
        now = time.time()
        ahead = partial.is_ahead(request, fill.stored, fill.length, fill.received)
        shared = reuse.shared(request, (fill.stored,), now, self._options, early=role.early)
        if ahead or shared is None:
            return await self.fetch(errand)
        made = self._delivery.is_made(request, fill)
        if made and fill.state is FillState.WHOLE:
            await fill.settled()  # whether it can be decoded is just being looked at
            return None
        errand.as_asked = True
        # A part of what is decoded on the way cannot be cut before its length is known.
        cut = made and "range" in request.fields and "if-range" not in request.fields
        if cut or not can_receive(request, fill.stored):
            return await self.fetch(errand)
        reason, asked = _told(role, wanted, fill.stored.head.status)
        status = asked.status if asked is not None else 0
        try:
            answer = self._delivery.filling(request, fill, now, reason, asked)
            return await begun(Outcome(answer, reason, status))
        except BadResponse:
            return await self.fetch(errand)  # it cannot be decoded for this client

    async def _refreshed(
        self, errand: Errand, role: Follow, validated: tuple[StoredResponse, ...]
    ) -> Outcome | None:
        request, now = errand.inbound.request, time.time()
        stored = reuse.shared(request, validated, now, self._options, early=role.early)
        if stored is None or not can_receive(request, stored):
            return await self.fetch(errand)
        reason, asked = _told(role, errand.wanted, 304)
        return await self._delivery.serve(request, errand.key, stored, now, reason, asked)

    async def _stale(self, errand: Errand, status: int = 0) -> Outcome | None:
        """The stale response, where it may be served because the origin failed (§4.2.4)."""
        wanted, now = errand.wanted, time.time()
        if wanted.stale is None or now >= wanted.stale_until:
            return None
        asked = Forwarded(wanted.reason, status)
        reason, request = Reason.STALE_IF_ERROR, errand.inbound.request
        return await self._delivery.serve(request, errand.key, wanted.stale, now, reason, asked)

    async def _instead(self, errand: Errand, error: UpstreamError) -> Outcome:
        """The answer when there is none from the origin; that access refused is not its failure."""
        if isinstance(error, Prohibited):
            return self.arriving.failed(error)
        return await self._stale(errand) or self.arriving.failed(error, errand)

    async def fetch(self, errand: Errand) -> Outcome | None:
        """Ask the origin, and see what it says."""
        errand.since = self._store.removals(errand.key)
        asking = self._asking.ask(
            errand.inbound, errand.wanted.conditional, as_asked=errand.as_asked
        )
        return await self._flights.asking(errand.key, self.hear(errand, asking))

    async def hear(self, errand: Errand, coming: Awaitable[Asked]) -> Outcome | None:
        """What the origin says is coming; ``errand.since`` is from before it was asked."""
        try:
            asked = await coming
        except UpstreamError as error:
            if errand.flight is not None:
                shared = isinstance(error, NotReached) or error.status == 504
                self._flights.over(errand.flight, Erred(error) if shared else Failing(0))
            return await self._instead(errand, error)
        try:
            try:
                outcome = await self._answered(errand, asked)
            except BaseException:
                asked.response.close()  # cancelled: nobody will read it
                raise
            # From here on it is the body's, which others may be reading.
            return None if outcome is None else await begun(outcome)
        except BadResponse:
            if errand.as_asked or not asked.negotiated:
                raise
            errand.as_asked, errand.flight = True, None
            return await self.fetch(errand)

    async def _answered(self, errand: Errand, asked: Asked) -> Outcome | None:
        status = asked.head.status
        if asked.negotiated and not suits(errand.inbound.request, asked.head):
            # Its octets are not to be changed, and the client cannot read them.
            asked.response.close()
            errand.as_asked = True
            return await self.fetch(errand)
        if status == 304:
            if errand.wanted.conditional is not None:
                return await self._validated(errand, asked)
            self._passes(errand, asked)
        if status in reuse.FAILING:
            stale = await self._stale(errand, status)
            if stale is not None:
                asked.response.close()
                if errand.flight is not None:
                    self._flights.over(errand.flight, Failing(status))
                return stale._replace(asked=asked.elapsed)
        return await self.arriving.final(errand, asked)

    async def _validated(self, errand: Errand, asked: Asked) -> Outcome | None:
        """A 304 to our own preconditions (RFC 9111 §4.3.4)."""
        asked.response.close()
        wanted, request, now = errand.wanted, errand.inbound.request, time.time()
        validated = self.arriving.validated(errand, asked)
        if validated is None or not can_receive(request, validated.answer):
            # It validates nothing that this client can have: ask once more, for the whole thing.
            errand.wanted, errand.as_asked = wanted._replace(conditional=NO_FIELDS), True
            return await self.fetch(errand)
        stored, reason = validated.answer, Reason.REVALIDATED
        if not (validated.news or validated.gone):
            view = self._delivery.forms.at_hand(request, errand.key, stored)
            echo.keep(request, echo.of_validation(errand, asked, stored, view, self._options))
        forwarded = Forwarded(wanted.reason, 304)
        outcome = await self._delivery.serve(request, errand.key, stored, now, reason, forwarded)
        return None if outcome is None else outcome._replace(asked=asked.elapsed)

    async def complete(self, errand: Errand, decision: reuse.Complete) -> Outcome | None:
        """Fetch what a stored part lacks and join the two (RFC 9111 §3.4)."""
        errand.since = self._store.removals(errand.key)
        asked = await self._asking.ask(errand.inbound, errand.wanted.conditional, as_asked=True)
        try:
            if asked.head.status == 200:
                return await self.arriving.final(errand, asked)
            fill = await self._joined(errand, decision, asked)
        except BaseException:
            asked.response.close()  # cancelled: nobody will read it
            raise
        if fill is not None:
            return self.arriving.filled(errand, fill, asked.head.status)
        # What came does not join: leave the part, and ask for what the client asked.
        asked.response.close()
        errand.wanted = Wanted(decision.reason)
        return await self.fetch(errand)

    async def _joined(self, errand: Errand, decision: reuse.Complete, asked: Asked) -> Fill | None:
        """The fill of the stored part and what has come; None if they are not to be joined."""
        request, key = errand.inbound.request, errand.key
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
        precedes = part.part is not None and part.part.first < missing.first
        joined = Joined(held, asked.response, octets, found_first=precedes)
        try:
            return self._keeping.begin(
                key, stored, joined, errand.since, None, verdict.max_object_size
            )
        except (StoreFailed, TooLarge) as failure:
            log.info("%s is not completed: %s", key, failure)
            joined.close()
            return None


def _is_own_view(request: Request, wanted: Wanted) -> bool:
    """Whether what the origin answers may be of use to this request alone."""
    if request.method == "HEAD":
        return True
    own = _OWN_VIEW.intersection(request.fields.names())
    leads = own == {"range"} and partial.is_for_all(request)
    return wanted.conditional is None and bool(own) and not leads


def _told(role: Follow, wanted: Wanted, status: int) -> tuple[Reason, Forwarded | None]:
    """Who came before the head had his request collapsed; for who came later it is a hit."""
    if role.early:
        return Reason.COLLAPSED, Forwarded(wanted.reason, status, collapsed=True)
    return Reason.HIT, None
