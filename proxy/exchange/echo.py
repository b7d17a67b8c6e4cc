"""What came of a request when the origin was last asked, for when it says the same again: pure.

An ``Echo`` remembers what the one policy decided. That depended on the request (an echo is of that
very object; a reload makes new requests), on what is stored under its key (``found``), on the
octets that came but for Date (``said``), and on time only until ``until``. Age and ttl are worked
out anew each time; nothing else may enter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.bounded import Bounded
from proxy.exchange.voice import Forwarded
from proxy.policy import freshness, representation, revalidation
from proxy.policy.reasons import Reason
from proxy.policy.representation import Slice
from proxy.policy.standing import standing
from proxy.semantics.dates import parse_date
from proxy.upstream.again import said
from proxy.wire.heads import render_response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.exchange.forms import View
    from proxy.exchange.origin import Asked, Errand, Wanted
    from proxy.exchange.voice import Voice
    from proxy.policy.options import Options
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.fields import Line
    from proxy.semantics.messages import Request
    from proxy.store.base import Found
    from proxy.upstream.base import Outgoing, Said

# What makes an answer depend on the clock, or on more of the response than its head.
_APART: Final = frozenset({"range", "if-range", "if-modified-since", "authorization"})
# Reasons that stand for as long as the origin says the same.
_LASTING: Final = frozenset({Reason.NOT_STORED_NO_STORE, Reason.NOT_STORED_PRIVATE})
_ALWAYS: Final = float("inf")
_OCTETS: Final = 4 * 2**20  # of all that is remembered
# What one takes, beside its octets.
_EACH, _PER_OCTET, _PER_LINE = 3000, 4, 500


class Echo(NamedTuple):
    """The answer, and what it was decided on.

    ``opening`` and ``closing`` are the octets of its head before Date's value and after all that
    changes. ``stored``: the body is that of this response; None: it is what comes. ``lifetime``
    (seconds) is that of the stored response. ``asked`` is what Cache-Status says of the origin.
    """

    outgoing: Outgoing
    said: Said
    key: str
    found: Found
    wanted: Wanted
    asked: Forwarded
    negotiated: bool
    reason: Reason
    status: int
    content_type: str
    opening: bytes
    closing: bytes
    stored: StoredResponse | None = None
    lifetime: float = 0.0
    bodiless: bool = False
    until: float = _ALWAYS


def _weight(_: int, kept: tuple[Request, Echo]) -> int:
    """What the heads of response and request take, which are there as octets and by name."""
    request, echo = kept
    before, after, _ = echo.said
    head = len(before) + len(after) + len(echo.opening) + len(echo.closing)
    lines = after.count(b"\n") + echo.opening.count(b"\n") + len(request.fields)
    return _EACH + _PER_OCTET * head + _PER_LINE * lines + 2 * len(echo.key)


# By the identity of the request, which is kept so that no other gets it.
_kept: Final[Bounded[int, tuple[Request, Echo]]] = Bounded("echoes", _OCTETS, _weight)


def once(request: Request) -> None:
    """Nobody will meet this object again: nothing needs to be remembered of it."""
    object.__setattr__(request, "_once", True)


def remembered(request: Request) -> Echo | None:
    """What came of it the last time."""
    kept = _kept.get(id(request))
    return None if kept is None else kept[1]


def is_remembered(request: Request) -> bool:
    """Whether anything is."""
    return id(request) in _kept


def keep(request: Request, echo: Echo | None) -> None:
    """Remember it, instead of what was."""
    if echo is None:
        _kept.drop(id(request))
    else:
        _kept.keep(id(request), (request, echo))


def of_validation(
    errand: Errand, asked: Asked, stored: StoredResponse, view: View | None, options: Options
) -> Echo | None:
    """Of a 304 that brought no news about the one response under the key, which is now ``stored``.

    ``view`` is what this client gets of it. None if the next one cannot be answered alike.
    """
    request, found, wanted = errand.inbound.request, errand.found, errand.wanted
    expected = _expected(request, asked, 0)
    terms = freshness.terms(stored, options, standing(request, options).rule)
    said_in_seconds = terms.directives.max_age is not None or terms.directives.s_maxage is not None
    # A lifetime that follows from dates is another one each time.
    if expected is None or len(found.variants) != 1 or not (terms.explicit and said_in_seconds):
        return None
    if view is None or view.coders is not None or view.stored.id != stored.id:
        return None
    shaped = representation.shape(view.request, view.stored, stored.length, asked.response_time)
    if shaped.pieces not in ((), (Slice(0, stored.length),)):
        return None
    closing = b"" if shaped.length is None else b"Content-Length: %d\r\n" % shaped.length
    return Echo(
        outgoing=asked.outgoing,
        said=expected,
        key=errand.key,
        found=found,
        wanted=wanted,
        asked=Forwarded(wanted.reason, asked.head.status),
        negotiated=asked.negotiated,
        reason=Reason.REVALIDATED,
        status=shaped.status,
        content_type=stored.head.fields.get("content-type") or "-",
        opening=_up_to_date(shaped.status, representation.phrase(shaped, stored), shaped.lines),
        closing=closing + b"\r\n",
        stored=stored,
        lifetime=terms.lifetime,
        bodiless=not shaped.pieces,
        until=revalidation.is_news_from(found.variants[0]),
    )


def of_passing(errand: Errand, asked: Asked, reason: Reason, voice: Voice) -> Echo | None:
    """Of a response that is not stored for that reason; None if the next may be."""
    request, found, wanted = errand.inbound.request, errand.found, errand.wanted
    head, length = asked.head, asked.response.length
    if reason not in _LASTING or found.variants or wanted.reason is not Reason.MISS:
        return None
    if head.status != 200 or length is None:
        return None
    expected = _expected(request, asked, length)
    if expected is None:
        return None
    forwarded = Forwarded(wanted.reason, head.status)
    says = b"".join(map(_line, voice.says(reason, forwarded)))
    return Echo(
        outgoing=asked.outgoing,
        said=expected,
        key=errand.key,
        found=found,
        wanted=wanted,
        asked=forwarded,
        negotiated=asked.negotiated,
        reason=reason,
        status=head.status,
        content_type=head.fields.get("content-type") or "-",
        opening=_up_to_date(head.status, head.reason, head.fields.lines),
        closing=b"%bContent-Length: %d\r\n\r\n" % (says, length),
    )


def head(echo: Echo, date: str, times: tuple[float, float], voice: Voice) -> bytes:
    """The octets of the answer's head; ``date`` is the new one, ``times`` of request and response.

    RFC 9111 §4.2.3: a 304 without Age is as old as its Date or its delay says.
    """
    if echo.stored is None:
        return b"%b%b\r\n%b" % (echo.opening, date.encode("latin-1"), echo.closing)
    date_value = parse_date(date, times[1])
    born = freshness.born(times[1] if date_value is None else date_value, 0, *times)
    says = voice.says(echo.reason, echo.asked, born + echo.lifetime - times[1])
    return b"%b%b\r\nAge: %d\r\n%b%b" % (
        echo.opening,
        date.encode("latin-1"),
        times[1] - born,
        b"".join(map(_line, says)),
        echo.closing,
    )


def _expected(request: Request, asked: Asked, length: int) -> Said | None:
    if request.method != "GET" or not _APART.isdisjoint(request.fields.names()):
        return None
    if getattr(request, "_once", False):
        return None
    return said(asked.response.octets, asked.response.head.fields, length)


def _up_to_date(status: int, phrase: str, lines: Iterable[Line]) -> bytes:
    """The head without Age, and with its one Date at the end, up to its value."""
    kept = [line for line in lines if line[0].lower() not in {"age", "date"}]
    return render_response(status, phrase, kept)[:-2] + b"Date: "


def _line(line: Line) -> bytes:
    return f"{line[0]}: {line[1]}\r\n".encode("latin-1")
