"""A store whose folder cannot be opened yet: nothing is stored until it can.

A start with a full or failing disk is the start of a plain proxy that tries again once a
minute, not the end of one. A folder that others can write to is refused for good.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

from proxy.store.base import BodyLost, Found, StoreFailed
from proxy.store.tiered import TieredStore, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proxy.policy.stored import StoredResponse
    from proxy.store.base import Cells, Spool, StoredBody
    from proxy.store.operations import Tidying
    from proxy.store.options import StoreOptions

_LOG: Final = logging.getLogger(__name__)

_TRY_AGAIN: Final = 60.0
_NOTHING: Final = Found((), 0)


async def open_or_wait(options: StoreOptions) -> Opened:
    """The store, or one that will become it. Raises UnsafeFolder and other PermissionErrors."""
    try:
        return await open_store(options)
    except StoreFailed as error:
        _LOG.warning("%s: responses pass through unstored, the next try is in a minute", error)
        return WaitingStore(options)


class WaitingStore:
    """A ``base.Store`` that is empty and refuses to store until its folder can be opened."""

    def __init__(self, options: StoreOptions) -> None:
        self._options = options
        self._store: TieredStore | None = None
        self._waiting = asyncio.get_running_loop().create_task(self._try_again())

    async def _try_again(self) -> None:
        while self._store is None:
            await asyncio.sleep(_TRY_AGAIN)
            try:
                self._store = await open_store(self._options)
            except (StoreFailed, OSError) as error:
                _LOG.warning("still not storing: %s", error)

    def _opened(self) -> TieredStore:
        if self._store is None:
            raise StoreFailed("the cache folder cannot be opened")
        return self._store

    def generation(self, key: str) -> int:
        return 0 if self._store is None else self._store.generation(key)

    def cell(self, key: str) -> tuple[Cells, int]:
        return ((0,), 0) if self._store is None else self._store.cell(key)

    def removals(self, key: str) -> int:
        return 0 if self._store is None else self._store.removals(key)

    def peek(self, key: str) -> Found | None:
        return _NOTHING if self._store is None else self._store.peek(key)

    def at_once(self, key: str) -> Found | None:
        return None if self._store is None else self._store.at_once(key)

    def soon(self, key: str, then: Callable[[Found | None], None]) -> bool:
        return self._store is not None and self._store.soon(key, then)

    def held(self, stored: StoredResponse) -> bytes | None:
        return None if self._store is None else self._store.held(stored)

    def touch(self, key: str) -> None:
        if self._store is not None:
            self._store.touch(key)

    def reserve(self, expected: int | None) -> None:
        self._opened().reserve(expected)

    def spool(self) -> Spool:
        return self._opened().spool()

    def usage(self) -> tuple[int, int, int]:
        return (0, self._options.max_size, 0) if self._store is None else self._store.usage()

    @property
    def evictions(self) -> Mapping[str, int]:
        return {} if self._store is None else self._store.evictions

    async def lookup(self, key: str) -> Found:
        return _NOTHING if self._store is None else await self._store.lookup(key)

    async def open(self, key: str, stored: StoredResponse) -> StoredBody:
        if self._store is None:
            raise BodyLost("nothing is stored")
        return await self._store.open(key, stored)

    async def put(self, key: str, stored: StoredResponse, body: bytes, since: int) -> None:
        await self._opened().put(key, stored, body, since)

    async def adopt(self, key: str, stored: StoredResponse, spool: Spool, since: int) -> None:
        await self._opened().adopt(key, stored, spool, since)

    async def update(self, key: str, changed: Sequence[StoredResponse]) -> None:
        if self._store is not None:
            await self._store.update(key, changed)

    async def remove(self, key: str, ids: frozenset[str] | None = None) -> int:
        return 0 if self._store is None else await self._store.remove(key, ids)

    async def tidy(self, operation: Tidying) -> Any:
        return await self._opened().tidy(operation)

    async def close(self) -> None:
        self._waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._waiting
        if self._store is not None:
            await self._store.close()


Opened = TieredStore | WaitingStore
