"""Why policy decides as it does about a request or a response: its own findings, in sentences.

Nothing is decided here. The decision is that of ``reuse.decide`` or ``storing.may_store``, the
figures are those of the functions that they ask, and a clause says "no" where that decision ends.
What other floors decide (access, codings, sizes, the disk) they put beside it.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.policy import freshness, invalidation, keys, reuse
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
    at,
    cut,
    info,
    lifetime_section,
    seconds,
    unless,
    up_to_no,
)
from proxy.policy.directives import MAX_DELTA, NO_REQUEST_DIRECTIVES
from proxy.policy.explain_storing import explain_storing
from proxy.policy.reasons import Reason
from proxy.policy.standing import standing
from proxy.semantics.fields import NO_FIELDS
from proxy.semantics.messages import ResponseHead

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxy.policy.directives import RequestDirectives
    from proxy.policy.options import Options
    from proxy.policy.reuse import Decision
    from proxy.policy.rules import Rule
    from proxy.policy.stored import Part, StoredResponse
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import Request

__all__ = [
    "Clause",
    "Explanation",
    "Term",
    "Verdict",
    "arithmetic",
    "explain",
    "explain_storing",
    "onward",
]

_DONE: Final = ResponseHead(204, "No Content", NO_FIELDS)


class Term(NamedTuple):
    """Seconds, epoch seconds, a word or a flag; and where it is defined."""

    value: float | str | bool
    section: str


def explain(
    request: Request, found: Sequence[StoredResponse], now: float, options: Options
) -> Explanation:
    """What would happen to ``request``; ``found`` is all that is stored under its primary key."""
    stands = standing(request, options)
    decision = made = reuse.decide(request, found, now, options)
    if isinstance(made, reuse.Refuse):
        # What only-if-cached refuses is what would else have been asked of the origin.
        asked = replace(stands.directives, only_if_cached=False)
        made = reuse.decide(request, found, now, options, stands._replace(directives=asked))
    case = Case(request, options, stands, _reason(made), now)
    clauses = list(up_to_no(_about_request(case)))
    if clauses[-1].verdict is not Verdict.NO:
        clauses += _about_stored(case, found, made)
    further = [*onward(decision, now), *_about_invalidation(request, found)]
    return Explanation(decision, _reason(decision), tuple(clauses), tuple(further))


def arithmetic(
    stored: StoredResponse, now: float, options: Options, rule: Rule | None
) -> dict[str, Term]:
    """The terms of §4.2 with their values at ``now``; ``ttl`` is negative when it is stale."""
    terms = freshness.terms(stored, options, rule)
    window = terms.while_revalidating_until - terms.fresh_until
    return {
        "lifetime": Term(terms.lifetime, lifetime_section(terms)),
        "source": Term(terms.source, lifetime_section(terms)),
        "date": Term(freshness.date(stored), "RFC 9110 §6.6.1"),
        "age_value": Term(freshness.age_value(stored.head.fields), "RFC 9111 §5.1"),
        "request_time": Term(stored.request_time, "RFC 9111 §4.2.3"),
        "response_time": Term(stored.response_time, "RFC 9111 §4.2.3"),
        "initial_age": Term(stored.response_time - terms.born, "RFC 9111 §4.2.3"),
        "born": Term(terms.born, "RFC 9111 §4.2.3"),
        "age": Term(freshness.current_age(stored, now), "RFC 9111 §4.2.3"),
        "fresh_until": Term(terms.fresh_until, "RFC 9111 §4.2"),
        "ttl": Term(terms.fresh_until - now, "RFC 9111 §4.2"),
        "stale_while_revalidate": Term(round(window, 3), "RFC 5861 §3"),
        "stale_if_error": Term(terms.stale_if_error, "RFC 5861 §4"),
        "stale_forbidden": Term(terms.stale_forbidden, "RFC 9111 §4.2.4"),
        "validate": Term(terms.validate, "RFC 9111 §5.2.2.4"),
        "invalid": Term(stored.invalid, "RFC 9111 §4.4"),
    }


def _reason(decision: Decision) -> Reason:
    if isinstance(decision, reuse.ServeAndRevalidate):
        return Reason.STALE_WHILE_REVALIDATE
    return decision.reason


# The request.


def _about_request(case: Case) -> Iterator[Clause]:
    method, reason = cut(case.request.method), case.reason
    yield unless(
        reason is Reason.METHOD,
        "method",
        "RFC 9111 §4",
        f"{method} may be answered from the cache.",
        f"{method} is for the origin: only GET and HEAD are answered from the cache.",
    )
    yield about_body(case, Reason.REQUEST_BODY)
    yield about_reflected(case, Reason.REQUEST_REFLECTED)
    yield about_rule(case, Reason.RULE_NO_CACHE)
    asked = _asked(case.stands.directives)
    yield Clause(
        "request-directives",
        "RFC 9111 §5.2.1",
        Verdict.NO if reason is Reason.REQUEST_NO_STORE else Verdict.INFO,
        f"The request says {asked}." if asked else "The request has no cache directives.",
    )
    if reason is Reason.REQUEST_PRECONDITION:
        yield PRECONDITION
    left_out = ", ".join(keys.left_out(case.request.uri, case.stands.rule))
    without = f" ignore_query leaves out {cut(left_out)}." if left_out else ""
    yield info("key", "RFC 9111 §2", f"The key is {cut(case.stands.key)}.{without}")


def _asked(directives: RequestDirectives) -> str:
    said = [(field.name, getattr(directives, field.name)) for field in fields(directives)]
    return ", ".join(
        name.replace("_", "-") if value is True else f"{name.replace('_', '-')}={value}"
        for name, value in said
        if value != getattr(NO_REQUEST_DIRECTIVES, name)
    )


# What is stored.


def _about_stored(
    case: Case, found: Sequence[StoredResponse], decision: Decision
) -> Iterator[Clause]:
    if not found:
        yield Clause("stored", "RFC 9111 §4", Verdict.NO, "Nothing is stored under this key.")
        return
    chosen = reuse.select(case.request, found)
    for number, stored in enumerate(found, 1):
        named = (
            f"Variant {number} of {len(found)} (status {stored.head.status}, {stored.length}"
            f" octets, of {at(stored.response_time)})"
        )
        yield _about_variant(case.request, stored, chosen, named)
    if chosen is None:
        return
    if chosen.part is not None:
        yield _about_part(case, chosen.part, decision)
    yield about_validators(chosen)
    if case.reason is not Reason.PARTIAL_MISS:
        yield from about_freshness(case, chosen)
        yield _weighed(case)


def _about_variant(
    request: Request, stored: StoredResponse, chosen: StoredResponse | None, named: str
) -> Clause:
    other = [
        f"{name} was {_shown(was)} and is {_shown(now)}"
        for name, was, now in keys.differing(stored, request)
    ]
    verdict = Verdict.YES if stored is chosen else Verdict.NO
    if other:
        why = f"is for other requests: {', '.join(other)}"
    elif stored is not chosen:
        why = "matches, too, but its Date is not the latest"
    elif stored.selecting:
        same = [f"{name} is {_shown(value)}" for name, value in stored.selecting]
        why = f"is for this request: {', '.join(same)}"
    else:
        why = "is for every request"
    return Clause("variant", "RFC 9111 §4.1", verdict, f"{named} {why}.")


def _shown(value: str | None) -> str:
    return "absent" if value is None else f'"{cut(value)}"'


def _about_part(case: Case, part: Part, decision: Decision) -> Clause:
    if isinstance(decision, reuse.Complete):
        gap = decision.missing
        more = f"{gap.first}-{gap.last} are missing, and can be joined to them"
    else:
        more = "what is missing is not one range next to them"
    held = f"Of {part.complete} octets, {part.first}-{part.last} are stored"
    return unless(
        case.reason is Reason.PARTIAL_MISS,
        "part",
        "RFC 9111 §3.4",
        f"{held}: all that this request needs.",
        f"{held}: {more}.",
    )


_WEIGHED: Final = {
    Reason.HIT: ("hit", "RFC 9111 §4", "It is fresh enough for this request: it is the answer."),
    Reason.STALE_ALLOWED: (
        "max-stale",
        "RFC 9111 §5.2.1.2",
        "It is stale, and the request takes what has been so for {max_stale}.",
    ),
    Reason.STALE_WHILE_REVALIDATE: (
        "stale-while-revalidate",
        "RFC 5861 §3",
        "It is stale, and may be used while it is validated.",
    ),
    Reason.EXPIRED: (
        "expired",
        "RFC 9111 §4.2.4",
        "It is stale, and nothing allows using it so before it is validated.",
    ),
    Reason.INVALIDATED: (
        "invalidated",
        "RFC 9111 §4.4",
        "A change through this proxy, or a purge, made it suspect: it must be validated.",
    ),
    Reason.MUST_REVALIDATE: (
        "no-cache",
        "RFC 9111 §5.2.2.4",
        "The origin wants to be asked each time (no-cache).",
    ),
    Reason.REQUEST_NO_CACHE: (
        "request-no-cache",
        "RFC 9111 §5.2.1.4",
        "The request wants the origin's own answer (no-cache).",
    ),
    Reason.REQUEST_MAX_AGE: (
        "request-max-age",
        "RFC 9111 §5.2.1.1",
        "It is older than the request's max-age of {max_age} s.",
    ),
    Reason.REQUEST_MIN_FRESH: (
        "request-min-fresh",
        "RFC 9111 §5.2.1.3",
        "It does not stay fresh for the request's min-fresh of {min_fresh} s.",
    ),
}
_SERVED: Final = {Reason.HIT, Reason.STALE_ALLOWED, Reason.STALE_WHILE_REVALIDATE}


def _weighed(case: Case) -> Clause:
    assert case.reason is not None
    name, section, text = _WEIGHED[case.reason]
    asked = case.stands.directives
    longest = "any time" if asked.max_stale == MAX_DELTA else f"up to {asked.max_stale} s"
    text = text.format(max_stale=longest, max_age=asked.max_age, min_fresh=asked.min_fresh)
    return Clause(name, section, Verdict.YES if case.reason in _SERVED else Verdict.NO, text)


# The origin.


def onward(decision: Decision, now: float) -> tuple[Clause, ...]:
    """What the origin would be asked, and what comes of it if that fails."""
    match decision:
        case reuse.Serve():
            return (info("asked", "RFC 9111 §4", "The origin is asked nothing."),)
        case reuse.ServeAndRevalidate(conditional=conditional):
            behind = f"Behind the answer the origin is asked {_with(conditional)}."
            kept = "If that fails, what is stored stays as it is."
            return info("asked", "RFC 5861 §3", behind), info("failure", "RFC 5861 §3", kept)
        case reuse.Revalidate(conditional=conditional, on_error_until=until):
            text = f"The origin is asked {_with(conditional)}."
            return info("asked", "RFC 9111 §4.3.1", text), _failing(until, now)
        case reuse.Complete(missing=missing):
            text = f"The origin is asked {_with(missing.fields)}."
            return info("asked", "RFC 9111 §3.4", text), _failing(0.0, now)
        case reuse.Forward():
            text = "The origin is asked what the client asks."
            return info("asked", "RFC 9111 §4", text), _failing(0.0, now)
        case _:
            text = f"Only what is stored is wanted: {decision.status}, and the origin is not asked."
            return (Clause("only-if-cached", "RFC 9111 §5.2.1.7", Verdict.NO, text),)


def _with(asked: Fields) -> str:
    lines = [f"{name}: {cut(value)}" for name, value in asked]
    return f"with {' and '.join(lines)}" if lines else "what the client asks: there is no validator"


def _failing(until: float, now: float) -> Clause:
    if now >= until:
        text = "If that fails, the client gets the error: nothing stored may stand in."
        return info("failure", "RFC 9111 §4.2.4", text)
    text = (
        "If the origin cannot be reached or answers 5xx, what is stored is the answer, for"
        f" {seconds(until - now)} more, until {at(until)}."
    )
    return info("failure", "RFC 5861 §4", text)


def _about_invalidation(request: Request, found: Sequence[StoredResponse]) -> Iterator[Clause]:
    """What a method that is for the origin does to what is stored for others."""
    if request.method in {"GET", "HEAD"}:
        return
    text = f"{cut(request.method)} is safe: what is stored stays as it is."
    if uris := invalidation.keys(request, _DONE):
        gone = {
            0: "nothing is removed, as nothing is stored under this key",
            1: "the response that is stored under this key is removed",
        }.get(len(found), f"the {len(found)} responses that are stored under this key are removed")
        text = (
            f"If the origin does it (2xx or 3xx), {gone}. Location, Content-Location and"
            " Cache-Group-Invalidation of its answer may name more of this origin."
        )
        text += "".join(f" What is stored for {cut(str(uri))} is removed, too." for uri in uris[1:])
    yield info("invalidation", "RFC 9111 §4.4", text)
