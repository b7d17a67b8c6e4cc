"""What is of no use is found, and only that."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.store import beside
from proxy.store.base import FORMS
from proxy.store.disk import DAMAGED
from proxy.store.operations import GiveBack, RemoveLeftBehind, RemoveOrphans
from proxy.store.packs import SMALLEST
from proxy.store.tidying import Useless, What, look
from tests.support import damage
from tests.support.damage import fill
from tests.support.stores import KEY, opened, put, put_spooled

LIMIT = 64 * 2**20


def found(folder: Path, limit: int = LIMIT) -> list[Useless]:
    """But for free pages, of which there may always be some."""
    steps = list(look(folder, limit))
    assert steps[-1].done == steps[-1].of
    return [one for step in steps for one in step.found if one.what is not What.PAGES]


def orphan(folder: Path) -> None:
    path = folder / "bodies" / "-1" / "orphan-1"
    path.parent.mkdir()
    path.write_bytes(bytes(5000))


def spool(folder: Path) -> None:
    (folder / "spool" / "7").mkdir(mode=0o700)
    (folder / "spool" / "7" / "lock").touch()
    (folder / "spool" / "7" / "12").write_bytes(bytes(9000))


def put_aside(folder: Path) -> None:
    (folder / DAMAGED).write_bytes(bytes(300))


def forget_record(folder: Path) -> None:
    damage.sql(folder, "DELETE FROM Cache WHERE key = ?", f"m{KEY}/file")


def forget_one_variant(folder: Path) -> None:
    other = damage.value(folder, f"m{KEY}/row")
    damage.sql(folder, "UPDATE Cache SET value = ? WHERE key = ?", other, f"m{KEY}/row")
    damage.sql(folder, "UPDATE Cache SET key = 'bbody-else' WHERE key = 'bbody-row'")


def forget_packed(folder: Path) -> None:
    for letter in "ab":
        damage.sql(folder, "DELETE FROM Cache WHERE key = ?", f"bbody-packed{letter}")


@pytest.mark.parametrize(
    ("befall", "what", "count", "octets"),
    [
        pytest.param(orphan, What.FILES, 1, 8192, id="a file without a row"),
        pytest.param(spool, What.SPOOLS, 1, 12288, id="the spool of a dead process"),
        pytest.param(put_aside, What.ASIDE, 1, 300, id="a database that was moved aside"),
        pytest.param(forget_record, What.BODIES, 1, 102_400, id="a body without a record"),
        pytest.param(forget_one_variant, What.BODIES, 1, 1000, id="a body of another name"),
        pytest.param(forget_packed, What.HOLES, 2, 2 * 8192, id="bodies in a pack without a row"),
    ],
)
async def test_what_is_of_no_use(
    befall: Callable[[Path], None], what: What, count: int, octets: int, tmp_path: Path
) -> None:
    await fill(tmp_path)
    befall(tmp_path)
    (useless,) = found(tmp_path)
    assert (useless.what, useless.count) == (what, count)
    assert useless.octets == octets


async def test_a_form_whose_body_is_gone(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store, KEY, "parent", b"parent")
        for parent in ("body-parent", "body-gone"):
            await put(store, f"{FORMS}{parent} gzip", f"form-{parent}", b"form")
    (useless,) = found(tmp_path)
    assert (useless.what, useless.count) == (What.FORMS, 1)
    assert useless.octets > 4


async def test_what_is_over_the_limit(tmp_path: Path) -> None:
    await fill(tmp_path)
    with beside.opened(tmp_path) as rows:
        size, free = rows.size(), rows.usage().free
    assert found(tmp_path, size) == []
    (useless,) = found(tmp_path, size - free - 1000)
    assert (useless.what, useless.octets) == (What.ROOM, 1000)
    forget_record(tmp_path)
    with beside.opened(tmp_path) as rows:
        size, free = rows.size(), rows.usage().free
    # The body that nobody names makes more room than is wanted.
    assert [one.what for one in found(tmp_path, size - free - 100_000)] == [What.BODIES]
    assert len(found(tmp_path, size - free - 103_000)) == 2


async def test_free_pages(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for number in range(500):
            await put(store, f"{KEY}/{number}", f"n{number}", bytes(SMALLEST))
        for number in range(500):
            await store.remove(f"{KEY}/{number}")
    useless = list(look(tmp_path, LIMIT))[-1].found[-1]
    assert (useless.what, useless.octets) == (What.PAGES, useless.count * 4096)
    assert useless.octets > 900_000
    assert useless.operations == (GiveBack(16 * 2**20),)


async def test_what_a_living_process_has_is_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        spooled = store.spool()
        await spooled.append(bytes(300_000))
        names = [f"n{number}" for number in range(16)]
        await asyncio.gather(*(put(store, f"{KEY}/{n}", n, bytes(3000)) for n in names))
        assert damage.packs(tmp_path)
        await store.remove(f"{KEY}/n3")
        await put_spooled(store, KEY, "file", bytes(100_000))
        assert found(tmp_path) == []
        spooled.abandon()


async def test_strangers_in_the_folder_of_bodies_stay(tmp_path: Path) -> None:
    await fill(tmp_path)
    (tmp_path / "bodies" / "zz").mkdir()
    (tmp_path / "bodies" / "zz" / "readme").write_text("of somebody else")
    assert found(tmp_path) == []


async def test_a_record_that_cannot_be_read_keeps_its_bodies(tmp_path: Path) -> None:
    """Which they are is for ``checking`` to say."""
    await fill(tmp_path)
    damage.garbage_record(tmp_path)
    assert found(tmp_path) == []


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


async def test_nothing_is_changed_by_looking(tmp_path: Path) -> None:
    await fill(tmp_path)
    spool(tmp_path)
    orphan(tmp_path)
    before = files(tmp_path)
    assert {type(one.operations[0]) for one in found(tmp_path)} == {RemoveOrphans, RemoveLeftBehind}
    assert {path.name for path in files(tmp_path) - before} <= {"cache.db-wal", "cache.db-shm"}
