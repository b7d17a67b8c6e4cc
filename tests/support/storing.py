"""A process that stores until it is killed: ``python -m tests.support.storing FOLDER SEED``.

It prints one line when it is open and one after each operation. What it stores is told by the
id alone, so that whoever comes after can say whether a body is right.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.stores import KEY, opened, put, put_spooled, response

if TYPE_CHECKING:
    from proxy.store.tiered import TieredStore

KEYS = [f"{KEY}/{number}" for number in range(40)]
SIZES = [0, 10, 3_000, 30_000, 40_000, 200_000, 600_000, 1_500_000]

PACKED = [2_500, 10_000, 30_000]


def body_of(id_: str) -> bytes:
    """``body-SEED-NUMBER-SIZE``"""
    return random.Random(id_).randbytes(int(id_.rpartition("-")[2]))


async def put_many(store: TieredStore, prefix: str, chance: random.Random) -> None:
    """Under as many keys at once: small bodies, which are written together."""
    names = [f"{prefix}{letter}-{chance.choice(PACKED)}" for letter in "abcdefghijklmnop"]
    keys = chance.sample(KEYS, len(names))
    puts = zip(keys, names, strict=True)
    await asyncio.gather(*(put(store, key, name, body_of(f"body-{name}")) for key, name in puts))


async def store_forever(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with opened(folder, size=32 * 2**20) as store:
        sys.stdout.write("open\n")
        sys.stdout.flush()
        for number in range(10**9):
            key = chance.choice(KEYS)
            name = f"{seed}-{number}-{chance.choice(SIZES)}"
            body = body_of(f"body-{name}")
            match chance.randrange(10):
                case 0:
                    await store.remove(key)
                case 1:
                    found = await store.lookup(key)
                    await store.update(key, found.variants)
                case 2 | 3:
                    await put_spooled(store, key, name, body)
                case 4 | 5:
                    await put_many(store, f"{seed}-{number}", chance)
                case _:
                    vary = chance.choice("ab")
                    await put(store, key, name, body, vary=vary)
            assert response(name).id == f"body-{name}"
            sys.stdout.write(".\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(store_forever(Path(sys.argv[1]), int(sys.argv[2])))
