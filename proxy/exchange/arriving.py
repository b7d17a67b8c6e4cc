"""What has arrived from the origin: it freshens what is stored, is stored itself, or passed on."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy.codings.transformable import is_verbatim, selecting
from proxy.exchange import echo, errors
from proxy.exchange.answer import Outcome
from proxy.exchange.flights import Left, Refreshed, Uncacheable
from proxy.exchange.keeping import PUMP
from proxy.exchange.names import body_id
from proxy.exchange.tasks import launch
from proxy.exchange.trailers import with_trailers
from proxy.exchange.voice import Forwarded
from proxy.policy import freshening, representation, reuse, storing
from proxy.policy.reasons import Reason
from proxy.policy.standing import standing
from proxy.semantics import ranges
from proxy.store.base import StoreFailed, TooLarge
from proxy.upstream.base import Lost, NotReached

if TYPE_CHECKING:
    from proxy.exchange.delivery import Delivery
    from proxy.exchange.fill import Fill
    from proxy.exchange.flights import Flight, Flights
    from proxy.exchange.forms import Formed
    from proxy.exchange.keeping import Keeping
    from proxy.exchange.origin import Asked, Errand
    from proxy.policy.freshening import Freshening
    from proxy.policy.options import Options
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import Request
    from proxy.store.base import Store
    from proxy.upstream.base import UpstreamError

log = logging.getLogger("forecache")

# The cache is not asked about these: that they are not stored is no news.
_NOT_ASKED: Final = frozenset({Reason.METHOD, Reason.REQUEST_BODY})


class Arriving:
    """Each method makes the outcome for the client who had the origin asked."""

    def __init__(
        self,
        store: Store,
        options: Options,
        flights: Flights,
        delivery: Delivery,
        keeping: Keeping,
    ) -> None:
        self._store = store
        self._options = options
        self._flights = flights
        self._delivery = delivery
        self._keeping = keeping

    def validated(self, errand: Errand, asked: Asked) -> Freshening | None:
        """What this 304 says to answer with; None: it is about nothing that is stored (§4.3.4).

        Those who follow the flight get what the 304 validated, if others may have it.
        """
        request, found, flight = errand.inbound.request, errand.found.variants, errand.flight
        made = freshening.by_not_modified(found, request, asked.head, asked.times, self._options)
        if made is None:
            return None
        if flight is not None:
            flight.land(Refreshed(made.current))
        if made.news or made.gone:
            launch(self._write(errand.key, made, flight), PUMP + errand.key)
        elif flight is not None:
            self._flights.over(flight, Uncacheable())
        return made

    async def _learn(self, errand: Errand, asked: Asked) -> None:
        request, found = errand.inbound.request, errand.found.variants
        head, times, validating = asked.head, asked.times, bool(errand.wanted.conditional)
        made = freshening.by_unstored(
            found, request, head, times, self._options, validating=validating
        )
        if made is not None and request.method == "HEAD":
            await self._write(errand.key, made, None)
        elif made is not None:
            launch(self._write(errand.key, made, None), PUMP + errand.key)

    async def _write(self, key: str, made: Freshening, flight: Flight | None) -> None:
        try:
            if made.gone:
                await self._store.remove(key, made.gone)
            if made.news:
                await self._store.update(key, made.news)
        except StoreFailed as failure:
            log.info("%s keeps its old fields: %s", key, failure)
        finally:
            if flight is not None:
                self._flights.over(flight, Uncacheable())

    async def final(self, errand: Errand, asked: Asked) -> Outcome:
        """Any other final response: store it, or pass it on."""
        request, wanted = errand.inbound.request, errand.wanted
        verdict = self._may_store(errand, asked)
        if isinstance(verdict, storing.Store):
            try:
                return self.keep(errand, asked, verdict)
            except TooLarge:
                reason = Reason.NOT_STORED_TOO_LARGE
            except StoreFailed:
                reason = Reason.NOT_STORED_STORE_FAILED
        else:
            reason = wanted.reason if wanted.reason in _NOT_ASKED else verdict.reason
        await self._learn(errand, asked)
        if errand.flight is not None:
            self._not_shared(errand.flight, request, asked.head.status)
        formed = self._formed(request, asked)
        if errand.flight is None and formed[1] is None:
            as_sent = asked._replace(head=formed[0])
            known = echo.of_passing(errand, as_sent, reason, self._delivery.voice)
            echo.keep(request, known)
        if wanted.conditional is not None:
            # The client's own preconditions, which had given way to ours.
            head = representation.not_modified(request, formed[0], asked.response_time)
            if head is not None:
                asked.response.close()
                formed = head, None
        return self._passed(asked, formed, wanted.reason, reason)

    def _not_shared(self, flight: Flight, request: Request, status: int) -> None:
        """Nobody follows any more; an error, which one request provokes, is no word for others.

        Nor is what one with credentials was answered: of the others another one leads.
        """
        if status >= 400:
            self._flights.over(flight, Uncacheable())
            return
        personal = standing(request, self._options).personal
        self._flights.uncacheable(flight.key, time.time(), personal=personal)
        self._flights.over(flight, Left() if personal else Uncacheable())

    def _may_store(self, errand: Errand, asked: Asked) -> storing.Storing:
        """What policy says; of a 206 only exactly what was asked for can be shared out again."""
        request = errand.inbound.request
        if errand.by_range and errand.flight is None and self._keeping.latest(errand.key):
            # It would take the place of the whole, or keep the octets twice.
            return storing.DoNotStore(Reason.NOT_STORED_UNDER_WAY)
        now, found = asked.response_time, errand.found.variants
        error = asked.head.status in reuse.FAILING
        if error and reuse.outlives_errors(request, found, now, self._options):
            return storing.DoNotStore(Reason.NOT_STORED_ERROR)
        verdict = storing.may_store(request, asked.head, now, self._options)
        if asked.head.status != 206 or isinstance(verdict, storing.DoNotStore):
            return verdict
        said = ranges.parse_content_range(asked.head.fields.get("content-range") or "")
        span = content_range(asked)
        if span is None or said is None or said.complete is None:
            return storing.DoNotStore(Reason.NOT_STORED_RANGE)
        # A fill of the whole, unlike that of a part, would not see that it was cut.
        unseen = span == (0, said.complete - 1) and asked.response.length is None
        if unseen or ranges.plan(request, asked.head, said.complete) != ranges.Single(*span):
            return storing.DoNotStore(Reason.NOT_STORED_RANGE)
        return verdict

    def pass_on(self, request: Request, asked: Asked, why: Reason, reason: Reason) -> Outcome:
        """To this client alone. Raises BadResponse if it cannot be decoded for it."""
        return self._passed(asked, self._formed(request, asked), why, reason)

    def _formed(self, request: Request, asked: Asked) -> Formed:
        length, negotiated = asked.response.length, asked.negotiated
        return self._delivery.forms.of_passing(request, asked.head, length, negotiated=negotiated)

    def _passed(self, asked: Asked, formed: Formed, why: Reason, reason: Reason) -> Outcome:
        status = asked.head.status
        answer = self._delivery.passing(asked, formed, reason, Forwarded(why, status))
        return Outcome(answer, reason, status, asked=asked.elapsed)

    def keep(self, errand: Errand, asked: Asked, verdict: storing.Store) -> Outcome:
        """Store it, and answer from the fill. Raises StoreFailed, TooLarge."""
        request = errand.inbound.request
        stored = storing.from_response(
            request,
            asked.head,
            self._options,
            body_id(),
            asked.request_time,
            asked.response_time,
        )
        if is_verbatim(request, asked.head, asked.outgoing.fields):
            stored = replace(stored, verbatim=True)
        elif stored.selecting or "content-encoding" in asked.head.fields:
            stored = replace(stored, selecting=selecting(request, stored))
        fill = self._keeping.begin(
            errand.key,
            stored,
            asked.response,
            errand.since,
            errand.flight,
            verdict.max_object_size,
        )
        outcome = self.filled(errand, fill, asked.head.status, asked.head.fields)
        return outcome._replace(answer=with_trailers(outcome.answer, asked))

    def filled(
        self, errand: Errand, fill: Fill, status: int, mine: Fields | None = None
    ) -> Outcome:
        """The answer to the client for whom the fill began; ``mine`` are the fields that came."""
        why, now = errand.wanted.reason, fill.stored.response_time
        asked = Forwarded(why, status, stored=True)
        request = errand.inbound.request
        if errand.by_range and status == 200:
            # The origin ignores the range: the client has it from here on as it would from there.
            request = replace(request, fields=request.fields.without({"range"}))
        answer = self._delivery.filling(request, fill, now, why, asked, mine)
        return Outcome(answer, why, status, asked=now - fill.stored.request_time)

    def failed(self, error: UpstreamError, errand: Errand | None = None) -> Outcome:
        """Our own answer for an error on the way to the origin.

        It is 504 where what is stored for the ``errand`` needs the origin (RFC 9111 §5.2.2.2).
        """
        reason = errors.reason_of(error)
        if (
            errand is not None
            and error.status == 502
            and isinstance(error, NotReached | Lost)
            and reuse.never_stale(errand.inbound.request, errand.found.variants, self._options)
        ):
            error = type(error)(504, error.word, error.detail)
        return self._delivery.own(errors.from_upstream(error), reason)


def content_range(asked: Asked) -> tuple[int, int] | None:
    """The first and last octet of a 206 whose body is as long as that."""
    said = ranges.parse_content_range(asked.head.fields.get("content-range") or "")
    if said is None or asked.response.length not in {None, said.last - said.first + 1}:
        return None
    return said.first, said.last
