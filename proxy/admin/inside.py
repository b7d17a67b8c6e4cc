"""What the admin endpoint may see and do of a running proxy.

Everything that changes something is here, so that the handlers of the API only read requests and
write answers.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from proxy.admin import views
from proxy.admin.metrics import Gauges, exposition
from proxy.codings.registry import Coding
from proxy.exchange.answer import Flow, Inbound, Inline, release
from proxy.exchange.forms import kept_key
from proxy.exchange.tasks import spawn
from proxy.policy import rules
from proxy.policy.explain import arithmetic, explain
from proxy.semantics import targets
from proxy.semantics.fields import Fields
from proxy.semantics.messages import Request
from proxy.semantics.targets import Absolute, BadTarget
from proxy.store.base import BodyLost
from proxy.store.catalogue_queries import Everything, Glob, Host, Prefix, Query, Tag
from proxy.upstream.base import UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

    from proxy.admin.looking import Looking
    from proxy.admin.shapes import PurgeOrder
    from proxy.admin.watching import Watching
    from proxy.exchange.answer import Outcome
    from proxy.exchange.exchange import Exchange
    from proxy.frontend.door import Door
    from proxy.policy.explain import Explanation
    from proxy.policy.options import Options
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.fields import Line
    from proxy.semantics.targets import TargetURI
    from proxy.store.base import Found
    from proxy.store.catalogue_queries import Selector
    from proxy.store.waiting import Opened

AT_ONCE: Final = 8  # requests of one warming
MOST_WARMED: Final = 10_000  # URLs in one call


class Unclear(Exception):
    """The question cannot be understood: one sentence that says what to write."""


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
    watching: Watching
    looking: Looking
    listening: tuple[str, ...] = ()

    def draining(self) -> bool:
        """Whether it takes no more requests."""
        return self.door.draining

    async def uses(self, key: str) -> tuple[int, float]:
        """How often it was a hit, and when last (0: never), as far as the catalogue knows."""
        page = await self.looking.page(Query(prefix=key, limit=1, sort="url"))
        known = next((entry for entry in page.entries if entry.key == key), None)
        return (known.hits, known.used) if known is not None else (0, 0.0)

    def explain(self, request: Request, found: Found) -> Explanation:
        """What would happen to it now, and why."""
        return explain(request, found.variants, time.time(), self.options)

    def arithmetic(self, url: str, stored: StoredResponse) -> dict[str, Any]:
        """The terms of its freshness."""
        rule = rules.first(self.options.rules, self.uri(url))
        return views.terms(arithmetic(stored, time.time(), self.options, rule))

    def stats(self) -> dict[str, Any]:
        """All that is counted."""
        octets, limit, keys = self.store.usage()
        store = {
            "octets": octets,
            "limit": limit,
            "keys": keys,
            "evictions": self.store.evicted,
            "indexed": views.indexed(self.looking.progress),
        }
        snapshot, leaders = self.watching.statistics.snapshot(), self.watching.top.leaders()
        counts = self.exchange.shop.counts
        return views.stats(snapshot, time.time(), leaders, counts, store, self.listening)

    def metrics(self) -> bytes:
        """For Prometheus."""
        octets, limit, keys = self.store.usage()
        gauges = Gauges(
            entries=keys,
            size=octets,
            size_limit=limit,
            evictions={"room": self.store.evicted},
            fills=len(self.exchange.fills()),
            tunnels=len(self.door.tunnels),
            connections=len(self.door.connections),
        )
        return exposition(self.watching.statistics.snapshot(), gauges)

    def request(self, method: str, url: str, lines: Iterable[Line] = ()) -> Request:
        """The request that a client on this machine would make. Raises Unclear."""
        return Request(method, self.uri(url), Fields(lines), local=True)

    def uri(self, url: str) -> TargetURI:
        """Raises Unclear."""
        try:
            target = targets.parse("GET", url)
        except BadTarget as error:
            raise Unclear(f"The url cannot be used: {error}.") from None
        if not isinstance(target, Absolute):
            raise Unclear("Write the whole url, as in http://example.com/path?query.")
        return target.uri

    async def found(self, url: str) -> tuple[str, Found]:
        """The key of a URL, and what is stored under it. Raises Unclear."""
        key = self.exchange.key(self.uri(url))
        return key, await self._lookup(key)

    async def _lookup(self, key: str) -> Found:
        # What a client has read to its end is stored, as far as anybody can tell.
        await self.exchange.settled(key)
        return await self.store.lookup(key)

    async def forms(self, stored: StoredResponse) -> dict[Coding, StoredResponse]:
        """What is kept beside a stored response, by coding."""
        kept = {}
        for coding in Coding:
            found = await self._lookup(kept_key(stored, coding))
            if found.variants:
                kept[coding] = found.variants[0]
        return kept

    async def purge(self, order: PurgeOrder) -> tuple[int, int]:
        """Remove what is stored, or have it validated at its next use: keys, and their octets.

        Raises Unclear.
        """
        keys = octets = 0
        async for key in self._chosen(order):
            found = await self._lookup(key)
            if found.variants:
                keys += 1
                octets += sum(stored.length for stored in found.variants)
            if order.dry_run:
                continue
            if not order.soft:
                # Even if nothing is stored: what is on its way must not be.
                await self.store.remove(key)
            elif found.variants:
                invalid = tuple(replace(stored, invalid=True) for stored in found.variants)
                await self.store.update(key, invalid)
        return keys, octets

    async def _chosen(self, order: PurgeOrder) -> AsyncIterator[str]:
        if order.url is not None:
            yield self.exchange.key(self.uri(order.url))
            return
        under_way = self.exchange.keys_under_way()
        async for key in self.looking.keys(_selector(order)):
            under_way.discard(key)
            yield key
        if not order.dry_run:
            # What is on its way is in no catalogue yet: to have it come again is the lesser evil.
            for key in under_way:
                await self.store.remove(key)

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
        finally:
            if outcome is not None:
                release(outcome.answer.body)
        return Warmed(str(request.uri), outcome.answer.head.status, outcome.reason.value, octets)


def _selector(order: PurgeOrder) -> Selector:
    """Raises Unclear."""
    try:
        if order.prefix is not None:
            return Prefix(order.prefix)
        if order.host is not None:
            return Host(order.host)
        if order.glob is not None:
            return Glob(order.glob)
        if order.tag is not None:
            return Tag(order.tag, order.origin)
        return Everything()
    except ValueError as wrong:
        raise Unclear(f"{wrong}.") from None
