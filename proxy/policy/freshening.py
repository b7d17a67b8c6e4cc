"""What an answer of the origin makes of what is stored under a key (RFC 9111 §4.3.3 to §4.3.5)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.policy import reuse, revalidation, storing
from proxy.policy.standing import standing
from proxy.semantics.fields import NO_FIELDS, Fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.policy.options import Options
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.messages import Request, ResponseHead

_AUTHORIZED: Final = ("authorization",)
_PERSONAL: Final = ("authorization", "cookie")
# Answers to a validation which say that the representation is another one now, or none.
_FULL: Final = frozenset({200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 410})


class Freshening(NamedTuple):
    """``answer`` is what this request gets, ``current`` what others may get as well.

    Of those ``news`` are worth writing down; ``gone`` are the ids of what may not stay.
    """

    answer: StoredResponse
    current: tuple[StoredResponse, ...]
    news: tuple[StoredResponse, ...]
    gone: frozenset[str] = frozenset()


def by_not_modified(
    found: Sequence[StoredResponse],
    request: Request,
    head: ResponseHead,
    times: tuple[float, float],
    options: Options,
) -> Freshening | None:
    """Of a 304 with this ``head``; None: it is about nothing that is stored (§4.3.4).

    ``times`` are those of request and response, in epoch seconds.
    """
    changed = tuple(
        revalidation.freshened(stored, head, request, options, *times)
        for stored in revalidation.selected(found, request, head)
    )
    if not changed:
        return None
    before, rule = {stored.id: stored for stored in found}, standing(request, options).rule
    news = {
        stored.id
        for stored in changed
        if revalidation.is_news(before[stored.id], stored, options, rule, times[1])
    }
    current, gone = changed, frozenset[str]()  # judged when it was stored
    if news or "authorization" in request.fields:
        current, gone = _judged(changed, request, times[1], options)
    # The origin may have chosen a variant that this request would not have selected.
    answer = reuse.select(request, changed) or changed[0]
    return Freshening(answer, current, tuple(one for one in current if one.id in news), gone)


def by_unstored(
    found: Sequence[StoredResponse],
    request: Request,
    head: ResponseHead,
    times: tuple[float, float],
    options: Options,
    *,
    validating: bool,
) -> Freshening | None:
    """Of any other response that is not stored; None: nothing.

    ``validating``: the request has nominated what is stored, which is not current then (§4.3.3).
    What credentials were given is about their owner alone, unless it is said to be for all (§3.5).
    So is what HEAD was told with cookies, where GET would have got something of his own.
    """
    stored = reuse.select(request, found)
    by = _PERSONAL if request.method == "HEAD" else _AUTHORIZED
    if stored is None or not _is_for_all(request, head, times[1], options, by):
        return None
    if request.method == "HEAD":
        return _by_head(stored, request, head, times, options)
    if validating and request.method == "GET" and head.status in _FULL:
        return _invalid(stored)
    return None


def _by_head(
    stored: StoredResponse,
    request: Request,
    head: ResponseHead,
    times: tuple[float, float],
    options: Options,
) -> Freshening | None:
    """HEAD freshens a stored GET or shows that it has changed (§4.3.5)."""
    if head.status != 200:
        return None
    if head.fields.get("content-encoding") != stored.head.fields.get("content-encoding"):
        return None  # this client's coding is another: not a word about the representation held
    changed = revalidation.head_update(stored, head, request, options, *times)
    if changed.invalid:
        return _invalid(stored)
    current, gone = _judged((changed,), request, times[1], options)
    return Freshening(changed, current, current, gone)


def _invalid(stored: StoredResponse) -> Freshening:
    changed = replace(stored, invalid=True)
    return Freshening(changed, (), (changed,))


def _judged(
    changed: Sequence[StoredResponse], request: Request, now: float, options: Options
) -> tuple[tuple[StoredResponse, ...], frozenset[str]]:
    """Those that may stay, and the ids of those that must go: §3 asked of the new heads.

    What goes, goes for what its head says, and not for who asked.
    """
    anybody = replace(request, method="GET", fields=NO_FIELDS)
    staying, leaving = [], set()
    for stored in changed:
        if isinstance(storing.may_store(anybody, stored.head, now, options), storing.DoNotStore):
            leaving.add(stored.id)
        elif _is_for_all(request, stored.head, now, options):
            staying.append(stored)
        # Else: freshened for this client alone, what is stored stays as old as it was.
    return tuple(staying), frozenset(leaving)


def _is_for_all(
    request: Request,
    head: ResponseHead,
    now: float,
    options: Options,
    by: tuple[str, ...] = _AUTHORIZED,
) -> bool:
    """Whether credentials ``by`` which it may be judged do not keep the response from others."""
    given = [(name, "") for name in by if name in request.fields]
    if not given:
        return True
    known = replace(request, method="GET", fields=Fields(given))
    return isinstance(storing.may_store(known, head, now, options), storing.Store)
