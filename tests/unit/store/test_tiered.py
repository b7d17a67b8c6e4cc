"""The contract of ``base.Store``, kept by the store that the program uses."""

import asyncio
import os
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.store import bodies, packs
from proxy.store.base import FORMS, BodyLost, Found, Spool, Store, StoredBody, StoreFailed, TooLarge
from proxy.store.bodies import LARGEST_INLINE, body_path
from proxy.store.disk import DATABASE
from proxy.store.memory import SMALL_BODY
from proxy.store.operations import Operation
from proxy.store.packs import is_pack
from proxy.store.tiered import TieredStore, open_store
from tests.support.stores import (
    KEY,
    SMALLEST,
    bodies_of,
    body_files,
    opened,
    options,
    packed,
    put,
    put_spooled,
    response,
    searched,
    spool_files,
)
from tests.support.transport import until

SIZES = [
    pytest.param(0, id="empty"),
    pytest.param(1, id="one octet"),
    pytest.param(LARGEST_INLINE, id="largest inline"),
    pytest.param(LARGEST_INLINE + 1, id="smallest file"),
    pytest.param(SMALL_BODY, id="largest in memory"),
    pytest.param(SMALL_BODY + 1, id="smallest on disk alone"),
    pytest.param(3_000_000, id="large"),
]


def names(found: Found | None) -> list[str]:
    assert found is not None
    return [stored.id for stored in found.variants]


@pytest.mark.parametrize("way", ["put", "adopt"])
@pytest.mark.parametrize("size", SIZES)
async def test_stored_and_still_there_after_a_restart(tmp_path: Path, size: int, way: str) -> None:
    body = os.urandom(size)
    async with opened(tmp_path) as store:
        await (put if way == "put" else put_spooled)(store, KEY, "a", body)
        (stored,) = (await store.lookup(KEY)).variants
        assert (stored.length, stored.head) == (size, response("a").head)
        assert await bodies_of(store, KEY) == [body]
        if size <= SMALL_BODY and way == "put":
            assert store.held(stored) == body
    async with opened(tmp_path) as store:
        assert (await store.lookup(KEY)).variants == (stored,)
        assert await bodies_of(store, KEY) == [body]
        assert await bodies_of(store, KEY) == [body]
    assert spool_files(tmp_path) == []
    assert len(body_files(tmp_path)) == (size > packs.SMALLEST)


async def test_nothing_under_a_key(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        assert store.peek(KEY) == Found((), store.generation(KEY))
        assert (await store.lookup(KEY)).variants == ()
        assert await store.remove(KEY) == 0
        await store.update(KEY, [response("a")])
        assert (await store.lookup(KEY)).variants == ()


async def test_peek_and_held_answer_from_memory_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"A")
    async with opened(tmp_path) as store:
        assert store.peek(KEY) is None
        found = await store.lookup(KEY)
        assert store.peek(KEY) == found
        assert found.generation == store.generation(KEY)
        assert store.held(found.variants[0]) == b"A"


async def test_without_memory_everything_comes_from_disk(tmp_path: Path) -> None:
    async with opened(tmp_path, memory=0) as store:
        await put(store, KEY, "a", b"A")
        (stored,) = (await store.lookup(KEY)).variants
        assert store.peek(KEY) is None
        assert store.held(stored) is None
        assert await bodies_of(store, KEY) == [b"A"]


async def test_variants_newest_first_equal_selecting_replaced(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for number, vary in enumerate(("x", "y", "x")):
            name = f"{vary}{number}"
            changed = response(name, vary=vary, time=float(number))
            await store.put(KEY, changed, name.encode(), store.removals(KEY))
        assert names(await store.lookup(KEY)) == ["body-x2", "body-y1"]
        assert await bodies_of(store, KEY) == [b"x2", b"y1"]
        store._memory.clear()
        assert await bodies_of(store, KEY) == [b"x2", b"y1"]
        assert not await store._readers.run(store._lookups.table().has_body, "body-x0")


@pytest.mark.parametrize("size", [100, 100_000])
async def test_the_file_of_a_replaced_body_goes(tmp_path: Path, size: int) -> None:
    async with opened(tmp_path) as store:
        for name in ("aa", "bb"):
            await put(store, KEY, name, os.urandom(size))
        assert [path.name for path in body_files(tmp_path)] == (
            ["body-bb"] if size > LARGEST_INLINE else []
        )


async def test_every_change_changes_the_generation(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        seen = [store.generation(KEY)]
        await put(store, KEY, "a", b"A")
        seen.append(store.generation(KEY))
        (stored,) = (await store.lookup(KEY)).variants
        assert store.generation(KEY) == seen[-1]
        await store.update(KEY, [replace(stored, invalid=True)])
        seen.append(store.generation(KEY))
        await store.remove(KEY)
        seen.append(store.generation(KEY))
        assert len(set(seen)) == 4


async def test_update_replaces_by_id_and_leaves_bodies_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"A", vary="a")
        await put(store, KEY, "b", b"B", vary="b")
        found = await store.lookup(KEY)
        freshened = [replace(s, response_time=2000.0) for s in found.variants if s.id == "body-b"]
        await store.update(KEY, [*freshened, response("gone")])
        assert names(store.peek(KEY)) == ["body-b", "body-a"]
        assert store.held(freshened[0]) == b"B"
        assert await bodies_of(store, KEY) == [b"B", b"A"]
    async with opened(tmp_path) as store:
        assert (await store.lookup(KEY)).variants[0] == freshened[0]


async def test_remove_some_and_all(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for name in "abc":
            await put(store, KEY, name, name.encode(), vary=name)
        assert await store.remove(KEY, frozenset(("body-b", "body-unknown"))) == 1
        assert sorted(names(await store.lookup(KEY))) == ["body-a", "body-c"]
        assert await store.remove(KEY) == 2
        assert (await store.lookup(KEY)).variants == ()
        assert store.usage()[2] == 0


async def test_hits_end_when_remove_is_called_not_when_it_returns(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"A")
        generation = store.generation(KEY)
        removing = asyncio.ensure_future(store.remove(KEY))
        await asyncio.sleep(0)
        assert store.generation(KEY) != generation
        assert store.peek(KEY) is None
        assert await removing == 1


@pytest.mark.parametrize("way", ["put", "adopt"])
async def test_a_removal_during_the_fill_wins(tmp_path: Path, way: str) -> None:
    async with opened(tmp_path) as store:
        since = store.removals(KEY)
        spool = store.spool()
        await spool.append(b"x" * 400_000)
        await store.remove(KEY)
        if way == "put":
            await store.put(KEY, response("a"), b"x" * 100_000, since)
        else:
            await store.adopt(KEY, response("a"), spool, since)
        assert (await store.lookup(KEY)).variants == ()
        assert body_files(tmp_path) == []
        assert await spool.read_at(399_990, 100) == b"x" * 10
        spool.abandon()
    assert spool_files(tmp_path) == []


async def test_neither_change_nor_eviction_nor_damage_stops_a_fill(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        since = store.removals(KEY)
        await put(store, KEY, "a", b"A")
        (stored,) = (await store.lookup(KEY)).variants
        await store.update(KEY, [stored])
        await store._lose(KEY, stored, BodyLost("damaged"))
        await store.put(KEY, response("b"), b"B", since)
        assert await bodies_of(store, KEY) == [b"B"]


async def test_a_removed_body_stays_readable(tmp_path: Path) -> None:
    body = os.urandom(2_000_000)
    async with opened(tmp_path) as store:
        await put_spooled(store, KEY, "a", body)
        (stored,) = (await store.lookup(KEY)).variants
        reader = await store.open(KEY, stored)
        await store.remove(KEY)
        assert body_files(tmp_path) == []
        assert await reader.read_at(1_000_000, 500) == body[1_000_000:1_000_500]
        reader.close()
        with pytest.raises(BodyLost):
            await store.open(KEY, stored)


async def test_a_body_of_nobody_is_lost(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for length in (10, 100_000, 1_000_000):
            with pytest.raises(BodyLost):
                await store.open(KEY, replace(response("none"), length=length))


async def test_a_lost_body_takes_its_response_with_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", os.urandom(1_000_000), vary="a")
        await put(store, KEY, "b", b"B", vary="b")
        found = await store.lookup(KEY)
        (file,) = body_files(tmp_path)
        file.unlink()
        (lost,) = (stored for stored in found.variants if stored.id == "body-a")
        with pytest.raises(BodyLost):
            await store.open(KEY, lost)
        assert names(await store.lookup(KEY)) == ["body-b"]


async def test_many_readers_of_an_unchecked_body_wait_for_one_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []
    check = bodies._checksum_of_file

    def counted(file: bodies.Descriptor) -> int:
        checked.append(file.number)
        return check(file)

    monkeypatch.setattr(bodies, "_checksum_of_file", counted)
    body = os.urandom(3_000_000)
    async with opened(tmp_path) as store:
        await put_spooled(store, KEY, "a", body)
    async with opened(tmp_path) as store:
        (stored,) = (await store.lookup(KEY)).variants
        readers = await asyncio.gather(*(store.open(KEY, stored) for _ in range(5)))
        assert len(checked) == 1
        for reader in readers:
            assert await reader.read_at(2_999_990, 100) == body[-10:]
            reader.close()


async def test_too_large_is_said_before_and_meanwhile(tmp_path: Path) -> None:
    async with opened(tmp_path, size=SMALLEST) as store:
        largest = SMALLEST // 4
        store.reserve(largest)
        store.reserve(None)
        with pytest.raises(TooLarge):
            store.reserve(largest + 1)
        with pytest.raises(TooLarge):
            await store.put(KEY, response("a"), b"x" * (largest + 1), store.removals(KEY))
        spool = store.spool()
        await spool.append(b"x" * largest)
        with pytest.raises(TooLarge):
            await spool.append(b"x")
        spool.abandon()
        assert store.usage()[2] == 0


async def test_reserve_refuses_when_other_fills_took_the_room(tmp_path: Path) -> None:
    async with opened(tmp_path, size=SMALLEST) as store:
        spools = [store.spool() for _ in range(3)]
        for spool in spools[:2]:
            await spool.append(b"x" * 4_000_000)
        store.reserve(None)
        with pytest.raises(StoreFailed):
            store.reserve(4_000_000)
        for spool in spools:
            spool.abandon()
        store.reserve(4_000_000)


async def test_an_id_that_cannot_name_a_file_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        with pytest.raises(ValueError, match="cannot name"):
            await store.put(KEY, replace(response("a"), id="../a"), b"", store.removals(KEY))
        with pytest.raises(TypeError):
            await store.adopt(KEY, response("a"), object(), 0)  # type: ignore[arg-type]


async def test_what_is_read_during_a_change_is_not_kept(tmp_path: Path) -> None:
    """Also when whoever changes it is killed before it can say that it is done."""
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"A")
        store._generations.changing(KEY)
        found = await store.lookup(KEY)
        assert names(found) == ["body-a"]
        assert found.generation != store.generation(KEY)
        assert store.peek(KEY) is None


async def test_close_commits_what_is_queued(tmp_path: Path) -> None:
    store = await open_store(options(tmp_path))
    puts = [
        asyncio.ensure_future(put(store, f"http://a.example/{n}", f"{n}0", b"x" * 50_000))
        for n in range(50)
    ]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*puts)
    async with opened(tmp_path) as store:
        assert store.usage()[2] == 50


async def test_what_is_submitted_is_committed_though_nobody_waits_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as store:
        submitted: list[Operation] = []
        submit = store._writer.submit

        def noted(operation: Operation) -> asyncio.Future[object]:
            submitted.append(operation)
            return submit(operation)

        spool = store.spool()
        await spool.append(b"x" * 1_000_000)
        monkeypatch.setattr(store._writer, "submit", noted)
        with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as locked:
            locked.execute("BEGIN IMMEDIATE")
            adopting = store.adopt(KEY, response("a"), spool, store.removals(KEY))
            storing = asyncio.ensure_future(adopting)
            await until(lambda: bool(submitted))
            storing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await storing
            spool.abandon()  # as whoever filled it does, whatever has come of it
            assert await spool.read_at(999_990, 20) == b"x" * 10
            await store._spoolers.run(lambda: None)  # what was to be removed is
            locked.execute("COMMIT")
    async with opened(tmp_path) as store:
        assert await bodies_of(store, KEY) == [b"x" * 1_000_000]
        assert store._folder.generations.in_flight() == 0


async def test_close_leaves_no_thread_and_no_descriptor(tmp_path: Path) -> None:
    def open_files() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    files, threads = open_files(), threading.active_count()
    async with opened(tmp_path) as store:
        await put_spooled(store, KEY, "a", os.urandom(1_000_000))
        assert await bodies_of(store, KEY)
        spool = store.spool()
        await spool.append(b"x" * 1_000_000)
        del spool
    assert spool_files(tmp_path) == []
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("store")]
    assert left == []
    assert threading.active_count() <= threads + 8  # asyncio's own pool stays
    assert open_files() <= files


async def test_usage_is_what_the_folder_takes(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        empty, limit, keys = store.usage()
        assert (limit, keys) == (64 * 2**20, 0)
        for n in range(100):
            await put(store, f"http://a.example/{n}", f"{n}0", os.urandom(20_000))
        await put(store, KEY, "big", os.urandom(2_000_000))
        await store.make_room()
        used, _, keys = store.usage()
        assert keys == 101
        assert 4_000_000 < used - empty < 4_800_000


async def test_the_port(tmp_path: Path) -> None:
    """mypy is the test: the store, its spools and bodies are what the port says."""
    async with opened(tmp_path) as opened_store:
        store: Store = opened_store
        spool: Spool = store.spool()
        await put(opened_store, KEY, "a", b"A")
        (stored,) = (await store.lookup(KEY)).variants
        body: StoredBody = await store.open(KEY, stored)
        body.close()
        spool.abandon()
    assert isinstance(opened_store, TieredStore)


async def test_a_damaged_body_in_a_pack_is_a_miss(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        bodies = await packed(store)
    packs = [path for path in body_files(tmp_path) if is_pack(path.name)]
    assert packs
    async with opened(tmp_path) as store:
        for key, body in bodies.items():
            assert await bodies_of(store, key) == [body]
    for path in packs:
        path.write_bytes(path.read_bytes()[:-9000])
    lost = 0
    async with opened(tmp_path) as store:
        for key, body in bodies.items():
            try:
                assert await bodies_of(store, key) == [body]
            except BodyLost:
                lost += 1
                assert (await store.lookup(key)).variants == ()
    assert lost == len(packs)


def orphan(folder: Path) -> Path:
    path = Path(body_path(folder / "bodies", "orphan"))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    return path


async def test_after_an_orderly_end_nothing_is_searched(tmp_path: Path) -> None:
    async with opened(tmp_path):
        path = orphan(tmp_path)
    async with opened(tmp_path) as store:
        assert not store._tasks
    assert path.exists()


@pytest.mark.parametrize("interrupted", [False, True])
async def test_after_a_kill_there_is_a_search_until_one_has_ended(
    tmp_path: Path, interrupted: bool
) -> None:
    async with opened(tmp_path):
        path, lock = orphan(tmp_path), tmp_path / "spool" / "0" / "lock"
        left = lock.read_bytes()
    lock.write_bytes(left)  # as if it had been killed
    if interrupted:
        await (await open_store(options(tmp_path))).close()
        assert path.exists()
    async with opened(tmp_path) as store:
        await searched(store)
        assert not path.exists()
    async with opened(tmp_path) as store:
        assert not store._tasks


async def test_a_new_database_has_the_old_bodies_searched(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put_spooled(store, KEY, "aa", bytes(100_000))
    (tmp_path / DATABASE).write_bytes(b"not a database" * 1000)
    async with opened(tmp_path) as store:
        await searched(store)
    assert body_files(tmp_path) == []


async def test_what_has_to_go_is_counted_by_reason(tmp_path: Path) -> None:
    async with opened(tmp_path, SMALLEST) as store:
        assert store.evictions == {"unused": 0, "form": 0, "damaged": 0}
        await put(store, f"{FORMS}gzip {KEY}", "f0", os.urandom(1_000_000))
        for number in range(20):
            await put(store, f"{KEY}/{number}", f"{number}00", os.urandom(1_000_000))
        gone, form = store.evictions["unused"], store.evictions["form"]
        assert (form, gone + store.usage()[2]) == (1, 20)
        assert gone >= 4
    path = max(body_files(tmp_path), key=lambda path: path.stat().st_mtime)
    path.write_bytes(b"x")
    async with opened(tmp_path, SMALLEST) as store:
        with pytest.raises(BodyLost):
            await bodies_of(store, f"{KEY}/19")
        assert store.evictions == {"unused": 0, "form": 0, "damaged": 1}


@pytest.mark.parametrize("removed", [True, False])
async def test_what_was_removed_meanwhile_is_not_said_to_be_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, removed: bool
) -> None:
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"A")
    async with opened(tmp_path) as store:
        (stored,) = (await store.lookup(KEY)).variants
        if removed:
            await store.remove(KEY)
        else:
            stored = replace(stored, checksum=bytes(len(stored.checksum)))
        store._memory.clear()
        with pytest.raises(BodyLost):
            await store.open(KEY, stored)
        assert ("lost a body" in caplog.text) is not removed
