"""Several processes on one folder: what one changes ends the hits of the others."""

import asyncio
import os
import shutil
import time
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from proxy.store.disk import DATABASE
from proxy.store.operations import ReplaceDatabase
from tests.support.store_process import Seen, StoreProcess
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


@pytest.mark.parametrize("name", [DATABASE, "spool", "bodies"])
def test_what_is_removed_while_two_processes_have_it_open(tmp_path: Path, name: str) -> None:
    """Both store again, and find what the other one has stored."""
    pair = [StoreProcess(tmp_path, SMALLEST, 0) for _ in range(2)]
    try:
        for number in range(100):
            pair[number % 2].ask("put", f"{KEY}/{number}", f"{number}-1000", "", 1.0, False, None)
            pair[number % 2].ask("get", f"{KEY}/{number - 1}", "whole")
        path = tmp_path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        for number, (ours, theirs) in enumerate((*permutations(pair), *permutations(pair))):
            key, spooled = f"{KEY}/new{number}", number > 1
            until = time.monotonic() + 10
            seen: list[Seen] = []
            while [one.state for one in seen] != ["right"] and time.monotonic() < until:
                for process in pair:  # whoever commits next meets it
                    process.ask("put", f"{KEY}/any", "0-10", "", 1.0, False, None)
                ours.ask("put", key, f"{number}-900000", "", 1.0, spooled, None)
                seen = theirs.ask("get", key, "whole")
            assert [one.state for one in seen] == ["right"]
        assert [process.faults for process in pair] == [[], []]
        assert [process.close() for process in pair]
    finally:
        for process in pair:
            process.kill()


def test_a_database_that_is_removed_while_both_write(tmp_path: Path) -> None:
    """The log of the old one says nothing of the new one."""
    pair = [StoreProcess(tmp_path, SMALLEST, 0) for _ in range(2)]
    try:
        for round_ in range(6):
            orders = [
                (process, process.order(*order))
                for number in range(60)
                for process in pair
                for order in (
                    ("put", f"{KEY}/{number}", f"{number}-1000", "", 1.0, False, None),
                    ("get", f"{KEY}/{number}", "whole"),
                )
            ]
            (tmp_path / DATABASE).unlink(missing_ok=True)
            for process, number in orders:
                process.answer(number)
            until, name = time.monotonic() + 10, f"{round_}-1000"
            while not (tmp_path / DATABASE).exists() and time.monotonic() < until:
                for process in pair:  # it is looked for now and then
                    process.ask("put", f"{KEY}/any", "0-1000", "", 1.0, False, None)
            for ours, theirs in permutations(pair):
                seen: list[Seen] = []
                while [one.state for one in seen] != ["right"] and time.monotonic() < until:
                    ours.ask("put", KEY, name, "", 1.0, False, None)
                    seen = theirs.ask("get", KEY, "whole")
                assert [one.state for one in seen] == ["right"]
        assert [process.faults for process in pair] == [[], []]
    finally:
        for process in pair:
            process.kill()
