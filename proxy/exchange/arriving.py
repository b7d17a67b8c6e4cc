"""What has arrived from the origin: it is stored and read along with others, or passed on."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy.codings.transformable import is_verbatim, selecting
from proxy.exchange import echo, errors
from proxy.exchange.answer import Outcome
from proxy.exchange.flights import Uncacheable
from proxy.exchange.names import body_id
from proxy.exchange.trailers import with_trailers
from proxy.exchange.voice import Forwarded
from proxy.policy import reuse, storing
from proxy.policy.reasons import Reason
from proxy.semantics import ranges
from proxy.store.base import StoreFailed, TooLarge
from proxy.upstream.base import Lost, NotReached

if TYPE_CHECKING:
    from proxy.exchange.delivery import Delivery
    from proxy.exchange.errand import Errand
    from proxy.exchange.fill import Fill
    from proxy.exchange.flights import Flights
    from proxy.exchange.forms import Formed
    from proxy.exchange.keeping import Keeping
    from proxy.exchange.origin import Asked
    from proxy.exchange.validating import Validating
    from proxy.policy.options import Options
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import Request
    from proxy.upstream.base import UpstreamError

# Answers to a validation which say that the representation is another one now, or none.
_FULL: Final = frozenset({200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 410})


class Arriving:
    """Each method makes the outcome for the client who had the origin asked."""

    def __init__(
        self,
        options: Options,
        flights: Flights,
        *,
        delivery: Delivery,
        keeping: Keeping,
        validating: Validating,
    ) -> None:
        self._options = options
        self._flights = flights
        self._delivery = delivery
        self._keeping = keeping
        self._validating = validating

    async def final(self, errand: Errand, asked: Asked) -> Outcome:
        """Any other final response: store it, or pass it on."""
        request, wanted = errand.inbound.request, errand.wanted
        if request.method == "HEAD":
            await self._validating.learn_from_head(request, errand.key, errand.found, asked)
        verdict = self._may_store(errand, asked)
        if isinstance(verdict, storing.Store):
            try:
                return self.keep(errand, asked, verdict)
            except TooLarge:
                reason = Reason.NOT_STORED_TOO_LARGE
            except StoreFailed:
                reason = Reason.NOT_STORED_STORE_FAILED
        else:
            reason = verdict.reason
            if wanted.conditional and request.method == "GET" and asked.head.status in _FULL:
                self._validating.superseded(request, errand.key, errand.found)
        if errand.flight is not None:
            self._flights.uncacheable(errand.flight.key, time.time())
            self._flights.over(errand.flight, Uncacheable())
            return self.pass_on(request, asked, wanted.reason, reason)
        formed = self._formed(request, asked)
        if formed[1] is None:
            as_sent = asked._replace(head=formed[0])
            known = echo.of_passing(errand, as_sent, reason, self._delivery.voice)
            echo.keep(request, known)
        return self._passed(asked, formed, wanted.reason, reason)

    def _may_store(self, errand: Errand, asked: Asked) -> storing.Storing:
        """What policy says; of a 206 only exactly what was asked for can be shared out again."""
        request = errand.inbound.request
        if errand.by_range and errand.flight is None and self._keeping.latest(errand.key):
            # It would take the place of the whole, or keep the octets twice.
            return storing.DoNotStore(Reason.NOT_STORED_UNDER_WAY)
        verdict = storing.may_store(request, asked.head, asked.response_time, self._options)
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
