"""The catalogue: what is stored, for people and programs that look inside.

An index beside the store that is derived from it and can be thrown away. Whoever stores pays
nothing for it: it catches up when somebody asks.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

from proxy.store import aside
from proxy.store.base import StoreFailed
from proxy.store.beside import read_only
from proxy.store.catalogue_following import Follower
from proxy.store.catalogue_pages import Reader
from proxy.store.catalogue_rows import SCHEMA, TABLES, transaction
from proxy.store.disk import DATABASE, INDEX, UnknownSchema, is_damage
from proxy.store.reading import lenient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from proxy.policy.options import Options
    from proxy.store.catalogue_following import Progress
    from proxy.store.catalogue_pages import Page, Totals
    from proxy.store.catalogue_queries import Query, Selector

_BUSY_SECONDS: Final = 10
# What is made of rows in which bits are flipped.
_UNREADABLE: Final = (KeyError, TypeError, OverflowError, msgspec.MsgspecError)

_T = TypeVar("_T")
_On = TypeVar("_On")


class Catalogue:
    """Of one cache folder, with or without a proxy on it. Every method blocks; from any thread.

    Each raises StoreFailed when the folder or its index cannot be read or written. Catching up
    and looking at pages do not wait for each other.
    """

    def __init__(
        self, folder: Path, options: Options | None = None, index: Path | None = None
    ) -> None:
        """``options`` say what is fresh; None: as the index has it, else by the defaults.

        ``index`` is the file that is the index, in another folder than that of the store.
        """
        index = index or folder / INDEX
        self._writing = _Desk(
            folder, index, lambda connection: Follower(connection, folder, options)
        )
        self._reading = _Desk(folder, index, Reader)

    def catch_up(self, limit: int) -> Progress:
        """Read ``limit`` new or changed records at most, with pauses. Done when ``left`` is 0."""
        return self._writing.use(lambda follower: follower.catch_up(limit))

    def note(self, uses: Mapping[str, tuple[int, float]]) -> None:
        """Add hits and last uses (epoch seconds) by key; those of keys to come wait for them."""
        self._writing.use(lambda follower: follower.note(uses))

    def page(self, query: Query, now: float) -> Page:
        """Entries that are in the index and in the store. Raises ValueError for a foreign cursor.

        There may be fewer than ``limit``, even none, and yet a cursor.
        """
        return self._reading.use(lambda reader: reader.page(query, now))

    def count(self, selector: Selector) -> tuple[int, int]:
        """Keys and octets. Raises ValueError for a bad glob."""
        return self._reading.use(lambda reader: reader.count(selector))

    def keys(self, selector: Selector, after: str, limit: int) -> list[str]:
        """In their order, those greater than ``after``. Raises ValueError for a bad glob."""
        return self._reading.use(lambda reader: reader.keys(selector, after, limit))

    def stored(self, prefix: str) -> bool:
        """Whether there is a key that begins so: in the store itself, which need not be caught up

        with. One search of its index.
        """
        return self._reading.use(lambda reader: reader.stored(prefix))

    def totals(self, now: float) -> Totals:
        """Reads the whole index: some seconds for a million entries."""
        return self._reading.use(lambda reader: reader.totals(now))

    def close(self) -> None:
        self._writing.leave()
        self._reading.leave()


@contextlib.contextmanager
def borrowed(folder: Path, options: Options) -> Iterator[Catalogue]:
    """That of a folder for a moment. Where nothing may be written, its index is a copy elsewhere.

    An index of another user's would be in the way of who owns the folder.
    """
    with contextlib.ExitStack() as stack:
        index = folder / INDEX
        if not os.access(folder, os.W_OK) or folder.stat().st_uid != os.geteuid():
            elsewhere = stack.enter_context(TemporaryDirectory(prefix="forecache-"))
            index = Path(elsewhere, INDEX)
            _copy(folder / INDEX, index)
        catalogue = Catalogue(folder, options, index)
        stack.callback(catalogue.close)
        yield catalogue


def _copy(index: Path, to: Path) -> None:
    """If there is one that can be read; else it is made anew."""
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(read_only(index), uri=True)) as old,
        contextlib.closing(sqlite3.connect(to)) as new,
    ):
        old.backup(new)


class _Desk(Generic[_On]):
    """A connection to index and store, and what was made upon it, for one thread at a time."""

    def __init__(
        self, folder: Path, index: Path, make: Callable[[sqlite3.Connection], _On]
    ) -> None:
        self._folder = folder
        self._index = index
        self._make = make
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._made: _On | None = None
        self._files: tuple[int, ...] = ()

    def use(self, work: Callable[[_On], _T]) -> _T:
        with self._lock:
            try:
                return self._try(work)
            except (sqlite3.Error, *_UNREADABLE) as error:
                if isinstance(error, sqlite3.Error) and not is_damage(error):
                    raise StoreFailed(f"the index of the cache: {error}") from error
            # If it is the store that is damaged, that shows now: the index is new.
            try:
                _remove(self._index)
                return self._try(work)
            except (sqlite3.Error, OSError) as error:
                raise StoreFailed(f"the index of the cache: {error}") from error

    def _try(self, work: Callable[[_On], _T]) -> _T:
        try:
            return work(self._current())
        except BaseException as error:
            # What it knows may be ahead of what was rolled back.
            self._close()
            if isinstance(error, OSError):
                raise StoreFailed(f"the index of the cache: {error}") from error
            raise

    def _current(self) -> _On:
        """Opened anew when the store, or the index, is another file than before."""
        files = (self._folder / DATABASE, self._index)
        if self._made is None or self._files != _inodes(*files):
            self._close()
            self._connection = _connect(self._folder, self._index)
            self._made = self._make(self._connection)
            self._files = _inodes(*files)
        return self._made

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._made = None, None

    def leave(self) -> None:
        with self._lock:
            self._close()


def _connect(folder: Path, index: Path) -> sqlite3.Connection:
    if not (folder / DATABASE).exists():
        raise StoreFailed(f"there is no cache in {folder}")
    aside.require_files(_files(index))
    with contextlib.suppress(FileExistsError):
        os.close(os.open(index, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(
        index.absolute().as_uri(),
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        _prepare(connection)
        connection.execute("ATTACH ? AS store", (read_only(folder / DATABASE),))
        connection.execute("SELECT 1 FROM store.Cache LIMIT 1")
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    # A flipped bit in a text must not be an error for every statement that meets it.
    connection.text_factory = lenient
    connection.execute("PRAGMA synchronous = 1")
    connection.execute("PRAGMA mmap_size = 0")  # an I/O error in a mapped file is SIGBUS
    connection.execute("PRAGMA cache_size = -16384")
    connection.execute("PRAGMA journal_size_limit = 16777216")
    ((version,),) = connection.execute("PRAGMA user_version")
    if version == SCHEMA:
        return
    # Both belong to the first page, which nobody has written yet.
    connection.execute("PRAGMA auto_vacuum = 2")
    connection.execute("PRAGMA journal_mode = wal")
    with transaction(connection):
        ((version,),) = connection.execute("PRAGMA user_version")
        ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_master")
        if not tables:
            for statement in TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
    if tables and version != SCHEMA:
        raise UnknownSchema(f"version {version} of the index")


def _inodes(*files: Path) -> tuple[int, ...]:
    """Which files they are, of store and index; () while one is missing."""
    try:
        return tuple(file.stat().st_ino for file in files)
    except OSError:
        return ()


def _remove(index: Path) -> None:
    for path in _files(index):
        aside.remove(path)


def _files(index: Path) -> list[Path]:
    return [index.with_name(index.name + suffix) for suffix in ("", "-wal", "-shm")]
