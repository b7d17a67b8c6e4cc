"""A folder is looked at without a trace, beside its proxy or alone."""

from pathlib import Path

import pytest

from proxy.store import beside
from proxy.store.base import StoreFailed
from proxy.store.beside import Beside, NoCache
from proxy.store.disk import DATABASE
from tests.support.damage import KEYS, PACKED, SIZES, body, fill
from tests.support.stores import KEY, opened, put


async def test_rows_beside_a_store_that_writes(tmp_path: Path) -> None:
    await fill(tmp_path)
    async with opened(tmp_path) as store:
        with beside.opened(tmp_path) as rows:
            assert rows.count_keys() == rows.count_bodies() == len(SIZES)
            assert [rows.inline_body(f"body-{name}") for name in ("row", PACKED[0])] == [
                body("row"),
                body(PACKED[0]),
            ]
            await put(store, KEY, "new", b"new")
            assert rows.inline_body("body-new") == b"new"
            assert rows.record(KEY) is not None
            (row,) = rows.records_of([KEY, f"{KEY}/none"])
            assert rows.record_at(row.rowid) == row
            assert [one.key for one in rows.bodies_of(["body-file", "none"])] == [KEYS["file"]]


async def test_its_size_is_the_stores(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for number in range(50):
            await put(store, f"{KEY}/{number}", f"n{number}", bytes(20_000))
        await store.remove(f"{KEY}/7")
        await store.make_room()  # which weighs what is there
        with beside.opened(tmp_path) as rows:
            assert rows.size() == store.usage()[0]


@pytest.mark.parametrize("folder", ["none", "."])
def test_where_there_is_none(folder: str, tmp_path: Path) -> None:
    with pytest.raises(NoCache, match="There is no cache in"):
        Beside(tmp_path / folder)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_database(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreFailed, match="cannot be read"), beside.opened(tmp_path):
        pass
