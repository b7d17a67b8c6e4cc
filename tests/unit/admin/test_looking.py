"""The catalogue from the loop: up to what is stored, a little now and the rest behind."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING

import pytest

from proxy.admin import looking
from proxy.admin.looking import Looking
from proxy.admin.watching import Watching
from proxy.exchange import tasks
from proxy.exchange.record import ExchangeRecord, What
from proxy.policy.options import Options
from proxy.policy.reasons import Reason
from proxy.store.base import StoreFailed
from proxy.store.catalogue import Catalogue
from proxy.store.catalogue_queries import Everything, Host, Prefix, Query
from proxy.store.disk import DATABASE
from tests.support.origin import Gate
from tests.support.stores import opened, put
from tests.support.watched import watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from proxy.store.tiered import TieredStore

HOST = "http://a.example"
MANY = looking._STEP + 100


class Place:
    """A store, and who looks into it."""

    def __init__(self, store: TieredStore, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.watching = Watching(0.0)
        self._names = itertools.count()
        self.looking = Looking(Catalogue(folder, Options()), self.uses)

    async def uses(self) -> list[dict[str, tuple[int, float]]]:
        return [self.watching.uses()]

    async def put(self, *keys: str) -> None:
        named = zip(keys, self._names, strict=False)
        await asyncio.gather(*(put(self.store, key, f"{n:x}", b"hello") for key, n in named))

    def hit(self, key: str, at: float) -> None:
        what = What("GET", key, 1, 200, 100, Reason.HIT)
        record = ExchangeRecord(at, 0.1, "127.0.0.1", what)
        watch(self.watching, record)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with opened(tmp_path) as store:
        made = Place(store, tmp_path)
        yield made
        await tasks.finish("catalogue", 5.0)
        made.looking.close()


async def no_uses() -> list[dict[str, tuple[int, float]]]:
    return []


async def keys(found: AsyncIterator[str]) -> list[str]:
    return [key async for key in found]


async def test_a_page_has_what_was_stored_just_now(place: Place) -> None:
    assert (await place.looking.page(Query())).entries == ()
    for number in range(3):
        await place.put(f"{HOST}/{number}")
        page = await place.looking.page(Query(sort="url", descending=False))
        assert [entry.key for entry in page.entries] == [f"{HOST}/{n}" for n in range(number + 1)]
    await place.looking.caught_up()
    assert place.looking.progress[:2] == (3, 0)


async def test_what_is_stored_needs_no_catching_up(place: Place) -> None:
    await place.put(f"{HOST}/x")
    assert await place.looking.stored(f"{HOST}/")
    assert not await place.looking.stored(f"{HOST}:8080/")
    assert place.looking.progress == (0, 0, 0)


async def test_uses_reach_the_page(place: Place) -> None:
    await place.put(f"{HOST}/x")
    await place.looking.page(Query())
    place.hit(f"{HOST}/x", 4e9)
    place.hit(f"{HOST}/x", 5e9)
    for _ in range(2):  # they are added once
        (entry,) = (await place.looking.page(Query())).entries
        assert (entry.hits, entry.used) == (2, 5e9)


async def test_a_page_waits_for_a_part_and_the_rest_comes_behind(place: Place) -> None:
    await place.put(*(f"{HOST}/{n:04}" for n in range(MANY)))
    first = await place.looking.page(Query(limit=1000))
    assert len(first.entries) == looking._STEP
    assert place.looking.progress.left > 0
    await tasks.finish("catalogue", 20.0)
    assert place.looking.progress[:2] == (MANY, 0)
    assert len((await place.looking.page(Query(limit=1000))).entries) == MANY


async def test_keys_are_all_of_them(place: Place) -> None:
    """In more steps than one, and though nobody has looked before."""
    names = [f"{HOST}/{n:04}" for n in range(MANY)]
    await place.put(*names, "http://b.example/x")
    assert await keys(place.looking.keys(Host("a.example"))) == names
    assert await keys(place.looking.keys(Prefix(f"{HOST}/000"))) == names[:10]
    assert await keys(place.looking.keys(Host("c.example"))) == []
    assert (await place.looking.count(Everything()))[0] == MANY + 1


async def test_what_is_removed_is_no_key_any_more(place: Place) -> None:
    await place.put(f"{HOST}/x", f"{HOST}/y")
    assert (await place.looking.count(Everything()))[0] == 2
    await place.store.remove(f"{HOST}/x")
    assert await keys(place.looking.keys(Everything())) == [f"{HOST}/y"]


async def test_without_a_cache_it_says_so(tmp_path: Path) -> None:
    nowhere = Looking(Catalogue(tmp_path, Options()), no_uses)
    with pytest.raises(StoreFailed, match="no cache"):
        await nowhere.page(Query())
    with pytest.raises(StoreFailed):
        await nowhere.count(Everything())
    nowhere.close()


async def test_what_fails_behind_is_said_and_tried_again(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """The database goes away after the first answer."""
    await place.put(*(f"{HOST}/{n:04}" for n in range(MANY)))
    database, aside = place.folder / DATABASE, place.folder / "aside"
    gate, gates = Gate(), 0

    async def uses() -> list[dict[str, tuple[int, float]]]:
        nonlocal gates
        gates += 1
        if gates > 1:
            await gate.wait()
        return []

    late = Looking(Catalogue(place.folder, Options()), uses)
    with caplog.at_level(logging.WARNING):
        assert len((await late.page(Query(limit=1000))).entries) == looking._STEP
        database.rename(aside)
        gate.open()
        await tasks.finish("catalogue", 20.0)
    assert "the catalogue cannot be kept" in caplog.text
    aside.rename(database)
    await late.page(Query())
    await tasks.finish("catalogue", 20.0)
    assert late.progress[:2] == (MANY, 0)
    late.close()
