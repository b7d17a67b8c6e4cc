"""What a request takes out of the store: by the answer to an unsafe method, or by PURGE."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Final

from proxy.exchange import errors
from proxy.exchange.answer import Answer, Inline
from proxy.exchange.tasks import spawn
from proxy.policy import invalidation
from proxy.policy.reasons import Reason
from proxy.policy.tags import invalidated_groups
from proxy.semantics.fields import Fields
from proxy.semantics.messages import ResponseHead
from proxy.store.base import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.semantics.messages import Request
    from proxy.semantics.targets import TargetURI
    from proxy.store.base import Store

log = logging.getLogger("forecache")

# The keys of what an origin, such as http://a.example, has stored here with one of ``policy.tags``.
Tagged = Callable[[str, str], AsyncIterator[str]]

_AT_ONCE: Final = 100  # keys
_PATIENCE: Final = 10.0  # seconds that an answer waits for the groups that it makes invalid


async def _untagged(_tag: str, _origin: str) -> AsyncIterator[str]:
    """Until somebody who keeps an index says more."""
    nothing: tuple[str, ...] = ()
    for key in nothing:
        yield key


async def _nowhere() -> set[str]:
    """There is one worker."""
    return set()


async def batches(keys: AsyncIterator[str]) -> AsyncIterator[list[str]]:
    """A hundred at a time: what is removed together is committed together."""
    together: list[str] = []
    async for key in keys:
        together.append(key)
        if len(together) == _AT_ONCE:
            yield together
            together = []
    if together:
        yield together


async def remove_all(store: Store, keys: Iterable[str]) -> None:
    """All variants of each, at the same time."""
    await asyncio.gather(*map(store.remove, keys))


class Removing:
    """``key`` is that of a target URI; for those ``under_way`` something may soon be stored."""

    def __init__(
        self, store: Store, key: Callable[[TargetURI], str], under_way: Callable[[], set[str]]
    ) -> None:
        self._store = store
        self._key = key
        self._under_way = under_way
        self.tagged: Tagged = _untagged
        self.elsewhere: Callable[[], Awaitable[set[str]]] = _nowhere  # under way in other workers

    async def invalidate(self, request: Request, head: ResponseHead) -> bool:
        """After that answer to an unsafe method; whether it made anything invalid."""
        uris = invalidation.keys(request, head)
        for uri in uris:
            await self._store.remove(self._key(uri))
        groups = invalidated_groups(head.fields)
        if groups:
            work = spawn(self._remove_groups(str(request.uri.origin), groups), "groups")
            await asyncio.wait((work,), timeout=_PATIENCE)
        return bool(uris or groups)

    async def _remove_groups(self, origin: str, groups: frozenset[str]) -> None:
        """RFC 9875 §3: of the same origin; there is no telling what is on its way, so that, too."""
        under_way = self._under_way() | await self.elsewhere()
        await remove_all(self._store, [k for k in under_way if k.startswith(f"{origin}/")])
        try:
            for group in groups:
                async for some in batches(self.tagged(group, origin)):
                    await remove_all(self._store, some)
        except StoreFailed as failure:
            log.warning("a group of %s may still be stored: %s", origin, failure)

    async def purge(self, uri: TargetURI) -> Answer:
        """All variants of a target URI: 404 where there are none, as other proxies say it."""
        removed = await self._store.remove(self._key(uri))
        if not removed:
            return errors.own(404, Reason.PURGED, f"Nothing is stored for {uri}.")
        lines = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
        text = f"Purged: {removed} stored for {uri}.\n"
        return Answer(ResponseHead(200, "OK", Fields(lines)), Inline(text.encode()))
