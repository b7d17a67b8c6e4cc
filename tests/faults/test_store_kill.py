"""``kill -9`` at any time: never a wrong octet, and nothing left behind."""

import asyncio
import os
import random
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.store.disk import Table
from proxy.store.packs import is_pack
from proxy.store.tiered import TieredStore
from tests.support.stores import (
    bodies_of,
    body_files,
    disk_usage,
    opened,
    searched,
    spool_files,
)
from tests.support.storing import KEYS, body_of

ROOT = Path(__file__).parents[2]
LONG = pytest.mark.skipif(
    "FORECACHE_LONG" not in os.environ, reason="takes minutes: set FORECACHE_LONG=1 to run it"
)


async def store_and_be_killed(folder: Path, seed: int, after: int) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.storing", str(folder), str(seed)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    for _ in range(after):
        assert await process.stdout.readline(), "it ended by itself"
    process.send_signal(signal.SIGKILL)
    await process.communicate()


async def check_all(store: TieredStore) -> tuple[int, set[str]]:
    """How many responses there are, each with the right body, and the ids of all."""
    ids = set()
    for key in KEYS:
        found = await store.lookup(key)
        bodies = await bodies_of(store, key)
        for stored, body in zip(found.variants, bodies, strict=True):
            assert body == body_of(stored.id)
            ids.add(stored.id)
    return len(ids), ids


def unaccounted(folder: Path) -> int:
    """The octets that body files take beyond what the rows say."""
    table = Table(folder, 1000)
    rows = table.usage().files
    table.leave()
    return sum(path.stat().st_blocks * 512 for path in body_files(folder)) - rows


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "rounds", [pytest.param(12, id="a dozen"), pytest.param(200, marks=LONG, id="200")]
)
async def test_killed_again_and_again(tmp_path: Path, rounds: int) -> None:
    chance = random.Random(rounds)
    stored = packed = 0
    for seed in range(rounds):
        await store_and_be_killed(tmp_path, seed, chance.randrange(1, 120))
        async with opened(tmp_path, size=32 * 2**20) as store:
            await searched(store)
            count, ids = await check_all(store)
            files = {path.name for path in body_files(tmp_path)}
            packs = {name for name in files if is_pack(name)}
            assert files - packs <= ids
            assert unaccounted(tmp_path) <= 4096 * len(packs)
            packed += len(packs)
            assert spool_files(tmp_path) == []
        assert disk_usage(tmp_path) < 33 * 2**20
        stored += count
    assert packed
    assert stored > rounds


@pytest.mark.timeout(300)
async def test_who_survives_believes_nothing_wrong(tmp_path: Path) -> None:
    """Several are killed, one after the other, beside one that goes on with what they left."""
    chance = random.Random(1)
    found = 0
    async with opened(tmp_path, size=32 * 2**20, memory=0) as survivor:
        for seed in range(8):
            await store_and_be_killed(tmp_path, seed, chance.randrange(5, 60))
            count, _ = await check_all(survivor)
            found += count
            for key in chance.sample(KEYS, 5):
                for stored in (await survivor.lookup(key)).variants:
                    await survivor.update(key, [replace(stored, invalid=True)])
                assert all(stored.invalid for stored in (await survivor.lookup(key)).variants)
                await survivor.remove(key)
                assert (await survivor.lookup(key)).variants == ()
        await survivor.remove_orphans()
        await check_all(survivor)
    assert found > 8
