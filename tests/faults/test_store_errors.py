"""Whatever the disk, SQLite or Python says to the writer: StoreFailed, one warning, and on."""

import asyncio
import errno
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import diskcache
import pytest

from proxy.store import records, writer
from proxy.store.base import StoreFailed
from proxy.store.disk import DAMAGED, DATABASE, Table
from tests.support.damage import zero_root
from tests.support.stores import KEY, bodies_of, opened, put, put_spooled

ROW, PACKED, FILE = b"r" * 500, b"p" * 10_000, b"f" * 100_000
LARGE = b"l" * 600_000


def of_sqlite(kind: type[sqlite3.Error], code: int, text: str) -> sqlite3.Error:
    error = kind(text)
    error.sqlite_errorcode = code
    return error


def of_system(number: int) -> OSError:
    return OSError(number, os.strerror(number))


OPERATIONAL = sqlite3.OperationalError
SQLITE: list[Exception] = [
    of_sqlite(OPERATIONAL, sqlite3.SQLITE_IOERR, "disk I/O error"),
    of_sqlite(OPERATIONAL, sqlite3.SQLITE_FULL, "database or disk is full"),
    of_sqlite(OPERATIONAL, sqlite3.SQLITE_BUSY, "database is locked"),
    of_sqlite(OPERATIONAL, sqlite3.SQLITE_CANTOPEN, "unable to open database file"),
    of_sqlite(OPERATIONAL, sqlite3.SQLITE_READONLY, "attempt to write a readonly database"),
    sqlite3.InterfaceError("bad parameter or other API misuse"),
    sqlite3.ProgrammingError("Cannot operate on a closed database."),
    diskcache.Timeout(),
]
SYSTEM = [
    of_system(number)
    for number in (
        errno.EIO,
        errno.ENOSPC,
        errno.EROFS,
        errno.EDQUOT,
        errno.EMFILE,
        errno.EACCES,
        errno.ENOENT,
    )
]
PYTHON: list[Exception] = [
    MemoryError(),
    ValueError("value"),
    TypeError("type"),
    KeyError("key"),
    RecursionError("deep"),
    OverflowError("too large"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    AssertionError(),
]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is asked again at once."""
    monkeypatch.setattr(writer, "_DOWN_FOR", 0.0)


@contextmanager
def failing(target: object, name: str, error: Exception) -> Iterator[list[str]]:
    """Every call of it in a thread of the store, which are listed."""
    real, calls = getattr(target, name), list[str]()

    def call(*arguments: Any, **keywords: Any) -> Any:
        thread = threading.current_thread().name
        if thread.startswith("store-"):
            calls.append(thread)
            raise error
        return real(*arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, name, call)
        yield calls


async def refused_and_well_again(
    folder: Path,
    target: object,
    name: str,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
    before: AbstractContextManager[object] | None = None,
) -> None:
    async with opened(folder, memory=0) as store:
        await put(store, KEY, "before", PACKED)
        with (
            caplog.at_level(logging.WARNING),
            before or nullcontext(),
            failing(target, name, error) as calls,
        ):
            for number, body in enumerate((ROW, PACKED, FILE, LARGE)):
                way = put_spooled if body is LARGE else put
                try:
                    await way(store, f"{KEY}/{number}", f"{number}0", body)
                except StoreFailed:
                    continue
            await store.remove(f"{KEY}/never")
        assert calls, "it is met"
        told = [line for line in caplog.messages if "storing has failed" in line]
        assert len(told) <= 1
        for number, body in enumerate((ROW, PACKED, FILE, LARGE)):
            await put_spooled(store, f"{KEY}/{number}", f"{number}1", body)
            assert await bodies_of(store, f"{KEY}/{number}") == [body]
        assert store._generations.in_flight() == 0
    async with opened(folder) as store:
        assert await bodies_of(store, f"{KEY}/0") == [ROW]


@pytest.mark.parametrize("error", SQLITE + PYTHON, ids=repr)
@pytest.mark.parametrize("name", ["_write_rows", "usage", "write_body", "write_record"])
async def test_a_table_that_fails(
    tmp_path: Path, error: Exception, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    await refused_and_well_again(tmp_path, Table, name, error, caplog)


@pytest.mark.parametrize("error", SYSTEM, ids=repr)
@pytest.mark.parametrize("name", ["open", "pwrite", "pwritev", "replace", "stat"])
async def test_a_system_that_fails(
    tmp_path: Path, error: Exception, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    await refused_and_well_again(tmp_path, os, name, error, caplog)


@pytest.mark.parametrize("error", SYSTEM, ids=repr)
@pytest.mark.parametrize("name", ["unlink", "ftruncate"])
async def test_a_system_that_fails_to_clear_up(
    tmp_path: Path, error: Exception, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """After what has failed before: the file, and the octets in the pack, stay for a while."""
    before = failing(Table, "write_record", MemoryError())
    await refused_and_well_again(tmp_path, os, name, error, caplog, before)


@pytest.mark.parametrize("error", PYTHON, ids=repr)
@pytest.mark.parametrize("name", ["encode", "with_variant"])
async def test_code_that_fails(
    tmp_path: Path, error: Exception, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    await refused_and_well_again(tmp_path, records, name, error, caplog)


@pytest.mark.parametrize("error", [SQLITE[0], SYSTEM[0], PYTHON[0]], ids=repr)
async def test_a_look_up_when_what_another_process_made_cannot_be_opened(
    tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """A miss, in one warning; what is found is found again as soon as it can be opened."""
    async with opened(tmp_path, memory=0) as store:
        await put(store, KEY, "a", PACKED)
        store._generations.next_epoch()
        with (
            caplog.at_level(logging.WARNING),
            failing(type(store._folder), "follow", error) as calls,
        ):
            for _ in range(3):
                assert (await store.lookup(KEY)).variants == ()
        assert calls
        assert len([line for line in caplog.messages if "storing has failed" in line]) == 1
        assert await bodies_of(store, KEY) == [PACKED]


async def test_a_commit_that_fails_leaves_no_transaction_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """diskcache does not roll back when its commit fails."""
    async with opened(tmp_path) as store:
        execute, failed = diskcache.Cache._sql, list[str]()

        def sql(cache: Any) -> Any:
            run = execute.fget(cache)

            def statement(text: str, *arguments: Any) -> Any:
                if text == "COMMIT" and not failed:
                    failed.append(text)
                    raise SQLITE[0]
                return run(text, *arguments)

            return statement

        with monkeypatch.context() as patch:
            patch.setattr(diskcache.Cache, "_sql", property(sql))
            with pytest.raises(StoreFailed):
                await put(store, KEY, "a", ROW)
        assert failed
        await put(store, KEY, "b", ROW)
        assert await bodies_of(store, KEY) == [ROW]


@pytest.mark.parametrize("index", ["Cache", "Cache_key_raw", "Cache_expire_time", "Settings"])
async def test_a_root_page_that_is_damaged_while_it_runs(
    tmp_path: Path, index: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Set aside in one log line, and begun again: by whoever meets it, reader or writer."""
    async with opened(tmp_path, memory=0) as store:
        for number in range(50):
            await put(store, f"{KEY}/{number}", f"{number}0", ROW)
        await asyncio.to_thread(store._folder.table.checkpoint)
        await asyncio.to_thread(store._folder.table.leave)
        await asyncio.to_thread(zero_root, tmp_path, index)
        for number in range(50):
            assert await bodies_of(store, f"{KEY}/{number}") in ([], [ROW])
        for number in range(2):
            try:
                await put(store, KEY, f"new{number}", PACKED)
            except StoreFailed:
                continue
        assert await bodies_of(store, KEY) == [PACKED]
    assert len([line for line in caplog.messages if "the cache starts empty" in line]) == 1
    assert (tmp_path / DAMAGED).exists()
    assert (tmp_path / DATABASE).exists()


@pytest.mark.parametrize("name", ["cache.db", "generations", "directory"])
@pytest.mark.parametrize("how", ["removed", "replaced"])
async def test_a_file_that_is_replaced_while_it_is_open(
    tmp_path: Path, name: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noticed with the next commit, by every process."""
    monkeypatch.setattr("proxy.store.folder._LOOK_EVERY", 0.0)
    async with opened(tmp_path, memory=0) as one, opened(tmp_path, memory=0) as two:
        await put(one, KEY, "a", PACKED)
        path = tmp_path / name
        if how == "removed":
            path.unlink()
        else:
            (tmp_path / "other").write_bytes(os.urandom(50_000))
            (tmp_path / "other").replace(path)
        for number, (ours, theirs) in enumerate(((one, two), (two, one), (one, two))):
            key, body = f"{KEY}/{number}", os.urandom(10_000)
            for store in (ours, theirs):
                try:
                    await put(store, f"{KEY}/first", f"f{number}", ROW)
                except StoreFailed:
                    continue
            await put(ours, key, f"{number}0", body)
            assert await bodies_of(theirs, key) == [body]
            await theirs.remove(key)
            assert await bodies_of(ours, key) == []
