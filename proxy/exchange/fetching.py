"""Asking the origin, together with others or alone, and what its answer means for all of them."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, assert_never
from uuid import uuid4

from proxy.exchange import errors
from proxy.exchange.answer import Flow, Outcome
from proxy.exchange.fill import FillState
from proxy.exchange.flights import (
    Alone,
    Erred,
    Filling,
    Follow,
    Lead,
    Left,
    Refreshed,
    Uncacheable,
)
from proxy.exchange.joined import Joined
from proxy.exchange.origin import Wanted
from proxy.exchange.tasks import launch
from proxy.exchange.voice import Forwarded
from proxy.policy import keys, partial, reuse, revalidation, storing
from proxy.policy.reasons import Reason
from proxy.semantics.fields import NO_FIELDS
from proxy.store.base import BodyLost, Found, StoreFailed, TooLarge
from proxy.upstream.base import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    async def ask(self, inbound: Inbound, key: str, found: Found, wanted: Wanted) -> Outcome | None:
        """Fetch, alone or as one of many."""
        request = inbound.request
        if wanted.reason in _APART or request.method == "HEAD":
            return await self.fetch(inbound, key, found, wanted, None)
        own_view = wanted.conditional is None and any(n in request.fields for n in _OWN_VIEW)
        if own_view and self._flights.under_way(key) is None:
            return await self.fetch(inbound, key, found, wanted, None)
        return await self._join(inbound, key, found, wanted, key)

    async def _join(
        self, inbound: Inbound, key: str, found: Found, wanted: Wanted, flight_key: str
    ) -> Outcome | None:
        role = self._flights.join(flight_key, time.time(), self._store.removals(key))
        match role:
            case Alone():
                return await self.fetch(inbound, key, found, wanted, None)
            case Lead(flight):
                return await self.lead(inbound, key, found, wanted, flight)
            case Follow():
                return await self._follow(inbound, key, found, wanted, role)
            case _:
                assert_never(role)

    def revalidate_behind(self, inbound: Inbound, key: str, found: Found, wanted: Wanted) -> None:
        """Stale-while-revalidate: nobody waits for it (RFC 5861 §3)."""
        role = self._flights.join(key, time.time(), self._store.removals(key))
        if isinstance(role, Lead):
            unseen = replace(inbound, on_interim=lambda _: None)
            launch(self._behind(unseen, key, found, wanted, role.flight), f"fill {key}")

    async def _behind(
        self, inbound: Inbound, key: str, found: Found, wanted: Wanted, flight: Flight
    ) -> None:
        outcome = await self.lead(inbound, key, found, wanted, flight)
        if outcome is not None and isinstance(outcome.answer.body, Flow):
            outcome.answer.body.reader.close()

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
            case Refreshed(refreshed):
                return await self._refreshed(inbound, key, wanted, refreshed, role.early)
            case Erred(error):
                stale = await self._stale(inbound.request, key, wanted)
                return stale or self.failed(error)
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
            if role.flight.key != key:
                return await self.fetch(inbound, key, found, wanted, None)
            names = [name for name, _ in fill.stored.selecting]
            variant = keys.selecting(names, inbound.request.fields)
            return await self._join(inbound, key, found, wanted, f"{key} {variant}")
        now = time.time()
        decision = reuse.decide(inbound.request, (fill.stored,), now, self._options)
        if not role.early and not isinstance(decision, reuse.Serve):
            return await self.fetch(inbound, key, found, wanted, None)
        status = fill.stored.head.status
        asked = Forwarded(wanted.reason, status, collapsed=True)
        answer = self._delivery.filling(inbound.request, fill, now, Reason.COLLAPSED, asked)
        return Outcome(answer, Reason.COLLAPSED, status)

    async def _refreshed(
        self, inbound: Inbound, key: str, wanted: Wanted, refreshed: Found, early: bool
    ) -> Outcome | None:
        request, now = inbound.request, time.time()
        decision = reuse.decide(request, refreshed.variants, now, self._options)
        stored = _selected(refreshed.variants, request)
        if stored is None or not (early or isinstance(decision, reuse.Serve)):
            return await self.fetch(inbound, key, refreshed, wanted, None)
        asked = Forwarded(wanted.reason, 304, collapsed=True)
        return await self._delivery.serve(request, key, stored, now, Reason.COLLAPSED, asked)

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

    def failed(self, error: UpstreamError) -> Outcome:
        """Our own answer for an error on the way to the origin."""
        reason = errors.reason_of(error)
        return Outcome(self._delivery.own(errors.from_upstream(error), reason), reason)

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
            return await self._stale(inbound.request, key, wanted) or self.failed(error)
        if asked.head.status == 304 and wanted.conditional is not None:
            return await self._validated(inbound, key, found, wanted, (asked, flight))
        if asked.head.status in _FAILING:
            stale = await self._stale(inbound.request, key, wanted, asked.head.status)
            if stale is not None:
                asked.response.close()
                self._over(flight)
                return stale
        return await self._final(inbound, key, found, wanted, (asked, flight, since))

    def _over(self, flight: Flight | None) -> None:
        if flight is not None:
            self._flights.over(flight, Uncacheable())

    async def _validated(
        self,
        inbound: Inbound,
        key: str,
        found: Found,
        wanted: Wanted,
        flying: tuple[Asked, Flight | None],
    ) -> Outcome | None:
        """A 304 to our own preconditions (RFC 9111 §4.3.4)."""
        asked, flight = flying
        asked.response.close()
        chosen = revalidation.selected(found.variants, asked.head)
        if not chosen:
            # It validates nothing that we have: ask once more, for the whole thing.
            return await self.fetch(
                inbound, key, found, replace(wanted, conditional=NO_FIELDS), flight
            )
        changed = [
            revalidation.freshened(
                stored,
                asked.head,
                inbound.request,
                self._options,
                asked.request_time,
                asked.response_time,
            )
            for stored in chosen
        ]
        by_id = {stored.id: stored for stored in changed}
        variants = tuple(by_id.get(stored.id, stored) for stored in found.variants)
        if flight is not None:
            flight.land(Refreshed(Found(variants, found.generation)))
        launch(self._update(key, changed, flight), f"fill {key}")
        now = time.time()
        stored = _selected(variants, inbound.request)
        if stored is None:
            return None
        forwarded = Forwarded(wanted.reason, 304)
        reason = Reason.REVALIDATED
        return await self._delivery.serve(inbound.request, key, stored, now, reason, forwarded)

    async def _update(
        self, key: str, changed: Sequence[StoredResponse], flight: Flight | None
    ) -> None:
        try:
            await self._store.update(key, changed)
        except StoreFailed as failure:
            log.info("%s keeps its old fields: %s", key, failure)
        finally:
            self._over(flight)

    async def _final(
        self,
        inbound: Inbound,
        key: str,
        found: Found,
        wanted: Wanted,
        flying: tuple[Asked, Flight | None, int],
    ) -> Outcome:
        """Any other final response: store it, or pass it on."""
        asked, flight, since = flying
        request = inbound.request
        if request.method == "HEAD":
            await self._learn_from_head(request, key, found, asked)
        verdict = storing.may_store(request, asked.head, asked.response_time, self._options)
        if isinstance(verdict, storing.Store):
            try:
                return self.keep(inbound, key, wanted.reason, (asked, flight, since), verdict)
            except TooLarge:
                reason = Reason.NOT_STORED_TOO_LARGE
            except StoreFailed:
                reason = Reason.NOT_STORED_STORE_FAILED
        else:
            reason = verdict.reason
        if flight is not None:
            self._flights.uncacheable(flight.key, time.time())
            self._over(flight)
        return self.pass_on(asked, wanted.reason, reason)

    def pass_on(self, asked: Asked, why: Reason, reason: Reason) -> Outcome:
        """To this client alone."""
        status = asked.head.status
        answer = self._delivery.passing(asked, reason, Forwarded(why, status))
        return Outcome(answer, reason, status)

    def keep(
        self,
        inbound: Inbound,
        key: str,
        why: Reason,
        flying: tuple[Asked, Flight | None, int],
        verdict: storing.Store,
    ) -> Outcome:
        """Store it, and answer from the fill. Raises StoreFailed, TooLarge."""
        asked, flight, since = flying
        request, status = inbound.request, asked.head.status
        stored = storing.from_response(
            request,
            asked.head,
            self._options,
            uuid4().hex,
            asked.request_time,
            asked.response_time,
        )
        fill = self._keeping.begin(
            key, stored, asked.response, since, flight, verdict.max_object_size
        )
        return self.filled(request, fill, why, status)

    def filled(self, request: Request, fill: Fill, why: Reason, status: int) -> Outcome:
        """The answer to the client for whom the fill began."""
        asked = Forwarded(why, status, stored=True)
        answer = self._delivery.filling(request, fill, fill.stored.response_time, why, asked)
        return Outcome(answer, why, status)

    async def _learn_from_head(
        self, request: Request, key: str, found: Found, asked: Asked
    ) -> None:
        """RFC 9111 §4.3.5: HEAD freshens, or shows that a stored GET has changed."""
        stored = _selected(found.variants, request)
        if stored is None or asked.head.status != 200:
            return
        changed = revalidation.head_update(
            stored,
            asked.head,
            request,
            self._options,
            asked.request_time,
            asked.response_time,
        )
        await self._update(key, [changed], None)

    async def complete(
        self, inbound: Inbound, key: str, found: Found, decision: reuse.Complete
    ) -> Outcome | None:
        """Fetch what a stored part lacks and join the two (RFC 9111 §3.4)."""
        wanted = Wanted(decision.reason, decision.missing.fields)
        since = self._store.removals(key)
        try:
            asked = await self._asking.ask(inbound, wanted.conditional)
        except UpstreamError as error:
            return self.failed(error)
        stored = partial.combine(
            decision.stored,
            asked.head,
            self._options,
            uuid4().hex,
            asked.request_time,
            asked.response_time,
        )
        if stored is None and asked.head.status == 200:
            return await self._final(inbound, key, found, wanted, (asked, None, since))
        try:
            if stored is not None:
                held = await self._store.open(key, decision.stored)
                joined = Joined(held, asked.response, found_first=_precedes(decision))
                fill = self._keeping.begin(key, stored, joined, since, None, None)
                return self.filled(inbound.request, fill, wanted.reason, asked.head.status)
        except (BodyLost, StoreFailed, TooLarge) as failure:
            log.info("%s is not completed: %s", key, failure)
        # What came does not join: leave the part, and ask for what the client asked.
        asked.response.close()
        return await self.fetch(inbound, key, found, Wanted(decision.reason), None)


def _selected(variants: Sequence[StoredResponse], request: Request) -> StoredResponse | None:
    return next((stored for stored in variants if keys.selects(stored, request)), None)


def _precedes(decision: reuse.Complete) -> bool:
    part = decision.stored.part
    return part is not None and part.first < decision.missing.first
