"""What the admin endpoint may see and do of a running proxy.

Everything that changes something is here, so that the handlers of the API only read requests and
write answers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from proxy.access.rules import Denied
from proxy.admin import entries, views
from proxy.admin.entries import Unclear
from proxy.admin.metrics import Gauges, exposition
from proxy.admin.purging import Purging
from proxy.codings.registry import Coding
from proxy.exchange import errors
from proxy.exchange.answer import Flow, Inbound, Inline, release
from proxy.exchange.forms import kept_key
from proxy.exchange.record import LONGEST
from proxy.exchange.tasks import spawn
from proxy.policy.reasons import Reason
from proxy.semantics import targets
from proxy.semantics.fields import Fields
from proxy.semantics.messages import Request
from proxy.semantics.targets import Authority, BadTarget
from proxy.store.base import BodyLost
from proxy.store.catalogue_queries import only
from proxy.upstream.base import UpstreamError
from proxy.upstream.connect import prohibited

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from proxy.admin.everywhere import Everywhere
    from proxy.admin.explaining import Explained, Explaining
    from proxy.admin.looking import Looking
    from proxy.admin.peers import Named
    from proxy.admin.shapes import PurgeOrder
    from proxy.exchange.answer import Outcome
    from proxy.exchange.exchange import Exchange
    from proxy.frontend.door import Door
    from proxy.policy.options import Options
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.fields import Line
    from proxy.semantics.targets import TargetURI
    from proxy.store.base import Found
    from proxy.store.waiting import Opened

log = logging.getLogger("forecache")

AT_ONCE: Final = 8  # requests of one warming
MOST_WARMED: Final = 10_000  # URLs in one call


@dataclass(frozen=True, slots=True)
class Warmed:
    """How one URL was fetched: ``status`` 0 if it could not be."""

    url: str
    status: int
    reason: str
    octets: int


@dataclass(slots=True)
class Inside:
    """One per process."""

    options: Options
    store: Opened
    exchange: Exchange
    door: Door
    explaining: Explaining
    everywhere: Everywhere
    looking: Looking
    listening: tuple[str, ...] = ()

    def draining(self) -> bool:
        """Whether it takes no more requests."""
        return self.door.draining

    async def uses(self, key: str) -> tuple[int, float]:
        """How often it was a hit, and when last (0: never), as far as the catalogue knows."""
        return (await self.looking.page(only(key))).uses(key)

    async def explained(self, method: str, url: str, lines: Iterable[Line] = ()) -> Explained:
        """What would happen to a request now, and why. Raises Unclear."""
        if method == "CONNECT":
            return self.explaining.connect(*self._authority(url))
        asked = self.request(method, url, lines)
        return await self.explaining.request(asked, *await self.found(url))

    async def last(self, url: str) -> Named | None:
        """The latest GET of the URL that is remembered. Raises Unclear."""
        about = await self.everywhere.latest(1, str(self.uri(url))[:LONGEST])
        return about[0] if about else None

    async def stats(self) -> dict[str, Any]:
        """All that is counted, and by which worker."""
        whole, workers = await self.everywhere.state()
        octets, limit, keys = self.store.usage()
        store = {
            "octets": octets,
            "limit": limit,
            "keys": keys,
            "evictions": sum(whole.evictions.values()),
            "indexed": views.indexed(self.looking.progress),
        }
        now = time.time()
        said = views.stats(whole.snapshot, now, whole.leaders, whole.coding, store, self.listening)
        return {**said, "workers": workers}

    async def counters(self) -> dict[str, int]:
        """What changes from second to second."""
        whole, _ = await self.everywhere.state(series=False)
        snapshot = whole.snapshot
        return {
            "requests": snapshot.requests,
            "hits": snapshot.hits,
            "octets_cache": snapshot.octets.get("cache", 0),
            "octets_origin": snapshot.octets.get("origin", 0),
            "fills": len(whole.fills),
        }

    async def metrics(self) -> bytes:
        """For Prometheus."""
        whole, _ = await self.everywhere.state(series=False)
        octets, limit, keys = self.store.usage()
        gauges = Gauges(
            entries=keys,
            size=octets,
            size_limit=limit,
            evictions=whole.evictions,
            stores=whole.stores,
            fills=len(whole.fills),
            tunnels=whole.tunnels,
            connections=whole.connections,
            log_dropped=whole.log_dropped,
        )
        return exposition(whole.snapshot, gauges)

    def request(self, method: str, url: str, lines: Iterable[Line] = ()) -> Request:
        """The request that a client on this machine would make. Raises Unclear."""
        return Request(method, self.uri(url), Fields(lines), local=True)

    def _authority(self, url: str) -> tuple[str, int]:
        """Host and port that a CONNECT names, or one for a whole URL would. Raises Unclear."""
        if "://" in url:
            origin = self.uri(url).origin
            return origin.host, origin.port
        try:
            target = targets.parse("CONNECT", url)
        except BadTarget as error:
            raise Unclear(f"The authority cannot be used: {error}.") from None
        assert isinstance(target, Authority)
        return target.host, target.port

    def uri(self, url: str) -> TargetURI:
        """Raises Unclear."""
        return entries.uri(url)

    async def settled(self, url: str) -> str:
        """The key of a URL, once what clients have read to its end is stored. Raises Unclear."""
        key = self.exchange.key(self.uri(url))
        await self.everywhere.settled(key)
        await self.exchange.settled(key)
        return key

    async def found(self, url: str) -> tuple[str, Found]:
        """The key of a URL, and what is stored under it. Raises Unclear."""
        key = await self.settled(url)
        return key, await self._lookup(key)

    async def _lookup(self, key: str) -> Found:
        # What a client has read to its end is stored, as far as anybody can tell.
        await self.exchange.settled(key)
        return await self.store.lookup(key)

    async def forms(self, stored: StoredResponse) -> dict[str, StoredResponse]:
        """What is kept beside a stored response, by coding."""
        kept: dict[str, StoredResponse] = {}
        for coding in Coding:
            found = await self._lookup(kept_key(stored, coding))
            if found.variants:
                kept[coding.value] = found.variants[0]
        return kept

    async def purge(self, order: PurgeOrder) -> tuple[int, int]:
        """Remove what is stored, or have it validated at its next use: keys, and their octets.

        Raises Unclear, and Missing for a variant that is not there.
        """
        purging = Purging(order, self.store, self.looking, self.everywhere)
        if order.url is not None:
            key, found = await self.found(order.url)
            return await purging.one(key, found)
        return await purging.many()

    async def warm(self, urls: Sequence[str], lines: Sequence[Line]) -> AsyncGenerator[Warmed]:
        """Fetch each into the cache, a few at a time, in the order in which they end.

        Raises Unclear before anything is asked.
        """
        if len(urls) > MOST_WARMED:
            raise Unclear(f"These are {len(urls)} urls; give at most {MOST_WARMED} at a time.")
        left = iter([self.request("GET", url, lines) for url in urls])
        ended: asyncio.Queue[Warmed] = asyncio.Queue()

        async def work() -> None:
            for request in left:
                ended.put_nowait(await self._warmed(request))

        workers = [spawn(work(), "warm") for _ in range(min(AT_ONCE, len(urls)))]
        try:
            for _ in urls:
                yield await ended.get()
        finally:
            for worker in workers:
                worker.cancel()

    async def _warmed(self, request: Request) -> Warmed:
        verdict = self.door.rules.request(request.uri.origin)
        if isinstance(verdict, Denied):
            error = prohibited(verdict)
            return Warmed(str(request.uri), error.status, errors.reason_of(error).value, 0)
        outcome: Outcome | None = None
        octets = 0
        try:
            outcome = await self.exchange.handle(Inbound(request, None, None, lambda _: None))
            body = outcome.answer.body
            if isinstance(body, Inline):
                octets = len(body.data)
            elif isinstance(body, Flow):
                while piece := await body.reader.read():
                    octets += len(piece)
        except (UpstreamError, BodyLost) as error:
            return Warmed(str(request.uri), 0, str(error), octets)
        except Exception:
            # Whoever waits for all of them to end would wait for ever.
            log.exception("%s could not be fetched", request.uri)
            return Warmed(str(request.uri), 0, Reason.INTERNAL.value, octets)
        finally:
            if outcome is not None:
                release(outcome.answer.body)
        return Warmed(str(request.uri), outcome.answer.head.status, outcome.reason.value, octets)
