"""Freshness lifetime and age (RFC 9111 §4.2): the only place that derives times from fields.

Of a stored response that is one instant, ``born``: the moment at which its age was 0. Every limit
in time, of freshness or of what a request tolerates, is an instant after it, and a question about
age is one comparison with ``now``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from proxy.policy.directives import delta_seconds, parse_response_directives
from proxy.semantics.dates import parse_date
from proxy.semantics.grammar import list_members

if TYPE_CHECKING:
    from proxy.policy.directives import ResponseDirectives
    from proxy.policy.options import Options
    from proxy.policy.rules import Rule
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import ResponseHead

# RFC 9110 §15.1.
HEURISTIC_STATUSES: Final = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
# A rule's freshness is for what a person wants to keep, and that is no error.
_RULED_STATUSES: Final = frozenset(status for status in HEURISTIC_STATUSES if status < 400)

# Where a freshness lifetime came from; "expires" is less Date. Plain words cost no look-up.
Source = Literal["s-maxage", "max-age", "expires", "rule", "heuristic", "none"]

_CLOCK_STEP: Final = 5.0  # seconds by which a clock may be set back without a word

_NO_WORD: Final[tuple[Source, None]] = ("none", None)


class Terms(NamedTuple):
    """What may be done with a stored response under these options and this rule, and until when.

    ``born``, ``fresh_until`` and ``while_revalidating_until`` are epoch seconds, ``lifetime`` and
    ``stale_if_error`` seconds. ``explicit``: the lifetime is the origin's or a rule's word;
    ``source`` says which. ``validate``: reuse needs validation even while fresh.
    ``stale_forbidden``: no reuse after ``fresh_until`` without it, whatever a request or a
    default says (§4.2.4).
    """

    options: Options
    rule: Rule | None
    directives: ResponseDirectives
    born: float
    lifetime: float
    source: Source
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
    directives = parse_response_directives(stored.head.fields, options.freshness.targeted)
    times = (stored.request_time, stored.response_time)
    made = agreed(stored.head, directives, stored.personal, times, (options, rule))
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
    if known is None:
        since = _born(stored.head.fields, stored.request_time, stored.response_time)
    else:
        since = known.born
    # A clock that was set back must not make anything younger than it was on arrival.
    return max(now, stored.response_time) - since


def came_later(stored: StoredResponse, now: float) -> bool:
    """Whether the clock was ahead when the response came: then nobody knows its age."""
    return stored.response_time > now + _CLOCK_STEP


def date(stored: StoredResponse) -> float:
    """Date in epoch seconds; the time of receipt when there is no valid one (RFC 9110 §6.6.1)."""
    return _date(stored.head.fields, stored.response_time)


def agreed(
    head: ResponseHead,
    directives: ResponseDirectives,
    personal: bool,
    times: tuple[float, float],
    settings: tuple[Options, Rule | None],
) -> Terms:
    """The terms of a response with the ``head`` that is stored, or would be.

    ``directives`` are those of ``head``; ``times`` are those of request and response.
    """
    options, rule = settings
    fields, received = head.fields, times[1]
    ruled = rule is not None and rule.override and head.status in _RULED_STATUSES
    source, seconds = _NO_WORD if ruled else _origin_lifetime(fields, directives, received)
    if seconds is None and rule is not None and head.status in _RULED_STATUSES:
        source, seconds = "rule", rule.freshness
    explicit = seconds is not None
    if seconds is None:
        seconds = 0.0 if personal else _heuristic_lifetime(head, directives, options, received)
        source = "heuristic" if seconds else "none"
    since = _born(fields, *times)
    forbidden = not ruled and _stale_forbidden(directives)
    window = 0.0 if forbidden else _stale_while_revalidate(personal, directives, options)
    until = since + seconds
    return Terms(
        options,
        rule,
        directives,
        since,
        seconds,
        source,
        explicit,
        directives.no_cache and not ruled,
        forbidden,
        until,
        until + window,
        _stale_if_error(head.status, personal, directives, options, rule),
    )


def _date(fields: Fields, received: float) -> float:
    said = parse_date(fields.get("date") or "", received)
    return received if said is None else said


def _origin_lifetime(
    fields: Fields, directives: ResponseDirectives, received: float
) -> tuple[Source, float | None]:
    """§4.2.1: s-maxage wins in a shared cache, then max-age, then Expires less Date."""
    if directives.s_maxage is not None:
        return "s-maxage", directives.s_maxage
    if directives.max_age is not None:
        return "max-age", directives.max_age
    # RFC 9213 §2.2: where a targeted field is used, Expires is not.
    if directives.targeted or (said := fields.get("expires")) is None:
        return _NO_WORD
    expires = parse_date(said, received)
    # §5.3: an invalid date, 0 above all, is a time in the past.
    seconds = 0.0 if expires is None else max(0.0, expires - _date(fields, received))
    return "expires", seconds


def _heuristic_lifetime(
    head: ResponseHead, directives: ResponseDirectives, options: Options, received: float
) -> float:
    """§4.2.2. Never without Last-Modified, and never for what one client's credentials shaped."""
    if not (directives.public or head.status in HEURISTIC_STATUSES):
        return 0.0
    modified = parse_date(head.fields.get("last-modified") or "", received)
    if modified is None:
        return 0.0
    seconds = (_date(head.fields, received) - modified) * options.freshness.heuristic_fraction
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
    personal: bool,
    directives: ResponseDirectives,
    options: Options,
) -> float:
    """RFC 5861 §3, or the default."""
    if directives.stale_while_revalidate is not None:
        return directives.stale_while_revalidate
    return 0.0 if personal else options.freshness.stale_while_revalidate


def _stale_if_error(
    status: int,
    personal: bool,
    directives: ResponseDirectives,
    options: Options,
    rule: Rule | None,
) -> float:
    """RFC 5861 §4, or the default, the rule's before the general one.

    No default for what one client's credentials may have shaped. Nothing at all for an error: it
    says no more than a newer one.
    """
    if status >= 400:
        return 0.0
    if directives.stale_if_error is not None:
        return directives.stale_if_error
    if personal:
        return 0.0
    if rule is not None and rule.stale_if_error is not None:
        return rule.stale_if_error
    return options.freshness.stale_if_error


def _born(fields: Fields, requested: float, received: float) -> float:
    return born(_date(fields, received), age_value(fields), requested, received)


def born(date_value: float, age_value: int, requested: float, received: float) -> float:
    """§4.2.3: the moment of receipt less the corrected initial age; all in (epoch) seconds."""
    apparent_age = max(0.0, received - date_value)
    response_delay = max(0.0, received - requested)
    return received - max(apparent_age, age_value + response_delay)


def age_value(fields: Fields) -> int:
    """§5.1: of several members the first counts; what is no delta-seconds is ignored."""
    if "age" not in fields:
        return 0
    members = list_members(fields.all("age")[0])
    return (delta_seconds(members[0]) or 0) if members else 0
