"""Freshness lifetime and age (RFC 9111 §4.2): the only place that derives times from fields.

Of a stored response that is one instant, ``born``: the moment at which its age was 0. Every limit
in time, of freshness or of what a request tolerates, is an instant after it, and a question about
age is one comparison with ``now``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.policy.directives import delta_seconds, parse_response_directives
from proxy.semantics.dates import parse_date
from proxy.semantics.grammar import list_members

if TYPE_CHECKING:
    from proxy.policy.directives import ResponseDirectives
    from proxy.policy.options import Options
    from proxy.policy.rules import Rule
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.fields import Fields

# RFC 9110 §15.1.
HEURISTIC_STATUSES: Final = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
# A rule's freshness is for what a person wants to keep, and that is no error.
_RULED_STATUSES: Final = frozenset(status for status in HEURISTIC_STATUSES if status < 400)


@dataclass(frozen=True, slots=True)
class Terms:
    """What may be done with a stored response under these options and this rule, and until when.

    ``born``, ``fresh_until`` and ``while_revalidating_until`` are epoch seconds, ``lifetime`` and
    ``stale_if_error`` seconds. ``explicit``: the lifetime is the origin's or a rule's word.
    ``validate``: reuse needs validation even while fresh. ``stale_forbidden``: no reuse after
    ``fresh_until`` without it, whatever a request or a default says (§4.2.4).
    """

    options: Options
    rule: Rule | None
    directives: ResponseDirectives
    born: float
    lifetime: float
    explicit: bool
    validate: bool
    stale_forbidden: bool
    fresh_until: float
    while_revalidating_until: float
    stale_if_error: float


def terms(stored: StoredResponse, options: Options, rule: Rule | None) -> Terms:
    """The terms of reuse, remembered on the stored response: parsing is dearer than deciding."""
    known: Terms | None = getattr(stored, "_terms", None)
    if known is not None and known.options is options and known.rule is rule:
        return known
    made = _terms(stored, options, rule)
    object.__setattr__(stored, "_terms", made)
    return made


def lifetime(stored: StoredResponse, options: Options, rule: Rule | None = None) -> float:
    """Freshness lifetime in seconds (§4.2.1)."""
    return terms(stored, options, rule).lifetime


def fresh_until(stored: StoredResponse, options: Options, rule: Rule | None = None) -> float:
    """The epoch second at which the response becomes stale."""
    return terms(stored, options, rule).fresh_until


def current_age(stored: StoredResponse, now: float) -> float:
    """Seconds since the response was generated or validated at the origin (§4.2.3); never < 0."""
    known: Terms | None = getattr(stored, "_terms", None)
    born = _born(stored) if known is None else known.born
    # A clock that was set back must not make anything younger than it was on arrival.
    return max(now, stored.response_time) - born


def date(stored: StoredResponse) -> float:
    """Date in epoch seconds; the time of receipt when there is no valid one (RFC 9110 §6.6.1)."""
    said = parse_date(stored.head.fields.get("date") or "", stored.response_time)
    return stored.response_time if said is None else said


def _terms(stored: StoredResponse, options: Options, rule: Rule | None) -> Terms:
    directives = parse_response_directives(stored.head.fields, options.freshness.targeted)
    ruled = rule is not None and rule.override and stored.head.status in _RULED_STATUSES
    origin = None if ruled else _origin_lifetime(stored, directives)
    person = _ruled_lifetime(stored, rule)
    seconds = origin if origin is not None else person
    explicit = seconds is not None
    if seconds is None:
        seconds = _heuristic_lifetime(stored, directives, options)
    born = _born(stored)
    forbidden = not ruled and _stale_forbidden(directives)
    window = 0.0 if forbidden else _stale_while_revalidate(stored, directives, options)
    return Terms(
        options=options,
        rule=rule,
        directives=directives,
        born=born,
        lifetime=seconds,
        explicit=explicit,
        validate=directives.no_cache and not ruled,
        stale_forbidden=forbidden,
        fresh_until=born + seconds,
        while_revalidating_until=born + seconds + window,
        stale_if_error=_stale_if_error(stored, directives, options, rule),
    )


def _origin_lifetime(stored: StoredResponse, directives: ResponseDirectives) -> float | None:
    """§4.2.1: s-maxage wins in a shared cache, then max-age, then Expires less Date."""
    if directives.s_maxage is not None:
        return directives.s_maxage
    if directives.max_age is not None:
        return directives.max_age
    # RFC 9213 §2.2: where a targeted field is used, Expires is not.
    if directives.targeted or "expires" not in stored.head.fields:
        return None
    expires = parse_date(stored.head.fields.get("expires") or "", stored.response_time)
    # §5.3: an invalid date, 0 above all, is a time in the past.
    return 0.0 if expires is None else max(0.0, expires - date(stored))


def _ruled_lifetime(stored: StoredResponse, rule: Rule | None) -> float | None:
    if rule is None or stored.head.status not in _RULED_STATUSES:
        return None
    return rule.freshness


def _heuristic_lifetime(
    stored: StoredResponse, directives: ResponseDirectives, options: Options
) -> float:
    """§4.2.2. Never without Last-Modified, and never for what one client's credentials shaped."""
    if stored.personal or not (directives.public or stored.head.status in HEURISTIC_STATUSES):
        return 0.0
    modified = parse_date(stored.head.fields.get("last-modified") or "", stored.response_time)
    if modified is None:
        return 0.0
    seconds = (date(stored) - modified) * options.freshness.heuristic_fraction
    return min(max(0.0, seconds), options.freshness.heuristic_max)


def _stale_forbidden(directives: ResponseDirectives) -> bool:
    # §5.2.2.10: s-maxage has the meaning of proxy-revalidate, too.
    return (
        directives.must_revalidate
        or directives.proxy_revalidate
        or directives.no_cache
        or directives.s_maxage is not None
    )


def _stale_while_revalidate(
    stored: StoredResponse, directives: ResponseDirectives, options: Options
) -> float:
    """RFC 5861 §3, or the default."""
    if directives.stale_while_revalidate is not None:
        return directives.stale_while_revalidate
    return 0.0 if stored.personal else options.freshness.stale_while_revalidate


def _stale_if_error(
    stored: StoredResponse, directives: ResponseDirectives, options: Options, rule: Rule | None
) -> float:
    """RFC 5861 §4, or the default, the rule's before the general one.

    No default for an error, nor for what one client's credentials may have shaped.
    """
    if directives.stale_if_error is not None:
        return directives.stale_if_error
    if stored.head.status >= 400 or stored.personal:
        return 0.0
    if rule is not None and rule.stale_if_error is not None:
        return rule.stale_if_error
    return options.freshness.stale_if_error


def _born(stored: StoredResponse) -> float:
    """§4.2.3: the response's time less its corrected initial age."""
    apparent_age = max(0.0, stored.response_time - date(stored))
    response_delay = max(0.0, stored.response_time - stored.request_time)
    corrected_age_value = _age_value(stored.head.fields) + response_delay
    return stored.response_time - max(apparent_age, corrected_age_value)


def _age_value(fields: Fields) -> int:
    """§5.1: of several members the first counts; what is no delta-seconds is ignored."""
    lines = fields.all("age")
    members = list_members(lines[0]) if lines else []
    return (delta_seconds(members[0]) or 0) if members else 0
