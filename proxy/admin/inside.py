"""What the admin endpoint may see and do of a running proxy.

Everything that changes something is here, so that the handlers of the API only read requests and
write answers.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from proxy.codings.registry import Coding
from proxy.exchange.answer import Flow, Inbound, Inline, release
from proxy.exchange.forms import kept_key
from proxy.exchange.tasks import spawn
from proxy.semantics import targets
from proxy.semantics.fields import Fields
from proxy.semantics.messages import Request
from proxy.semantics.targets import Absolute, BadTarget
from proxy.store.base import BodyLost
from proxy.upstream.base import UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

    from proxy.admin.shapes import PurgeOrder
    from proxy.exchange.answer import Outcome
    from proxy.exchange.exchange import Exchange
    from proxy.frontend.door import Door
    from proxy.policy.options import Options
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.fields import Line
    from proxy.semantics.targets import TargetURI
    from proxy.store.base import Found, Store

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
    store: Store
    exchange: Exchange
    door: Door
    started: float = field(default_factory=time.time)

    def draining(self) -> bool:
        """Whether it takes no more requests."""
        return self.door.draining

    async def uses(self, key: str) -> tuple[int, float]:
        """How often it was a hit, and when last (0: never)."""
        return 0, 0.0

    def arithmetic(self, stored: StoredResponse) -> dict[str, object]:
        """The terms of its freshness."""
        return {}

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
