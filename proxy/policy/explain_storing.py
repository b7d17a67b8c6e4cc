"""Why a response may be stored or not: the clauses of ``storing.may_store`` in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.policy import keys, storing
from proxy.policy.clauses import (
    PRECONDITION,
    Case,
    Clause,
    Explanation,
    Verdict,
    about_body,
    about_freshness,
    about_reflected,
    about_rule,
    about_validators,
    cut,
    unless,
    up_to_no,
)
from proxy.policy.reasons import Reason
from proxy.policy.standing import standing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.policy.options import Options
    from proxy.semantics.messages import Request, ResponseHead


class _Question(NamedTuple):
    """A clause that is answered with no where ``reason`` is the decision's."""

    name: str
    section: str
    reason: Reason
    yes: str
    no: str


_METHOD: Final = _Question(
    "method",
    "RFC 9111 §3",
    Reason.NOT_STORED_METHOD,
    "Answers to {method} may be stored.",
    "Answers to {method} are not stored; only those to GET are, and, where a rule says"
    " store_post = true, those to a POST that say by Content-Location that a GET of this URI gets"
    " the same.",
)
_STATUS: Final = _Question(
    "status",
    "RFC 9111 §3",
    Reason.NOT_STORED_STATUS,
    "Responses with status {status} may be stored.",
    "Responses with status {status} are not for other requests.",
)
_ERROR: Final = _Question(
    "error",
    "[cache] errors",
    Reason.NOT_STORED_ERROR,
    "Errors may be stored.",
    'Status {status} is an error, and errors = "never".',
)
_DIRECTIVES: Final = (
    _Question(
        "no-store",
        "RFC 9111 §5.2.2.5",
        Reason.NOT_STORED_NO_STORE,
        "Nobody forbids it: the origin says {control}, the client {asked}.",
        "no-store forbids it: the origin says {control}, the client {asked}.",
    ),
    _Question(
        "private",
        "RFC 9111 §5.2.2.7",
        Reason.NOT_STORED_PRIVATE,
        "It is not for one user alone.",
        "It is for one user: the origin says {control}.",
    ),
    _Question(
        "authorization",
        "RFC 9111 §3.5",
        Reason.NOT_STORED_AUTHORIZATION,
        "The request has no Authorization, or the origin says that all may have the response.",
        "The request has Authorization, and the origin does not say that all may have the"
        " response (public, s-maxage or must-revalidate): it says {control}.",
    ),
    _Question(
        "vary",
        "RFC 9111 §4.1",
        Reason.NOT_STORED_VARY,
        "What selects it is known: Vary says {vary}.",
        "It depends on more than its request: Vary says {vary}.",
    ),
    _Question(
        "set-cookie",
        "[cache] set_cookie",
        Reason.NOT_STORED_SET_COOKIE,
        "It sets no cookie, or is for everybody all the same.",
        "It sets a cookie, and set_cookie = {set_cookie}: the origin says {control}.",
    ),
    _Question(
        "event-stream",
        "",
        Reason.NOT_STORED_EVENT_STREAM,
        "Its body has an end: Content-Type says {type}.",
        "It is a stream of events, without an end that could be waited for.",
    ),
)
_HEAD: Final = _Question(
    "head",
    "[upstream] response_head",
    Reason.NOT_STORED_TOO_LARGE,
    "Its fields are not too many.",
    "Its fields are more than response_head allows for, with those that validations have brought.",
)
_PART: Final = (
    _Question(
        "range",
        "RFC 9111 §3.3",
        Reason.NOT_STORED_RANGE,
        "It is the range that was asked for: Content-Range says {range}.",
        "It is not the one range that was asked for, or does not say of how much: Content-Range"
        " says {range}.",
    ),
    _Question(
        "partial",
        "RFC 9111 §3.3",
        Reason.NOT_STORED_PARTIAL,
        "It is all there is, or its strong validator lets it be joined with other parts.",
        "It has no strong validator by which to join it with other parts, or answers If-Range.",
    ),
)
_REUSE: Final = _Question(
    "reuse",
    "RFC 9111 §3",
    Reason.NOT_STORED_NO_FRESHNESS,
    "It can be reused.",
    "It could never be reused: neither fresh for a while nor validated.",
)


def explain_storing(
    request: Request, head: ResponseHead, now: float, options: Options
) -> Explanation:
    """Whether the response with that ``head``, received at ``now``, may be stored, and why."""
    decision = storing.may_store(request, head, now, options)
    reason = decision.reason if isinstance(decision, storing.DoNotStore) else None
    case = Case(request, options, standing(request, options), reason, now)
    figures = _figures(case, head)
    clauses = list(up_to_no(_about_response(case, head, figures)))
    if clauses[-1].verdict is not Verdict.NO:
        kept = storing.from_response(request, head, options, "", now, now)
        clauses += [about_validators(kept), *about_freshness(case, kept)]
        clauses.append(_answer(case, _REUSE, figures))
    return Explanation(decision, reason, tuple(clauses))


def _about_response(case: Case, head: ResponseHead, figures: dict[str, str]) -> Iterator[Clause]:
    yield about_rule(case, Reason.NOT_STORED_RULE)
    yield _answer(case, _METHOD, figures)
    if case.request.method == "GET":
        yield about_body(case, Reason.REQUEST_BODY)
    yield about_reflected(case, Reason.REQUEST_REFLECTED)
    if case.reason is Reason.REQUEST_PRECONDITION:
        yield PRECONDITION
    yield _answer(case, _STATUS, figures)
    if head.status >= 400:
        yield _answer(case, _ERROR, figures)
    bounds = (_HEAD,) if case.reason is _HEAD.reason else ()
    for question in (*_DIRECTIVES, *bounds, *(_PART if head.status == 206 else ())):
        yield _answer(case, question, figures)


def _answer(case: Case, question: _Question, figures: dict[str, str]) -> Clause:
    barred = case.reason is question.reason
    texts = (text.format_map(figures) for text in (question.yes, question.no))
    return unless(barred, question.name, question.section, *texts)


def _figures(case: Case, head: ResponseHead) -> dict[str, str]:
    def said(value: str | None) -> str:
        return "nothing" if value is None else f'"{cut(value)}"'

    selecting = keys.varying(head.fields.without({"vary"}))
    allowed = ", and one Origin is allowed" if selecting else ""
    return {
        "method": cut(case.request.method),
        "status": str(head.status),
        "control": said(head.fields.get("cache-control")),
        "asked": said(case.request.fields.get("cache-control")),
        "vary": said(head.fields.get("vary")) + allowed,
        "type": said(head.fields.get("content-type")),
        "range": said(head.fields.get("content-range")),
        "set_cookie": said(case.options.set_cookie),
    }
