"""The folder of the store: who may use it, what is in it, how large it may become.

``cache.db`` (rows), ``bodies/`` (adopted files), ``spool/`` (bodies on their way in),
``generations`` and ``directory`` (shared memory), ``index.db`` (of the catalogue, if anybody
looks), ``lock`` (held while a process opens the folder or replaces a damaged database). Several
processes may have it open.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from typing import TYPE_CHECKING, Final

from proxy.store import generations
from proxy.store.bodies import Verifier, body_path
from proxy.store.crc import crc32
from proxy.store.directory import Directory
from proxy.store.disk import DAMAGED, DATABASE, ERRORS, INDEX, Table, is_damage, move_aside
from proxy.store.generations import Generations
from proxy.store.packs import Packs, is_pack, usable
from proxy.store.reading import PAGE
from proxy.store.spools import SPOOL, SpoolFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proxy.store.options import StoreOptions

_LOG: Final = logging.getLogger(__name__)

DIRECTORY: Final = "directory"

_FOLDERS: Final = 300 * PAGE
_WAL_PAGES: Final = 4000
_KEEP_DAMAGED: Final = 7 * 86400.0
_WEIGH_EVERY: Final = 1.0


class UnsafeFolder(PermissionError):
    """Others can write to the folder: nothing in it can be trusted."""


class Folder:
    """An open folder. ``limit`` is what rows, files, log and fills in flight may take together."""

    def __init__(self, options: StoreOptions) -> None:
        """Blocks. Raises UnsafeFolder, and disk.ERRORS when it cannot be opened."""
        self._path = options.dir
        self._index, self._index_weighed = 0, -_WEIGH_EVERY
        self._max_size = options.max_size
        _make_private(self._path)
        wal_pages = max(64, min(_WAL_PAGES, options.max_size // 128 // PAGE))
        self._wal_pages = wal_pages
        self.journal_limit = 4 * wal_pages * PAGE
        self._moved_aside = False
        with self._locked():
            database = self._identity()
            self.table = self._open_table()
            self.keys_at_start = self.table.count_keys()
            self.generations = Generations(
                self._path / "generations", anything_stored=self.keys_at_start > 0
            )
            self.epoch = self.generations.epoch
            self._damaged = self._weigh_damaged()
            self.spools = SpoolFolder(self._path / SPOOL, self.generations)
            self.spools.search_due |= self._moved_aside
            self.directory = Directory(self._path / DIRECTORY, options.max_size)
            sealed = not self.spools.alone or 0 != self.directory.seal == self._seal(database)
            if not self.directory.is_new and (self.spools.search_due or not sealed):
                self.directory.clear()
            holes = usable(self.spools.new_path())
            self.packs = Packs(self.table.bodies, self.spools.new_path) if holes else None
        self.used_at_start = self.content()
        self.table.leave()  # the connection of this thread, which will not come again
        self.verifier = Verifier(self.table.bodies)

    @property
    def fixed(self) -> int:
        """What the folder takes besides."""
        if time.monotonic() - self._index_weighed >= _WEIGH_EVERY:
            self._index_weighed = time.monotonic()
            self._index = _weigh_index(self._path)
        return generations.SIZE + self.directory.size + _FOLDERS + self._damaged + self._index

    @property
    def limit(self) -> int:
        return self._max_size - self.fixed

    @property
    def margin(self) -> int:
        """How far below the limit eviction goes."""
        return self._max_size // 256

    def content(self) -> int:
        """The octets that ``limit`` bounds, but for free pages."""
        usage = self.table.usage()
        return usage.pages + usage.files + self.table.journal() + self.generations.in_flight()

    def changing(self, key: str) -> None:
        """Nobody may keep what is read under the key. Inside the transaction, before the commit."""
        self.generations.changing(key)
        self.directory.forget(key)

    def follow(self) -> None:
        """Open the new database if another process has replaced it. The writer's thread."""
        if self.epoch != self.generations.epoch:
            self._reopen(None)

    def replace_database(self, error: BaseException) -> None:
        """Move the damaged database aside and start with an empty one. The writer's thread."""
        self._reopen(error)

    def _reopen(self, error: BaseException | None) -> None:
        self.table.leave()
        with self._locked():
            if error is not None and self.epoch == self.generations.epoch:
                self._move_aside(error)
                self.generations.next_epoch()
            self.directory.clear()  # whoever follows may have put words there meanwhile
            self.table = self._open_table()
            self.spools.search_due |= self._moved_aside
            self.epoch = self.generations.epoch
            self._damaged = self._weigh_damaged()

    def remove_orphans(self, ids: list[str]) -> None:
        """Unlink those of these body files that have no row, and thin out packs.

        Inside a transaction.
        Files are only ever renamed into place inside transactions, so none is on its way now.
        """
        for id_ in ids:
            if is_pack(id_):
                self.table.sweep(id_)
            elif not self.table.has_body(id_):
                with contextlib.suppress(OSError):
                    os.unlink(body_path(self.table.bodies, id_))  # noqa: PTH108

    def remove_nameless(self, ids: list[str]) -> None:
        """Delete those of these bodies that no record names. Inside a transaction."""
        nameless = self.table.nameless(self.table.bodies_of(ids))
        self.table.delete_bodies([body.id for body in nameless])

    def remove_left_behind(self) -> None:
        """Empty the spools of dead processes, and forget a database that was moved aside."""
        self.spools.empty_left_behind()
        (self._path / DAMAGED).unlink(missing_ok=True)
        self._damaged = 0

    def give_back(self, octets: int) -> None:
        """Free pages, to the file system. Outside of transactions."""
        self.table.vacuum(octets)
        self.table.checkpoint()

    def close(self) -> None:
        if self.packs is not None:
            self.packs.close()
        self.directory.seal = self._seal(self._identity())
        self.directory.close()
        self.spools.close()
        self.generations.close()

    def _identity(self) -> bytes:
        """Of the database while nobody has it open; b"" if there is none."""
        try:
            status = (self._path / DATABASE).stat()
        except FileNotFoundError:
            return b""
        return b"%d %d %d" % (status.st_ino, status.st_size, status.st_mtime_ns)

    def _seal(self, database: bytes) -> int:
        """Another when a process that knows nothing of the directory has changed any row."""
        return crc32(database, self.generations.seal) if database else 0

    def _open_table(self) -> Table:
        try:
            table = Table(self._path, self._wal_pages)
            table.usage()
        except ERRORS as error:
            if not is_damage(error):
                raise
            self._move_aside(error)
            return Table(self._path, self._wal_pages)
        return table

    def _move_aside(self, error: BaseException) -> None:
        _LOG.error(
            "%s is damaged (%s): moved to %s, the cache starts empty",
            self._path / DATABASE,
            error,
            DAMAGED,
        )
        move_aside(self._path)
        self._moved_aside = True

    def _weigh_damaged(self) -> int:
        """The size of a database that was moved aside; one that is old or too large goes."""
        damaged = self._path / DAMAGED
        try:
            status = damaged.stat()
        except FileNotFoundError:
            return 0
        if status.st_size <= self._max_size // 8 and time.time() - status.st_ctime < _KEEP_DAMAGED:
            return status.st_size
        damaged.unlink()
        return 0

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self._path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def fixed(path: Path) -> int:
    """As ``Folder.fixed``, of a folder that is not open."""
    damaged = path / DAMAGED
    aside = damaged.stat().st_size if damaged.exists() else 0
    directory = (path / DIRECTORY).stat().st_size if (path / DIRECTORY).exists() else 0
    return generations.SIZE + directory + _FOLDERS + aside + _weigh_index(path)


def _weigh_index(path: Path) -> int:
    octets = 0
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            octets += (path / (INDEX + suffix)).stat().st_size
    return octets


def _make_private(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise UnsafeFolder(f"{path} belongs to another user: give the cache a folder of its own")
    if status.st_mode & 0o022:
        raise UnsafeFolder(f"others can write to {path}: chmod 700 it, or choose another folder")
    path.chmod(0o700)
