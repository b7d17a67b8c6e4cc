"""Preconditions (RFC 9110 §13), evaluated against a response at hand in the order of §13.2.2.

If-Range is a matter of ``proxy.semantics.ranges``. A cache may leave If-Match and
If-Unmodified-Since to the origin (RFC 9111 §4.3.2): to forward on ``Failed`` is always right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.semantics.dates import parse_date
from proxy.semantics.validators import entity_tag, parse_etags

if TYPE_CHECKING:
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import Request, ResponseHead


@dataclass(frozen=True, slots=True)
class Proceed:
    """Answer as if there had been no precondition."""


@dataclass(frozen=True, slots=True)
class NotModified:
    """Answer 304: the client has it already."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Answer 412: the client wanted another state than this."""


_PRECONDITIONS: Final = frozenset(
    {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"}
)

Evaluation = Proceed | NotModified | Failed

_PROCEED: Final = Proceed()
_NOT_MODIFIED: Final = NotModified()
_FAILED: Final = Failed()


def evaluate(request: Request, head: ResponseHead, now: float) -> Evaluation:
    """What the request's preconditions make of the answer ``head``; ``now`` in epoch seconds."""
    asked = request.fields
    if _PRECONDITIONS.isdisjoint(asked.names()):
        return _PROCEED
    # RFC 9110 §13.2.1: they do not apply to what would not be a success.
    if not 200 <= head.status < 300:
        return _PROCEED
    if not _is_the_state_wanted(asked, head.fields, now):
        return _FAILED
    reading = request.method in {"GET", "HEAD"}
    if (tags := asked.get("if-none-match")) is not None:
        if not _any_matches_weakly(tags, head.fields):
            return _PROCEED
        return _NOT_MODIFIED if reading else _FAILED
    if reading and (since := asked.get("if-modified-since")) is not None:
        return _NOT_MODIFIED if _unmodified_since(since, head.fields, now) else _PROCEED
    return _PROCEED


def _is_the_state_wanted(asked: Fields, held: Fields, now: float) -> bool:
    """Steps 1 and 2: If-Match, and only without it If-Unmodified-Since."""
    if (tags := asked.get("if-match")) is not None:
        return tags == "*" or _any_matches_strongly(tags, held)
    if (date := asked.get("if-unmodified-since")) is None:
        return True
    since, modified = parse_date(date, now), parse_date(held.get("last-modified") or "", now)
    # §13.1.4: without two valid dates there is no condition.
    return since is None or modified is None or modified <= since


def _any_matches_strongly(tags: str, held: Fields) -> bool:
    tag = entity_tag(held)
    return tag is not None and any(map(tag.matches_strongly, parse_etags(tags) or ()))


def _any_matches_weakly(tags: str, held: Fields) -> bool:
    """§13.1.2; a list that is not one matches nothing, so the client gets everything."""
    if tags == "*":
        return True
    tag = entity_tag(held)
    if tag is None:
        return False
    # Most lists are the one tag that we have sent.
    if tags == held.get("etag"):
        return True
    return any(map(tag.matches_weakly, parse_etags(tags) or ()))


def _unmodified_since(since: str, held: Fields, now: float) -> bool:
    # RFC 9111 §4.3.2: a stored response without Last-Modified is as old as its Date.
    known = held.get("last-modified") or held.get("date") or ""
    modified, asked = parse_date(known, now), parse_date(since, now)
    return modified is not None and asked is not None and modified <= asked
