"""What a request head says, remembered by its exact octets: clients repeat themselves.

What is remembered depends on those octets, on the CONNECT that they came through and on the
configuration, and on nothing else; a reload makes a new ``Hearing``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.frontend.reception import Exchanged, receive
from proxy.wire.framing import NO_BODY, Sized, keeps_alive, request_framing
from proxy.wire.heads import parse_request

if TYPE_CHECKING:
    from proxy.access.rules import Rules
    from proxy.frontend.reception import Reception
    from proxy.semantics.messages import RequestHead
    from proxy.semantics.targets import Origin
    from proxy.wire.framing import Framing
    from proxy.wire.heads import Limits

ENTRIES: Final = 2048
OCTETS: Final = 2048  # of a head that is worth remembering
_EMPTY: Final = Sized(0)  # some clients say so with every GET


class Heard(NamedTuple):
    """``keep``: the client wants the connection to go on after the answer."""

    head: RequestHead
    framing: Framing
    reception: Reception
    keep: bool


class Hearing:
    """Parses request heads."""

    def __init__(self, limits: Limits, rules: Rules) -> None:
        self._limits = limits
        self._rules = rules
        self._known: dict[bytes, Heard] = {}

    def hear(self, raw: bytes, inside: Origin | None, prefix: bytes) -> Heard:
        """One whole head; ``prefix`` stands for ``inside`` in what is remembered.

        Raises BadMessage.
        """
        octets = prefix + raw
        heard = self._known.get(octets)
        if heard is not None:
            return heard
        head = parse_request(raw, self._limits)
        framing = request_framing(head)
        if framing == _EMPTY:
            framing = NO_BODY
        reception = receive(head, inside, self._rules)
        heard = Heard(head, framing, reception, keeps_alive(head.minor, head.fields))
        if isinstance(reception, Exchanged) and len(raw) <= OCTETS:
            self._known[octets] = heard
            if len(self._known) > ENTRIES:
                del self._known[next(iter(self._known))]
        return heard
