"""The one thread that writes: operations queue up and are committed in groups.

Everything that asks while a commit is under way is in the next one; when commits follow close
upon each other, one waits a moment for company: each costs two switches of threads, and writes
the same pages of the index. An operation that fails takes the others of its group down only
until they have been tried one by one. Before a group is committed, room is made for it: by
eviction, in transactions of bounded length.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from proxy.store import eviction, records
from proxy.store.base import FORMS, StoreFailed
from proxy.store.bodies import LARGEST_INLINE
from proxy.store.changes import Changes
from proxy.store.disk import ERRORS, Kept, is_damage, is_full
from proxy.store.operations import Committed, GiveBack, Put, Relieve, Remove, ReplaceDatabase
from proxy.store.packs import SMALLEST, Entry
from proxy.store.rawdisk import SpooledBody
from proxy.store.spools import unlink, write_file

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from proxy.store.folder import Folder
    from proxy.store.operations import Operation
    from proxy.store.packs import Packs
    from proxy.store.threads import Handover

_LOG: Final = logging.getLogger(__name__)

_MOST_IN_A_GROUP: Final = 128
_MOST_OCTETS_IN_A_GROUP: Final = 2 * 2**20
_GATHERING: Final = 0.005  # seconds; nobody waits for a Put with a client in hand
_ENOUGH: Final = 63  # beside the first
_WARN_EVERY: Final = 60.0
_DOWN_FOR: Final = 5.0
_LOG_ROOM: Final = 2**20  # octets
_AHEAD: Final = 2**18  # octets: more than the log takes that tells of their rows
_TRIES: Final = 3  # as bodies on their way in may take the room
_WORTH: Final = 4  # what is larger than one part of so many is not worth all that would go


@dataclass(slots=True)
class _Job:
    operation: Operation
    future: asyncio.Future[Any]
    answer: Any = None


class Writer:
    """Owns the writing side of a ``Folder``. ``submit`` on the loop, everything else within."""

    def __init__(self, folder: Folder, handover: Handover) -> None:
        self._folder = folder
        self._handover = handover
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closing = False
        self._hurry = threading.Event()
        self._committed = -_GATHERING
        self._down_until = 0.0
        self._warned = self._told_full = -_WARN_EVERY
        self._checked = self._replaced = -_WARN_EVERY
        self.keys = folder.keys_at_start
        self.evictions = {"unused": 0, "form": 0, "damaged": 0}
        self.used = folder.used_at_start
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, operation: Operation) -> asyncio.Future[Any]:
        """Answered when committed. The future's error is StoreFailed, whatever went wrong."""
        future = self._handover.loop.create_future()
        self._jobs.put(_Job(operation, future))
        if type(operation) is not Put or self._jobs.qsize() >= _ENOUGH:
            self._hurry.set()
        return future

    @property
    def is_down(self) -> bool:
        """Whether the disk said no a moment ago."""
        return time.monotonic() < self._down_until

    def failed(self, error: BaseException) -> StoreFailed:
        """The disk said no: no storing for a while, one warning a minute."""
        self._down_until = time.monotonic() + _DOWN_FOR
        return self._refused(error)

    def _refused(self, error: BaseException) -> StoreFailed:
        now = time.monotonic()
        if now - self._warned >= _WARN_EVERY:
            self._warned = now
            unforeseen = None if isinstance(error, (*ERRORS, MemoryError)) else error
            text = "storing has failed, responses pass through unstored: %s"
            _LOG.warning(text, _cause(error), exc_info=unforeseen)
        return StoreFailed(_cause(error))

    def join(self) -> None:
        """Commit what is queued, then end. Blocks."""
        self._jobs.put(None)
        self._hurry.set()
        self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            try:
                self._commit(group)
            except Exception as error:  # noqa: BLE001 - whoever asked gets it
                for job in group:
                    self._handover.settle(job.future, None, self._refused(error))
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                self._handover.wake()
            self._committed = time.monotonic()
        self._folder.table.leave()

    def _next_group(self) -> list[_Job]:
        group: list[_Job] = []
        octets = 0
        while len(group) < _MOST_IN_A_GROUP and octets < _MOST_OCTETS_IN_A_GROUP:
            try:
                job = self._jobs.get(block=not group and not self._closing)
            except Empty:
                break
            if job is None:
                self._closing = True
                continue
            if not group:
                self._gather()
            group.append(job)
            octets += job.operation.in_rows
        return group

    def _gather(self) -> None:
        """Wait for company, unless this is the first operation in a while or one that hurries."""
        waiting = self._jobs.qsize()
        if waiting < _ENOUGH and time.monotonic() - self._committed < _GATHERING:
            self._hurry.wait(_GATHERING)
        self._hurry.clear()

    def _commit(self, group: list[_Job], *, relieved: bool = False, again: bool = False) -> None:
        try:
            generations = self._transact(group)
        except Exception as error:  # noqa: BLE001 - whoever asked gets it
            if is_damage(error) and not again:  # as SQLite also calls what could not be read once
                self._commit(group, relieved=relieved, again=True)
                return
            damaged = is_damage(error) and self._replace_database(error)
            if is_full(error) and not relieved and self._relieve(_needed(group)):
                self._commit(group, relieved=True)
                return
            # Where others keep the database no operation is to blame: nobody waits once more.
            if not damaged and (len(group) == 1 or isinstance(error, Kept)):
                for job in group:
                    self._refuse(job, error)
                return
            for job in group:
                self._commit([job], relieved=relieved)
            return
        for job in group:
            self._finish(job, generations)

    def _replace_database(self, error: BaseException) -> bool:
        """Whether there is a new one; not more often than once in a while."""
        if time.monotonic() - self._replaced < _DOWN_FOR:
            return False
        self._replaced = time.monotonic()
        try:
            self._folder.replace_database(error)
        except Exception as worse:  # noqa: BLE001 - tried again later
            self.failed(worse)
            return False
        self.evictions["damaged"] += self.keys
        self.keys = 0
        return True

    def _finish(self, job: _Job, generations: dict[str, int]) -> None:
        operation = job.operation
        if type(job.answer) is Committed:
            job.answer.generation = generations[job.answer.key]
        if type(operation) is Put and type(operation.body) is SpooledBody:
            if job.answer is None:
                self._discard(operation)
            else:
                self._folder.spools.promise(-operation.body.promised)
                self._folder.verifier.wrote(operation.stored.id)
        self._handover.settle(job.future, job.answer)

    def _refuse(self, job: _Job, error: Exception) -> None:
        self._discard(job.operation)
        if isinstance(error, (*ERRORS, MemoryError)):
            error = self.failed(error)
        elif not isinstance(error, StoreFailed):
            error = self._refused(error)  # of what was asked: nobody else has to pay for it
        self._handover.settle(job.future, None, error)

    def _discard(self, operation: Operation) -> None:
        """Remove the spool file if it is our own."""
        match operation:
            case Put(body=SpooledBody(path=path, promised=0)):
                unlink(path)
            case _:
                pass

    def _transact(self, group: list[_Job]) -> dict[str, int]:
        """Returns the new generation of each key."""
        folder = self._folder
        if folder.follow():
            self.keys = folder.keys_at_start
        for job in group:
            match job.operation:
                case Put(body=bytes() as body) as put if len(body) > LARGEST_INLINE:
                    path = folder.spools.new_path()
                    write_file(path, body)
                    put.body = SpooledBody(path, len(body), promised=0)
                case GiveBack(octets=octets):
                    folder.give_back(octets)
                case Relieve(octets=octets, error=error) if not self._relieve(octets):
                    raise error
                case ReplaceDatabase(table=table, error=error) if table is folder.table:
                    self._replace_database(error)
                case _:
                    pass
        packed = self._pack(group)
        try:
            return self._apply(group)
        except BaseException:
            self._unpack(packed)
            raise

    def _pack(self, group: list[_Job]) -> list[tuple[Put, bytes]]:
        """Write the small bodies of the group to a pack: these, as they were."""
        packs, found = self._folder.packs, []
        for job in group:
            match job.operation:
                case Put(body=bytes() as body) as put if SMALLEST < len(body) <= LARGEST_INLINE:
                    found.append((put, body))
                case _:
                    pass
        if packs is None or not found:
            return []
        try:
            pack(packs, found)
        except OSError as error:
            if not is_full(error):
                packs.close()  # another file may do better
            raise
        return found

    def _unpack(self, packed: list[tuple[Put, bytes]]) -> None:
        for put, body in packed:
            put.body = body
        if packed and self._folder.packs is not None:
            try:
                self._folder.packs.undo()
            except OSError:
                self._folder.packs.close()

    def _apply(self, group: list[_Job]) -> dict[str, int]:
        folder = self._folder
        self._make_room(group)
        keys = {job.operation.key for job in group if job.operation.key is not None}
        for key in keys:
            folder.generations.hashed(key)  # one that has none fails before any is changing
        changes = Changes(folder)
        try:
            with folder.table.transaction():
                for key in keys:
                    folder.changing(key)
                for job in group:
                    job.answer = changes.apply(job.operation)
        except BaseException:
            for key in keys:
                folder.directory.forget(key)
            raise
        finally:
            stamps = {key: folder.generations.settled(key) for key in keys}
        self.keys += changes.keys
        self.evictions["damaged"] += changes.damaged
        return stamps

    def _make_room(self, group: list[_Job]) -> None:
        """Raises StoreFailed when nothing is left to evict and something still does not fit."""
        inline = sum(job.operation.in_rows for job in group)
        needed = _needed(group)
        over = self._measure(inline, needed)
        while over > 0:
            some_left = self._evict(self._folder.limit - self._folder.margin - needed)
            over = self._measure(inline, needed)
            if not some_left:
                if over <= 0 or all(isinstance(job.operation, Remove) for job in group):
                    return
                raise StoreFailed("no room: all of it is taken by bodies on their way in")

    def _relieve(self, octets: int) -> bool:
        """The disk is full before the limit is reached: whether something has left for so much.

        Little by little, as each transaction has to be written down on that disk, too.
        """
        folder = self._folder
        try:
            before = content = folder.content()
            if self.is_down or octets > before // _WORTH:
                return False
            self._tell_full()
            with contextlib.suppress(*ERRORS):
                folder.table.checkpoint()
            target = before - 2 * octets - min(_LOG_ROOM, before // 16)
            while content > target and self._evict_on_full_disk(target):
                content = folder.content()
            with contextlib.suppress(*ERRORS):
                folder.give_back(folder.table.usage().free)
        except ERRORS:
            return False
        return content < before

    def _tell_full(self) -> None:
        now = time.monotonic()
        if now - self._told_full >= _WARN_EVERY:
            self._told_full = now
            _LOG.warning("the disk is full before max_size is reached: evicting")

    def _evict_on_full_disk(self, target: int) -> bool:
        for _ in range(_TRIES):
            try:
                return self._evict(target, little=True)
            except ERRORS as error:
                if not is_full(error) or not self._folder.free_ahead(_AHEAD):
                    raise
        return self._evict(target, little=True)

    def _evict(self, target: int, *, little: bool = False) -> bool:
        """One transaction of it; whether anything is left to evict."""
        folder = self._folder
        evicted: list[str] | None = None
        try:
            with folder.table.transaction():
                evicted = eviction.evict(
                    folder.table,
                    folder.generations,
                    lambda: little or folder.content() <= target,
                )
                for key in evicted or ():
                    folder.changing(key)
        finally:
            for key in evicted or ():
                folder.generations.settled(key)
        self._count(evicted or ())
        return evicted is not None

    def _count(self, evicted: Sequence[str]) -> None:
        forms = sum(key.startswith(FORMS) for key in evicted)
        self.keys -= len(evicted)
        self.evictions["form"] += forms
        self.evictions["unused"] += len(evicted) - forms

    def _measure(self, inline: int, needed: int) -> int:
        """By how much the folder would be over its limit; gives free pages back if that helps."""
        folder = self._folder
        usage = folder.table.usage()
        journal = folder.table.journal()
        others = journal + folder.generations.in_flight()
        content = usage.pages + usage.files + others
        self.used = content + usage.free
        physical = content + max(usage.free, inline) + needed - inline
        if usage.free > inline and physical > folder.limit:
            excess = physical - folder.limit + folder.margin
            folder.table.vacuum(min(usage.free - inline, excess))
        if journal > folder.journal_limit and time.monotonic() - self._checked > 1:
            self._checked = time.monotonic()
            folder.table.checkpoint()
        return content + needed - folder.limit


def _needed(group: Sequence[_Job]) -> int:
    """Octets, in rows and in files."""
    return sum(job.operation.in_rows + job.operation.in_files for job in group)


def pack(packs: Packs, bodies: Sequence[tuple[Put, bytes]]) -> None:
    """Write these together, with their records: their puts name places then. Raises OSError."""
    for put, _ in bodies:
        put.record = records.encode(put.key, (put.stored,))
    places = packs.write([Entry(put.stored.id, body, put.record) for put, body in bodies])
    for (put, _), place in zip(bodies, places, strict=True):
        put.body = place


def _cause(error: BaseException) -> str:
    """diskcache's Timeout says nothing of the error it hides."""
    return str(error) or str(error.__context__ or type(error).__name__)
