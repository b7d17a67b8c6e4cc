"""What to do with a request, given what is stored under its key (RFC 9111 §4).

The answer is one arm of ``Decision`` and carries what its handler needs next. All times are epoch
seconds. ``until``: the same decision stands for the same request and the same stored responses
before that moment, so that it may be remembered. Named tuples: one or two are made per request,
and a frozen dataclass costs three times as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.policy import freshness, keys, partial, revalidation
from proxy.policy.reasons import Reason
from proxy.policy.standing import standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.policy.directives import RequestDirectives
    from proxy.policy.freshness import Terms
    from proxy.policy.options import Options
    from proxy.policy.partial import Missing
    from proxy.policy.standing import Standing
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import Request


class Serve(NamedTuple):
    """Answer from the stored response. ``fresh_until`` may be past for ``STALE_ALLOWED``."""

    stored: StoredResponse
    reason: Reason
    until: float
    fresh_until: float


class ServeAndRevalidate(NamedTuple):
    """Answer from the stale stored response, and validate it behind the answer (RFC 5861 §3).

    An error before ``on_error_until`` leaves it as it is.
    """

    stored: StoredResponse
    conditional: Fields
    until: float
    fresh_until: float
    on_error_until: float


class Revalidate(NamedTuple):
    """Ask the origin with ``conditional`` instead of the client's own preconditions.

    ``conditional`` is empty when nothing has a validator: then the client's are as good as any.
    If the origin cannot be reached or answers 5xx before ``on_error_until``, the stored response
    may be the answer.
    """

    stored: StoredResponse
    conditional: Fields
    reason: Reason
    on_error_until: float


class Complete(NamedTuple):
    """Ask for the ``missing`` octets, join them with the stored part, answer from both (§3.4)."""

    stored: StoredResponse
    missing: Missing
    reason: Reason = Reason.PARTIAL_MISS


class Forward(NamedTuple):
    """Nothing stored helps: ask the origin what the client asks."""

    reason: Reason


class Refuse(NamedTuple):
    """Answer with an error of our own."""

    status: int
    reason: Reason


Decision = Serve | ServeAndRevalidate | Revalidate | Complete | Forward | Refuse


_MISS: Final = Forward(Reason.MISS)
FAILING: Final = frozenset({500, 502, 503, 504})  # RFC 5861 §4
_VALIDATING: Final = frozenset({"if-none-match", "if-modified-since"})
_UNLIMITED: Final = float("inf")


def decide(
    request: Request,
    found: Sequence[StoredResponse],
    now: float,
    options: Options,
    stands: Standing | None = None,
) -> Decision:
    """What to do with ``request``; ``found`` is all that is stored under its primary key.

    ``stands`` is the request's own standing, or another one to see what that would change.
    """
    if request.method not in {"GET", "HEAD"}:
        return Forward(Reason.METHOD)
    if stands is None:
        stands = standing(request, options)
    asked = stands.directives
    decision: Decision
    if stands.passes_by is not None:
        decision = Forward(stands.passes_by)
    elif not found:
        decision = _MISS
    elif (stored := select(request, found)) is None:
        decision = _ask_for_variant(request, found)
    elif stored.part is not None and not partial.answers(stored, stored.part, request, now):
        gap = partial.missing(stored, stored.part, request)
        decision = Forward(Reason.PARTIAL_MISS) if gap is None else Complete(stored, gap)
    else:
        terms = freshness.terms(stored, options, stands.rule)
        reason, until = _weigh(stored, terms, asked, now)
        if reason is Reason.HIT or reason is Reason.STALE_ALLOWED:
            return Serve(stored, reason, until, terms.fresh_until)
        conditional = revalidation.conditional(found, stored)
        if reason is Reason.STALE_WHILE_REVALIDATE:
            spared = stored.head.status < 400
            spared_until = _on_error_until(terms, asked, _UNLIMITED) if spared else 0.0
            return ServeAndRevalidate(stored, conditional, until, terms.fresh_until, spared_until)
        decision = _ask(stored, conditional, reason, until, now)
    # §5.2.1.7.
    return Refuse(504, Reason.ONLY_IF_CACHED) if asked.only_if_cached else decision


def never_stale(request: Request, found: Sequence[StoredResponse], options: Options) -> bool:
    """Whether what is stored for this request may not be used without its origin (§4.2.4).

    Where that is out of reach, the answer is a 504 then (§5.2.2.2).
    """
    stands = standing(request, options)
    stored = None if stands.passes_by is not None else select(request, found)
    return stored is not None and freshness.terms(stored, options, stands.rule).stale_forbidden


def outlives_errors(
    request: Request, found: Sequence[StoredResponse], now: float, options: Options
) -> bool:
    """Whether an error has to leave alone what is stored for this request (RFC 5861 §4).

    Whoever wants nothing old may see the error; it is not to be what others see.
    """
    stored = select(request, found)
    if stored is None or stored.invalid:
        return False
    terms = freshness.terms(stored, options, standing(request, options).rule)
    return not terms.stale_forbidden and now < terms.fresh_until + terms.stale_if_error


def _ask_for_variant(request: Request, found: Sequence[StoredResponse]) -> Revalidate | Forward:
    """§4.1: the origin may say that one of the others is what this request gets.

    Not where the client has one of its own to ask about: that one is as likely to be current.
    """
    conditional = revalidation.conditional_for_variant(found, request)
    if not conditional or not _VALIDATING.isdisjoint(request.fields.names()):
        return Forward(Reason.VARY_MISS)
    return Revalidate(found[0], conditional, Reason.VARY_MISS, on_error_until=0.0)


def shared(
    request: Request,
    offered: Sequence[StoredResponse],
    now: float,
    options: Options,
    *,
    early: bool = False,
) -> StoredResponse | None:
    """Which of those that another request has fetched or validated this one may have.

    ``early``: it waited for the head, so that whatever has come is new enough.
    """
    decision = decide(request, offered, now, options)
    if isinstance(decision, Serve):
        return decision.stored
    stored = select(request, offered) if early else None
    # A part answers those only whose octets it has, which was to be decided.
    if stored is None or stored.part is not None:
        return None
    # §5.2.2.4: no-cache is not for others, however early they came.
    terms = freshness.terms(stored, options, standing(request, options).rule)
    return None if terms.validate else stored


def asked_since(asked: RequestDirectives, now: float) -> float:
    """When the origin must have been asked, at the earliest, for an answer still on its way.

    §5.2.1.4: no-cache takes none that was asked for before it; §5.2.1.1: max-age none that may be
    older than that.
    """
    if asked.no_cache:
        return _UNLIMITED
    return 0.0 if asked.max_age is None else now - asked.max_age


def select(request: Request, found: Sequence[StoredResponse]) -> StoredResponse | None:
    """§4.1: of those whose selecting fields match, the most recent by Date."""
    matching = [s for s in found if not s.selecting or keys.selects(s, request)]
    if len(matching) < 2:
        return matching[0] if matching else None
    return max(matching, key=freshness.date)


def _weigh(
    stored: StoredResponse, terms: Terms, asked: RequestDirectives, now: float
) -> tuple[Reason, float]:
    """The reason to serve, and until when; or to validate, and until when an error changes that."""
    # §4.4, §5.2.1.4, §5.2.2.4: without validation never, not even after an error.
    if stored.invalid:
        return Reason.INVALIDATED, 0.0
    if asked.no_cache:
        return Reason.REQUEST_NO_CACHE, 0.0
    if terms.validate:
        return Reason.MUST_REVALIDATE, 0.0
    if stored.response_time > now and freshness.came_later(stored, now):
        return Reason.EXPIRED, 0.0
    old_at = _UNLIMITED if asked.max_age is None else terms.born + asked.max_age
    if now < terms.fresh_until:
        return _weigh_fresh(terms, asked, now, old_at)
    return _weigh_stale(terms, asked, now, old_at)


def _weigh_fresh(
    terms: Terms, asked: RequestDirectives, now: float, old_at: float
) -> tuple[Reason, float]:
    if now > old_at:
        return Reason.REQUEST_MAX_AGE, _on_error_until(terms, asked, old_at)
    fresh_enough_until = terms.fresh_until - asked.min_fresh
    if now >= fresh_enough_until:
        return Reason.REQUEST_MIN_FRESH, _on_error_until(terms, asked, old_at)
    return Reason.HIT, min(fresh_enough_until, old_at)


def _weigh_stale(
    terms: Terms, asked: RequestDirectives, now: float, old_at: float
) -> tuple[Reason, float]:
    if not terms.stale_forbidden and not asked.min_fresh and now <= old_at:
        # §5.2.1.1: with max-age, staleness must be asked for by max-stale.
        tolerant = asked.max_age is None or asked.max_stale
        if tolerant and now < terms.while_revalidating_until:
            return Reason.STALE_WHILE_REVALIDATE, min(terms.while_revalidating_until, old_at)
        stale_until = terms.fresh_until + asked.max_stale
        if now < stale_until:
            return Reason.STALE_ALLOWED, min(stale_until, old_at)
    return Reason.EXPIRED, _on_error_until(terms, asked, old_at)


def _on_error_until(terms: Terms, asked: RequestDirectives, old_at: float) -> float:
    """RFC 5861 §4: the origin's word or the request's, the longer one; neither: the default.

    Who says how old it may be (§5.2.1.1), and nothing of errors, would rather see them.
    """
    window = 0.0 if terms.stale_forbidden else terms.stale_if_error
    if asked.stale_if_error is None:
        return min(terms.fresh_until + window, old_at)
    if not terms.stale_forbidden:
        said = terms.directives.stale_if_error
        window = asked.stale_if_error if said is None else max(said, asked.stale_if_error)
    return terms.fresh_until + window


def _ask(
    stored: StoredResponse, conditional: Fields, reason: Reason, on_error_until: float, now: float
) -> Revalidate | Forward:
    if stored.head.status >= 400:
        on_error_until = 0.0  # an error says no more than a newer one
    if conditional or now < on_error_until:
        return Revalidate(stored, conditional, reason, on_error_until)
    return Forward(reason)
