"""Several processes on one folder: what one changes ends the hits of the others."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

from proxy.store.disk import DATABASE
from proxy.store.operations import ReplaceDatabase
from tests.support.stores import (
    KEY,
    SMALLEST,
    bodies_of,
    disk_usage,
    opened,
    put,
    put_spooled,
    response,
)


async def test_a_removal_in_one_ends_hits_in_the_other(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        await put(one, KEY, "a", b"A")
        found = await two.lookup(KEY)
        assert two.peek(KEY) == found
        await one.remove(KEY)
        assert two.generation(KEY) != found.generation
        assert two.peek(KEY) is None
        assert (await two.lookup(KEY)).variants == ()


async def test_an_update_in_one_is_seen_by_the_other(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        await put(one, KEY, "a", b"A")
        (stored,) = (await two.lookup(KEY)).variants
        await one.update(KEY, [replace(stored, invalid=True)])
        assert two.peek(KEY) is None
        assert (await two.lookup(KEY)).variants == (replace(stored, invalid=True),)


async def test_a_replacement_in_one_is_served_by_the_other(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        for number in range(20):
            body = os.urandom(1 + number * 4000)
            writer, reader = (one, two) if number % 2 else (two, one)
            await put(writer, KEY, f"a{number}", body)
            assert await bodies_of(reader, KEY) == [body]
            assert await bodies_of(writer, KEY) == [body]


async def test_a_removal_in_one_stops_a_fill_in_the_other(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        since = two.removals(KEY)
        spool = two.spool()
        await spool.append(b"x" * 500_000)
        await one.remove(KEY)
        await two.adopt(KEY, response("a"), spool, since)
        assert (await two.lookup(KEY)).variants == ()
        assert (await one.lookup(KEY)).variants == ()


async def test_both_write_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        bodies = {f"{KEY}/{n}": os.urandom(n * 500) for n in range(120)}
        await asyncio.gather(
            *(
                put((one, two)[n % 2], key, f"{n}00", body)
                for n, (key, body) in enumerate(bodies.items())
            )
        )
        for key, body in bodies.items():
            assert await bodies_of(one, key) == await bodies_of(two, key) == [body]


async def test_max_size_holds_for_both_together(tmp_path: Path) -> None:
    async with opened(tmp_path, SMALLEST) as one, opened(tmp_path, SMALLEST) as two:
        for number in range(150):
            store = (one, two)[number % 2]
            size = 1_500_000 if number % 10 == 9 else 60_000 + number * 1000
            await put_spooled(store, f"{KEY}/{number}", f"{number}00", os.urandom(size))
            assert disk_usage(tmp_path) <= SMALLEST * 1.03


async def test_orphans_of_one_are_not_the_files_of_the_other(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        bodies = {f"{KEY}/{n}": os.urandom(60_000) for n in range(60)}

        async def scan() -> None:
            for _ in range(20):
                await two.remove_orphans()

        async def store() -> None:
            for n, (key, body) in enumerate(bodies.items()):
                await put(one, key, f"{n}00", body)

        await asyncio.gather(scan(), store())
        one._memory.clear()
        for key, body in bodies.items():
            assert await bodies_of(one, key) == [body]


async def test_a_damaged_database_is_replaced_for_both(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        for number in range(100):
            await put(one, f"{KEY}/{number}", f"a{number}", os.urandom(1500))  # rows
        await two.lookup(KEY)
        octets = bytearray((tmp_path / DATABASE).read_bytes())
        with (tmp_path / DATABASE).open("r+b") as file:
            file.write(b"\xff" * len(octets))
        with (tmp_path / f"{DATABASE}-wal").open("r+b") as file:
            file.truncate(0)
        one._memory.clear()
        for number in range(100):
            await one.lookup(f"{KEY}/{number}")
        await put(one, KEY, "new", b"new")
        assert await bodies_of(two, KEY) == [b"new"]
        await two.remove(KEY)
        assert (await one.lookup(KEY)).variants == ()


async def test_who_has_seen_no_damage_follows_to_the_new_database(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path, memory=0) as two:
        await put(two, KEY, "a", b"A")
        replaced = ReplaceDatabase(one._folder.table, OSError("damaged"))
        await one._writer.submit(replaced)
        assert (await two.lookup(KEY)).variants == ()
        await put(two, KEY, "b", b"B")
        assert await bodies_of(one, KEY) == [b"B"]
