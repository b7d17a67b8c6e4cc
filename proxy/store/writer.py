"""The one thread that writes: operations queue up and are committed in groups.

Everything that asks while a commit is under way is in the next one. An operation that fails
takes the others of its group down only until they have been tried one by one. Before a group
is committed, room is made for it: by eviction, in transactions of bounded length.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from proxy.store import eviction, records
from proxy.store.base import StoreFailed
from proxy.store.bodies import LARGEST_INLINE
from proxy.store.disk import ERRORS, PAGE, SpooledBody, is_damage
from proxy.store.spools import unlink, write_file

if TYPE_CHECKING:
    import asyncio

    from proxy.policy.stored import StoredResponse
    from proxy.store.disk import Table
    from proxy.store.folder import Folder
    from proxy.store.threads import Handover

_LOG: Final = logging.getLogger(__name__)

_MOST_IN_A_GROUP: Final = 128
_MOST_OCTETS_IN_A_GROUP: Final = 2 * 2**20
_ROW: Final = 1024  # what the rows and index entries of one response take beside its body
_WARN_EVERY: Final = 60.0
_DOWN_FOR: Final = 5.0


@dataclass(frozen=True, slots=True)
class Committed:
    """What is stored under a key after a commit; ``record`` is the size of the record."""

    key: str
    variants: tuple[StoredResponse, ...]
    generation: int
    record: int


@dataclass(slots=True)
class Put:
    """Store; the answer is None if the key was removed since."""

    key: str
    stored: StoredResponse
    body: bytes | SpooledBody
    since: int


@dataclass(slots=True)
class Update:
    key: str
    changed: tuple[StoredResponse, ...]


@dataclass(slots=True)
class Remove:
    """``on_purpose``: fills in flight will not commit. The answer is the count."""

    key: str
    ids: frozenset[str] | None
    on_purpose: bool = True


@dataclass(slots=True)
class MakeRoom:
    """Only what has been promised to fills; touches no key."""

    key: None = None


@dataclass(slots=True)
class RemoveOrphans:
    """Body files that seem to have no row."""

    ids: list[str]
    key: None = None


@dataclass(slots=True)
class ReplaceDatabase:
    """A reader found this table damaged."""

    table: Table
    error: BaseException
    key: None = None


Operation = Put | Update | Remove | MakeRoom | RemoveOrphans | ReplaceDatabase


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
        self._down_until = 0.0
        self._warned = -_WARN_EVERY
        self._checked = self._replaced = -_WARN_EVERY
        self.keys = folder.keys_at_start
        self.used = folder.used_at_start
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, operation: Operation) -> asyncio.Future[Any]:
        """Answered when committed. The future's error is StoreFailed (or ValueError for a Put)."""
        future = self._handover.loop.create_future()
        self._jobs.put(_Job(operation, future))
        return future

    @property
    def is_down(self) -> bool:
        """Whether the disk said no a moment ago."""
        return time.monotonic() < self._down_until

    def failed(self, error: BaseException) -> StoreFailed:
        """The disk said no: no storing for a while, one warning a minute."""
        now = time.monotonic()
        self._down_until = now + _DOWN_FOR
        if now - self._warned >= _WARN_EVERY:
            self._warned = now
            _LOG.warning("storing has failed, responses pass through unstored: %s", _cause(error))
        return StoreFailed(_cause(error))

    def join(self) -> None:
        """Commit what is queued, then end. Blocks."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            try:
                self._commit(group)
            except Exception as error:  # noqa: BLE001 - whoever asked gets it
                for job in group:
                    self._handover.settle(job.future, None, error)
            self._handover.wake()
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
            group.append(job)
            octets += _inline(job.operation)
        return group

    def _commit(self, group: list[_Job]) -> None:
        try:
            generations = self._transact(group)
        except (*ERRORS, ValueError, StoreFailed) as error:
            damaged = is_damage(error) and self._replace_database(error)
            if len(group) == 1 and not damaged:
                self._refuse(group[0], error)
                return
            for job in group:
                self._commit([job])
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
        except ERRORS as worse:
            self.failed(worse)
            return False
        self.keys = 0
        return True

    def _finish(self, job: _Job, generations: dict[str, int]) -> None:
        operation = job.operation
        if isinstance(job.answer, Committed):
            job.answer = replace(job.answer, generation=generations[job.answer.key])
        if isinstance(operation, Put) and isinstance(operation.body, SpooledBody):
            if job.answer is None:
                self._discard(operation)
            else:
                self._folder.spools.promise(-operation.body.promised)
                self._folder.verifier.wrote(operation.stored.id)
        self._handover.settle(job.future, job.answer)

    def _refuse(self, job: _Job, error: Exception) -> None:
        self._discard(job.operation)
        if isinstance(error, ERRORS):
            error = self.failed(error)
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
        folder.follow()
        for job in group:
            match job.operation:
                case Put(body=bytes() as body) as put if len(body) > LARGEST_INLINE:
                    path = folder.spools.new_path()
                    write_file(path, body)
                    put.body = SpooledBody(path, len(body), promised=0)
                case ReplaceDatabase(table=table, error=error) if table is folder.table:
                    self._replace_database(error)
                case _:
                    pass
        self._make_room(group)
        keys = {job.operation.key for job in group if job.operation.key is not None}
        try:
            with folder.table.transaction():
                for key in keys:
                    folder.generations.changing(key)
                for job in group:
                    job.answer = self._apply(job.operation)
        finally:
            stamps = {key: folder.generations.settled(key) for key in keys}
        return stamps

    def _apply(self, operation: Operation) -> Committed | int | None:
        match operation:
            case Put():
                return self._put(operation)
            case Update(key=key, changed=changed):
                return self._update(key, changed)
            case Remove(key=key, ids=ids, on_purpose=on_purpose):
                if on_purpose:
                    self._folder.generations.removing(key)
                return self._remove(key, ids)
            case RemoveOrphans(ids=ids):
                self._folder.remove_orphans(ids)
            case MakeRoom() | ReplaceDatabase():
                pass
        return None

    def _variants(self, key: str) -> tuple[StoredResponse, ...]:
        """What is stored; a damaged record is removed with its bodies."""
        record = self._folder.table.record(key)
        if record is None:
            return ()
        try:
            return records.decode(key, record)
        except records.DamagedRecord as error:
            _LOG.warning("damaged record of %s: %s", key, error)
            self._folder.table.delete_bodies_of(key)
            self._folder.table.delete_record(key)
            self.keys -= 1
            return ()

    def _put(self, put: Put) -> Committed | None:
        folder, key, stored = self._folder, put.key, put.stored
        if folder.generations.removals(key) != put.since:
            return None
        before = self._variants(key)
        after = records.with_variant(before, stored)
        kept = {variant.id for variant in after}
        for variant in before:
            if variant.id not in kept:
                folder.table.delete_body(variant.id)
        folder.generations.storing(key)
        if stored.length:
            folder.table.write_body(key, stored.id, put.body)
        self.keys += not before
        return self._write(key, after)

    def _update(self, key: str, changed: tuple[StoredResponse, ...]) -> Committed | None:
        before = self._variants(key)
        if not before:
            return None
        by_id = {stored.id: stored for stored in changed}
        return self._write(key, records.newest_first([by_id.get(s.id, s) for s in before]))

    def _write(self, key: str, variants: tuple[StoredResponse, ...]) -> Committed:
        record = records.encode(key, variants)
        self._folder.table.write_record(key, record)
        return Committed(key, variants, 0, len(record))

    def _remove(self, key: str, ids: frozenset[str] | None) -> int:
        before = self._variants(key)
        rest = tuple(s for s in before if ids is not None and s.id not in ids)
        for stored in before:
            if stored not in rest:
                self._folder.table.delete_body(stored.id)
        if rest:
            self._write(key, rest)
        elif before:
            self._folder.table.delete_record(key)
            self.keys -= 1
        return len(before) - len(rest)

    def _make_room(self, group: list[_Job]) -> None:
        """Raises StoreFailed when nothing is left to evict and something still does not fit."""
        inline = sum(_inline(job.operation) for job in group)
        needed = inline + sum(_in_files(job.operation) for job in group)
        over = self._measure(inline, needed)
        while over > 0:
            some_left = self._evict(self._folder.limit - self._folder.margin - needed)
            over = self._measure(inline, needed)
            if not some_left:
                if over <= 0 or all(isinstance(job.operation, Remove) for job in group):
                    return
                raise StoreFailed("no room: all of it is taken by bodies on their way in")

    def _evict(self, target: int) -> bool:
        """One transaction of it; whether anything is left to evict."""
        folder = self._folder
        evicted: list[str] | None = None
        try:
            with folder.table.transaction():
                evicted = eviction.evict(
                    folder.table, folder.generations, lambda: folder.content() <= target
                )
                for key in evicted or ():
                    folder.generations.changing(key)
        finally:
            for key in evicted or ():
                folder.generations.settled(key)
        self.keys -= len(evicted or ())
        return evicted is not None

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


def _inline(operation: Operation) -> int:
    match operation:
        case Put(body=bytes() as body) if len(body) <= LARGEST_INLINE:
            return -(-len(body) // PAGE) * PAGE + _ROW
        case Put() | Update():
            return _ROW
        case _:
            return 0


def _in_files(operation: Operation) -> int:
    # A spooled body has its room already: it was promised while it came.
    match operation:
        case Put(body=SpooledBody(promised=0, length=length)):
            return -(-length // PAGE) * PAGE
        case _:
            return 0


def _cause(error: BaseException) -> str:
    """diskcache's Timeout says nothing of the error it hides."""
    return str(error) or str(error.__context__ or type(error).__name__)
