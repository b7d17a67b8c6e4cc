"""Asking the origin: the request as it goes out, and what came back, ready for the decision."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.semantics import dates, forwarding
from proxy.semantics.fields import Fields
from proxy.semantics.messages import ResponseHead
from proxy.upstream.base import BadResponse, Outgoing, Upgraded

if TYPE_CHECKING:
    from proxy.exchange.answer import Inbound
    from proxy.exchange.repeating import Repeating
    from proxy.exchange.voice import Voice
    from proxy.policy.reasons import Reason
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.messages import Request
    from proxy.upstream.base import Fetcher, UpstreamResponse

_VALIDATING: Final = frozenset({"if-none-match", "if-modified-since"})
# What a validating request replaces: the client's own preconditions and its Range, which are
# applied to the response once it has been validated.
_REPLACED: Final = frozenset(
    {
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
        "range",
    }
)

_COUNTED: Final = frozenset({"TRACE", "OPTIONS"})  # RFC 9110 §7.6.2
_UNASKED: Final = "The origin says 304 (Not Modified) to a request without preconditions."


class Wanted(NamedTuple):
    """Why the origin is asked, and what there is already.

    ``conditional``: preconditions of ours in place of the client's; None to leave those alone.
    ``stale`` may be served until ``stale_until`` (epoch seconds) if the origin fails.
    """

    reason: Reason
    conditional: Fields | None = None
    stale: StoredResponse | None = None
    stale_until: float = 0.0


class Asked(NamedTuple):
    """A final response: ``head`` is as the client and the cache shall see it (Via, Date).

    Times are epoch seconds around the request (RFC 9111 §4.2.3).
    """

    response: UpstreamResponse
    head: ResponseHead
    request_time: float
    response_time: float
    outgoing: Outgoing


class Asking:
    """Sends requests on."""

    def __init__(self, fetcher: Fetcher, voice: Voice) -> None:
        self._fetcher = fetcher
        self._voice = voice

    async def ask(self, inbound: Inbound, conditional: Fields | None) -> Asked:
        """Forward the request; returns when the final head is there. Raises UpstreamError."""
        request_time = time.time()
        outgoing = self._outgoing(inbound, conditional)
        response = await self._fetcher.fetch(outgoing, inbound.on_interim)
        return self._came(inbound.request, conditional, response, request_time, outgoing)

    async def instead(self, inbound: Inbound, repeating: Repeating) -> Asked:
        """What came, if it was not what came the last time. Raises UpstreamError."""
        response = await repeating.sent.instead()
        echo, started = repeating.echo, repeating.started
        conditional = echo.wanted.conditional
        return self._came(inbound.request, conditional, response, started, echo.outgoing)

    def _came(
        self,
        request: Request,
        conditional: Fields | None,
        response: UpstreamResponse,
        request_time: float,
        outgoing: Outgoing,
    ) -> Asked:
        if response.head.status == 304 and not _may_say_304(request, conditional):
            response.close()
            raise BadResponse(502, "http_protocol_error", _UNASKED)
        now = time.time()
        head = self._received(request, response.head, now)
        return Asked(response, head, request_time, now, outgoing)

    async def upgrade(self, inbound: Inbound, protocol: str) -> Upgraded | Asked:
        """Forward a request to upgrade. Raises UpstreamError."""
        request, now = inbound.request, time.time()
        fields = self._fields(request)
        outgoing = Outgoing(
            request.method, request.uri, forwarding.upgrading(fields, protocol), upgrade=True
        )
        response = await self._fetcher.upgrade(outgoing, inbound.on_interim)
        if isinstance(response, Upgraded):
            return response
        head = self._received(request, response.head, now)
        return Asked(response, head, now, time.time(), outgoing)

    def switching(self, head: ResponseHead) -> Fields:
        """The fields of a 101 on its way to the client (RFC 9110 §7.8)."""
        fields = forwarding.response_fields(head.fields, self._voice.pseudonym, head.minor)
        return forwarding.upgrading(fields, head.fields.get("upgrade") or "")

    def _fields(self, request: Request) -> Fields:
        known: Fields | None = getattr(request, "_onward", None)
        if known is None:
            known = forwarding.request_fields(
                request.fields, request.uri, self._voice.pseudonym, request.minor
            )
            object.__setattr__(request, "_onward", known)
        return known

    def _outgoing(self, inbound: Inbound, conditional: Fields | None) -> Outgoing:
        request = inbound.request
        fields = self._fields(request)
        if conditional is not None:
            fields = _validating(request, fields, conditional)
        if request.method in _COUNTED and (hops := forwarding.max_forwards(fields)) is not None:
            fields = fields.replacing("Max-Forwards", str(hops - 1))
        return Outgoing(request.method, request.uri, fields, inbound.body, inbound.length)

    def _received(self, request: Request, head: ResponseHead, now: float) -> ResponseHead:
        keep_length = request.method == "HEAD" or head.status == 304
        fields = forwarding.response_fields(
            head.fields, self._voice.pseudonym, head.minor, keep_length=keep_length
        )
        if "date" not in fields:
            # RFC 9110 §6.6.1: a recipient with a clock adds what the origin left out.
            fields = fields.adding(("Date", dates.format_date(now)))
        return ResponseHead(head.status, head.reason, fields, head.minor)


def _validating(request: Request, fields: Fields, conditional: Fields) -> Fields:
    """``fields`` with preconditions of ours: the same object for the same question."""
    known: tuple[Fields, Fields] | None = getattr(request, "_validating", None)
    if known is not None and known[0] == conditional:
        return known[1]
    asked = Fields((*fields.without(_REPLACED).lines, *conditional.lines))
    object.__setattr__(request, "_validating", (conditional, asked))
    return asked


def _may_say_304(request: Request, conditional: Fields | None) -> bool:
    """Whether anything was asked that 304 answers."""
    if conditional is not None:
        return bool(conditional)
    return not _VALIDATING.isdisjoint(request.fields.names())
