"""The second short cut: an origin that says the same again is answered from without a task.

Clients ask again and again for what must be validated at each use, or may not be stored, and the
origin mostly answers with the same octets but for Date. Such a request is sent at once, and when
those octets come, they are answered with what ``echo`` remembers. When anything else comes, or
others wait for the outcome, too, the exchange goes on as if this had not been tried.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proxy.exchange import echo
from proxy.exchange.flights import Lead, Left, Uncacheable
from proxy.exchange.origin import Errand

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.exchange.answer import Inbound
    from proxy.exchange.echo import Echo
    from proxy.exchange.flights import Flights, Outcome
    from proxy.exchange.voice import Voice
    from proxy.store.base import Found, Store
    from proxy.upstream.base import Fetcher, Repeated


class Repeats:
    """Sends those requests again of which it is known what came of them."""

    def __init__(self, store: Store, flights: Flights, fetcher: Fetcher, voice: Voice) -> None:
        self.store = store
        self.flights = flights
        self.fetcher = fetcher
        self.voice = voice

    def begin(self, inbound: Inbound, heard: Callable[[], None]) -> Repeating | None:
        """Send it, and call ``heard`` when something has come; None: it needs a task.

        What no longer stands is forgotten.
        """
        known = echo.remembered(inbound.request)
        if known is None:
            return None
        now, key = time.time(), known.key
        removals = self.store.removals(key)
        if not self._stands(known, now):
            echo.keep(inbound.request, None)
            return None
        if self.flights.under_way(key, removals) is not None:
            return None
        repeating = Repeating(self, inbound, known, now, removals)
        outgoing = known.outgoing
        if outgoing.client != inbound.client:
            outgoing = outgoing._replace(client=inbound.client)
        sent = self.fetcher.again(outgoing, known.said, repeating.fits, heard, inbound.on_interim)
        if sent is None:
            return None
        repeating.sent = sent
        if known.stored is not None:
            role = self.flights.join(key, now, removals)
            repeating.errand.flight = role.flight if isinstance(role, Lead) else None
        return repeating

    def _stands(self, known: Echo, now: float) -> bool:
        found = self.store.peek(known.key)
        if known.stored is None:
            # Nobody needs to queue for it, and nobody to be told.
            alone = self.flights.is_uncacheable(known.key, now, personal=True)
            return alone and found is not None and not found.variants
        return _unchanged(known, found) and now < known.until


def _unchanged(known: Echo, found: Found | None) -> bool:
    return found is not None and found.generation == known.found.generation


class Repeating:
    """One request that was sent again. Either ``answer`` or a task that hears the rest ends it."""

    __slots__ = ("_repeats", "_taken", "echo", "errand", "sent", "started")

    sent: Repeated

    def __init__(
        self, repeats: Repeats, inbound: Inbound, known: Echo, now: float, removals: int
    ) -> None:
        self._repeats = repeats
        self._taken = False
        self.echo = known
        self.started = now
        self.errand = Errand(inbound, known.key, known.found, known.wanted, None, removals)

    def fits(self) -> bool:
        """Whether the short answer will do: for this client alone, and of what is still there."""
        known, repeats, flight = self.echo, self._repeats, self.errand.flight
        if known.stored is None:
            return True
        if flight is not None and flight.followed:
            return False
        here = repeats.store.peek(known.key)
        return _unchanged(known, here) and repeats.store.held(known.stored) is not None

    def answer(self) -> tuple[bytes, bytes] | None:
        """Head and body in octets; None if something else has come."""
        known, sent, repeats = self.echo, self.sent, self._repeats
        if not sent.date:
            return None
        head = echo.head(known, sent.date, (self.started, time.time()), repeats.voice)
        if known.stored is None:
            return head, sent.body
        self._over(Uncacheable())
        repeats.store.touch(known.key)
        body = b"" if known.bodiless else repeats.store.held(known.stored)
        assert body is not None, "what fits has its body"
        return head, body

    def take(self) -> Errand:
        """A task goes on with what has come in place of what was expected."""
        self._taken = True
        return self.errand

    def cancel(self) -> None:
        """The client is gone. What a task has taken is the task's to end."""
        if not self._taken:
            self.sent.close()
            self._over(Left())

    def _over(self, outcome: Outcome) -> None:
        if self.errand.flight is not None:
            self._repeats.flights.over(self.errand.flight, outcome)
