"""Asking the origin: the request as it goes out, and what came back, ready for the decision."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.codings.registry import accept_encoding
from proxy.codings.transform import unmarked
from proxy.codings.transformable import negotiable
from proxy.policy.standing import standing
from proxy.semantics import dates, forwarding
from proxy.semantics.fields import Fields
from proxy.semantics.messages import ResponseHead
from proxy.upstream.base import BadResponse, Outgoing, Upgraded

if TYPE_CHECKING:
    from proxy.codings.options import CodingOptions
    from proxy.exchange.answer import Inbound
    from proxy.exchange.flights import Flight
    from proxy.exchange.repeating import Repeating
    from proxy.exchange.voice import Voice
    from proxy.policy.options import Options
    from proxy.policy.reasons import Reason
    from proxy.policy.rules import Rule
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.messages import Request
    from proxy.store.base import Found
    from proxy.upstream.base import Fetcher, UpstreamResponse

_VALIDATING: Final = frozenset({"if-none-match", "if-modified-since"})
# What a request for a missing part replaces beside those. A validating request keeps it: what has
# changed comes as the part that the client wants.
_RANGE: Final = _VALIDATING | {"range", "if-range"}
_WORTH_REMEMBERING: Final = 1024  # octets of preconditions
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


@dataclass(slots=True)
class Errand:
    """What one request has to do with the origin, handed from step to step.

    For whom, under which key, what is stored there, and what is wanted. ``flight``: others wait for
    the outcome. ``since`` is the store's count of removals from before the origin was asked.
    ``as_asked``: it is asked with the client's own Accept-Encoding.
    """

    inbound: Inbound
    key: str
    found: Found
    wanted: Wanted
    flight: Flight | None = None
    since: int = 0
    as_asked: bool = False

    @property
    def by_range(self) -> bool:
        """Whether the client's own Range is what the origin is asked with."""
        return self.wanted.conditional is None and "range" in self.inbound.request.fields


class Asked(NamedTuple):
    """A final response: ``head`` is as the client and the cache shall see it (Via, Date).

    Times are epoch seconds around the request (RFC 9111 §4.2.3). ``negotiated``: it was asked for
    in the proxy's own words, so that no client's Accept-Encoding selects it.
    """

    response: UpstreamResponse
    head: ResponseHead
    request_time: float
    response_time: float
    outgoing: Outgoing
    negotiated: bool

    @property
    def times(self) -> tuple[float, float]:
        """Of the request and of the response."""
        return self.request_time, self.response_time

    @property
    def elapsed(self) -> float:
        """Seconds from the request to the head of the response."""
        return self.response_time - self.request_time


class Asking:
    """Sends requests on."""

    def __init__(
        self, fetcher: Fetcher, voice: Voice, options: Options, coding: CodingOptions
    ) -> None:
        self._fetcher = fetcher
        self._voice = voice
        self._options = options
        self._coding = coding

    async def ask(
        self, inbound: Inbound, conditional: Fields | None, *, as_asked: bool = False
    ) -> Asked:
        """Forward the request; returns when the final head is there. Raises UpstreamError.

        ``as_asked``: with the client's own Accept-Encoding.
        """
        request_time = time.time()
        negotiated, fields = self.fields(inbound.request, as_asked=as_asked)
        outgoing = _outgoing(inbound, fields, conditional)
        response = await self._fetcher.fetch(outgoing, inbound.on_interim, inbound.bound)
        return self._came(
            inbound.request, conditional, response, (request_time, outgoing, negotiated)
        )

    async def instead(self, inbound: Inbound, repeating: Repeating) -> Asked:
        """What came, if it was not what came the last time. Raises UpstreamError."""
        response = await repeating.sent.instead()
        echo, started = repeating.echo, repeating.started
        return self._came(
            inbound.request,
            echo.wanted.conditional,
            response,
            (started, echo.outgoing, echo.negotiated),
        )

    def _came(
        self,
        request: Request,
        conditional: Fields | None,
        response: UpstreamResponse,
        sent: tuple[float, Outgoing, bool],
    ) -> Asked:
        if response.head.status == 304 and not _may_say_304(request, conditional):
            response.close()
            raise BadResponse(502, "http_protocol_error", _UNASKED)
        now = time.time()
        head = self._received(request, response.head, now)
        request_time, outgoing, negotiated = sent
        return Asked(response, head, request_time, now, outgoing, negotiated)

    async def upgrade(self, inbound: Inbound, protocol: str) -> Upgraded | Asked:
        """Forward a request to upgrade. Raises UpstreamError."""
        request, now = inbound.request, time.time()
        _, fields = self.fields(request, as_asked=True)
        fields = forwarding.upgrading(fields, protocol)
        outgoing = _outgoing(inbound, fields, None)._replace(upgrade=True)
        response = await self._fetcher.upgrade(outgoing, inbound.on_interim, inbound.bound)
        if isinstance(response, Upgraded):
            return response
        head = self._received(request, response.head, now)
        return Asked(response, head, now, time.time(), outgoing, negotiated=False)

    def switching(self, head: ResponseHead) -> Fields:
        """The fields of a 101 on its way to the client (RFC 9110 §7.8)."""
        fields = forwarding.response_fields(head.fields, self._voice.pseudonym, head.minor)
        return forwarding.upgrading(fields, head.fields.get("upgrade") or "")

    def interim(self, head: ResponseHead) -> ResponseHead:
        """A 1xx on its way to the client (RFC 9110 §15.2)."""
        fields = forwarding.interim_fields(head.fields, self._voice.pseudonym, head.minor)
        return ResponseHead(head.status, head.reason, fields, head.minor)

    def fields(self, request: Request, *, as_asked: bool) -> tuple[bool, Fields]:
        """Of the request as the origin gets it; and whether it asks for codings in our words."""
        fields, rule = request.fields, standing(request, self._options).rule
        negotiated = not as_asked and self._negotiates(request, rule)
        how = (request.host or request.uri.origin, request.minor, negotiated, self)
        known: tuple[object, Fields] | None = getattr(fields, "_onward", None)
        if known is None or known[0] != how:
            known = fields._onward = (how, self._onward(request, negotiated))
        return negotiated, known[1]

    def _onward(self, request: Request, negotiated: bool) -> Fields:
        fields = unmarked(request.fields)
        if negotiated:
            fields = fields.replacing("Accept-Encoding", accept_encoding(self._coding))
        uri, via = request.uri, self._voice.pseudonym
        return forwarding.request_fields(fields, uri, via, request.minor, request.host)

    def _negotiates(self, request: Request, rule: Rule | None) -> bool:
        wanted = (
            self._coding.negotiate if rule is None or rule.negotiate is None else rule.negotiate
        )
        return wanted and negotiable(request, self._coding)

    def _received(self, request: Request, head: ResponseHead, now: float) -> ResponseHead:
        keep_length = request.method == "HEAD" or head.status == 304
        fields = forwarding.response_fields(
            head.fields, self._voice.pseudonym, head.minor, keep_length=keep_length
        )
        if "date" not in fields:
            # RFC 9110 §6.6.1: a recipient with a clock adds what the origin left out.
            fields = fields.adding(("Date", dates.format_date(now)))
        return ResponseHead(head.status, head.reason, fields, head.minor)


def _outgoing(inbound: Inbound, fields: Fields, conditional: Fields | None) -> Outgoing:
    request = inbound.request
    if conditional is not None:
        fields = _validating(request, fields, conditional)
    if request.method in _COUNTED and (hops := forwarding.max_forwards(fields)) is not None:
        fields = fields.replacing("Max-Forwards", str(hops - 1))
    body, length, client = inbound.body, inbound.length, inbound.client
    return Outgoing(request.method, request.uri, fields, body, length, client=client)


def _validating(request: Request, fields: Fields, conditional: Fields) -> Fields:
    """``fields`` with preconditions of ours: the same object for the same question."""
    known: tuple[Fields, Fields, Fields] | None = getattr(request, "_validating", None)
    if known is not None and known[0] is fields and known[1] == conditional:
        return known[2]
    replaced = _RANGE if "range" in conditional else _VALIDATING
    asked = Fields((*fields.without(replaced).lines, *conditional.lines))
    if sum(len(value) for _, value in conditional) <= _WORTH_REMEMBERING:
        object.__setattr__(request, "_validating", (fields, conditional, asked))
    return asked


def _may_say_304(request: Request, conditional: Fields | None) -> bool:
    """Whether anything was asked that 304 answers."""
    if conditional is not None:
        return bool(conditional)
    return not _VALIDATING.isdisjoint(request.fields.names())
