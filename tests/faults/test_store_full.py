"""A disk that says no: responses pass through unstored, what is stored is still served."""

import asyncio
import contextlib
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.store import writer
from proxy.store.base import BodyLost, StoreFailed
from proxy.store.waiting import open_or_wait
from tests.support.stores import KEY, bodies_of, opened, options, put, put_spooled, spool_files
from tests.support.transport import until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MOUNT = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "forecache-test"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run([*MOUNT, str(folder)], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no small file system to be had: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def forgiving(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is asked again at once."""
    monkeypatch.setattr(writer, "_DOWN_FOR", 0.0)


async def fill_up(folder: Path) -> None:
    block = b"x" * 65536
    with (folder / "filler").open("wb", buffering=0) as file:
        while True:
            try:
                if file.write(block) < len(block):
                    return
            except OSError:
                return


@pytest.mark.usefixtures("forgiving")
async def test_a_full_disk(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is too large for the room that there could be is not stored; the next one is."""
    async with opened(small_disk, memory=0) as store:
        for number in range(4):
            await put_spooled(store, f"{KEY}/large{number}", f"b{number}", b"B" * 1_000_000)
        await put(store, KEY, "a", b"A")
        await fill_up(small_disk)
        with caplog.at_level(logging.WARNING):
            for number in range(20):
                for way in (put, put_spooled):
                    with pytest.raises(StoreFailed):
                        await way(store, f"{KEY}/{number}", f"{number}00", os.urandom(15_000_000))
                await fill_up(small_disk)
        assert len([line for line in caplog.messages if "storing has failed" in line]) == 1
        assert len([line for line in caplog.messages if "evicting" in line]) == 1
        await until(lambda: not spool_files(small_disk))  # a thread removes them
        (small_disk / "filler").unlink()
        await put(store, f"{KEY}/2", "c", b"C" * 2_000_000)
        assert await bodies_of(store, f"{KEY}/2") == [b"C" * 2_000_000]


def body(number: int, length: int) -> bytes:
    return random.Random(number).randbytes(length)


@pytest.mark.usefixtures("forgiving")
@pytest.mark.parametrize("length", [300, 1_000, 10_000, 100_000, 400_000])
async def test_a_disk_that_is_full_before_max_size_makes_room(
    small_disk: Path, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Of 24 MiB, for a store that may take 64: it goes on storing, whatever it is full of."""
    count = 48_000_000 // max(length, 8_000)
    way = put_spooled if length > 256 * 1024 else put
    async with opened(small_disk, memory=0) as store:
        for number in range(0, count, 8):
            names = [(n, f"{n:06}") for n in range(number, number + 8)]
            puts = (way(store, f"{KEY}/{n}", name, body(n, length)) for n, name in names)
            await asyncio.gather(*puts)
            assert await bodies_of(store, f"{KEY}/{number}") == [body(number, length)]
        kept = 0
        for number in range(count):
            with contextlib.suppress(BodyLost):
                found = await bodies_of(store, f"{KEY}/{number}")
                assert found in ([], [body(number, length)])
                kept += len(found)
        assert kept * length > 4_000_000 or length < 2_000
        lost = [line for line in caplog.messages if "storing has failed" in line]
        assert lost == []
    async with opened(small_disk) as store:
        await put(store, KEY, "a", b"A")
        assert await bodies_of(store, KEY) == [b"A"]


@pytest.mark.usefixtures("forgiving")
async def test_what_is_removed_on_a_full_disk_is_gone(small_disk: Path) -> None:
    async with opened(small_disk) as store:
        for number in range(50):
            await put(store, f"{KEY}/{number}", f"{number}00", b"x" * 20_000)
        await fill_up(small_disk)
        for number in range(50):
            await store.remove(f"{KEY}/{number}")
            assert (await store.lookup(f"{KEY}/{number}")).variants == ()


async def test_down_for_a_while_then_tried_again(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(small_disk) as store:
        await fill_up(small_disk)
        with pytest.raises(StoreFailed):
            await put(store, KEY, "a", os.urandom(1_000_000))
        (small_disk / "filler").unlink()
        with pytest.raises(StoreFailed, match="a moment ago"):
            store.reserve(None)
        with pytest.raises(StoreFailed, match="a moment ago"):
            await put(store, KEY, "a", b"A")
        later = time.monotonic() + 6
        monkeypatch.setattr(time, "monotonic", lambda: later)
        store.reserve(None)
        await put(store, KEY, "a", b"A")
        assert await bodies_of(store, KEY) == [b"A"]


def remount(how: str, disk: Path) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


@pytest.mark.usefixtures("forgiving")
async def test_a_disk_that_becomes_read_only(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While nobody has it open, as mount has it; else see ``test_failing_disk``."""
    bodies = {f"{KEY}/{size}": os.urandom(size) for size in (1_000, 10_000, 100_000, 1_500_000)}
    async with opened(small_disk) as store:
        for number, (key, body) in enumerate(bodies.items()):
            await put_spooled(store, key, f"a{number}", body)
    with caplog.at_level(logging.WARNING):
        remount("ro", small_disk)
        waiting = await open_or_wait(options(small_disk))
        assert (await waiting.lookup(KEY)).variants == ()
        with pytest.raises(StoreFailed):
            waiting.reserve(None)
        await waiting.close()
    assert len(caplog.messages) == 1
    remount("rw", small_disk)
    async with opened(small_disk) as store:
        for key, body in bodies.items():
            assert await bodies_of(store, key) == [body]


LIMITED = """
import asyncio, os, resource, signal, sys
from pathlib import Path
from proxy.store.base import BodyLost, StoreFailed
from proxy.store.waiting import open_or_wait
from tests.support.stores import KEY, bodies_of, opened, put, put_spooled

async def main() -> None:
    async with opened(Path(sys.argv[1]), memory=0) as store:
        await put(store, KEY, "a", b"A")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
        for name, way in (("b", put), ("c", put_spooled)):
            try:
                await way(store, f"{KEY}/{name}", name, os.urandom(900_000))
            except StoreFailed as error:
                print(name, "File too large" in str(error) or "moment ago" in str(error))
        assert await bodies_of(store, KEY) == [b"A"]

asyncio.run(main())
"""


def test_a_disk_that_fails_writes_of_files(tmp_path: Path) -> None:
    """EFBIG stands for any error of the disk: it takes the same way as EIO and EROFS."""
    command = [sys.executable, "-W", "error", "-c", LIMITED, str(tmp_path / "store")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "b True\nc True\n"), run.stderr
    assert run.stderr.count("storing has failed") == 1


async def test_a_start_on_a_full_disk(small_disk: Path) -> None:
    async with opened(small_disk) as store:
        await put(store, KEY, "a", b"A")
    await fill_up(small_disk)
    waiting = await open_or_wait(options(small_disk))
    assert (await waiting.lookup(KEY)).variants == ()
    with pytest.raises(StoreFailed):
        waiting.reserve(None)
    await waiting.close()
    (small_disk / "filler").unlink()
    async with opened(small_disk) as store:
        assert await bodies_of(store, KEY) == [b"A"]
