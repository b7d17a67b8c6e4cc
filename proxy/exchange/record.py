"""What happened in one exchange: the only thing that observers see.

Userinfo is taken out, and texts are cut, when a record is made: no log, page or program that reads
records has to think of it, and none can forget it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import force_setattr

from proxy.policy.reasons import Reason

LONGEST: Final = 8192  # octets of a target
_LONGEST_OTHER: Final = 2048
_EACH: Final = 350  # octets of a record beside its texts
_OTHERS: Final = ("method", "content_type", "referer", "user_agent", "id")
# An authority, with or without a scheme before it, or a path: what an "@" may come after.
_BEFORE: Final = re.compile(
    r"(?:(?:[A-Za-z][A-Za-z0-9+.-]*:)?//)?(?:[^/?#@]*[^/?#@:][/?#]|(?<!/)/(?!/))"
)
_SCHEME: Final = re.compile(r"((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)[^/?#]*@")


class What(Struct, frozen=True, cache_hash=True, array_like=True, gc=False):
    """What was asked and how it was answered: one value for all repetitions of a hit.

    Nothing is then worked out twice about them, nor touched: they are counted, not read.

    ``target`` is the target URI, or authority for CONNECT, or the raw request-target if it was
    not understood. ``sent`` counts the octets of head and body given to the client.
    ``forward_status`` is the origin's status, 0 if it was not asked; ``peer`` names who was asked.
    ``id`` is what the answer said that this exchange is called, "" if it did not. ``asked`` are the
    seconds from asking the origin to the head of its response, 0 if it was not asked for this one.
    Texts are without userinfo (RFC 3986 §3.2.1), and cut: a target to ``LONGEST``.
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

    def __post_init__(self) -> None:
        if "@" in self.target:
            refused = self.reason is Reason.BAD_REQUEST
            force_setattr(self, "target", _without_userinfo(self.target, refused=refused))
        if "@" in self.referer:
            force_setattr(self, "referer", _without_userinfo(self.referer, refused=False))
        length = len(self.target) + len(self.referer) + len(self.user_agent)
        if length + len(self.content_type) + len(self.method) > _LONGEST_OTHER:
            force_setattr(self, "target", self.target[:LONGEST])
            for name in _OTHERS:
                force_setattr(self, name, getattr(self, name)[:_LONGEST_OTHER])

    @property
    def octets(self) -> int:
        """What it takes in memory, nearly."""
        texts = len(self.target) + len(self.referer) + len(self.user_agent) + len(self.method)
        return _EACH + texts + len(self.content_type) + len(self.peer)


def _without_userinfo(text: str, *, refused: bool) -> str:
    """A refused target follows no grammar: all up to its last "@" may be userinfo."""
    if refused:
        return text.rpartition("@")[2]
    if match := _SCHEME.match(text):
        return match[1] + text[match.end() :]
    # Where no authority can be told from a path, none is.
    return text if _BEFORE.match(text) else text.rpartition("@")[2]


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
