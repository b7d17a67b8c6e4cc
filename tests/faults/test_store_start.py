"""A start with 100,000 entries."""

import sqlite3
import time
from pathlib import Path

from proxy.store.disk import DATABASE
from proxy.store.records import encode
from tests.support.stores import KEY, bodies_of, opened, response


def plant(folder: Path, count: int) -> None:
    """As the store writes them, only faster."""
    rows: list[tuple[str, int, int, bytes, str | None]] = []
    for number in range(count):
        key, stored = f"{KEY}/{number}", response(f"{number}00")
        rows.append((f"m{key}", 1, 1, encode(key, (stored,)), None))
        rows.append((f"b{stored.id}", 1, 1, b"", key))
    with sqlite3.connect(folder / DATABASE) as connection:
        connection.executemany(
            "INSERT INTO Cache (key, raw, mode, value, tag) VALUES (?, ?, ?, ?, ?)", rows
        )
    connection.close()


async def test_ready_in_under_a_second(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    plant(tmp_path, 100_000)
    (tmp_path / "generations").unlink()
    begun = time.perf_counter()
    async with opened(tmp_path) as store:
        assert time.perf_counter() - begun < 1.0
        assert store.usage()[2] == 100_000
        assert await bodies_of(store, f"{KEY}/77777") == [b""]
