"""May a response be stored, and as what (RFC 9111 §3)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

from proxy.policy import invalidation, keys
from proxy.policy.directives import parse_response_directives
from proxy.policy.freshness import HEURISTIC_STATUSES, agreed
from proxy.policy.options import Errors, SetCookie
from proxy.policy.reasons import Reason
from proxy.policy.standing import standing
from proxy.policy.stored import Part, StoredResponse
from proxy.semantics.dates import format_date, parse_date
from proxy.semantics.messages import PHRASES, ResponseHead
from proxy.semantics.ranges import OF_CONTENT, parse_content_range
from proxy.semantics.validators import entity_tag, strong_validator

if TYPE_CHECKING:
    from proxy.policy.directives import ResponseDirectives
    from proxy.policy.freshness import Terms
    from proxy.policy.options import Options
    from proxy.policy.standing import Standing
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import Request
    from proxy.semantics.units import Octets

# What answers the fields, credentials, preconditions, rate or connection of one request, and not
# its URI, would deny the next request its due. RFC 6585 forbids 428, 429, 431 and 511 outright.
_NOT_FOR_OTHERS: Final = frozenset(
    {304, 407, 408, 411, 412, 413, 415, 416, 417, 421, 425, 426, 428, 429, 431, 505, 511}
)
# §5.2.2.3: what there is to know about caching these is done here. 206 is kept as a ``part``.
_UNDERSTOOD: Final = frozenset(status for status in PHRASES if status >= 200) - _NOT_FOR_OTHERS
COOKIES: Final = frozenset({"set-cookie", "set-cookie2"})
_RANGE: Final = frozenset({"content-range"})


@dataclass(frozen=True, slots=True)
class Store:
    """It may be stored; a rule may have its own limit of size (None: the general one)."""

    max_object_size: Octets | None = None


@dataclass(frozen=True, slots=True)
class DoNotStore:
    """It passes by, for this reason."""

    reason: Reason


Storing = Store | DoNotStore

_STORE: Final = Store()


def may_store(request: Request, head: ResponseHead, now: float, options: Options) -> Storing:
    """Whether this response may be stored for everybody: the clauses of §3 in their order.

    ``head`` as received or as it goes out. To be asked again of the head of a stored response
    that was freshened or completed: the origin may have changed its mind.
    """
    asked = standing(request, options)
    rule = asked.rule
    if rule is not None and not rule.cache:
        return DoNotStore(Reason.NOT_STORED_RULE)
    directives = parse_response_directives(head.fields, options.freshness.targeted)
    reason = (
        _bars_method(request, head, asked)
        or _bars_status(head.status, directives, options)
        or _bars_directives(asked, directives)
        or _bars_sharing(head.fields, directives, options)
        or _bars_reuse(request, head, asked, directives, now)
    )
    if reason is not None:
        return DoNotStore(reason)
    return _STORE if rule is None else Store(rule.max_object_size)


def from_response(
    request: Request,
    head: ResponseHead,
    options: Options,
    body_id: str,
    request_time: float,
    response_time: float,
) -> StoredResponse:
    """What to store of a response that ``may_store`` let through; the store fills in the length.

    ``head`` is as it goes out, without connection-specific fields. A 206 becomes a ``part`` with
    the head of a 200 (§3.3), or a whole response where its range is all there is.
    """
    fields = head.fields
    varying = keys.varying(fields)
    selecting = keys.selecting(varying, request.fields) if varying else None
    directives = parse_response_directives(fields, options.freshness.targeted)
    return StoredResponse(
        id=body_id,
        selecting=selecting or (),
        head=_kept_head(head, directives, response_time),
        request_time=request_time,
        response_time=response_time,
        length=0,
        checksum=b"",
        personal=standing(request, options).personal,
        part=_part(fields) if head.status == 206 else None,
    )


def kept_fields(fields: Fields, options: Options, response_time: float) -> Fields:
    """Less those that no-cache and private name (§5.2.2.4, §5.2.2.7), and with a Date."""
    directives = parse_response_directives(fields, options.freshness.targeted)
    return _kept(fields, directives, response_time)


def _kept_head(
    head: ResponseHead, directives: ResponseDirectives, response_time: float
) -> ResponseHead:
    """The head that is stored: that very one if nothing about it changes."""
    fields = _kept(head.fields, directives, response_time)
    if head.status == 206:
        gone = _RANGE if _part(fields) is None else _RANGE | OF_CONTENT
        return ResponseHead(200, PHRASES[200], fields.without(gone), head.minor)
    if fields is head.fields:
        return head
    return ResponseHead(head.status, head.reason, fields, head.minor)


def _kept(fields: Fields, directives: ResponseDirectives, response_time: float) -> Fields:
    if directives.withheld:
        fields = fields.without(directives.withheld)
    if "date" not in fields:
        # RFC 9110 §6.6.1: whoever stores it says when it came.
        fields = fields.adding(("Date", format_date(response_time)))
    return fields


def shares_cookies(directives: ResponseDirectives, options: Options) -> bool:
    """Whether Set-Cookie may be part of what is stored."""
    if options.set_cookie is SetCookie.EXPLICIT:
        return directives.public or directives.s_maxage is not None
    return options.set_cookie is SetCookie.RFC


def has_validator(fields: Fields) -> bool:
    """Whether the origin can be asked if this is still current (§4.3.1)."""
    modified = fields.get("last-modified")
    return entity_tag(fields) is not None or (
        modified is not None and parse_date(modified) is not None
    )


def _bars_method(request: Request, head: ResponseHead, asked: Standing) -> Reason | None:
    if request.method == "GET":
        # §4.3.2: what passes the cache by leaves nothing there; no-store and rules say so below.
        judged = asked.passes_by is Reason.REQUEST_PRECONDITION
        return Reason.REQUEST_PRECONDITION if judged else asked.beyond
    # RFC 9110 §9.3.3: for a later GET, when it says that it is what that GET would have got. But a
    # client writes what is posted, and an origin that echoes it would hand it to everybody.
    location = head.fields.get("content-location")
    wanted = request.method == "POST" and asked.rule is not None and asked.rule.store_post
    if not wanted or head.status != 200 or location is None:
        return Reason.NOT_STORED_METHOD
    if invalidation.resolved(request.uri, location) != request.uri:
        return Reason.NOT_STORED_METHOD
    return keys.reflected(request, asked.options)


def _bars_status(status: int, directives: ResponseDirectives, options: Options) -> Reason | None:
    if status == 200:
        return None
    # RFC 9110 §15: what is above 599 is invalid, and means nothing that others should be told.
    if not 200 <= status <= 599 or status in _NOT_FOR_OTHERS:
        return Reason.NOT_STORED_STATUS
    if directives.must_understand and status not in _UNDERSTOOD:
        return Reason.NOT_STORED_STATUS
    if status >= 400 and options.errors is Errors.NEVER:
        return Reason.NOT_STORED_ERROR
    return None


def _bars_directives(asked: Standing, directives: ResponseDirectives) -> Reason | None:
    # §5.2.2.3: with must-understand and a status that is understood, no-store is for others.
    if directives.no_store and not directives.must_understand:
        return Reason.NOT_STORED_NO_STORE
    if asked.directives.no_store:
        return Reason.NOT_STORED_NO_STORE
    if directives.private:
        return Reason.NOT_STORED_PRIVATE
    if not asked.authorized:
        return None
    # §3.5.
    allowed = directives.public or directives.must_revalidate or directives.s_maxage is not None
    return None if allowed else Reason.NOT_STORED_AUTHORIZATION


def _bars_sharing(
    fields: Fields, directives: ResponseDirectives, options: Options
) -> Reason | None:
    """What §3 leaves open and a shared cache had better not do."""
    if "vary" in fields and "*" in keys.varying(fields):
        return Reason.NOT_STORED_VARY
    if not COOKIES.isdisjoint(fields.names()):
        cookies = COOKIES.intersection(fields.names()) - directives.withheld
        if cookies and not shares_cookies(directives, options):
            return Reason.NOT_STORED_SET_COOKIE
    kind = (fields.get("content-type") or "").lower()
    if "event-stream" in kind and kind.partition(";")[0].strip() == "text/event-stream":
        return Reason.NOT_STORED_EVENT_STREAM
    return None


def _bars_reuse(
    request: Request,
    head: ResponseHead,
    asked: Standing,
    directives: ResponseDirectives,
    now: float,
) -> Reason | None:
    """What only shows on the head as it would be stored."""
    kept = _kept_head(head, directives, now)
    lines = kept.fields.lines
    if sum(map(len, chain.from_iterable(lines))) + 4 * len(lines) > asked.options.response_head:
        return Reason.NOT_STORED_TOO_LARGE  # validations have made it so
    if head.status == 206 and (reason := _bars_part(request, head, kept)) is not None:
        return reason
    settings = (asked.options, asked.rule)
    reuse = agreed(kept, directives, asked.personal, (now, now), settings)
    return _is_useless(request, kept, asked, reuse, now)


def _bars_part(request: Request, head: ResponseHead, kept: ResponseHead) -> Reason | None:
    """§3.3: only the one range that was asked for, and only if it can be joined with others."""
    content_range = parse_content_range(head.fields.get("content-range") or "")
    if "range" not in request.fields or content_range is None or content_range.complete is None:
        return Reason.NOT_STORED_RANGE
    # RFC 9110 §15.3.7: an answer to If-Range leaves out what the client is taken to know.
    whole = content_range.last - content_range.first + 1 == content_range.complete
    joinable = whole or strong_validator(kept.fields) is not None
    if "if-range" in request.fields or not joinable:
        return Reason.NOT_STORED_PARTIAL
    return None


def _is_useless(
    request: Request, kept: ResponseHead, asked: Standing, reuse: Terms, now: float
) -> Reason | None:
    """The last clause of §3, and whether the response could ever be reused."""
    silent = not (reuse.explicit or reuse.directives.public)
    if silent and (asked.personal or kept.status not in HEURISTIC_STATUSES):
        return Reason.NOT_STORED_NO_FRESHNESS
    if now < reuse.while_revalidating_until and not reuse.validate:
        from_get = request.method == "GET"
        return None if from_get or reuse.explicit else Reason.NOT_STORED_NO_FRESHNESS
    if kept.status >= 400 or request.method != "GET":
        return Reason.NOT_STORED_NO_FRESHNESS
    on_error = bool(reuse.directives.stale_if_error) and not reuse.stale_forbidden
    # Stored although already stale: validation, or an error of the origin, lets it be used.
    return None if on_error or has_validator(kept.fields) else Reason.NOT_STORED_NO_FRESHNESS


def _part(fields: Fields) -> Part | None:
    held = parse_content_range(fields.get("content-range") or "")
    if held is None or held.complete is None or held.last - held.first + 1 == held.complete:
        return None
    return Part(held.first, held.last, held.complete)
