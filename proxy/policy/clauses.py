"""Clauses of an explanation: the values, how foreign text looks in them, and those that all share.

What is decided here is only what to say: figures and findings come from the rest of policy.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.policy import freshness, keys, revalidation
from proxy.policy.rules import Rule
from proxy.semantics.dates import format_date
from proxy.semantics.validators import entity_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxy.policy.freshness import Terms
    from proxy.policy.options import Options
    from proxy.policy.reasons import Reason
    from proxy.policy.reuse import Decision
    from proxy.policy.standing import Standing
    from proxy.policy.stored import StoredResponse
    from proxy.policy.storing import Storing
    from proxy.semantics.messages import Request

LONGEST: Final = 300  # characters that are shown of a field value, a key or a pattern
_FIRST_DATE: Final = -62135596800.0  # what an HTTP-date can say: years 1 to 9999
_LAST_DATE: Final = 253402300799.0
_SILENT: Final = Rule(match="http://*/**")
_NAMES_IT: Final = frozenset({"match", "regex", "where"})


class Verdict(StrEnum):
    """Whether a clause lets the cache have its way."""

    YES = "yes"
    NO = "no"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Clause:
    """One thing that was looked at; ``section`` of an RFC or of the settings, "" where none is."""

    name: str
    section: str
    verdict: Verdict
    text: str


PRECONDITION: Final = Clause(
    "precondition",
    "RFC 9111 §4.3.2",
    Verdict.NO,
    "The request has If-Match or If-Unmodified-Since, which are for the origin to judge.",
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """``clauses`` in the order in which policy looks; no ``reason``: nothing bars the way.

    ``onward``: what the origin is asked then, and what comes of it.
    """

    decision: Decision | Storing
    reason: Reason | None
    clauses: tuple[Clause, ...]
    onward: tuple[Clause, ...] = ()


class Case(NamedTuple):
    """What is to be explained: the request, how it stands, and the reason it came to."""

    request: Request
    options: Options
    stands: Standing
    reason: Reason | None
    now: float


def seconds(count: float) -> str:
    """To a tenth."""
    return f"{count:.1f}".removesuffix(".0") + " s"


def at(moment: float) -> str:
    """An HTTP-date; ages of up to 2^31 s lead out of the years that it can say."""
    return format_date(min(max(moment, _FIRST_DATE), _LAST_DATE))


def cut(text: str) -> str:
    """Text of clients and origins: not too much of it."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def info(name: str, section: str, text: str) -> Clause:
    """A clause that decides nothing."""
    return Clause(name, section, Verdict.INFO, text)


def unless(barred: bool, name: str, section: str, yes: str, no: str) -> Clause:
    """Yes, unless it is what bars the way."""
    return Clause(name, section, Verdict.NO if barred else Verdict.YES, no if barred else yes)


def up_to_no(clauses: Iterable[Clause]) -> Iterator[Clause]:
    """Those that policy looked at: none after the first that says no."""
    for clause in clauses:
        yield clause
        if clause.verdict is Verdict.NO:
            return


def about_body(case: Case, reason: Reason) -> Clause:
    """Whether the request has one."""
    return unless(
        case.reason is reason,
        "body",
        "",
        "The request has no body.",
        "The request has a body, and its answer may depend on it.",
    )


def about_reflected(case: Case, reason: Reason) -> Clause:
    """Whether the request has fields that origins reflect."""
    names = ", ".join(keys.unkeyed(case.request.fields, case.options))
    return unless(
        case.reason is reason,
        "reflected-field",
        "[cache] unkeyed_fields",
        "The request has no field that origins reflect without naming it in Vary.",
        f"The request has what origins reflect without naming it in Vary: {names}.",
    )


def about_rule(case: Case, reason: Reason) -> Clause:
    """Which rule is for the request, and what it says."""
    rule, count = case.stands.rule, len(case.options.rules)
    if rule is None:
        none = f"None of the {count} rules" if count else "No rule"
        return info("rule", "", f"{none} is for this URI.")
    pattern = cut(f"match = {rule.match}" if rule.match else f"regex = {rule.regex}")
    text = f"The first rule for this URI has {pattern}, and says {_said(rule)}."
    barred = case.reason is reason
    return Clause("rule", rule_section(case), Verdict.NO if barred else Verdict.INFO, text)


def rule_section(case: Case) -> str:
    """Where the request's rule stands among the settings, and in which line of them."""
    rule = case.stands.rule
    assert rule is not None
    number = next(n for n, each in enumerate(case.options.rules, 1) if each is rule)
    return f"[[rules]] {number}, {rule.where}" if rule.where else f"[[rules]] {number}"


def _said(rule: Rule) -> str:
    found = [(field.name, getattr(rule, field.name)) for field in fields(rule)]
    said = [
        f"{name} = {_setting(value)}"
        for name, value in found
        if name not in _NAMES_IT and value != getattr(_SILENT, name)
    ]
    return ", ".join(said) or "nothing more"


def _setting(value: float | bool | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return " ".join(value)
    return seconds(value) if isinstance(value, float) else str(value).lower()


def about_validators(stored: StoredResponse) -> Clause:
    """What the origin can be asked with."""
    tag = entity_tag(stored.head.fields)
    modified = revalidation.conditional((stored,), stored).get("if-modified-since")
    said = [] if tag is None else [f"the {'weak' if tag.weak else 'strong'} ETag {cut(str(tag))}"]
    said += [] if modified is None else [f"Last-Modified {modified}"]
    text = f"It can be validated by {' and '.join(said)}." if said else "It has no validator."
    return info("validators", "RFC 9111 §4.3.1", text)


def about_freshness(case: Case, stored: StoredResponse) -> Iterator[Clause]:
    """The arithmetic of §4.2."""
    terms, now = freshness.terms(stored, case.options, case.stands.rule), case.now
    section = rule_section(case) if terms.source == "rule" else lifetime_section(terms)
    lifetime, ttl = seconds(terms.lifetime), terms.fresh_until - now
    yield info("lifetime", section, f"Its lifetime is {lifetime}: {_source(terms, stored)}.")
    yield info(
        "age",
        "RFC 9111 §4.2.3",
        f"Its age is {seconds(freshness.current_age(stored, now))}: it came at"
        f" {at(stored.response_time)}, {seconds(stored.response_time - stored.request_time)} after"
        f" it was asked for, with Date {at(freshness.date(stored))} and"
        f" Age {freshness.age_value(stored.head.fields)}.",
    )
    ahead = freshness.came_later(stored, now)
    stale = (
        "Its age is not known: the clock was ahead when it came, so that it counts as stale."
        if ahead
        else f"It has been stale for {seconds(-ttl)}, since {at(terms.fresh_until)}."
    )
    fresh = f"It is fresh for {seconds(ttl)} more, until {at(terms.fresh_until)}."
    yield unless(ahead or ttl <= 0, "fresh", "RFC 9111 §4.2", fresh, stale)
    yield _stale_windows(terms)


def lifetime_section(terms: Terms) -> str:
    """Where a lifetime is defined that is no rule's."""
    return "RFC 9111 §4.2.1" if terms.explicit else "RFC 9111 §4.2.2"


def _source(terms: Terms, stored: StoredResponse) -> str:
    options = terms.options.freshness
    match terms.source:
        case "s-maxage":
            return "s-maxage, which wins in a shared cache"
        case "max-age":
            return "max-age"
        case "expires":
            return f"Expires ({cut(stored.head.fields.get('expires') or '')}) less Date"
        case "rule":
            return "the rule's freshness"
        case "heuristic":
            share, most = options.heuristic_fraction, seconds(options.heuristic_max)
            return f"{share:g} of the time from Last-Modified to Date, at most {most}"
        case _:
            if stored.personal:
                return "nobody said one, and for what was one client's none is guessed"
            return "nobody said one, and there is nothing to guess it by"


def _stale_windows(terms: Terms) -> Clause:
    if terms.stale_forbidden:
        text = "Once stale it is never used without validation: the origin forbids it."
        return info("stale-windows", "RFC 9111 §4.2.4", text)
    validating = seconds(terms.while_revalidating_until - terms.fresh_until)
    text = (
        f"Once stale it may be used for {validating} while it is validated,"
        f" and for {seconds(terms.stale_if_error)} if the origin fails."
    )
    return info("stale-windows", "RFC 5861", text)
