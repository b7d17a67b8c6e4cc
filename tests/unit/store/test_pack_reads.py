import asyncio
import contextlib
import errno
import os
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proxy.store import pack_reads, packs
from proxy.store.bodies import body_path
from proxy.store.directory import Span
from proxy.store.pack_reads import PackReads
from proxy.store.packs import BLOCK, name_of
from proxy.store.threads import Handover, Threads

PACK = random.Random("pack").randbytes(40 * BLOCK)
SPAN = Span(7, 3 * BLOCK, 2 * BLOCK)
NEVER = 10**9
NOWAIT = 8


def at_once(reads: PackReads, span: Span) -> bytes:
    """What is there without waiting."""
    octets = reads.at_once(span)
    assert octets is not None
    return bytes(octets)


def octets_at(span: Span) -> bytes:
    return PACK[span.start : span.start + span.size]


class Kernel:
    """``preadv`` that has nothing at once so many times, or does not know the flag."""

    def __init__(self) -> None:
        self.refusals = 0
        self.unknown = False
        self.asked = 0
        self._preadv = os.preadv

    def preadv(self, file: int, buffers: list[memoryview], offset: int, flags: int) -> int:
        assert flags == NOWAIT
        self.asked += 1
        if self.unknown:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        if self.asked <= self.refusals:
            raise BlockingIOError
        return self._preadv(file, buffers, offset)


class Place:
    def __init__(self, folder: Path, kernel: Kernel) -> None:
        self.folder = folder
        self.kernel = kernel
        self.by_threads: list[Span] = []
        loop = asyncio.get_running_loop()
        self.threads = Threads(Handover(loop), 3, "test")
        self.reads = PackReads(folder, self.threads, loop)

    def write(self, number: int) -> None:
        path = self.path(number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(PACK)

    async def opened(self) -> PackReads:
        """The pack of ``SPAN`` has been read from."""
        assert await self.reads.read(SPAN) == octets_at(SPAN)
        self.by_threads.clear()
        return self.reads

    def path(self, number: int) -> Path:
        return Path(body_path(self.folder, name_of(number)))

    def files(self) -> int:
        """How many packs are open."""
        found = 0
        for entry in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # that which lists them
                found += entry.readlink().is_relative_to(self.folder)
        return found


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    kernel = Kernel()
    monkeypatch.setattr(pack_reads, "NOWAIT", NOWAIT)
    monkeypatch.setattr(os, "preadv", kernel.preadv)
    made = Place(tmp_path, kernel)
    read: Callable[[PackReads, Span], bytes] = PackReads._open_and_read

    def noted(reads: PackReads, span: Span) -> bytes:
        made.by_threads.append(span)
        return read(reads, span)

    monkeypatch.setattr(PackReads, "_open_and_read", noted)
    made.write(SPAN.pack)
    yield made
    await made.threads.close()
    made.reads.close()


async def test_a_thread_opens_what_the_loop_then_reads(place: Place) -> None:
    assert place.reads.at_once(SPAN) is None
    assert await place.reads.read(SPAN) == octets_at(SPAN)
    assert place.by_threads == [SPAN]
    for span in (SPAN, Span(7, 0, 40 * BLOCK), Span(7, 39 * BLOCK, BLOCK)):
        assert at_once(place.reads, span) == octets_at(span)
    assert place.by_threads == [SPAN]


async def test_what_was_waited_for_stays_as_it_is(place: Place) -> None:
    reads = await place.opened()
    first = await reads.read(SPAN)
    assert at_once(reads, Span(7, 0, BLOCK)) == PACK[:BLOCK]
    assert first == octets_at(SPAN)


@pytest.mark.parametrize(
    ("refusals", "by_thread"),
    [(1, False), (2, False), (pack_reads._LOOKS + 1, False), (NEVER, True)],
)
async def test_what_is_on_its_way_is_looked_for_and_then_waited_for(
    place: Place, refusals: int, by_thread: bool
) -> None:
    reads = await place.opened()
    place.kernel.refusals = refusals
    assert reads.at_once(SPAN) is None
    assert await reads.read(SPAN) == octets_at(SPAN)
    assert place.by_threads == ([SPAN] if by_thread else [])
    assert place.kernel.asked <= pack_reads._LOOKS + 2


async def test_one_look_finds_several(place: Place) -> None:
    reads = await place.opened()
    place.kernel.refusals = 1
    assert reads.at_once(SPAN) is None
    spans = [Span(7, block * BLOCK, BLOCK) for block in range(40)]
    waiting = [reads.read(span) for span in spans]
    assert await waiting[0] == PACK[:BLOCK]
    assert [future.result() for future in waiting] == [octets_at(span) for span in spans]


@pytest.mark.parametrize("lacks", ["file system", "system"])
async def test_threads_read_all_where_such_reads_are_not_known(
    place: Place, lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lacks == "system":
        monkeypatch.setattr(pack_reads, "NOWAIT", None)
        place.reads = PackReads(place.folder, place.threads, asyncio.get_running_loop())
    reads = await place.opened()
    place.kernel.unknown = True
    for _ in range(3):
        assert reads.at_once(SPAN) is None
        assert await reads.read(SPAN) == octets_at(SPAN)
    assert place.by_threads == [SPAN] * 3
    assert place.kernel.asked == (lacks == "file system")


async def test_those_that_wait_when_this_is_found_out_are_read(place: Place) -> None:
    reads = await place.opened()
    waiting = [reads.read(Span(7, block * BLOCK, BLOCK)) for block in range(9)]
    place.kernel.unknown = True
    assert b"".join(await asyncio.gather(*waiting)) == PACK[: 9 * BLOCK]


async def test_a_pack_that_is_gone(place: Place) -> None:
    with pytest.raises(FileNotFoundError):
        await place.reads.read(Span(8, 0, BLOCK))
    reads = await place.opened()
    place.path(7).unlink()
    assert at_once(reads, SPAN) == octets_at(SPAN), "it is open"
    reads.close()
    with pytest.raises(FileNotFoundError):
        await reads.read(SPAN)


async def test_a_link_is_no_pack(place: Place) -> None:
    place.path(7).rename(place.folder / "elsewhere")
    place.path(7).symlink_to(place.folder / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        await place.reads.read(SPAN)


@pytest.mark.parametrize("start", [39, 40, 1000])
async def test_beyond_the_end_there_is_less(place: Place, start: int) -> None:
    reads = await place.opened()
    span = Span(7, start * BLOCK, 2 * BLOCK)
    assert reads.at_once(span) is None
    assert await reads.read(span) == octets_at(span)


async def test_an_error_of_the_disk_reaches_whoever_reads(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = await place.opened()

    def broken(*_: object) -> int:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "preadv", broken)
    monkeypatch.setattr(os, "pread", broken)
    assert reads.at_once(SPAN) is None
    with pytest.raises(OSError, match="broken"):
        await reads.read(SPAN)


async def test_each_of_many_gets_its_own_octets(place: Place) -> None:
    reads = await place.opened()
    place.kernel.refusals = 300
    spans = [Span(7, (n % 37) * BLOCK, (1 + n % 3) * BLOCK) for n in range(200)]
    waiting = [reads.read(span) for span in spans]
    for left in waiting[::5]:
        left.cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    for number, (span, octets) in enumerate(zip(spans, found, strict=True)):
        if number % 5:
            assert octets == octets_at(span)
        else:
            assert isinstance(octets, asyncio.CancelledError)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="nobody counts open files here")
async def test_not_all_packs_stay_open(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.reads._most_open = 4
    for number in range(20):
        place.write(number)
        span = Span(number, number * BLOCK, BLOCK)
        assert await place.reads.read(span) == octets_at(span)
        assert at_once(place.reads, span) == octets_at(span), "the newest is open"
        assert place.files() <= 4
    assert place.files() == 4
    assert place.reads.at_once(Span(0, 0, BLOCK)) is None
    place.reads.close()
    await place.threads.run(abs, 0)
    assert place.files() == 0


async def test_many_threads_open_packs_at_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_reads, "MOST_OPEN", 2)
    for number in range(20):
        place.write(number)
    spans = [Span(n % 20, (n % 37) * BLOCK, BLOCK) for n in range(2000)]
    assert await asyncio.gather(*map(place.reads.read, spans)) == list(map(octets_at, spans))


async def test_what_is_opened_is_read_here_and_there(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    assert packs.opened(place.folder, name_of(7)).pread(10, 5) == PACK[5:15]
    await place.opened()
