import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.store import bodies, spools
from proxy.store.base import StoreFailed, TooLarge
from proxy.store.generations import MOST_PROCESSES, Generations
from proxy.store.rawdisk import SpooledBody
from proxy.store.spools import LARGEST_IN_MEMORY, Limits, SpoolFile, SpoolFolder
from proxy.store.threads import Handover, Threads

MIB = 2**20
CHUNK = bytes(range(256)) * 256
LIMITS = Limits(largest=8 * MIB, max_size=16 * MIB)


class FakeRooms:
    """Grants room until ``refuse`` is set, and never says anything if ``never``."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.refuse = self.never = False
        self.relief = False
        self.relieved: list[int] = []
        self.failures: list[OSError] = []

    async def make_room(self) -> None:
        self.asked.set()
        if self.never:
            await asyncio.Event().wait()
        if self.refuse:
            raise StoreFailed("no room")

    async def relieve(self, octets: int, error: OSError) -> None:
        self.relieved.append(octets)
        if not self.relief:
            raise StoreFailed(str(error))

    def disk_failed(self, error: OSError) -> StoreFailed:
        self.failures.append(error)
        return StoreFailed(str(error))


def content_and_mode(body: SpooledBody) -> tuple[bytes, int]:
    path = Path(body.path)
    return path.read_bytes(), path.stat().st_mode & 0o777


def adopt(body: SpooledBody, path: Path) -> Path:
    return Path(body.path).rename(path)


class Place:
    """A spool folder and all that spools need."""

    def __init__(self, folder: Path, threads: Threads) -> None:
        self.root = folder / "spool"
        self.generations = Generations(folder / "generations", anything_stored=False)
        self.folder = SpoolFolder(self.root, self.generations)
        self.threads = threads
        self.rooms = FakeRooms()

    def spool(self) -> SpoolFile:
        return SpoolFile(self.folder, self.threads, self.rooms, LIMITS)

    async def files(self) -> list[str]:
        await self.threads.run(abs, 0)  # after whatever was started before
        return [path.name for path in self.root.rglob("*") if path.is_file()]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    threads = Threads(Handover(asyncio.get_running_loop()), 1, "test")
    opened = Place(tmp_path, threads)
    yield opened
    await threads.close()
    opened.folder.close()
    opened.generations.close()


async def test_a_small_body_stays_in_memory(place: Place) -> None:
    spool = place.spool()
    await spool.append(b"one ")
    await spool.append(b"two")
    assert (spool.length, await spool.read_at(2, 3)) == (7, b"e t")
    assert await spool.whole() == b"one two"
    assert await place.files() == ["lock"]
    assert not place.rooms.asked.is_set()


async def test_a_large_body_is_read_while_it_comes(place: Place) -> None:
    spool, expected = place.spool(), b""
    for number in range(20):
        await spool.append(CHUNK[number:])
        expected += CHUNK[number:]
        assert spool.length == len(expected)
        read = b""
        while piece := await spool.read_at(len(read), 300_001):
            read += piece
        assert read == expected
    whole = await spool.whole()
    assert isinstance(whole, SpooledBody)
    assert content_and_mode(whole) == (expected, 0o600)
    assert (whole.length, spool.crc) == (len(expected), bodies.checksum(expected))
    spool.abandon()


async def test_abandoned_without_a_trace_and_still_readable(place: Place) -> None:
    spool = place.spool()
    for _ in range(8):
        await spool.append(CHUNK)
    assert place.generations.in_flight() >= 5 * len(CHUNK)
    spool.abandon()
    spool.abandon()
    assert (await place.files(), place.generations.in_flight()) == (["lock"], 0)
    assert await spool.read_at(0, 100) == CHUNK[:100]
    with pytest.raises(StoreFailed):
        await spool.append(CHUNK)


async def test_abandoned_while_a_write_is_under_way(place: Place) -> None:
    spool = place.spool()
    writing = asyncio.ensure_future(spool.append(b"x" * (LARGEST_IN_MEMORY + 1)))
    await place.rooms.asked.wait()
    spool.abandon()
    await asyncio.gather(writing, return_exceptions=True)
    assert await place.files() == ["lock"]
    assert place.generations.in_flight() == 0


async def test_abandoned_on_a_disk_that_fails(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for it, and the next start removes it."""

    def failing(path: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    spool = place.spool()
    await spool.append(CHUNK * 5)
    monkeypatch.setattr(os, "unlink", failing)
    spool.abandon()
    assert len(await place.files()) == 2
    assert not caplog.messages
    monkeypatch.undo()


async def test_after_adoption_abandoning_does_nothing(place: Place, tmp_path: Path) -> None:
    spool = place.spool()
    await spool.append(b"x" * MIB)
    whole = await spool.whole()
    assert isinstance(whole, SpooledBody)
    kept = adopt(whole, tmp_path / "kept")
    spool.adopted()
    spool.abandon()
    assert await place.files() == ["lock"]
    assert kept.stat().st_size == MIB
    assert place.generations.in_flight() == whole.promised
    assert await spool.read_at(5, 5) == b"xxxxx"


async def test_too_large_refuses_the_chunk_and_keeps_the_rest(place: Place) -> None:
    spool = place.spool()
    await spool.append(b"a" * (LIMITS.largest - 10))
    with pytest.raises(TooLarge):
        await spool.append(b"b" * 11)
    await spool.append(b"b" * 10)
    assert await spool.read_at(LIMITS.largest - 20, 10) == b"a" * 10
    assert await spool.read_at(LIMITS.largest - 10, 50) == b"b" * 10
    spool.abandon()


async def test_no_room_refuses_the_chunk_and_keeps_the_rest(place: Place) -> None:
    spool = place.spool()
    await spool.append(CHUNK)
    place.rooms.refuse = True
    with pytest.raises(StoreFailed):
        await spool.append(b"b" * LARGEST_IN_MEMORY)
    assert spool.length == len(CHUNK)
    assert await spool.read_at(0, 10**6) == CHUNK
    spool.abandon()
    assert place.generations.in_flight() == 0


async def test_room_that_does_not_come_refuses_the_chunk(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads along does not wait for a process that keeps the database."""
    monkeypatch.setattr(spools, "_PATIENCE", 0.0)
    place.rooms.never = True
    spool = place.spool()
    await spool.append(CHUNK * 4)
    with pytest.raises(StoreFailed, match="too long"):
        await spool.append(CHUNK)
    assert await spool.read_at(0, MIB) == CHUNK * 4
    spool.abandon()
    assert place.folder.promised == 0


async def test_all_fills_together_leave_room_for_what_is_stored(place: Place) -> None:
    spools = [place.spool() for _ in range(3)]
    await spools[0].append(b"a" * 6 * MIB)
    with pytest.raises(StoreFailed, match="other bodies"):
        await spools[1].append(b"b" * 6 * MIB)
    spools[0].abandon()
    await spools[2].append(b"c" * 6 * MIB)
    spools[2].abandon()
    spools[1].abandon()


@pytest.mark.parametrize("relief", [True, False])
async def test_a_failed_write_is_reported_and_undone(place: Place, relief: bool) -> None:
    place.rooms.relief = relief
    spool = place.spool()
    await spool.append(b"a" * 400_000)
    assert spool._file is not None
    unwritable = os.open("/dev/full", os.O_RDWR)
    os.dup2(unwritable, spool._file.number)
    os.close(unwritable)
    with pytest.raises(StoreFailed):
        await spool.append(b"b" * 400_000)
    assert place.rooms.relieved == [800_000] * (1 + relief)
    assert [error.errno for error in place.rooms.failures] == [errno.ENOSPC] * relief
    assert spool.length == 400_000
    spool.abandon()
    assert (await place.files(), place.generations.in_flight()) == (["lock"], 0)


async def test_each_process_has_its_own_folder_and_sweeps_the_abandoned(
    place: Place, tmp_path: Path
) -> None:
    for number in (1, 5):
        left = place.root / str(number)
        left.mkdir(mode=0o700)
        (left / "lock").touch()
        (left / "0").write_bytes(b"left behind")
        place.generations.set_in_flight(number, 1000)
    spool = place.spool()
    await spool.append(b"x" * MIB)
    second = SpoolFolder(place.root, place.generations)
    files = [path for path in place.root.rglob("*") if path.is_file() and path.name != "lock"]
    assert [path.parent.name for path in files] == ["0"]
    assert place.generations.in_flight() == place.folder.promised
    assert second.new_path().startswith(str(place.root / "1"))
    second.close()
    spool.abandon()


def test_more_processes_than_folders(tmp_path: Path) -> None:
    generations = Generations(tmp_path / "generations", anything_stored=False)
    folders = [SpoolFolder(tmp_path / "spool", generations) for _ in range(MOST_PROCESSES)]
    with pytest.raises(BlockingIOError, match="64 processes"):
        SpoolFolder(tmp_path / "spool", generations)
    for folder in folders:
        folder.close()
    generations.close()


@pytest.mark.parametrize("number", [0, 1], ids=["the same folder", "another folder"])
def test_one_searches_after_a_kill_until_it_is_done(tmp_path: Path, number: int) -> None:
    generations = Generations(tmp_path / "generations", anything_stored=False)

    def opened() -> SpoolFolder:
        return SpoolFolder(tmp_path / "spool", generations)

    folders = [opened(), opened()]
    assert not any(folder.search_due for folder in folders)
    os.close(folders.pop(number)._lock)
    folders.pop().close()
    first, second = opened(), opened()
    assert (first.search_due, second.search_due) == (True, False)
    first.close()  # without having searched
    second.close()
    third = opened()
    assert third.search_due
    third.search_due = False
    third.close()
    last = opened()
    assert not last.search_due
    last.close()
    generations.close()
