"""What happened in one exchange: the only thing that observers see.

A tuple of atoms: it is made for each hit, and counted by column.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from proxy.policy.reasons import Reason  # noqa: TC001 - msgspec reads the types of a record


class ExchangeRecord(NamedTuple):
    """One finished exchange. ``start`` in seconds since the epoch, ``elapsed`` in seconds.

    ``target`` is the target URI, or authority for CONNECT, or the raw request-target if it was
    not understood. ``sent`` counts the octets of head and body given to the client.
    ``forward_status`` is the origin's status, 0 if it was not asked; ``peer`` names who was asked.
    ``id`` is what the answer said that this exchange is called, "" if it did not. ``asked`` are the
    seconds from asking the origin to the head of its response, 0 if it was not asked for this one.
    """

    start: float
    elapsed: float
    client: str
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


def of_hit(start: float, client: str, rest: tuple[Any, ...]) -> ExchangeRecord:
    """The record of a hit; ``rest`` is all after ``client``, the same for many of them."""
    # Spelled out it would cost three times as much.
    return _new(ExchangeRecord, (start, 0.0, client) + rest)  # noqa: RUF005


_new: Final = tuple.__new__
Observer = Callable[[ExchangeRecord], None]
