"""File operations that fail, each of them: right octets, or a cut that the client can tell."""

from __future__ import annotations

import logging
from itertools import count
from typing import TYPE_CHECKING, Final

import pytest

from proxy.exchange import tasks
from proxy.exchange.keeping import PUMP
from proxy.store import writer
from proxy.store.base import BodyLost, StoreFailed
from proxy.store.operations import GiveBack
from proxy.store.waiting import open_or_wait
from tests.support.failing import ERRORS, FOR_EVER, WRITING, failing
from tests.support.origin import Origin, reply
from tests.support.stores import KEY, bodies_of, opened, options, put
from tests.support.wire import DEADLINE, Cut

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proxy.store.tiered import TieredStore
    from tests.conftest import StartHouse
    from tests.support.failing import Disk
    from tests.support.house import House

pytestmark = pytest.mark.slow

FRESH: Final = "Cache-Control: max-age=3600"
SIZES: Final = {"row": 1_000, "pack": 10_000, "file": 100_000, "spool": 1_500_000}
# That so many in a row were asked for and none failed says that there are no more.
PART: Final = slice(500, 900)
QUIET: Final = 3
MOST: Final = 200


def body(size: int, number: int) -> bytes:
    return (b"%08d" % number) * (size // 8)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """That of the first house; once it has said no it is asked again at once."""
    monkeypatch.setattr(writer, "_DOWN_FOR", 0.0)
    with failing(tmp_path / "house0" / "cache") as found:
        yield found


async def answered(house: House, url: str, whole: bytes, *fields: str) -> bool:
    """Whether it was a hit, not cut; nothing is on its way into the store after that."""
    try:
        response = await house.get(url, *fields)
    except (Cut, ConnectionError):
        return False
    finally:
        await tasks.finish(PUMP, DEADLINE)
    assert response.status in (200, 206), response.start
    assert response.body == (whole if response.status == 200 else whole[PART])
    return response.hit


def quiet_log(caplog: pytest.LogCaptureFixture) -> int:
    """How often it was said that storing fails; once a minute is enough. No errors."""
    errors = [line.getMessage() for line in caplog.records if line.levelno >= logging.ERROR]
    told = [line for line in caplog.messages if "storing has failed" in line]
    caplog.clear()  # an error that is kept keeps the files of its frames open
    assert not errors
    assert len(told) <= 1
    return len(told)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
async def test_while_it_is_stored(
    start_house: StartHouse,
    origin: Origin,
    disk: Disk,
    size: int,
    error: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever asks has it, and whoever asks next; once nothing fails it is stored."""
    house = await start_house({"cache": {"memory": "1MiB", "max_size": "64MiB"}})
    quiet = failed = 0
    for number in count(1):
        wanted, path = body(size, number), f"/{number}"
        origin.serve(path, reply(200, FRESH, body=wanted))
        disk.fail(number, ERRORS[error], times=1)
        assert not await answered(house, origin.url(path), wanted)
        disk.mend()
        await answered(house, origin.url(path), wanted)
        await answered(house, origin.url(path), wanted)
        assert await answered(house, origin.url(path), wanted), (number, disk.told)
        failed += bool(disk.told)
        quiet = 0 if disk.told else quiet + 1
        if quiet == QUIET or number == MOST:
            break
    assert failed
    quiet_log(caplog)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("fields", [(), ("Range: bytes=500-899",)], ids=["whole", "a part"])
async def test_while_it_is_read(
    start_house: StartHouse,
    origin: Origin,
    disk: Disk,
    size: int,
    error: str,
    fields: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = await start_house({"cache": {"memory": "0", "max_size": "64MiB"}})
    url, whole = origin.url("/a"), body(size, 7)
    origin.serve("/a", reply(200, FRESH, body=whole))
    quiet = 0
    for number in count(1):
        house.running.store._memory.clear()  # type: ignore[union-attr]
        await answered(house, url, whole)
        disk.fail(number, ERRORS[error], times=1)
        await answered(house, url, whole, *fields)
        disk.mend()
        await answered(house, url, whole)
        assert await answered(house, url, whole, *fields), (number, disk.told)
        quiet = 0 if disk.told else quiet + 1
        if quiet == QUIET or number == MOST:
            break
    quiet_log(caplog)


async def used(store: TieredStore, way: str) -> None:
    """It is read, or something else is written."""
    try:
        if way == "read":
            await bodies_of(store, KEY)
        else:
            await put(store, f"{KEY}/other", "b", b"B" * 10_000)
    except (BodyLost, StoreFailed):
        pass


@pytest.mark.parametrize("way", ["read", "write"])
@pytest.mark.parametrize("error", ["EIO", "EMFILE"])
async def test_what_fails_once_loses_nothing(
    tmp_path: Path, disk: Disk, error: str, way: str
) -> None:
    """But for a body whose own file cannot be read: SQLite calls such a page damaged, too."""
    async with opened(tmp_path / "house0" / "cache", memory=0) as store:
        for number in range(1, 30):
            await put(store, KEY, f"a{number}", b"A" * 100_000)
            await store.tidy(GiveBack(0))  # what is read is in the database, not in its log
            store._memory.clear()
            disk.fail(number, ERRORS[error], times=1)
            await used(store, way)
            disk.mend()
            store._memory.clear()
            own = error == "EIO" and disk.told in (["open"], ["fstat"], ["pread"])
            assert own or (await store.lookup(KEY)).variants, disk.told


@pytest.mark.parametrize("error", ["EIO", "EROFS", "ENOSPC", "EMFILE"])
async def test_while_everything_fails(
    start_house: StartHouse,
    origin: Origin,
    disk: Disk,
    error: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A plain proxy until nothing fails any more; what cannot be written can still be read."""
    house = await start_house({"cache": {"memory": "0"}})
    for name, size in SIZES.items():
        origin.serve(f"/{name}", reply(200, FRESH, body=body(size, 1)))
        origin.serve(f"/new/{name}", reply(200, FRESH, body=body(size, 2)))
        await answered(house, origin.url(f"/{name}"), body(size, 1))
        assert await answered(house, origin.url(f"/{name}"), body(size, 1))
    house.running.store._memory.clear()  # type: ignore[union-attr]
    # To make room on a disk that is full, what is stored may have to go.
    writing = error == "EROFS"
    disk.fail(1, ERRORS[error], FOR_EVER, WRITING if error in ("EROFS", "ENOSPC") else None)
    for name, size in SIZES.items():
        hits = [await answered(house, origin.url(f"/{name}"), body(size, 1)) for _ in range(2)]
        assert all(hits) or not writing
        for _ in range(2):
            assert not await answered(house, origin.url(f"/new/{name}"), body(size, 2))
    assert disk.told
    disk.mend()
    for name, size in SIZES.items():
        await answered(house, origin.url(f"/new/{name}"), body(size, 2))
        assert await answered(house, origin.url(f"/new/{name}"), body(size, 2))
    assert quiet_log(caplog) == 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("error", "step"), [("EIO", 1), ("EROFS", 5), ("EMFILE", 5)])
async def test_while_it_is_opened(tmp_path: Path, disk: Disk, error: str, step: int) -> None:
    """Whichever operation fails there is a store or one that waits; nothing is lost for good."""
    folder = tmp_path / "house0" / "cache"
    async with opened(folder) as store:
        await put(store, KEY, "a", b"A" * 10_000)
        await put(store, f"{KEY}/file", "b", b"B" * 100_000)
    quiet = 0
    for number in count(1, step):
        disk.fail(number, ERRORS[error], times=1)
        found = await open_or_wait(options(folder))
        disk.mend()
        await found.close()
        async with opened(folder) as whole:
            assert (await whole.lookup(KEY)).variants, disk.told
            assert (await whole.lookup(f"{KEY}/file")).variants, disk.told
        quiet = 0 if disk.told else quiet + 1
        if quiet == QUIET or number == MOST:
            break
