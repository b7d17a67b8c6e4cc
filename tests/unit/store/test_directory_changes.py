"""The directory is a memo of the rows: whatever changes them, it never says what was before."""

import os
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.store import packs, records
from proxy.store.base import BodyLost, Found, StoreFailed
from proxy.store.bodies import LARGEST_INLINE, checksum, checksum_octets
from proxy.store.directory import Span
from proxy.store.disk import Table
from proxy.store.operations import (
    Note,
    Noted,
    Operation,
    Put,
    Remove,
    RemoveDamaged,
    ReplaceDatabase,
    Update,
)
from proxy.store.packs import Packs, Place, number_of
from proxy.store.tiered import TieredStore
from tests.support.damage import sql
from tests.support.stores import (
    KEY,
    SMALLEST,
    bodies_of,
    opened,
    packed,
    put,
    put_spooled,
    response,
    together,
)

FIRST = f"{KEY}/0"
BODY = os.urandom(5000)
NEW = records.sized(response("new"), len(BODY), checksum_octets(checksum(BODY)))
Change = Callable[[TieredStore], Awaitable[object]]


def knows(store: TieredStore, key: str = FIRST) -> bool:
    return store._folder.directory.find(key) is not None


async def agrees(store: TieredStore, key: str) -> bool:
    """Whether the directory knows the key; what it says is what the rows say."""
    return await store._readers.run(_agrees, store, key)


def _agrees(store: TieredStore, key: str) -> bool:
    table, span = store._lookups.table(), store._folder.directory.find(key)
    if span is None:
        return False
    record = table.record(key)
    assert record is not None, "there is no such row"
    (stored,) = records.decode(key, record)
    place = table.body(stored.id)
    assert isinstance(place, Place)
    assert span == Span(number_of(place.pack) or 0, place.start, place.room)
    entry = packs.read_entry(table.bodies, place)
    assert entry is not None
    assert (entry.id, entry.record) == (stored.id, record)
    return True


async def rows_say(store: TieredStore, key: str) -> tuple[object, ...]:
    record = await store._readers.run(lambda: store._lookups.table().record(key))
    return () if record is None else records.decode(key, record)


async def others(store: TieredStore, *work: Coroutine[Any, Any, object]) -> None:
    """Together with enough others to fill a pack."""
    company = [put(store, f"{KEY}/other{n}", f"other{n:02}", os.urandom(3000)) for n in range(9)]
    answers = await together(store, *company, *work)
    assert [answer for answer in answers if isinstance(answer, BaseException)] == []


async def submit(store: TieredStore, operation: Operation) -> object:
    return await store._writer.submit(operation)


async def update(store: TieredStore) -> None:
    (stored,) = (await store.lookup(FIRST)).variants
    await store.update(FIRST, [replace(stored, invalid=True)])


async def update_nothing(store: TieredStore) -> None:
    await store.update(FIRST, [response("unknown")])


async def remove(store: TieredStore) -> None:
    assert await store.remove(FIRST) == 1


async def remove_by_id(store: TieredStore) -> None:
    assert await store.remove(FIRST, frozenset(("body-00",))) == 1


async def remove_nothing(store: TieredStore) -> None:
    assert await store.remove(FIRST, frozenset(("unknown",))) == 0


async def lose(store: TieredStore) -> None:
    await store._lose(FIRST, response("00"), BodyLost("damaged"))


async def remove_damaged(store: TieredStore) -> None:
    sql(store._options.dir, "UPDATE Cache SET value = ? WHERE key = ?", b"garbage", f"m{FIRST}")
    (row,) = await store._readers.run(lambda: store._lookups.table().records_of([FIRST]))
    assert await store.tidy(RemoveDamaged(FIRST, row.rowid)) == 1


async def put_row(store: TieredStore) -> None:
    await put(store, FIRST, "new", b"new")


async def put_file(store: TieredStore) -> None:
    await put_spooled(store, FIRST, "new", os.urandom(400_000))


async def put_packed(store: TieredStore) -> None:
    await others(store, put(store, FIRST, "new", BODY))


async def add_row(store: TieredStore) -> None:
    await put(store, FIRST, "new", b"new", vary="x")


async def add_packed(store: TieredStore) -> None:
    await others(store, put(store, FIRST, "new", BODY, vary="x"))


async def put_and_update(store: TieredStore) -> None:
    changed = Update(FIRST, (replace(NEW, invalid=True),))
    await others(store, put(store, FIRST, "new", BODY), submit(store, changed))


async def put_and_lose(store: TieredStore) -> None:
    lost = Remove(FIRST, frozenset(("body-new",)), on_purpose=False)
    await others(store, put(store, FIRST, "new", BODY), submit(store, lost))


async def put_and_put_row(store: TieredStore) -> None:
    await others(store, put(store, FIRST, "new", BODY), put(store, FIRST, "newer", b"new"))


async def put_and_put_packed(store: TieredStore) -> None:
    await others(store, put(store, FIRST, "new", BODY), put(store, FIRST, "newer", BODY))


async def put_and_add(store: TieredStore) -> None:
    await others(store, put(store, FIRST, "new", BODY), put(store, FIRST, "newer", BODY, vary="x"))


async def put_too_late(store: TieredStore) -> None:
    late = Put(FIRST, NEW, BODY, store.removals(FIRST) - 2)
    await others(store, submit(store, late))


@pytest.mark.parametrize(
    ("change", "known"),
    [
        (update, False),
        (update_nothing, False),
        (remove, False),
        (remove_by_id, False),
        (remove_nothing, False),
        (lose, False),
        (remove_damaged, False),
        (put_row, False),
        (put_file, False),
        (put_packed, True),
        (add_row, False),
        (add_packed, False),
        (put_and_update, False),
        (put_and_lose, False),
        (put_and_put_row, False),
        (put_and_put_packed, True),
        (put_and_add, False),
        (put_too_late, False),
    ],
)
async def test_what_one_changes_no_other_finds_as_it_was(
    tmp_path: Path, change: Change, known: bool
) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        bodies = await packed(one, 12, 3000)
        one._memory.clear()
        for key, body in bodies.items():
            assert await bodies_of(two, key) == [body]
        await change(two)
        assert await agrees(one, FIRST) is known
        for store in (one, two):
            store._memory.clear()
            assert (await store.lookup(FIRST)).variants == await rows_say(store, FIRST)
        for key in list(bodies)[1:]:
            assert await agrees(one, key)
    async with opened(tmp_path) as store:
        assert knows(store) is known
        assert (await store.lookup(FIRST)).variants == await rows_say(store, FIRST)


async def test_a_variant_in_a_pack_is_beside_that_of_another(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        bodies = await packed(store, 12, 3000)
        await add_packed(store)
        store._memory.clear()
        assert sorted(await bodies_of(store, FIRST)) == sorted([BODY, bodies[FIRST]])


@pytest.mark.parametrize("change", [update, remove, put_row, add_row, lose])
async def test_the_word_is_empty_before_the_commit(
    tmp_path: Path, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, int]] = []
    async with opened(tmp_path) as store:
        await packed(store, 12, 3000)
        write = Table._write_rows

        def writing(table: Table) -> None:
            seen.append((knows(store), store.generation(FIRST) & 1))
            write(table)

        monkeypatch.setattr(Table, "_write_rows", writing)
        await change(store)
    assert seen == [(False, 1)]


async def test_what_is_evicted_is_forgotten(tmp_path: Path) -> None:
    async with opened(tmp_path, SMALLEST) as store:
        bodies = await packed(store, 100)
        for number in range(20):
            await put_spooled(store, f"{KEY}/large{number}", f"{number:02}00", os.urandom(10**6))
        assert store.evictions["unused"] > 50
        known = [await agrees(store, key) for key in bodies]
        assert known.count(False) > 50


async def test_a_note_of_a_key_that_is_changed_with_it_is_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await packed(store, 12, 3000)
        place = await store._readers.run(lambda: store._lookups.table().body("body-00"))
        assert isinstance(place, Place)
        note = Note([Noted(FIRST, store.generation(FIRST), place)])
        await together(store, update(store), submit(store, note))
        store._memory.clear()
        (stored,) = (await store.lookup(FIRST)).variants
        assert stored.invalid


async def test_what_two_have_noted_has_one_word(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        await packed(one, 12, 3000)
        place = await one._readers.run(lambda: one._lookups.table().body("body-00"))
        assert isinstance(place, Place)
        for store in (one, two):
            await submit(store, Note([Noted(FIRST, store.generation(FIRST), place)]))
        assert await agrees(two, FIRST)
        assert sum(map(bool, one._folder.directory._words)) == 12


async def test_a_new_database_knows_none_of_the_old_answers(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        bodies = await packed(one, 12, 3000)
        await submit(one, ReplaceDatabase(one._folder.table, OSError("damaged")))
        one._memory.clear()
        for store in (one, two):
            for key in bodies:
                assert (await store.lookup(key)).variants == ()
        again = await packed(two, 12, 3000)
        for key, body in again.items():
            assert await agrees(one, key)
            assert await bodies_of(one, key) == [body]


class Broken:
    """Commits that fail."""

    def __init__(self, store: TieredStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.known: list[bool] = []
        undo = Packs.undo

        def undoing(packs: Packs) -> None:
            self.known += [knows(store, f"{KEY}/{number}") for number in range(12)]
            undo(packs)

        def fail(_: Table) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(Packs, "undo", undoing)
        monkeypatch.setattr(Table, "_write_rows", fail)


async def test_a_commit_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as store:
        broken = Broken(store, monkeypatch)
        puts = [put(store, f"{KEY}/{n}", f"{n:02}", os.urandom(3000)) for n in range(12)]
        answers = await together(store, *puts)
        assert {type(answer) for answer in answers} == {StoreFailed}
        assert broken.known
        assert not any(broken.known), "before their places are used again"
        assert not any(knows(store, f"{KEY}/{n}") for n in range(12))
        monkeypatch.undo()
        store._writer._down_until = 0.0
        bodies = await packed(store, 12, 3000)
        assert all([await agrees(store, key) for key in bodies])


@pytest.mark.parametrize("change", [update, put_row, put_packed, add_packed])
async def test_after_a_commit_that_fails_the_old_answer_is_there(
    tmp_path: Path, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as store:
        bodies = await packed(store, 12, 3000)
        Broken(store, monkeypatch)
        with pytest.raises((StoreFailed, AssertionError)):
            await change(store)
        monkeypatch.undo()
        store._memory.clear()
        found = await store.lookup(FIRST)
        assert found == Found(found.variants, store.generation(FIRST))
        assert await bodies_of(store, FIRST) == [bodies[FIRST]]


async def test_bodies_that_are_not_of_a_pack_have_no_word(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await together(
            store,
            put(store, f"{KEY}/large", "large", os.urandom(LARGEST_INLINE + 1)),
            put(store, f"{KEY}/small", "small", b"small"),
            put(store, f"{KEY}/empty", "empty", b""),
        )
        for name in ("large", "small", "empty"):
            assert not knows(store, f"{KEY}/{name}")
