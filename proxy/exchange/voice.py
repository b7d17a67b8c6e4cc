"""How the proxy speaks of itself in messages: Via, Age, Cache-Status, X-Cache. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.policy.reasons import HITS, Reason
from proxy.semantics.fields import Fields
from proxy.semantics.messages import ResponseHead
from proxy.semantics.status_fields import cache_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.policy.freshness import Terms
    from proxy.semantics.fields import Line
    from proxy.semantics.status_fields import Fwd

# RFC 9211 §2.2: the word after fwd= that each reason for forwarding falls under.
_FORWARDED: Final[Mapping[Reason, Fwd]] = {
    Reason.MISS: "uri-miss",
    Reason.VARY_MISS: "vary-miss",
    Reason.EXPIRED: "stale",
    Reason.INVALIDATED: "stale",
    Reason.MUST_REVALIDATE: "stale",
    Reason.REVALIDATED: "stale",
    Reason.STALE_IF_ERROR: "stale",
    Reason.PARTIAL_MISS: "partial",
    Reason.REQUEST_NO_CACHE: "request",
    Reason.REQUEST_MAX_AGE: "request",
    Reason.REQUEST_MIN_FRESH: "request",
    Reason.REQUEST_PRECONDITION: "request",
    Reason.METHOD: "method",
    Reason.NOT_STORED_METHOD: "method",
    Reason.DAMAGED: "miss",
}
_SAID: Final = frozenset({Reason.HIT, Reason.MISS, Reason.VARY_MISS, Reason.METHOD})


class Forwarded(NamedTuple):
    """What was asked of the origin: why, what it answered (0: nothing), was it stored."""

    why: Reason
    status: int = 0
    stored: bool = False
    collapsed: bool = False


@dataclass(frozen=True, slots=True)
class Voice:
    """``pseudonym`` is our received-by in Via, unique to this instance (RFC 9110 §7.6.3)."""

    pseudonym: str
    x_cache: bool = False

    def of_stored(  # noqa: PLR0913 - each says one thing about the answer
        self,
        status: int,
        phrase: str,
        lines: tuple[Line, ...],
        *,
        terms: Terms,
        now: float,
        reason: Reason,
        asked: Forwarded | None = None,
    ) -> ResponseHead:
        """A head made from a stored response: Age, and whether it was asked for anew."""
        kept = [line for line in lines if line[0].lower() != "age"]
        kept.append(("Age", str(max(0, int(now - terms.born)))))
        kept.extend(self.says(reason, asked, terms.fresh_until - now))
        return ResponseHead(status, phrase, Fields(kept))

    def of_origin(
        self, status: int, phrase: str, lines: tuple[Line, ...], reason: Reason, asked: Forwarded
    ) -> ResponseHead:
        """A head that came from the origin just now."""
        return ResponseHead(status, phrase, Fields((*lines, *self.says(reason, asked, None))))

    def of_own(self, head: ResponseHead, reason: Reason) -> ResponseHead:
        """A head of our own making."""
        return ResponseHead(head.status, head.reason, head.fields.adding(*self.says(reason, None)))

    def says(self, reason: Reason, asked: Forwarded | None, ttl: float | None = None) -> list[Line]:
        """What is added to every answer; ``ttl`` in seconds, None if nothing is stored."""
        lines = [
            (
                "Cache-Status",
                cache_status(
                    hit=asked is None and reason in HITS,
                    forward=None if asked is None else _FORWARDED.get(asked.why, "bypass"),
                    forward_status=asked.status or None if asked is not None else None,
                    stored=asked is not None and asked.stored,
                    collapsed=asked is not None and asked.collapsed,
                    ttl=ttl,
                    detail=None if reason in _SAID else reason.value,
                ),
            )
        ]
        if self.x_cache:
            lines.append(("X-Cache", "HIT" if reason in HITS else "MISS"))
        return lines
