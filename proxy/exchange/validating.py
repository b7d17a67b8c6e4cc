"""What a validation makes of stored responses (RFC 9111 §4.3.3 to §4.3.5), and writing it down."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.exchange.flights import Refreshed, Uncacheable
from proxy.exchange.keeping import PUMP
from proxy.exchange.tasks import launch
from proxy.policy import keys, revalidation, storing
from proxy.policy.reasons import Reason
from proxy.policy.standing import standing
from proxy.store.base import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.exchange.errand import Errand
    from proxy.exchange.flights import Flight, Flights
    from proxy.exchange.origin import Asked
    from proxy.policy.options import Options
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.messages import Request
    from proxy.store.base import Found, Store

log = logging.getLogger("forecache")

# What is stored was not this client's: that he sends cookies says nothing about it.
_CLIENTS_OWN: Final = frozenset({"cookie"})


class Validated(NamedTuple):
    """``stored`` is as the 304 left it; ``news``: something changed that was written down."""

    stored: StoredResponse
    news: bool


class Validating:
    """Freshens, invalidates and removes what is stored, as the origin's heads say."""

    def __init__(self, store: Store, options: Options, flights: Flights) -> None:
        self._store = store
        self._options = options
        self._flights = flights

    def validated(self, errand: Errand, asked: Asked) -> Validated | None:
        """What this 304 says to answer with; None: it is about nothing that is stored (§4.3.4).

        Those who follow the flight get what the 304 validated, if others may have it.
        """
        request, key, found, flight = (
            errand.inbound.request, errand.key, errand.found, errand.flight,
        )  # fmt: skip
        changed = [
            self._freshened(stored, asked, request)
            for stored in revalidation.selected(found.variants, asked.head)
        ]
        if not changed:
            return None
        news = self._news(found, changed, request, asked.response_time)
        if news or "authorization" in request.fields:
            staying, leaving = self._judged(changed, request, asked.response_time)
        else:
            staying, leaving = tuple(changed), frozenset()  # judged when it was stored
        if flight is not None:
            flight.land(Refreshed(staying))
        staying = tuple(stored for stored in staying if stored.id in news)
        if staying or leaving:
            launch(self._write(key, staying, leaving, flight), PUMP + key)
        elif flight is not None:
            self._flights.over(flight, Uncacheable())
        # The origin may have chosen a variant that this request would not have selected.
        return Validated(selected(changed, request) or changed[0], bool(news))

    async def learn_from_head(self, request: Request, key: str, found: Found, asked: Asked) -> None:
        """HEAD freshens, or shows that a stored GET has changed (§4.3.5)."""
        stored = selected(found.variants, request)
        if stored is None or asked.head.status != 200:
            return
        if asked.head.fields.get("content-encoding") != stored.head.fields.get("content-encoding"):
            return  # this client's coding is another: not a word about the representation held
        times = (asked.request_time, asked.response_time)
        changed = revalidation.head_update(stored, asked.head, request, self._options, *times)
        if changed.invalid:
            await self._write(key, (changed,), frozenset(), None)
        else:
            judged = self._judged([changed], request, asked.response_time)
            await self._write(key, *judged, None)

    def superseded(self, request: Request, key: str, found: Found) -> None:
        """A full answer that may not be stored: what was nominated is not current (§4.3.3)."""
        stored = selected(found.variants, request)
        if stored is not None:
            changed = (replace(stored, invalid=True),)
            launch(self._write(key, changed, frozenset(), None), PUMP + key)

    def _news(
        self, found: Found, changed: Sequence[StoredResponse], request: Request, now: float
    ) -> frozenset[str]:
        """The ids of those of which something is worth writing down."""
        before = {stored.id: stored for stored in found.variants}
        rule = standing(request, self._options).rule
        return frozenset(
            stored.id
            for stored in changed
            if revalidation.is_news(before[stored.id], stored, self._options, rule, now)
        )

    def _freshened(self, stored: StoredResponse, asked: Asked, request: Request) -> StoredResponse:
        times = (asked.request_time, asked.response_time)
        return revalidation.freshened(stored, asked.head, request, self._options, *times)

    def _judged(
        self, changed: Sequence[StoredResponse], request: Request, now: float
    ) -> tuple[tuple[StoredResponse, ...], frozenset[str]]:
        """Those that may stay, and the ids of those that must go: §3 asked of the new heads."""
        getting = request
        if request.method != "GET" or not _CLIENTS_OWN.isdisjoint(request.fields.names()):
            getting = replace(request, method="GET", fields=request.fields.without(_CLIENTS_OWN))
        staying, leaving = [], set()
        for stored in changed:
            verdict = storing.may_store(getting, stored.head, now, self._options)
            if isinstance(verdict, storing.Store):
                staying.append(stored)
            elif verdict.reason is not Reason.NOT_STORED_AUTHORIZATION:
                # Else: freshened for this client alone, what is stored stays as old as it was.
                leaving.add(stored.id)
        return tuple(staying), frozenset(leaving)

    async def _write(
        self,
        key: str,
        staying: tuple[StoredResponse, ...],
        leaving: frozenset[str],
        flight: Flight | None,
    ) -> None:
        try:
            if leaving:
                await self._store.remove(key, leaving)
            if staying:
                await self._store.update(key, staying)
        except StoreFailed as failure:
            log.info("%s keeps its old fields: %s", key, failure)
        finally:
            if flight is not None:
                self._flights.over(flight, Uncacheable())


def selected(variants: Sequence[StoredResponse], request: Request) -> StoredResponse | None:
    """The first of those that the request selects (§4.1)."""
    return next((stored for stored in variants if keys.selects(stored, request)), None)
