"""Damage on disk is a miss: counted, removed, and never an answer."""

import logging
import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.store.base import BodyLost
from proxy.store.disk import DAMAGED, DATABASE
from proxy.store.tiered import TieredStore
from tests.support.stores import KEY, bodies_of, body_files, opened, put, put_spooled

BODIES = {"inline": 2_000, "small": 100_000, "large": 1_000_000}
OTHER = f"{KEY}/other"


def body(size: int, seed: int = 0) -> bytes:
    return random.Random(f"{seed}-{size}").randbytes(size)


def sql(folder: Path, statement: str, *parameters: object) -> None:
    with sqlite3.connect(folder / DATABASE) as connection:
        assert connection.execute(statement, parameters).rowcount != 0
    connection.close()


async def answers(store: TieredStore, key: str) -> list[bytes] | None:
    """The bodies under the key; None if one of them was lost."""
    try:
        return await bodies_of(store, key)
    except BodyLost:
        return None


def flip(octets: bytes, position: int) -> bytes:
    changed = bytearray(octets)
    changed[position] ^= 0x10
    return bytes(changed)


def flip_record(folder: Path) -> None:
    with sqlite3.connect(folder / DATABASE) as connection:
        ((record,),) = connection.execute("SELECT value FROM Cache WHERE key = ?", ("m" + KEY,))
    connection.close()
    sql(folder, "UPDATE Cache SET value = ? WHERE key = ?", flip(record, 30), "m" + KEY)


def swap_records(folder: Path) -> None:
    for old, new in (("m" + KEY, "x"), ("m" + OTHER, "m" + KEY), ("x", "m" + OTHER)):
        sql(folder, "UPDATE Cache SET key = ? WHERE key = ?", new, old)


def forget_record(folder: Path) -> None:
    sql(folder, "UPDATE Cache SET value = NULL WHERE key = ?", "m" + KEY)


def flip_body(folder: Path) -> None:
    for path in body_files(folder):
        if path.name == "body-aa":
            path.write_bytes(flip(path.read_bytes(), 1_111))
            return
    octets = flip(body(BODIES["inline"]), 1_111)
    sql(folder, "UPDATE Cache SET value = ? WHERE key = 'bbody-aa'", octets)


def swap_bodies(folder: Path) -> None:
    if body_files(folder):
        one, two = body_files(folder)
        one.rename(folder / "swapped")
        two.rename(one)
        (folder / "swapped").rename(two)
        return
    for old, new in (("bbody-aa", "x"), ("bbody-bb", "bbody-aa"), ("x", "bbody-bb")):
        sql(folder, "UPDATE Cache SET key = ? WHERE key = ?", new, old)


def cut_body(folder: Path) -> None:
    for path in body_files(folder):
        if path.name == "body-aa":
            os.truncate(path, path.stat().st_size - 1)
            return
    sql(folder, "UPDATE Cache SET value = ? WHERE key = 'bbody-aa'", b"cut")


def lose_body(folder: Path) -> None:
    for path in body_files(folder):
        if path.name == "body-aa":
            path.unlink()
    sql(folder, "DELETE FROM Cache WHERE key = 'bbody-aa'")


def foreign_body(folder: Path) -> None:
    sql(folder, "UPDATE Cache SET value = 12, mode = 4 WHERE key = 'bbody-aa'")
    for path in body_files(folder):
        path.write_bytes(b"")


Damage = Callable[[Path], None]


@pytest.mark.parametrize("size", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize(
    "damage",
    [
        flip_record,
        swap_records,
        forget_record,
        flip_body,
        swap_bodies,
        cut_body,
        lose_body,
        foreign_body,
    ],
)
async def test_damage_is_a_miss_and_is_removed(tmp_path: Path, damage: Damage, size: int) -> None:
    async with opened(tmp_path) as store:
        await put_spooled(store, KEY, "aa", body(size))
        await put_spooled(store, OTHER, "bb", body(size, 1))
    damage(tmp_path)
    async with opened(tmp_path) as store:
        assert await answers(store, KEY) in (None, [])
        assert (await store.lookup(KEY)).variants == ()
        assert await answers(store, OTHER) in (None, [], [body(size, 1)])
        await put(store, KEY, "cc", body(size, 2))
        assert await bodies_of(store, KEY) == [body(size, 2)]
        await store.remove_orphans()
        assert "body-aa" not in [path.name for path in body_files(tmp_path)]


async def test_a_file_changed_between_two_uses(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put_spooled(store, KEY, "aa", body(BODIES["large"]))
        assert await bodies_of(store, KEY) == [body(BODIES["large"])]
        flip_body(tmp_path)
        assert await answers(store, KEY) is None
        assert (await store.lookup(KEY)).variants == ()


async def test_what_a_flipped_bit_hides_is_removed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mark says that there is nothing; it comes back with the next key of that mark."""
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"A")
        store._memory.clear()
        with monkeypatch.context() as flipped:
            flipped.setattr(store._generations, "maybe_stored", lambda _: False)
            assert (await store.lookup(KEY)).variants == ()
            await store.remove(KEY)
        assert (await store.lookup(KEY)).variants == ()


async def test_flipped_bits_anywhere_in_the_database(tmp_path: Path) -> None:
    """Whatever they hit: right octets, a miss, or an empty cache, and it goes on storing."""
    chance = random.Random(1)
    for turn in range(15):
        async with opened(tmp_path) as store:
            for number in range(30):
                await put(store, f"{KEY}/{number}", f"{turn}-{number}", body(3_000, number))
        octets = bytearray((tmp_path / DATABASE).read_bytes())
        for _ in range(20):
            octets[chance.randrange(len(octets))] ^= 1 << chance.randrange(8)
        (tmp_path / DATABASE).write_bytes(octets)
        async with opened(tmp_path) as store:
            for number in range(30):
                found = await answers(store, f"{KEY}/{number}")
                assert found in (None, [], [body(3_000, number)])


@pytest.mark.parametrize("what", ["garbage", "settings", "empty", "missing", "cut"])
async def test_a_database_that_cannot_be_used(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path) as store:
        for number in range(200):
            await put(store, f"{KEY}/{number}", f"a{number}", body(5_000))
        await put_spooled(store, KEY, "aa", body(1_000_000))
    database = tmp_path / DATABASE
    match what:
        case "garbage":
            database.write_bytes(b"garbage" * 1000)
        case "settings":
            sql(tmp_path, "UPDATE Settings SET key = x'00' WHERE key = 'cull_limit'")
        case "empty":
            database.write_bytes(b"")
        case "missing":
            database.unlink()
        case _:
            os.truncate(database, database.stat().st_size // 3)
    with caplog.at_level(logging.WARNING):
        async with opened(tmp_path) as store:
            for number in range(200):
                assert await answers(store, f"{KEY}/{number}") in (None, [], [body(5_000)])
            await put(store, KEY, "bb", b"new")
            assert await bodies_of(store, KEY) == [b"new"]
            await store.remove_orphans()
            assert body_files(tmp_path) == []
    moved = [line for line in caplog.messages if "the cache starts empty" in line]
    assert len(moved) == (what in ("garbage", "settings", "cut"))
    assert (tmp_path / DAMAGED).exists() == bool(moved)
