"""What happened in one exchange: the only thing that observers see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import Struct

from proxy.policy.reasons import Reason  # noqa: TC001 - msgspec reads the types of a record


class What(Struct, frozen=True, cache_hash=True, array_like=True, gc=False):
    """What was asked and how it was answered: one value for all repetitions of a hit.

    Nothing is then worked out twice about them, nor touched: they are counted, not read.

    ``target`` is the target URI, or authority for CONNECT, or the raw request-target if it was
    not understood. ``sent`` counts the octets of head and body given to the client.
    ``forward_status`` is the origin's status, 0 if it was not asked; ``peer`` names who was asked.
    ``id`` is what the answer said that this exchange is called, "" if it did not. ``asked`` are the
    seconds from asking the origin to the head of its response, 0 if it was not asked for this one.
    """

    method: str
    target: str
    minor: int
    status: int
    sent: int
    reason: Reason
    content_type: str = "-"
    forward_status: int = 0
    peer: str = "-"
    referer: str = "-"
    user_agent: str = "-"
    aborted: bool = False
    id: str = ""
    asked: float = 0.0


class ExchangeRecord(NamedTuple):
    """One finished exchange. ``start`` in seconds since the epoch, ``elapsed`` in seconds."""

    start: float
    elapsed: float
    client: str
    what: What


def of_hit(start: float, client: str, what: What, elapsed: float = 0.0) -> ExchangeRecord:
    """The record of an answer that was ready."""
    # The constructor of a named tuple would cost three times as much.
    return _new(ExchangeRecord, (start, elapsed, client, what))


_new: Final = tuple.__new__
Observer = Callable[[ExchangeRecord], None]
