"""What a request head says, remembered by its exact octets: clients repeat themselves.

What is remembered depends on those octets, on the CONNECT that they came through, on whether the
client is on this machine, and on the configuration, and on nothing else; a reload makes a new
``Hearing``. Only a head that comes a second time is worth it: many never do, and would only push
the others out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.bounded import Bounded
from proxy.exchange.echo import once
from proxy.frontend.reception import Exchanged, receive
from proxy.wire.framing import NO_BODY, Sized, keeps_alive, request_framing
from proxy.wire.heads import parse_request

if TYPE_CHECKING:
    from proxy.access.rules import Rules
    from proxy.exchange.hot import Place
    from proxy.frontend.reception import Reception
    from proxy.semantics.messages import RequestHead
    from proxy.semantics.targets import Origin
    from proxy.wire.framing import Framing
    from proxy.wire.heads import Limits

ENTRIES: Final = 2048
SEEN: Final = 8192  # heads of which it is known that they came
HEAD: Final = 2048  # octets of a head that is worth remembering
OCTETS: Final = 6 * 2**20  # of all
# What one takes when all was worked out about it, beside its octets.
_EACH, _PER_OCTET, _PER_LINE = 1200, 3, 350
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
        self._known: Bounded[Place, Heard] = Bounded("requests", OCTETS, _weight, ENTRIES)
        self._seen: set[int] = set()  # hashes: an error here costs one entry

    def hear(
        self, raw: bytes, inside: Origin | None, where: bytes, *, local: bool = False
    ) -> Heard:
        """One whole head; ``where`` stands for ``inside`` and ``local`` in what is remembered.

        Raises BadMessage.
        """
        place = where, raw
        heard = self._known.get(place)
        if heard is not None:
            return heard
        head = parse_request(raw, self._limits)
        framing = request_framing(head)
        if framing == _EMPTY:
            framing = NO_BODY
        reception = receive(head, inside, self._rules, local=local)
        heard = Heard(head, framing, reception, keeps_alive(head.minor, head.fields))
        if isinstance(reception, Exchanged):
            if len(raw) <= HEAD and self._is_heard_again(place):
                self._known.keep(place, heard)
            else:
                once(reception.request)
        return heard

    def _is_heard_again(self, place: Place) -> bool:
        seen, number = self._seen, hash(place)
        if number in seen:
            return True
        if len(seen) >= SEEN:
            seen.clear()
        seen.add(number)
        return False


def _weight(place: Place, heard: Heard) -> int:
    """Fields are there as they came, as they go on, and by name."""
    return _EACH + len(place[0]) + _PER_OCTET * len(place[1]) + _PER_LINE * len(heard.head.fields)
