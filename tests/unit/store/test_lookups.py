import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.store import pack_reads, packs, tiered
from proxy.store.base import BodyLost
from proxy.store.bodies import body_path
from proxy.store.directory import Directory, Span
from proxy.store.disk import Table
from proxy.store.pack_reads import PackReads
from proxy.store.packs import Place, name_of
from proxy.store.records import DamagedRecord
from proxy.store.tiered import TieredStore
from tests.support.damage import sql
from tests.support.stores import (
    KEY,
    bodies_of,
    body_files,
    opened,
    packed,
    put,
    refuse_reads,
    response,
)

FIRST = f"{KEY}/0"
Refuse = Callable[[], None]


class Asked(Exception):
    """The rows were asked."""


@pytest.fixture
def no_rows(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """From then on none may be read."""

    def refuse(*_: object) -> bytes:
        raise Asked

    def begin() -> None:
        monkeypatch.setattr(Table, "record", refuse)
        monkeypatch.setattr(Table, "body", refuse)

    return begin


@pytest.fixture
def no_packs(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """From then on none may be read by way of the directory."""

    def refuse(*_: object) -> bytes:
        raise AssertionError("a pack was read")

    def begin() -> None:
        monkeypatch.setattr(PackReads, "at_once", refuse)
        monkeypatch.setattr(PackReads, "read", refuse)

    return begin


@asynccontextmanager
async def filled(
    folder: Path, count: int = 16
) -> AsyncIterator[tuple[TieredStore, dict[str, bytes]]]:
    """A store that has nothing in memory yet."""
    async with opened(folder) as store:
        bodies = await packed(store, count, 3000)
    async with opened(folder) as store:
        yield store, bodies


def span_of(store: TieredStore, key: str) -> Span:
    span = store._folder.directory.find(key)
    assert span is not None
    return span


def knows(store: TieredStore, key: str) -> bool:
    return store._folder.directory.find(key) is not None


def forget_all(store: TieredStore) -> None:
    store._memory.clear()
    store._folder.directory.clear()


async def noted(store: TieredStore) -> None:
    """What was put together for the directory is there."""
    await asyncio.gather(*store._tasks)


async def test_what_was_stored_together_is_found_without_the_rows(
    tmp_path: Path, no_rows: Refuse
) -> None:
    async with filled(tmp_path, 128) as (store, bodies):
        no_rows()
        for key, body in bodies.items():
            found = await store.lookup(key)
            assert found.generation == store.generation(key)
            assert store.peek(key) == found
            assert store.held(found.variants[0]) == body
            assert found.variants[0].head == response(found.variants[0].id[5:]).head


async def test_who_stored_it_finds_it_in_the_same_way(tmp_path: Path, no_rows: Refuse) -> None:
    async with opened(tmp_path) as store:
        bodies = await packed(store)
        store._memory.clear()
        no_rows()
        for key, body in bodies.items():
            assert await bodies_of(store, key) == [body]


async def test_without_memory_it_is_read_as_well(tmp_path: Path) -> None:
    async with opened(tmp_path, memory=0) as store:
        bodies = await packed(store)
        for key, body in bodies.items():
            assert await bodies_of(store, key) == [body]
            assert store.peek(key) is None


@pytest.mark.parametrize("refusals", [1, 20, 10**9], ids=["soon", "later", "never"])
async def test_what_is_not_in_the_page_cache_is_waited_for(
    tmp_path: Path, refusals: int, no_rows: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_reads, "NOWAIT", 8)
    async with filled(tmp_path) as (store, bodies):
        no_rows()
        refuse_reads(monkeypatch, refusals)
        found = await asyncio.gather(*(bodies_of(store, key) for key in bodies))
        assert found == [[body] for body in bodies.values()]


async def test_many_ask_for_one_and_some_leave(tmp_path: Path, no_rows: Refuse) -> None:
    async with filled(tmp_path) as (store, bodies):
        no_rows()
        asking = [asyncio.ensure_future(bodies_of(store, FIRST)) for _ in range(20)]
        await asyncio.sleep(0)
        for one in asking[::2]:
            one.cancel()
        assert await asyncio.gather(*asking[1::2]) == [[bodies[FIRST]]] * 10


async def test_one_that_changes_is_asked_of_the_rows(tmp_path: Path, no_packs: Refuse) -> None:
    """Though the directory knows it: whoever changes it may be killed before it says so."""
    async with filled(tmp_path) as (store, bodies):
        store._generations.changing(FIRST)
        assert knows(store, FIRST)
        no_packs()
        assert await bodies_of(store, FIRST) == [bodies[FIRST]]
        assert store.peek(FIRST) is None


async def test_one_that_was_changed_while_it_was_read_is_asked_of_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = PackReads.read
    async with filled(tmp_path) as (store, bodies), opened(tmp_path) as other:
        (before,) = (await other.lookup(FIRST)).variants
        after = replace(before, invalid=True)

        async def slowly(reads: PackReads, span: Span) -> bytes:
            octets = await read(reads, span)
            monkeypatch.undo()
            await other.update(FIRST, [after])
            return octets

        def begin(reads: PackReads, span: Span) -> asyncio.Future[bytes]:
            return asyncio.ensure_future(slowly(reads, span))

        monkeypatch.setattr(PackReads, "at_once", lambda *_: None)
        monkeypatch.setattr(PackReads, "read", begin)
        assert (await store.lookup(FIRST)).variants == (after,)
        assert await bodies_of(store, FIRST) == [bodies[FIRST]]


async def test_what_is_put_in_the_place_of_another_key_is_asked_of_the_rows(tmp_path: Path) -> None:
    async with filled(tmp_path) as (store, bodies):
        directory = store._folder.directory
        where = {key: span_of(store, key) for key in bodies}
        for key, span in zip(bodies, reversed(where.values()), strict=True):
            directory.forget(key)
            directory.put(key, Place(name_of(span.pack), span.start, 10, span.size - 11, 1))
        for key, body in bodies.items():
            assert await bodies_of(store, key) == [body]


# Damage.


def change(folder: Path, span: Span, *, octet: int, bit: int = 0) -> None:
    path = Path(body_path(folder / "bodies", name_of(span.pack)))
    with path.open("r+b") as file:
        file.seek(span.start + octet)
        (value,) = file.read(1)
        file.seek(span.start + octet)
        file.write(bytes((value ^ 1 << bit,)))


def head_of(folder: Path, span: Span) -> int:
    path = Path(body_path(folder / "bodies", name_of(span.pack)))
    return 1 + path.read_bytes()[span.start]


@pytest.mark.parametrize("where", ["head", "record"])
async def test_no_damage_brings_another_answer(tmp_path: Path, where: str) -> None:
    async with filled(tmp_path, 128) as (store, bodies):
        for number, key in enumerate(bodies):
            span = span_of(store, key)
            head = head_of(tmp_path, span)
            octet = number // 8 % head if where == "head" else head + 3000 + number
            change(tmp_path, span, octet=octet, bit=number % 8)
        for key, body in bodies.items():
            (stored,) = (await store.lookup(key)).variants
            assert stored.head == response(stored.id[5:]).head
            assert await bodies_of(store, key) == [body]


async def test_a_damaged_body_is_lost(tmp_path: Path) -> None:
    async with filled(tmp_path) as (store, bodies):
        for number, key in enumerate(bodies):
            span = span_of(store, key)
            change(tmp_path, span, octet=head_of(tmp_path, span) + number * 187, bit=number % 8)
        for key in bodies:
            with pytest.raises(BodyLost):
                await bodies_of(store, key)
            assert (await store.lookup(key)).variants == ()
            assert not knows(store, key)


def unlink(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


@pytest.mark.parametrize("damage", [unlink, empty, overwrite])
async def test_a_pack_that_is_gone_is_a_miss(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    async with filled(tmp_path) as (store, bodies):
        (path,) = body_files(tmp_path)
        damage(path)
        for key in bodies:
            (stored,) = (await store.lookup(key)).variants
            with pytest.raises(BodyLost):
                await store.open(key, stored)
            assert (await store.lookup(key)).variants == ()


async def test_a_damaged_row_is_not_missed_where_a_pack_has_the_record(tmp_path: Path) -> None:
    async with filled(tmp_path) as (store, bodies):
        sql(tmp_path, "UPDATE Cache SET value = ? WHERE key = ?", b"garbage", f"m{FIRST}")
        assert await bodies_of(store, FIRST) == [bodies[FIRST]]
        forget_all(store)
        with pytest.raises(DamagedRecord):
            await store._lookups.in_rows(FIRST)
        assert (await store.lookup(FIRST)).variants == ()


# What the directory does not know.


async def test_what_was_read_from_the_rows_is_known_in_the_end(
    tmp_path: Path, no_rows: Refuse
) -> None:
    async with filled(tmp_path, tiered._NOTED_AT_ONCE) as (store, bodies):
        forget_all(store)
        for key in bodies:
            assert not any(knows(store, other) for other in bodies)
            assert await bodies_of(store, key) == [bodies[key]]
        await noted(store)
        assert all(knows(store, key) for key in bodies)
        store._memory.clear()
        no_rows()
        for key, body in bodies.items():
            assert await bodies_of(store, key) == [body]


Change = Callable[[TieredStore], Awaitable[object]]


async def update(store: TieredStore) -> None:
    (stored,) = (await store.lookup(FIRST)).variants
    await store.update(FIRST, [replace(stored, invalid=True)])


async def remove(store: TieredStore) -> None:
    await store.remove(FIRST)


async def replace_body(store: TieredStore) -> None:
    await put(store, FIRST, "new", b"new")


async def add_variant(store: TieredStore) -> None:
    await put(store, FIRST, "new", b"new", vary="x")


async def pass_generation(store: TieredStore) -> None:
    store._generations.settled(FIRST)


async def begin_change(store: TieredStore) -> None:
    store._generations.changing(FIRST)


@pytest.mark.parametrize(
    "changed", [update, remove, replace_body, add_variant, pass_generation, begin_change]
)
async def test_what_was_changed_since_it_was_read_is_not_noted(
    tmp_path: Path, changed: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiered, "_NOTED_AT_ONCE", 16)
    async with filled(tmp_path) as (store, bodies):
        forget_all(store)
        *most, last = bodies
        for key in most:
            await store.lookup(key)
        await changed(store)
        await store.lookup(last)
        await noted(store)
        assert {key for key in bodies if knows(store, key)} == set(bodies) - {FIRST}


@pytest.mark.parametrize("changed", [update, replace_body, add_variant, begin_change])
async def test_what_a_pack_has_not_as_the_rows_have_it_is_not_noted(
    tmp_path: Path, changed: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiered, "_NOTED_AT_ONCE", 15)
    async with filled(tmp_path) as (store, bodies):
        await changed(store)
        forget_all(store)
        for key in bodies:
            await store.lookup(key)
        await noted(store)
        assert {key for key in bodies if knows(store, key)} == set(bodies) - {FIRST}


async def test_what_is_left_of_two_variants_may_be_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiered, "_NOTED_AT_ONCE", 1)
    async with filled(tmp_path) as (store, bodies):
        await add_variant(store)
        await store.remove(FIRST, frozenset(("body-new",)))
        assert not knows(store, FIRST)
        store._memory.clear()
        assert await bodies_of(store, FIRST) == [bodies[FIRST]]
        await noted(store)
        assert knows(store, FIRST)


async def test_what_cannot_be_noted_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiered, "_NOTED_AT_ONCE", 1)
    async with filled(tmp_path) as (store, bodies):
        forget_all(store)

        def full(*_: object) -> None:
            raise OSError("full")

        monkeypatch.setattr(Directory, "put", full)
        for key, body in bodies.items():
            assert await bodies_of(store, key) == [body]
        await noted(store)


async def test_what_was_asked_for_is_read_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with filled(tmp_path) as (store, bodies):
        await store.lookup(f"{KEY}/1")  # the pack is open
        lookups = store._lookups

        def refuse(*_: object) -> int:
            raise BlockingIOError

        monkeypatch.setattr(pack_reads, "NOWAIT", 8)
        monkeypatch.setattr(os, "preadv", refuse)
        monkeypatch.setattr(pack_reads, "_LOOKS", 0)
        asked = asyncio.ensure_future(lookups._packs.read(span_of(store, FIRST)))
        await lookups.close()
        async with asyncio.timeout(5):
            found = packs.entry(await asked)
        assert found is not None
        assert found.body == bodies[FIRST]
