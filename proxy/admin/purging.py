"""Taking out of the store what an order names: one URL, or all that the catalogue knows of."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from proxy.admin.entries import Unclear
from proxy.exchange.removing import batches, remove_all
from proxy.store.catalogue_queries import Everything, Glob, Host, Prefix, Tag

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.admin.everywhere import Everywhere
    from proxy.admin.looking import Looking
    from proxy.admin.shapes import PurgeOrder
    from proxy.policy.stored import StoredResponse
    from proxy.store.base import Found
    from proxy.store.catalogue_queries import Selector
    from proxy.store.waiting import Opened


class Missing(Exception):
    """There is no such thing: one sentence."""


@dataclass(frozen=True, slots=True)
class Purging:
    """What comes of an order is the number of its keys, and of their octets: of one those of its

    bodies, of many what they take in the store, which the catalogue knows without looking.
    """

    order: PurgeOrder
    store: Opened
    looking: Looking
    everywhere: Everywhere

    async def one(self, key: str, found: Found) -> tuple[int, int]:
        """All variants of a key, or the one that the order names. Raises Missing."""
        order = self.order
        ids = None if order.variant is None else frozenset((order.variant,))
        wanted = [stored for stored in found.variants if ids is None or stored.id in ids]
        if ids is not None and not wanted:
            raise Missing("No variant of this url has that id; /api/entry lists them.")
        if order.soft and not order.dry_run:
            await self._soften(key, wanted)
        elif not order.dry_run:
            # Even if nothing is stored: what is on its way must not be.
            await self.store.remove(key, ids)
        return int(bool(wanted)), sum(stored.length for stored in wanted)

    async def many(self) -> tuple[int, int]:
        """Whatever the order names, as far as the catalogue knows it. Raises Unclear."""
        selector = _selector(self.order)
        counted = await self.looking.count(selector)
        if self.order.dry_run:
            return counted
        under_way = await self.everywhere.under_way()
        async for some in batches(self.looking.keys(selector)):
            under_way.difference_update(some)
            await self._purge(some)
        # What is on its way is in no catalogue yet: to have it come again is the lesser evil.
        await remove_all(self.store, under_way)
        return counted

    async def _purge(self, keys: Iterable[str]) -> None:
        if self.order.soft:
            await asyncio.gather(*map(self._soften_key, keys))
        else:
            await remove_all(self.store, keys)

    async def _soften_key(self, key: str) -> None:
        await self._soften(key, (await self.store.lookup(key)).variants)

    async def _soften(self, key: str, wanted: Iterable[StoredResponse]) -> None:
        invalid = [replace(stored, invalid=True) for stored in wanted]
        if invalid:
            await self.store.update(key, invalid)


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
