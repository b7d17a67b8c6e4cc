"""What a request head says, remembered by its exact octets: clients repeat themselves.

What is remembered depends on those octets, on the CONNECT that they came through, on whether the
client is on this machine, and on the
configuration, and on nothing else; a reload makes a new ``Hearing``. Only a head that comes a
second time is worth it: many never do, and would only push the others out.
"""

from __future__ import annotations

from collections import OrderedDict
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
SEEN: Final = 8192  # heads of which it is known that they came
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
        self._known: OrderedDict[bytes, Heard] = OrderedDict()
        self._seen: set[int] = set()  # hashes: an error here costs one entry

    def hear(
        self, raw: bytes, inside: Origin | None, prefix: bytes, *, local: bool = False
    ) -> Heard:
        """One whole head; ``prefix`` stands for ``inside`` and ``local`` in what is remembered.

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
        reception = receive(head, inside, self._rules, local=local)
        heard = Heard(head, framing, reception, keeps_alive(head.minor, head.fields))
        if isinstance(reception, Exchanged) and len(raw) <= OCTETS:
            self._remember(octets, heard)
        return heard

    def _remember(self, octets: bytes, heard: Heard) -> None:
        seen, number = self._seen, hash(octets)
        if number not in seen:
            if len(seen) >= SEEN:
                seen.clear()
            seen.add(number)
            return
        self._known[octets] = heard
        if len(self._known) > ENTRIES:
            self._known.popitem(last=False)
