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

from proxy.store import aside, generations, packs, records
from proxy.store.bodies import Verifier, body_path, thin_out
from proxy.store.crc import crc32
from proxy.store.directory import Directory
from proxy.store.disk import (
    DAMAGED,
    DATABASE,
    ERRORS,
    INDEX,
    Table,
    drop_log,
    is_damage,
    is_full,
    move_aside,
)
from proxy.store.generations import Generations
from proxy.store.packs import Packs, Place, is_pack, usable
from proxy.store.rawdisk import BODIES
from proxy.store.reading import PAGE
from proxy.store.spools import SPOOL, SpoolFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proxy.store.options import StoreOptions

_LOG: Final = logging.getLogger(__name__)

GENERATIONS: Final = "generations"
DIRECTORY: Final = "directory"
LEASES: Final = "leases"

_FOLDERS: Final = 300 * PAGE
_WAL_PAGES: Final = 4000
_LOOK_EVERY: Final = 1.0  # seconds: one look costs 5 us
_WEIGH_EVERY: Final = 1.0
_AHEAD: Final = 64  # records


class UnsafeFolder(PermissionError):
    """Others can write to the folder: nothing in it can be trusted."""


class Folder:
    """An open folder. ``limit`` is what rows, files, log and fills in flight may take together."""

    def __init__(self, options: StoreOptions) -> None:
        """Blocks. Raises UnsafeFolder, and disk.ERRORS when it cannot be opened.

        What is damaged is moved aside, and made anew.
        """
        self._index, self._index_weighed = 0, -_WEIGH_EVERY
        self._max_size = options.max_size
        _make_private(options.dir)
        self._path = options.dir.resolve()
        wal_pages = max(64, min(_WAL_PAGES, options.max_size // 128 // PAGE))
        self._wal_pages = wal_pages
        self.journal_limit = 4 * wal_pages * PAGE
        self._moved_aside = False
        self._looked = time.monotonic()
        with self._locked():
            self._straighten()
            try:
                self._open()
            except ERRORS as error:
                if not is_full(error) or not thin_out(self._path / BODIES):
                    raise
                _LOG.warning("the disk is full before max_size is reached: bodies are removed")
                self._open()
        self.used_at_start = self.content()
        self.table.leave()  # the connection of this thread, which will not come again
        self.verifier = Verifier(self.table.bodies)

    def _open(self) -> None:
        with contextlib.ExitStack() as opened:
            database = self._identity()
            self.table = self._open_table()
            opened.callback(self.table.leave)
            self.generations = Generations(
                self._path / GENERATIONS, anything_stored=self.keys_at_start > 0
            )
            opened.callback(self.generations.close)
            if self._moved_aside:
                self.generations.next_epoch()  # whoever has the old one open shall know
            self.epoch = self.generations.epoch
            self._damaged = self._weigh_damaged()
            self.spools = SpoolFolder(self._path / SPOOL, self.generations)
            opened.callback(self.spools.close)
            self.spools.search_due |= self._moved_aside
            if self.spools.alone:
                self.generations.settle_all()
            self._open_directory(database)
            opened.callback(self.directory.close)
            holes = usable(self.spools.new_path())
            self.packs = Packs(self.table.bodies, self.spools.new_path) if holes else None
            opened.pop_all()

    def _open_directory(self, database: bytes) -> None:
        self.directory = Directory(self._path / DIRECTORY, self._max_size, self.generations.hashed)
        sealed = not self.spools.alone or 0 != self.directory.seal == self._seal(database)
        if not self.directory.is_new and (self.spools.search_due or not sealed):
            self.directory.clear()
        elif self.directory.is_new and not self.spools.alone:
            self.epoch = self.generations.next_epoch()  # others may have another one mapped

    def _straighten(self) -> None:
        """Nothing is reached through a symbolic link, and nothing is of another kind."""
        databases = [name + end for name in (DATABASE, INDEX) for end in ("", "-wal", "-shm")]
        files = (*databases, GENERATIONS, DIRECTORY, LEASES)
        aside.require_files(self._path / name for name in files)
        aside.require_folders(self._path / BODIES, self._path / SPOOL)
        if not (self._path / DATABASE).exists():
            drop_log(self._path)

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

    def follow(self) -> bool:
        """Open what has been replaced, by another process or by anybody; whether anything was.

        The writer's thread.
        """
        self.generations.mend()
        if self.epoch == self.generations.epoch and not self._is_replaced():
            return False
        self._reopen(None)
        return True

    def _is_replaced(self) -> bool:
        """Whether another file is in the place of one that is open; looked for now and then."""
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return False
        self._looked = now
        shared = (self.table, self.generations, self.directory, self.spools)
        return any(one.is_replaced for one in shared)

    def replace_database(self, error: BaseException) -> None:
        """Move the damaged database aside and start with an empty one. The writer's thread."""
        self._reopen(error)

    def _reopen(self, error: BaseException | None) -> None:
        self.table.leave()
        with self._locked():
            self._straighten()
            if self.epoch == self.generations.epoch:
                if error is not None:
                    self._move_aside(error)
                elif self.table.is_replaced:
                    drop_log(self._path)
                self.generations.next_epoch()
            if self.spools.is_replaced:
                self.spools.reopen()
            if self.generations.is_replaced:
                self.generations.reopen()
                self.spools.promise(0)
            self.table = self._open_table()
            self.directory.reopen()  # whoever follows may have put words there meanwhile
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

    def free_ahead(self, octets: int) -> bool:
        """Give the room back of what eviction would take next: whether there was any.

        On a disk that is full no row can be deleted before. A body that is missing is a miss.
        """
        freed = 0
        rows = self.table.records_after(self.generations.hand, _AHEAD)
        for row in rows or self.table.records_after(0, _AHEAD):
            with contextlib.suppress(OSError, records.DamagedRecord):
                for id_, length in records.bodies(row.key, row.record):
                    freed += length * self._free(id_)
            if freed >= octets:
                break
        return freed > 0

    def _free(self, id_: str) -> bool:
        where = self.table.body(id_)
        if isinstance(where, Place):
            packs.punch(self.table.bodies, where.pack, [where])
        elif where is None:
            os.unlink(body_path(self.table.bodies, id_))  # noqa: PTH108
        return where is None or isinstance(where, Place)

    def remove_nameless(self, ids: list[str]) -> None:
        """Delete those of these bodies that no record names. Inside a transaction."""
        nameless = self.table.nameless(self.table.bodies_of(ids))
        self.table.delete_bodies([body.id for body in nameless])

    def remove_left_behind(self) -> None:
        """Empty the spools of dead processes, and forget a database that was moved aside."""
        self.spools.empty_left_behind()
        aside.forget(self._path)
        self._damaged = 0

    def give_back(self, octets: int) -> None:
        """Free pages, to the file system. Outside of transactions."""
        self.table.vacuum(octets)
        self.table.checkpoint()

    def close(self) -> None:
        """What fails here is met at the next start."""
        with contextlib.ExitStack() as closing:
            for close in (self.generations.close, self.spools.close, self.directory.close):
                closing.enter_context(contextlib.suppress(OSError))
                closing.callback(close)
            closing.enter_context(contextlib.suppress(OSError))
            if self.packs is not None:
                self.packs.close()
            self.directory.seal = self._seal(self._identity())

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
        for again in (True, False):  # SQLite also calls damage what could not be read this once
            try:
                return self._try_table()
            except ERRORS as error:
                if not is_damage(error):
                    raise
                if not again:
                    self._move_aside(error)
        return self._try_table()

    def _try_table(self) -> Table:
        table = Table(self._path, self._wal_pages)
        try:
            if not 0 <= table.usage().files <= _octets_of_disk(self._path):
                table.recount()
            self.keys_at_start = table.count_keys()
        except BaseException:
            table.leave()
            raise
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
        """The size of what was moved aside; what is old or too large goes."""
        aside.forget(self._path, self._max_size // 8)
        return sum(aside.weigh(self._path))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        path = self._path / "lock"
        aside.require_files([path])
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def fixed(path: Path) -> int:
    """As ``Folder.fixed``, of a folder that is not open."""
    directory = (path / DIRECTORY).stat().st_size if (path / DIRECTORY).exists() else 0
    damaged = sum(aside.weigh(path))
    return generations.SIZE + directory + _FOLDERS + damaged + _weigh_index(path)


def _weigh_index(path: Path) -> int:
    octets = 0
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            octets += (path / (INDEX + suffix)).stat().st_size
    return octets


def _octets_of_disk(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_blocks * status.f_frsize


def _make_private(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise UnsafeFolder(f"{path} belongs to another user: give the cache a folder of its own")
    if status.st_mode & 0o022:
        raise UnsafeFolder(f"others can write to {path}: chmod 700 it, or choose another folder")
    path.chmod(0o700)
