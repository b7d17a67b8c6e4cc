"""The orchestrator: asks policy what to do with a request, and does it.

It edits no head (``voice`` and ``origin`` do, and policy), knows no rules of caching, and meets
foreign failures only as ``UpstreamError`` and the store's own errors.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, assert_never

from proxy.access.rules import Denied
from proxy.codings.options import CodingOptions
from proxy.codings.transformable import can_receive
from proxy.exchange import errors
from proxy.exchange.answer import Answer, Outcome, Tunnel
from proxy.exchange.delivery import Delivery
from proxy.exchange.fetching import Fetching
from proxy.exchange.flights import Flights
from proxy.exchange.forms import Forms
from proxy.exchange.keeping import Keeping
from proxy.exchange.origin import Asked, Asking, Errand, Wanted
from proxy.exchange.own import asked_of_us, connecting
from proxy.exchange.removing import Removing
from proxy.exchange.repeating import Repeats
from proxy.exchange.transcoding import Workshop
from proxy.policy import invalidation, keys, reuse, rules
from proxy.policy.reasons import Reason
from proxy.policy.standing import standing
from proxy.semantics import forwarding
from proxy.semantics.messages import SAFE_METHODS, ResponseHead
from proxy.store.base import Found
from proxy.upstream.base import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.access.rules import Verdict
    from proxy.exchange.answer import Inbound
    from proxy.exchange.fill import Fill
    from proxy.exchange.options import ExchangeOptions
    from proxy.exchange.own import Own
    from proxy.exchange.repeating import Repeating
    from proxy.exchange.voice import Voice
    from proxy.policy.options import Options
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.messages import Request, RequestHead
    from proxy.semantics.targets import TargetURI
    from proxy.store.base import Store
    from proxy.upstream.base import Fetcher, Upgraded

_ABOUT_STORED: Final = (reuse.Serve, reuse.ServeAndRevalidate, reuse.Revalidate)
_FOR_ONE_CLIENT: Final = frozenset({Reason.CONNECTION_LOGIN, Reason.UPGRADE})
# Times that a request looks again after somebody else's change. Few: each may have been a client
# who left while the origin was still about the answer, and took it with him.
_ATTEMPTS: Final = 3
_NOTHING: Final = Found((), 0)


class Exchange:
    """Answers requests. One per process; ``handle`` is called for each request that is not hot."""

    def __init__(
        self,
        store: Store,
        fetcher: Fetcher,
        options: Options,
        own: ExchangeOptions,
        voice: Voice,
        coding: CodingOptions | None = None,
    ) -> None:
        coding = coding or CodingOptions()
        self.flights = Flights()
        self.forms = Forms(store, coding)
        self.shop = Workshop(coding)
        self._store = store
        self._options = options
        self._voice = voice
        self._asking = Asking(fetcher, voice, options, coding)
        self.keeping = Keeping(store, self.flights, own.finish_fill, self.shop)
        self._delivery = Delivery(
            store, options, voice, self.keeping, forms=self.forms, shop=self.shop
        )
        self._fetching = Fetching(
            store, options, self.flights, self._asking, self._delivery, self.keeping
        )
        self._arriving = self._fetching.arriving
        self.removing = Removing(store, self.key, self.keys_under_way)
        self._repeats = Repeats(store, self.flights, fetcher, voice)

    async def handle(self, inbound: Inbound) -> Outcome:
        """The answer to one request. Raises ClientGone when its body was cut."""
        request = inbound.request
        if (own := asked_of_us(request, self._voice.pseudonym)) is not None:
            return self._delivery.own(own.answer, own.reason)
        try:
            protocol = forwarding.upgrade_protocol(request.fields, request.minor)
            why = _passes_by(inbound) if protocol is None else Reason.UPGRADE
            if why is None:
                return await self._cached(inbound)
            return await self._uncached(inbound, why, protocol)
        except UpstreamError as error:
            return self._arriving.failed(error)

    def repeat(self, inbound: Inbound, heard: Callable[[], None]) -> Repeating | None:
        """Send the request at once if it is known what will come; None: ``handle`` it.

        ``heard`` is called when something has come: an ``answer``, or what is for ``hear``.
        """
        return self._repeats.begin(inbound, heard)

    async def hear(self, repeating: Repeating) -> Outcome:
        """The answer when something else has come. Raises ClientGone."""
        errand = repeating.take()
        coming = self._asking.instead(errand.inbound, repeating)
        try:
            outcome = await self._fetching.heard(errand, coming)
            return outcome or await self._cached(errand.inbound)
        except UpstreamError as error:
            return self._arriving.failed(error)

    def keys_under_way(self) -> set[str]:
        """Keys for which the origin is being asked, or something is being stored."""
        return self.flights.keys() | {key for key, _ in self.keeping.unfinished()}

    async def settled(self, key: str) -> None:
        """Wait for what has all its octets and is about to be stored under the key."""
        fill = self.keeping.latest(key)
        if fill is not None and fill.received == fill.length:
            await fill.settled()

    def asks_for(self, request: Request, *, as_asked: bool = False) -> tuple[bool, str | None]:
        """Whether the origin is asked for codings in our own words, and its Accept-Encoding."""
        negotiated, fields = self._asking.fields(request, as_asked=as_asked)
        return negotiated, fields.get("accept-encoding")

    def key(self, uri: TargetURI) -> str:
        """The primary cache key (RFC 9111 §2)."""
        return keys.primary(uri, rules.first(self._options.rules, uri))

    async def _cached(self, inbound: Inbound) -> Outcome:
        stands = standing(inbound.request, self._options)
        key, passes = stands.key, stands.passes_by is not None
        fill = None if passes else self.keeping.arrived(key)
        if fill is not None and (outcome := await self._just_arrived(inbound.request, fill)):
            return outcome
        for _ in range(_ATTEMPTS):
            # What passes by has nothing here to read, and nothing that its answer could change.
            found = _NOTHING if passes else self._store.peek(key) or await self._store.lookup(key)
            if (outcome := await self._decided(inbound, key, found)) is not None:
                return outcome
        asked = await self._asking.ask(inbound, None)
        return self._arriving.pass_on(inbound.request, asked, Reason.MISS, Reason.MISS)

    async def _just_arrived(self, request: Request, fill: Fill) -> Outcome | None:
        """A client who has read a body to its end may expect it to be stored.

        While it is being committed it is the answer, or worth waiting for: None, look it up.
        """
        now = time.time()
        decision = reuse.decide(request, (fill.stored,), now, self._options)
        made = self._delivery.is_made(request, fill)
        if made or not isinstance(decision, reuse.Serve) or not self.suits(request, fill.stored):
            await fill.settled()  # also for what is decoded: it is just being looked at
            return None
        answer = self._delivery.filling(request, fill, now, decision.reason, None)
        return Outcome(answer, decision.reason)

    async def _decided(self, inbound: Inbound, key: str, found: Found) -> Outcome | None:
        """Do what policy says; None: something changed meanwhile, look again."""
        now = time.time()
        request = inbound.request
        decision = reuse.decide(request, found.variants, now, self._options)
        if isinstance(decision, _ABOUT_STORED) and not self.suits(request, decision.stored):
            errand = Errand(inbound, key, found, Wanted(Reason.VARY_MISS), as_asked=True)
            return await self._fetching.ask(errand)
        match decision:
            case reuse.Serve(stored=stored, reason=reason):
                outcome = await self._delivery.serve(inbound.request, key, stored, now, reason)
                # Its body turned out to be lost, and with it what was stored: a miss.
                lost = Errand(inbound, key, found, Wanted(Reason.DAMAGED))
                return outcome or await self._fetching.ask(lost)
            case reuse.ServeAndRevalidate(stored=stored, conditional=conditional):
                wanted = Wanted(Reason.EXPIRED, conditional, stored, decision.on_error_until)
                self._fetching.fetch_behind(Errand(inbound, key, found, wanted))
                reason = Reason.STALE_WHILE_REVALIDATE
                return await self._delivery.serve(inbound.request, key, stored, now, reason)
            case reuse.Revalidate():
                # Without a validator of ours the client's own preconditions stay.
                ours = decision.conditional or None
                wanted = Wanted(decision.reason, ours, decision.stored, decision.on_error_until)
                errand = Errand(inbound, key, found, wanted)
                # What the client's own words selected is asked for in them again.
                errand.as_asked = dict(decision.stored.selecting).get("accept-encoding") is not None
                return await self._fetching.ask(errand)
            case reuse.Complete(missing=missing, reason=reason):
                errand = Errand(inbound, key, found, Wanted(reason, missing.fields))
                work = self._fetching.complete(errand, decision)
                return await self.flights.asking(key, work)
            case reuse.Forward(reason=reason):
                return await self._fetching.ask(Errand(inbound, key, found, Wanted(reason)))
            case reuse.Refuse(status=status, reason=reason):
                sentence = "Nothing that is stored here may answer this only-if-cached request."
                return self._delivery.own(errors.own(status, reason, sentence), reason)
            case _:
                assert_never(decision)

    def suits(self, request: Request, stored: StoredResponse) -> bool:
        """Whether this client can have it, in the coding in which it is stored or another."""
        only_if_cached = standing(request, self._options).directives.only_if_cached
        return only_if_cached or can_receive(request, stored)

    async def _uncached(self, inbound: Inbound, why: Reason, protocol: str | None) -> Outcome:
        """A request that the cache does not answer (RFC 9111 §4.4)."""
        request = inbound.request
        key = self.key(request.uri)
        since = self._store.removals(key)
        ask, upgrade = self._asking.ask, self._asking.upgrade
        asked = await (ask(inbound, None) if protocol is None else upgrade(inbound, protocol))
        if not isinstance(asked, Asked):
            return self._switched(asked)
        try:
            unsafe = request.method not in SAFE_METHODS and not request.host
            told = invalidation.told(request, asked.head, self._options)
            if unsafe and await self.removing.invalidate(request, told):
                since = self._store.removals(key)
        except BaseException:
            asked.response.close()  # cancelled: nobody will read it
            raise
        if why in _FOR_ONE_CLIENT:
            return self._arriving.pass_on(request, asked, why, why)
        errand = Errand(inbound, key, _NOTHING, Wanted(why), None, since)
        return await self._arriving.final(errand, asked)

    def _switched(self, upgraded: Upgraded) -> Outcome:
        assert upgraded.head is not None
        fields = self._asking.switching(upgraded.head)
        head = ResponseHead(101, upgraded.head.reason, fields)
        return Outcome(Answer(head, Tunnel(upgraded)), Reason.UPGRADE, 101)

    async def purge(self, request: Request, verdict: Verdict) -> Outcome:
        """PURGE, from a client of whom access says that."""
        if isinstance(verdict, Denied):
            reason = Reason.DENIED_PURGE
            answer = errors.own(403, reason, verdict.sentence, error="http_request_denied")
            return self.own(answer, reason)
        await self.settled(self.key(request.uri))
        return self.own(await self.removing.purge(request.uri), Reason.PURGED)

    def connecting(self, head: RequestHead) -> Own | str:
        """The Via of a CONNECT as it goes on, or the answer where it does not."""
        return connecting(head, self._voice.pseudonym)

    def interim(self, head: ResponseHead) -> ResponseHead:
        """A 1xx as it goes to the client."""
        return self._asking.interim(head)

    def own(self, answer: Answer, reason: Reason) -> Outcome:
        """An answer of our own that was made at the door."""
        return self._delivery.own(answer, reason)


def _passes_by(inbound: Inbound) -> Reason | None:
    """Why the cache does not answer it, and nobody else shares its answer; None: it may."""
    if inbound.bound is not None:
        return Reason.CONNECTION_LOGIN  # RFC 4559 §6: nothing in the request says whose it is
    if inbound.request.method not in {"GET", "HEAD"}:
        return Reason.METHOD
    return None if inbound.body is None else Reason.REQUEST_BODY
