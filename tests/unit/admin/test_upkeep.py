"""Verifying and tidying a folder: what is said, what is taken out, and what stays."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from proxy.admin.shapes import DamageShape, TidyingLine, UselessShape
from proxy.admin.upkeep import Busy, Upkeep
from proxy.store.base import FORMS, StoreFailed
from proxy.store.disk import DAMAGED
from tests.support import damage
from tests.support.damage import KEYS, OCTETS, SIZES, body, fill
from tests.support.stores import KEY, bodies_of, disk_usage, opened, options, put

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.store.waiting import Opened


def upkeep(folder: Path, size: int = 64 * 2**20) -> Upkeep:
    """As the command line has it: a store is opened when something is to be taken out."""
    return Upkeep(options(folder, size), lambda: opened(folder, size))


def never(folder: Path) -> Upkeep:
    def refuse() -> contextlib.AbstractAsyncContextManager[Opened]:
        raise AssertionError("nothing is to be changed")

    return Upkeep(options(folder), refuse)


async def verified(of: Upkeep, *, remove: bool = False) -> list[DamageShape]:
    return [one async for line in of.verify(None, remove=remove) for one in line.damaged]


async def last(of: Upkeep, *, dry_run: bool = False) -> TidyingLine:
    lines = [line async for line in of.gc(dry_run=dry_run)]
    assert [line.ended for line in lines] == [False] * (len(lines) - 1) + [True]
    return lines[-1]


async def gc(of: Upkeep, *, dry_run: bool = False) -> dict[str, tuple[int, int]]:
    """Counts and octets by kind, but for free pages."""
    ended = await last(of, dry_run=dry_run)
    assert ended.dry_run == dry_run
    return {one.what: (one.count, one.octets) for one in ended.found if one.what != "pages"}


async def test_the_last_line_says_that_it_is(tmp_path: Path) -> None:
    await fill(tmp_path)
    lines = [line async for line in never(tmp_path).verify(None, remove=False)]
    assert [line.ended for line in lines] == [False] * (len(lines) - 1) + [True]
    assert (lines[-1].done, lines[-1].octets) == (len(SIZES), OCTETS)


@pytest.mark.parametrize("case", damage.ALL)
async def test_only_what_is_damaged_is_removed(case: str, tmp_path: Path) -> None:
    befall, name, of_record, _ = damage.ALL[case]
    await fill(tmp_path)
    befall(tmp_path)
    (found,) = await verified(never(tmp_path))
    assert (found.key, found.removed) == (f"{KEY}/{name}", False)
    (found,) = await verified(upkeep(tmp_path), remove=True)
    assert (found.key, found.removed) == (f"{KEY}/{name}", True)
    assert await verified(never(tmp_path)) == []
    async with opened(tmp_path) as store:
        whole = [one for one in SIZES if one != (name if name in SIZES else "row")]
        assert [await bodies_of(store, KEYS[one]) for one in whole] == [[body(n)] for n in whole]
        assert store.usage()[2] == len(whole)
    if not of_record or name in SIZES:
        assert await gc(never(tmp_path), dry_run=True) == {}


async def test_what_is_of_no_use_is_given_back(tmp_path: Path) -> None:
    await fill(tmp_path)
    async with opened(tmp_path) as store:
        await put(store, f"{FORMS}body-gone gzip", "form", bytes(200))
        for number in range(450):
            await put(store, f"{KEY}/{number}", f"n{number}", bytes(2000))  # a row
        for number in range(450):
            await store.remove(f"{KEY}/{number}")
    path = tmp_path / "bodies" / "-1" / "orphan-1"
    path.parent.mkdir()
    path.write_bytes(bytes(5000))
    (tmp_path / "spool" / "7").mkdir()
    for name in ("lock", "1", "2"):
        (tmp_path / "spool" / "7" / name).write_bytes(bytes(300))
    (tmp_path / DAMAGED).write_bytes(bytes(300))
    damage.lose_row(tmp_path)
    damage.sql(tmp_path, "DELETE FROM Cache WHERE key = ?", f"m{KEYS['file']}")
    damage.sql(tmp_path, "DELETE FROM Cache WHERE key = 'bbody-packeda'")
    kinds = {"forms": 1, "bodies": 1, "files": 1, "holes": 1, "spools": 2, "aside": 1}
    before = disk_usage(tmp_path)
    dry = await gc(never(tmp_path), dry_run=True)
    assert {what: count for what, (count, _) in dry.items()} == kinds
    done = await last(upkeep(tmp_path))
    found = {one.what: (one.count, one.octets) for one in done.found}
    assert found.pop("pages") > (190, 790_000)
    assert found == dry
    assert await gc(never(tmp_path), dry_run=True) == {}
    assert before - disk_usage(tmp_path) > 900_000
    async with opened(tmp_path) as store:
        assert await bodies_of(store, KEYS["large"]) == [body("large")]
        assert await bodies_of(store, KEYS["packedb"]) == [body("packedb")]


async def test_what_is_over_the_limit_leaves(tmp_path: Path) -> None:
    size = 20 * 2**20
    async with opened(tmp_path) as store:
        for number in range(1000):
            await put(store, f"{KEY}/{number}", f"n{number}", bytes(30_000))
    (what,) = dry = await gc(upkeep(tmp_path, size), dry_run=True)
    assert (what, dry["room"][0], dry["room"][1] > 10 * 2**20) == ("room", 0, True)
    count, octets = (await gc(upkeep(tmp_path, size)))["room"]
    assert count > 300
    assert octets == dry["room"][1]
    assert await gc(upkeep(tmp_path, size), dry_run=True) == {}
    assert disk_usage(tmp_path) < size


async def test_one_at_a_time(tmp_path: Path) -> None:
    await fill(tmp_path)
    of = never(tmp_path)
    async with contextlib.aclosing(of.verify(None, remove=False)) as lines:
        await anext(lines)
        with pytest.raises(Busy):
            await verified(of)
        with pytest.raises(Busy):
            await gc(of, dry_run=True)
    assert await gc(of, dry_run=True) == {}


async def test_it_can_be_given_up(tmp_path: Path) -> None:
    await fill(tmp_path)
    of = never(tmp_path)
    for _ in range(3):
        async with contextlib.aclosing(of.verify(None, remove=False)) as lines:
            await anext(lines)
        async with contextlib.aclosing(of.gc(dry_run=True)) as tidying:
            await anext(tidying)


async def test_where_there_is_no_cache(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="There is no cache"):
        await verified(never(tmp_path))
    with pytest.raises(StoreFailed, match="There is no cache"):
        await gc(never(tmp_path))
    assert not (tmp_path / "cache.db").exists()


async def test_lines_of_a_kind_are_put_together(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for number in range(3):
            await put(store, f"{FORMS}body-gone{number} gzip", f"form{number}", b"form")
    (forms,) = (await last(never(tmp_path), dry_run=True)).found  # and no pages that are free yet
    assert forms == UselessShape("forms", 3, forms.octets)
