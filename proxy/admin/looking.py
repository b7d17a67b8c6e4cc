"""The catalogue for the loop: its calls block, so they are made in threads of their own."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from proxy.exchange.tasks import launch
from proxy.store.base import StoreFailed
from proxy.store.catalogue_following import Progress
from proxy.store.catalogue_queries import Tag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from proxy.admin.everywhere import Uses
    from proxy.store.catalogue import Catalogue
    from proxy.store.catalogue_pages import Page
    from proxy.store.catalogue_queries import Query, Selector

log = logging.getLogger("forecache")

_THREADS: Final = 2  # one catches up, one looks
_STEP: Final = 500  # records: what is asked can wait for that many
_BEHIND: Final = 5_000
_ROUNDS: Final = 2
_AT_ONCE: Final = 500  # keys
_T = TypeVar("_T")


class Looking:
    """Asks the catalogue, and keeps it up to what is stored when somebody asks."""

    def __init__(self, catalogue: Catalogue, uses: Callable[[], Awaitable[list[Uses]]]) -> None:
        """``uses``: hits and last use by key, since that was last asked."""
        self._catalogue = catalogue
        self._uses = uses
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="catalogue")
        self._catching_up = False
        self.progress = Progress(0, 0, 0)

    async def page(self, query: Query) -> Page:
        """Raises StoreFailed."""
        await self._refresh()
        return await self._run(self._catalogue.page, query, time.time())

    async def count(self, selector: Selector) -> tuple[int, int]:
        """Keys and octets. Raises StoreFailed."""
        await self.caught_up()
        return await self._run(self._catalogue.count, selector)

    async def keys(self, selector: Selector) -> AsyncIterator[str]:
        """All of them, as of now. Raises StoreFailed."""
        await self.caught_up()
        after = ""
        while keys := await self._run(self._catalogue.keys, selector, after, _AT_ONCE):
            for key in keys:
                yield key
            after = keys[-1]

    async def stored(self, prefix: str) -> bool:
        """Whether there is a key that begins so. Raises StoreFailed."""
        return await self._run(self._catalogue.stored, prefix)

    def tagged(self, tag: str, origin: str) -> AsyncIterator[str]:
        """The keys of what that origin has stored here with one of ``policy.tags``."""
        return self.keys(Tag(tag, origin))

    async def caught_up(self) -> None:
        """Wait until the index has all that was stored when this was asked. Raises StoreFailed."""
        left = (await self._catch_up(_BEHIND)).left
        # What is stored meanwhile must not keep anybody waiting for ever.
        for _ in range(left // _BEHIND + _ROUNDS):
            if not left:
                return
            left = (await self._catch_up(_BEHIND)).left

    async def _refresh(self) -> None:
        """A little now, the rest behind the answer."""
        progress = await self._catch_up(_STEP)
        if progress.left and not self._catching_up:
            self._catching_up = True
            launch(self._behind(), "catalogue")

    async def _behind(self) -> None:
        try:
            await self.caught_up()
        except StoreFailed as failure:
            log.warning("the catalogue cannot be kept: %s", failure)
        finally:
            self._catching_up = False

    async def _catch_up(self, limit: int) -> Progress:
        for uses in await self._uses():
            if uses:
                await self._run(self._catalogue.note, uses)
        self.progress = await self._run(self._catalogue.catch_up, limit)
        return self.progress

    async def _run(self, call: Callable[..., _T], *args: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._catalogue.close()
