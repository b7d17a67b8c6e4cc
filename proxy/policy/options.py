"""What a person may decide about caching: the ``[cache]`` table, its ``freshness``, the rules.

Plain values only; names and defaults are the configuration contract.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from proxy.semantics.units import Octets, Seconds

if TYPE_CHECKING:
    from proxy.policy.rules import Rule

_DAY: Final = Seconds(86400.0)
_NONE: Final = Seconds(0.0)

# What origins reflect into responses without naming it in Vary. X-Forwarded-For is not among
# them: every proxy between a client and us adds it, and hardly an origin reflects it.
UNKEYED_FIELDS: Final = (
    "Forwarded",
    "X-Forwarded-Host",
    "X-Forwarded-Path",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-SSL",
    "X-Host",
    "X-HTTP-Host-Override",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "X-Original-Host",
    "X-Original-URL",
    "X-Rewrite-URL",
)


class SetCookie(StrEnum):
    """When a response with Set-Cookie may be stored."""

    EXPLICIT = "explicit"  # only if public or s-maxage says that it is for everybody
    RFC = "rfc"  # as RFC 9111 §7.3 allows: like any other
    NEVER = "never"


class Errors(StrEnum):
    """When a response with a status of 4xx or 5xx may be stored."""

    EXPLICIT = "explicit"  # if the origin says for how long, or RFC 9110 §15.1 lists the status
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class FreshnessOptions:
    """``[cache.freshness]``: what holds where the origin is silent (RFC 9111 §4.2).

    ``heuristic_fraction`` of the time since Last-Modified, up to ``heuristic_max``. The stale
    windows are defaults for responses that forbid nothing (RFC 5861). ``targeted`` names fields
    such as CDN-Cache-Control, the most specific first (RFC 9213).
    """

    heuristic_fraction: float = 0.1
    heuristic_max: Seconds = _DAY
    stale_if_error: Seconds = _DAY
    stale_while_revalidate: Seconds = _NONE
    targeted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """``[cache]``, as far as it is about decisions. The first of ``rules`` that matches wins.

    A request with one of ``unkeyed_fields`` neither reads nor writes the cache.
    ``response_head``: octets of fields that a stored response may have, part of ``[upstream]``.
    """

    set_cookie: SetCookie = SetCookie.EXPLICIT
    errors: Errors = Errors.EXPLICIT
    unkeyed_fields: tuple[str, ...] = UNKEYED_FIELDS
    response_head: Octets = Octets(64 * 2**10)
    freshness: FreshnessOptions = field(default_factory=FreshnessOptions)
    rules: tuple[Rule, ...] = ()
