"""Whatever befalls any file of a folder while nobody looks: it opens, stores, and hits again."""

import asyncio
import contextlib
import errno
import logging
import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.store import aside
from proxy.store.base import BodyLost, StoreFailed
from proxy.store.catalogue import Catalogue
from proxy.store.leases import Leases
from proxy.store.tiered import TieredStore, open_store
from tests.support import damage
from tests.support.stores import KEY, bodies_of, opened, options, put

pytestmark = pytest.mark.slow

NEW = f"{KEY}/new"
PAGE = 4096
LIMIT = 2.0  # seconds until it has started
FILES = [
    "cache.db",
    "cache.db-wal",
    "cache.db-shm",
    "index.db",
    "index.db-wal",
    "index.db-shm",
    "generations",
    "directory",
    "leases",
    "lock",
    "spool/0/lock",
    "pack",
    "body",
]
FOLDERS = ["bodies", "bodies/part", "spool", "spool/0"]


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders that have been used: left in order, and by a process that was killed."""
    root = tmp_path_factory.mktemp("templates")

    async def make() -> None:
        await damage.fill(root / "made")
        catalogue = Catalogue(root / "made")
        leases = Leases(root / "made" / "leases")
        async with opened(root / "made") as store:
            for name in damage.SIZES:
                await bodies_of(store, damage.KEYS[name])
            await put(store, f"{KEY}/late", "late", b"late")
            await asyncio.to_thread(catalogue.catch_up, 1000)
            shutil.copytree(root / "made", root / "killed")
            await asyncio.to_thread(catalogue.close)
        leases.close()
        assert not (root / "made" / "cache.db-wal").exists(), "all is in the database"

    asyncio.run(make())
    (root / "made").rename(root / "ended")
    return {name: root / name for name in ("killed", "ended")}


def find(folder: Path, name: str) -> Path:
    bodies = [path for path in (folder / "bodies").rglob("*") if path.is_file()]
    match name:
        case "pack":
            return next(path for path in bodies if path.name.startswith("pack-"))
        case "body":
            return next(path for path in bodies if path.name == "body-large")
        case "bodies/part":
            return find(folder, "body").parent
        case _:
            return folder / name


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def zero_first_page(path: Path) -> None:
    zero_page(path, 0)


def zero_page(path: Path, number: int) -> None:
    with path.open("r+b") as file:
        file.seek(number * PAGE)
        file.write(bytes(min(PAGE, path.stat().st_size - number * PAGE)))


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def garble(path: Path) -> None:
    path.write_bytes(random.Random(path.name).randbytes(max(5000, path.stat().st_size)))


def lose(path: Path) -> None:
    path.unlink()


def by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").write_bytes(b"x")


def by_a_link(path: Path) -> None:
    """To what would do as well, elsewhere."""
    outside(path).parent.mkdir()
    path.rename(outside(path))
    path.symlink_to(outside(path))


def by_a_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to(outside(path))


def by_a_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


ELSEWHERE = "elsewhere"


def outside(path: Path) -> Path:
    folder = next(parent for parent in path.parents if parent.name == "folder")
    return folder.parent / ELSEWHERE / path.name


DAMAGES = [
    zero,
    zero_first_page,
    halve,
    empty,
    garble,
    lose,
    by_a_folder,
    by_a_link,
    by_a_link_to_nothing,
    by_a_loop,
    by_a_pipe,
]
Damage = Callable[[Path], None]


def content(root: Path) -> dict[str, tuple[int, bytes | None]]:
    """Everything in there, with modes."""
    return {
        str(path): (path.stat().st_mode, path.read_bytes() if path.is_file() else None)
        for path in [root, *root.rglob("*")]
        if path.exists()
    }


async def right_or_missing(store: TieredStore) -> None:
    for name in damage.SIZES:
        with contextlib.suppress(BodyLost):
            assert await bodies_of(store, damage.KEYS[name]) in ([], [damage.body(name)])


async def serves_and_stores(folder: Path) -> None:
    begun = time.perf_counter()
    store = await open_store(options(folder))
    assert time.perf_counter() - begun < LIMIT
    try:
        await right_or_missing(store)
        with contextlib.suppress(StoreFailed):  # what is met only now is put right for the next
            await put(store, NEW, "first", b"first")
        await put(store, NEW, "new", b"new" * 2000)
        assert await bodies_of(store, NEW) == [b"new" * 2000]
        await right_or_missing(store)
        await store.remove_orphans()
        await looked_into(folder)
    finally:
        await store.close()
    async with opened(folder) as store:
        assert await bodies_of(store, NEW) == [b"new" * 2000]


async def looked_into(folder: Path) -> None:
    catalogue = Catalogue(folder)
    try:
        progress = await asyncio.to_thread(catalogue.catch_up, 10_000)
        assert progress.left == 0
        assert progress.done >= 1
    finally:
        await asyncio.to_thread(catalogue.close)


# Of those that an orderly end seals there is a case more.
LEFT = [("killed", name) for name in FILES]
LEFT += [("ended", name) for name in ("cache.db", "generations", "directory")]


@pytest.mark.parametrize(("left", "name"), LEFT)
@pytest.mark.parametrize("spoil", DAMAGES)
async def test_a_file_is_damaged(
    templates: dict[str, Path], tmp_path: Path, left: str, name: str, spoil: Damage
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(templates[left], folder)
    path = find(folder, name)
    spoil(path)
    before = content(tmp_path / ELSEWHERE)
    await serves_and_stores(folder)
    assert content(tmp_path / ELSEWHERE) == before


def by_a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_bytes(b"garbage")


def by_a_linked_folder(path: Path) -> None:
    outside(path).parent.mkdir()
    path.rename(outside(path))
    path.symlink_to(outside(path))


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("spoil", [shutil.rmtree, by_a_file, by_a_linked_folder])
async def test_a_folder_in_it_is_damaged(
    templates: dict[str, Path], tmp_path: Path, name: str, spoil: Damage
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(templates["killed"], folder)
    spoil(find(folder, name))
    before = content(tmp_path / ELSEWHERE)
    await serves_and_stores(folder)
    assert content(tmp_path / ELSEWHERE) == before


def pages(path: Path) -> int:
    return -(-path.stat().st_size // PAGE)


@pytest.mark.parametrize("name", ["cache.db", "index.db", "generations", "directory"])
async def test_any_page_is_zeroed(templates: dict[str, Path], tmp_path: Path, name: str) -> None:
    """Of a database each one; of what is mapped its header and some."""
    template = templates["ended"]
    count = pages(template / name)
    numbers = range(count) if count < 100 else [0, *range(1, count, count // 4), count - 1]
    for number in numbers:
        folder = tmp_path / "folder"
        shutil.copytree(template, folder)
        zero_page(folder / name, number)
        await serves_and_stores(folder)
        shutil.rmtree(folder)


async def test_what_is_set_aside_is_bounded_and_told_once(
    templates: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(templates["ended"], folder)
    for _ in range(5):
        zero(folder / "cache.db")
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            async with opened(folder):
                pass
        assert len(caplog.messages) == 1
    by_a_folder(folder / "lock")
    by_a_folder(folder / "leases")
    for _ in range(2):
        async with opened(folder):
            pass
    found = sorted(path.name for path in folder.iterdir() if path.name.endswith(aside.SUFFIX))
    assert found == ["cache.db.damaged", "leases.damaged", "lock.damaged"]


async def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    """People do that: what it leads to is the folder."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    async with opened(tmp_path / "link") as store:
        await put(store, KEY, "a", b"A")
    async with opened(tmp_path / "real") as store:
        assert await bodies_of(store, KEY) == [b"A"]


SAYS = {
    "ENOSPC": (sqlite3.SQLITE_FULL, "database or disk is full"),
    "EIO": (sqlite3.SQLITE_IOERR, "disk I/O error"),
    "EROFS": (sqlite3.SQLITE_READONLY, "attempt to write a readonly database"),
}


def refuse(patch: pytest.MonkeyPatch, path: Path, number: int) -> None:
    """Whoever opens it, or something in it, gets that error."""
    open_, connect = os.open, sqlite3.connect

    def opening(name: Any, *arguments: Any, **keywords: Any) -> int:
        if path in (Path(name), *Path(name).parents):
            raise OSError(number, os.strerror(number), name)
        return open_(name, *arguments, **keywords)

    def connecting(name: Any, *arguments: Any, **keywords: Any) -> sqlite3.Connection:
        if Path(name) == path:
            code, text = SAYS.get(
                errno.errorcode[number], (sqlite3.SQLITE_CANTOPEN, "unable to open database file")
            )
            error = sqlite3.OperationalError(text)
            error.sqlite_errorcode = code
            raise error
        made: sqlite3.Connection = connect(name, *arguments, **keywords)
        return made

    patch.setattr(os, "open", opening)
    patch.setattr(sqlite3, "connect", connecting)


@pytest.mark.parametrize("name", ["lock", "generations", "directory", "cache.db", "spool"])
@pytest.mark.parametrize("number", ["EACCES", "ENOSPC", "EIO", "EROFS", "EMFILE"])
async def test_what_the_system_refuses_is_no_damage(
    templates: dict[str, Path],
    tmp_path: Path,
    name: str,
    number: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A clear error, and nothing is set aside: it may be as it was in a moment."""
    folder = tmp_path / "folder"
    shutil.copytree(templates["ended"], folder)
    with monkeypatch.context() as patch:
        refuse(patch, folder / name, getattr(errno, number))
        with pytest.raises((StoreFailed, PermissionError), match=r".+"):
            await open_store(options(folder))
    assert not list(folder.glob(f"*{aside.SUFFIX}"))
    async with opened(folder) as store:
        for stored in damage.SIZES:
            if number == "ENOSPC":  # for which some bodies go
                await right_or_missing(store)
            else:
                assert await bodies_of(store, damage.KEYS[stored]) == [damage.body(stored)]
