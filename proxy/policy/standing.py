"""How a request stands before the cache: all that depends on it and on the options alone.

Worked out once per request and remembered on it, as clients repeat themselves and every decision
about a request asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from proxy.policy import keys, rules
from proxy.policy.directives import parse_request_directives
from proxy.policy.reasons import Reason

if TYPE_CHECKING:
    from proxy.policy.directives import RequestDirectives
    from proxy.policy.options import Options
    from proxy.policy.rules import Rule
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import Request


class Standing(NamedTuple):
    """``key`` is the primary one; ``beyond`` is that of ``keys``.

    ``passes_by``: why a GET or HEAD is not answered from the cache. ``authorized``: it carries
    Authorization; ``personal``: that or Cookie.
    """

    options: Options
    rule: Rule | None
    key: str
    directives: RequestDirectives
    beyond: Reason | None
    passes_by: Reason | None
    authorized: bool
    personal: bool


def standing(request: Request, options: Options) -> Standing:
    """The standing of the request under these options."""
    known: Standing | None = getattr(request, "_standing", None)
    if known is not None and known.options is options:
        return known
    made = _standing(request, options)
    object.__setattr__(request, "_standing", made)
    return made


def _standing(request: Request, options: Options) -> Standing:
    rule = rules.first(options.rules, request.uri)
    directives = parse_request_directives(request.fields)
    passes_by = beyond = keys.beyond(request, options)
    if beyond is None and rule is not None and not rule.cache:
        passes_by = Reason.RULE_NO_CACHE
    elif beyond is None and directives.no_store:
        passes_by = Reason.REQUEST_NO_STORE
    elif beyond is None and _is_for_the_origin_to_judge(request.fields):
        passes_by = Reason.REQUEST_PRECONDITION
    authorized = "authorization" in request.fields
    personal = authorized or "cookie" in request.fields
    key = keys.primary(request.uri, rule)
    return Standing(options, rule, key, directives, beyond, passes_by, authorized, personal)


def _is_for_the_origin_to_judge(fields: Fields) -> bool:
    """RFC 9111 §4.3.2: preconditions that a cache does not evaluate."""
    return "if-match" in fields or "if-unmodified-since" in fields
