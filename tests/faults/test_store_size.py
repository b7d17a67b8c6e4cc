"""``max_size`` holds at any time, as ``du`` sees the folder; eviction goes by recency."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from proxy.store.base import StoreFailed, TooLarge
from tests.support.stores import (
    KEY,
    SMALLEST,
    bodies_of,
    body_files,
    disk_usage,
    opened,
    put,
    put_spooled,
)

pytestmark = pytest.mark.slow

LIMIT = SMALLEST * 2
FEW_PER_CENT = 1.03


@pytest.mark.parametrize(
    ("sizes", "at_once"),
    [
        pytest.param([0, 300, 2_000], 8, id="metadata weighs most"),
        pytest.param([10_000, 30_000], 8, id="inline"),
        pytest.param([2_500, 10_000, 30_000], 40, id="packed"),
        pytest.param([40_000, 200_000], 8, id="files"),
        pytest.param([500, 10_000, 30_000, 90_000, 700_000, 3_000_000], 8, id="mixed"),
    ],
)
async def test_max_size_holds_under_load(tmp_path: Path, sizes: list[int], at_once: int) -> None:
    chance = random.Random(7)
    stored = 0
    async with opened(tmp_path, SMALLEST) as store:
        while stored < 2 * SMALLEST:
            group = [chance.choice(sizes) for _ in range(at_once)]
            await asyncio.gather(
                *(
                    put_spooled(
                        store, f"{KEY}/{chance.random()}", f"{stored}-{n}", os.urandom(size)
                    )
                    for n, size in enumerate(group)
                )
            )
            stored += sum(group) + at_once * 2000
            used, limit, _ = store.usage()
            assert disk_usage(tmp_path) <= SMALLEST * FEW_PER_CENT
            assert used <= limit * FEW_PER_CENT
        assert disk_usage(tmp_path) > SMALLEST * 0.6, "it is a cache after all"


async def test_bodies_on_their_way_in_count(tmp_path: Path) -> None:
    async with opened(tmp_path, LIMIT) as store:
        for number in range(300):
            await put(store, f"{KEY}/{number}", f"{number}00", os.urandom(100_000))
        spools = [store.spool() for _ in range(3)]
        for _ in range(60):
            for spool in spools:
                await spool.append(os.urandom(100_000))
            assert disk_usage(tmp_path) <= LIMIT * FEW_PER_CENT
        with pytest.raises((StoreFailed, TooLarge)):
            await store.spool().append(b"x" * 4_000_000)
        for spool in spools:
            spool.abandon()


async def test_inline_bodies_make_room_for_a_large_one(tmp_path: Path) -> None:
    async with opened(tmp_path, LIMIT) as store:
        for first in range(0, 1500, 5):  # so few at a time are rows
            await asyncio.gather(
                *(
                    put(store, f"{KEY}/{number}", f"{number}00", os.urandom(20_000))
                    for number in range(first, first + 5)
                )
            )
        large = os.urandom(8_000_000)
        await put_spooled(store, KEY, "large", large)
        assert disk_usage(tmp_path) <= LIMIT * FEW_PER_CENT
        assert await bodies_of(store, KEY) == [large]
        assert store.usage()[2] > 500


async def test_what_is_reused_stays(tmp_path: Path) -> None:
    async with opened(tmp_path, LIMIT) as store:
        await put(store, KEY, "hot", b"hot")
        for first in range(0, 3000, 5):
            await asyncio.gather(
                *(
                    put(store, f"{KEY}/{number}", f"{number}00", os.urandom(25_000))
                    for number in range(first, first + 5)
                )
            )
            store.touch(KEY)
        assert await bodies_of(store, KEY) == [b"hot"]
        assert (await store.lookup(f"{KEY}/0")).variants == ()
        assert (await store.lookup(f"{KEY}/2999")).variants != ()


async def test_an_evicted_key_is_no_hit_any_more(tmp_path: Path) -> None:
    async with opened(tmp_path, SMALLEST, memory=64 * 2**20) as store:
        await put(store, KEY, "first", b"first")
        generation = store.generation(KEY)
        for number in range(40):
            await put(store, f"{KEY}/{number}", f"{number}00", os.urandom(1_000_000))
        assert store.generation(KEY) != generation
        assert store.peek(KEY) is None
        assert (await store.lookup(KEY)).variants == ()
        assert len(body_files(tmp_path)) == store.usage()[2]


async def test_a_smaller_limit_at_the_next_start(tmp_path: Path) -> None:
    async with opened(tmp_path, 4 * SMALLEST) as store:
        for number in range(500):
            await put(store, f"{KEY}/{number}", f"{number}00", os.urandom(100_000))
    async with opened(tmp_path, SMALLEST) as store:
        await put(store, KEY, "new", b"new")
        assert disk_usage(tmp_path) <= SMALLEST * FEW_PER_CENT
        assert await bodies_of(store, KEY) == [b"new"]
