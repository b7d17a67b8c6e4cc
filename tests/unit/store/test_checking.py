"""All that is stored is read, and what is not as it was is named."""

from pathlib import Path

import pytest

from proxy.store.base import FORMS, StoreFailed
from proxy.store.checking import Checked, Damage, check
from proxy.store.disk import DATABASE
from tests.support import damage
from tests.support.damage import KEYS, OCTETS, SIZES, fill
from tests.support.stores import KEY, opened, put, put_spooled


def all_of(folder: Path, keys: list[str] | None = None) -> tuple[Checked, list[Damage], list[str]]:
    """The last step, and what all of them found."""
    steps = list(check(folder, keys))
    damaged = [one for step in steps for one in step.damaged]
    return steps[-1], damaged, [key for step in steps for key in step.missing]


async def test_what_is_whole(tmp_path: Path) -> None:
    await fill(tmp_path)
    last, damaged, missing = all_of(tmp_path)
    assert (last.done, last.of, last.octets) == (len(SIZES), len(SIZES), OCTETS)
    assert (damaged, missing) == ([], [])


@pytest.mark.parametrize("case", damage.ALL)
async def test_what_is_damaged(case: str, tmp_path: Path) -> None:
    befall, name, of_record, why = damage.ALL[case]
    await fill(tmp_path)
    befall(tmp_path)
    last, (found,), _ = all_of(tmp_path)
    assert last.done == len(SIZES)
    assert found.key == f"{KEY}/{name}"
    assert found.id == ("" if of_record else f"body-{name}")
    assert why in found.why


async def test_only_what_is_asked_for_with_its_forms(tmp_path: Path) -> None:
    await fill(tmp_path)
    async with opened(tmp_path) as store:
        for number in range(2):
            await put(store, f"{FORMS}body-row{number or ''} gzip", f"form{number}", b"x" * 100)
    damage.flip_file(tmp_path)
    for number in range(2):
        damage.sql(tmp_path, f"UPDATE Cache SET value = x'00' WHERE key = 'bbody-form{number}'")
    last, damaged, missing = all_of(tmp_path, [KEYS["row"], f"{KEY}/none"])
    assert [(one.key, one.id) for one in damaged] == [(f"{FORMS}body-row gzip", "body-form0")]
    assert missing == [f"{KEY}/none"]
    assert last.octets == 1_001


async def test_an_empty_body_and_an_empty_cache(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        assert all_of(tmp_path)[0] == Checked(0, 0, 0, (), ())
        await put(store, KEY, "empty", b"")
    assert all_of(tmp_path) == (Checked(1, 1, 0, (), ()), [], [])


async def test_what_leaves_meanwhile_is_not_damaged(tmp_path: Path) -> None:
    """The records are read before the bodies; a large body gives others their turn."""
    async with opened(tmp_path) as store:
        await put_spooled(store, KEY, "large", bytes(9 * 2**20))
        await put(store, f"{KEY}/row", "row", b"row")
        await put_spooled(store, f"{KEY}/file", "file", bytes(100_000))
        await put(store, f"{KEY}/new", "old", b"old")
        steps = check(tmp_path)
        first = next(steps)
        assert (first.done, first.octets) == (0, 8 * 2**20)
        for name in ("row", "file"):
            await store.remove(f"{KEY}/{name}")
        await put(store, f"{KEY}/new", "new", b"new")
        assert [one for step in steps for one in step.damaged] == []


async def test_a_damaged_database_is_said_and_ends_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for number in range(200):
            await put(store, f"{KEY}/{number}", f"n{number}", bytes(1500))
    octets = (tmp_path / DATABASE).read_bytes()
    middle = len(octets) // 2 // 4096 * 4096
    (tmp_path / DATABASE).write_bytes(octets[:middle] + b"\xff" * (len(octets) - middle))
    _, (found,), _ = all_of(tmp_path)
    assert (found.key, found.rowid) == ("", 0)
    assert "database" in found.why


def test_where_nothing_is_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="There is no cache in"):
        list(check(tmp_path))
    assert list(tmp_path.iterdir()) == []
