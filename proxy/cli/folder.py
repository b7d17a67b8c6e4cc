"""Answers as the admin endpoint gives them, straight from a cache folder.

Beside a running proxy it is one more process that shares the folder. Nothing is created where
there is no cache; of one that may not be written to, only looking is possible.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from proxy.admin import entries, views
from proxy.admin.client import Failed
from proxy.admin.entries import Unclear
from proxy.admin.upkeep import Busy, Upkeep
from proxy.cli import shown
from proxy.codings.registry import Coding
from proxy.store import beside, catalogue, records
from proxy.store.base import StoreFailed
from proxy.store.beside import NoCache
from proxy.store.catalogue_queries import Query, only
from proxy.store.tiered import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence

    from proxy.config import Settings
    from proxy.policy.stored import StoredResponse
    from proxy.store.beside import Beside
    from proxy.store.catalogue import Catalogue
    from proxy.store.tiered import TieredStore

_STEP: Final = 5000  # records
_AT_FIRST: Final = 500  # the same where all but uses is known without the catalogue
_CODINGS: Final = [coding.value for coding in Coding]


class Straight:
    """``asking.Answering`` of the folder in the configuration, within ``with``. Raises Failed."""

    def __init__(self, settings: Settings) -> None:
        self._options = settings.cache
        self._store = settings.store
        self._folder = settings.store.dir
        self._stack = ExitStack()
        self._made: Catalogue | None = None

    def __enter__(self) -> Straight:
        with _failing():
            beside.require(self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def get(self, path: str, query: Mapping[str, str | Sequence[str]] | None = None) -> Any:
        """``/api/entries``, ``/api/entry`` and what of ``/api/stats`` a folder knows."""
        asked = {name: str(value) for name, value in (query or {}).items() if value}
        with _failing():
            match path:
                case "/api/entries":
                    return self._entries(asked)
                case "/api/entry":
                    return self._entry(asked["url"])
                case _:
                    return self._stats()

    def lines(self, path: str, order: Mapping[str, Any]) -> Iterator[Any]:
        """``/api/verify`` and ``/api/gc``."""
        upkeep = Upkeep(self._store, self._opened)
        lines: AsyncGenerator[msgspec.Struct]
        with _failing(), asyncio.Runner() as runner:
            if path == "/api/verify":
                urls = order.get("urls")
                keys = None if urls is None else [entries.key(url, self._options) for url in urls]
                lines = upkeep.verify(keys, remove=order["remove"])
            else:
                lines = upkeep.gc(dry_run=order["dry_run"])
            while (line := runner.run(_next(lines))) is not None:
                yield msgspec.to_builtins(line)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[TieredStore]:
        try:
            store = await open_store(self._store)
        except PermissionError as error:
            raise StoreFailed(f"{error}.") from error
        try:
            yield store
        finally:
            await store.close()

    def _entries(self, asked: dict[str, str]) -> dict[str, Any]:
        limit = int(asked.pop("limit", "100"))
        query = Query(**msgspec.convert(asked, dict[str, Any]), limit=limit)
        page = self._caught_up().page(query, time.time())
        return {"entries": [views.entry(one) for one in page.entries], "cursor": page.cursor}

    def _entry(self, url: str) -> dict[str, Any]:
        key = entries.key(url, self._options)
        with beside.opened(self._folder) as rows:
            record = rows.record(key)
            if record is None:
                raise Failed(404, "not-stored", entries.NOT_STORED)
            try:
                found = [(one, _forms(rows, one)) for one in records.decode(key, record)]
            except records.DamagedRecord as damaged:
                sentence = f"What is stored for this url cannot be read: {damaged}."
                raise Failed(500, "damaged", sentence) from damaged
        known = self._catalogue()
        known.catch_up(_AT_FIRST)
        uses = known.page(only(key), time.time()).uses(key)
        said = entries.shape_of(url, uses, found, self._options, time.time())
        shape: dict[str, Any] = msgspec.to_builtins(said)
        return shape

    def _stats(self) -> dict[str, Any]:
        with beside.opened(self._folder) as rows:
            octets, keys = rows.size(), rows.count_keys()
        now = time.time()
        totals = self._caught_up().totals(now)
        return {
            "now": now,
            "folder": str(self._folder),
            "store": {"octets": octets, "limit": self._store.max_size, "keys": keys},
            "states": [share._asdict() for share in totals.states],
            "hosts": [share._asdict() for share in totals.hosts],
            "types": [share._asdict() for share in totals.types],
        }

    def _catalogue(self) -> Catalogue:
        if self._made is None:
            borrowed = catalogue.borrowed(self._folder, self._options)
            self._made = self._stack.enter_context(borrowed)
        return self._made

    def _caught_up(self) -> Catalogue:
        """With all that is stored; the first time that takes some 40 us for each of it."""
        known = self._catalogue()
        with shown.progress("reading the folder") as advance:
            while (progress := known.catch_up(_STEP)).left:
                advance(progress.done, progress.done + progress.left)
        return known


def _forms(rows: Beside, stored: StoredResponse) -> dict[str, StoredResponse]:
    """As ``Inside.forms``."""
    kept = {}
    for row in rows.forms(len(_CODINGS), of=stored.id):
        if records.is_sound(row.key, row.record):
            kept[row.key.rpartition(" ")[2]] = records.decode(row.key, row.record)[0]
    return {coding: kept[coding] for coding in _CODINGS if coding in kept}


async def _next(lines: AsyncGenerator[msgspec.Struct]) -> msgspec.Struct | None:
    return await anext(lines, None)


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except NoCache as error:
        raise Failed(404, "no-cache", str(error)) from error
    except (StoreFailed, Busy) as error:
        raise Failed(503, "store", str(error)) from error
    except (Unclear, ValueError) as error:
        raise Failed(400, "unclear", str(error)) from error
