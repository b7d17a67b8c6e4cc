"""Preconditions (RFC 9110 §13), evaluated against a response at hand in the order of §13.2.2.

If-Range is a matter of ``proxy.semantics.ranges``; If-Match and If-Unmodified-Since are the
origin's (RFC 9111 §4.3.2).
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


_PRECONDITIONS: Final = frozenset({"if-none-match", "if-modified-since"})

Evaluation = Proceed | NotModified

_PROCEED: Final = Proceed()
_NOT_MODIFIED: Final = NotModified()


def evaluate(request: Request, head: ResponseHead, now: float) -> Evaluation:
    """What the request's preconditions make of the answer ``head``; ``now`` in epoch seconds."""
    asked = request.fields
    if _PRECONDITIONS.isdisjoint(asked.names()):
        return _PROCEED
    # RFC 9110 §13.2.1: they do not apply to what would not be a success. What another method
    # made their origin do has been done.
    if request.method not in {"GET", "HEAD"} or not 200 <= head.status < 300:
        return _PROCEED
    if (tags := asked.get("if-none-match")) is not None:
        return _NOT_MODIFIED if _any_matches_weakly(tags, head.fields) else _PROCEED
    since = asked.get("if-modified-since") or ""
    return _NOT_MODIFIED if _unmodified_since(since, head.fields, now) else _PROCEED


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
