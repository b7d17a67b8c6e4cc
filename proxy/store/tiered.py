"""``TieredStore``: the store that the program uses, memory over disk.

On the loop: memory, generations, packs, decisions of a few microseconds. Rows and opened files go
through a few reader threads, large writes and first-use checks through two others, commits
through the one writer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from proxy.store import records
from proxy.store.base import BodyLost, Found, StoreFailed, TooLarge
from proxy.store.bodies import (
    LARGEST_INLINE,
    Descriptor,
    FileBody,
    InlineBody,
    body_files,
    check_id,
    checksum,
    checksum_octets,
)
from proxy.store.disk import ERRORS, Table, is_damage
from proxy.store.folder import Folder
from proxy.store.generations import NOT_KEPT, is_settled
from proxy.store.lookups import Lookups
from proxy.store.memory import MemoryTier
from proxy.store.operations import (
    Committed,
    MakeRoom,
    Note,
    Put,
    Relieve,
    Remove,
    RemoveOrphans,
    ReplaceDatabase,
    Settle,
    Update,
)
from proxy.store.rawdisk import SpooledBody
from proxy.store.spools import Limits, SpoolFile
from proxy.store.threads import Handover, Threads
from proxy.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from proxy.policy.stored import StoredResponse
    from proxy.store.base import Cells, Spool, StoredBody
    from proxy.store.operations import Noted, Tidying
    from proxy.store.options import StoreOptions

_LOG: Final = logging.getLogger(__name__)

_SPOOLERS: Final = 2
_NOTED_AT_ONCE: Final = 128
_RETRY_REMOVAL: Final = 5.0
_PATIENCE: Final = 2.0  # seconds that whoever removes waits for the disk
_CHECKED_AT_ONCE: Final = 2**20


async def open_store(options: StoreOptions) -> TieredStore:
    """Ready to serve when it returns. Raises UnsafeFolder, StoreFailed with a sentence."""
    try:
        folder = await asyncio.to_thread(Folder, options)
    except PermissionError:
        raise
    except ERRORS as error:
        raise StoreFailed(f"cannot open the cache folder {options.dir}: {error}") from error
    return TieredStore(options, folder)


class TieredStore:
    """``base.Store``. Made by ``open_store``; ended by ``close``, which commits what is queued."""

    def __init__(self, options: StoreOptions, folder: Folder) -> None:
        self._options = options
        self._folder = folder
        self._generations = folder.generations
        self._memory = MemoryTier(options.memory)
        self._handover = Handover(asyncio.get_running_loop())
        self._writer = Writer(folder, self._handover)
        self._lookups = Lookups(folder, self._memory, self._handover)
        self._readers = self._lookups.threads
        self._spoolers = Threads(self._handover, _SPOOLERS, "store-spooler")
        self._limits = Limits(options.largest_object, options.max_size)
        self._checking: dict[str, asyncio.Future[Descriptor]] = {}
        self._noted: list[Noted] = []
        self._condemned: set[str] = set()
        self._tasks: set[asyncio.Task[object]] = set()
        self._settling = False
        self._writer.start()
        if folder.spools.search_due:
            self._start(self.remove_orphans())

    # What never waits.

    def generation(self, key: str) -> int:
        return self._generations.generation(key)

    def cell(self, key: str) -> tuple[Cells, int]:
        return self._generations.cell(key)

    def removals(self, key: str) -> int:
        return self._generations.removals(key)

    def peek(self, key: str) -> Found | None:
        generation = self._generations.generation(key)
        found = self._memory.peek(key, generation)
        if found is None and not self._generations.maybe_stored(key):
            return Found((), generation)
        return found

    def at_once(self, key: str) -> Found | None:
        return self._lookups.at_once(key) if self._is_in_order(key) else None

    def soon(self, key: str, then: Callable[[Found | None], None]) -> bool:
        return self._is_in_order(key) and self._lookups.soon(key, then)

    def _is_in_order(self, key: str) -> bool:
        """Whether what is on disk is what is stored."""
        return self._folder.epoch == self._generations.epoch and key not in self._condemned

    def held(self, stored: StoredResponse) -> bytes | None:
        return self._memory.body(stored.id) if stored.length else b""

    def touch(self, key: str) -> None:
        self._memory.touch(key)
        self._generations.touch(key)

    def reserve(self, expected: int | None) -> None:
        if expected is not None and expected > self._limits.largest:
            raise TooLarge(f"{expected} octets, more than {self._limits.largest}")
        if self._writer.is_down:
            raise StoreFailed("storing failed a moment ago")
        if self._folder.spools.promised + (expected or 0) > self._limits.in_flight:
            raise StoreFailed("other bodies on their way in have taken the room")

    def spool(self) -> Spool:
        return SpoolFile(self._folder.spools, self._spoolers, self, self._limits)

    def usage(self) -> tuple[int, int, int]:
        """Octets used and allowed, and the number of keys, as of the last commit."""
        used = self._writer.used + self._folder.fixed
        return used, self._options.max_size, self._writer.keys

    @property
    def evictions(self) -> Mapping[str, int]:
        """What had to go since the start: keys that made room, as nobody had asked for them again

        ("unused") or as they can be made again ("form"), and what was found "damaged"."""
        return self._writer.evictions

    # Reading.

    async def lookup(self, key: str) -> Found:
        if (known := self.peek(key)) is not None:
            return known
        if key in self._condemned:
            return Found((), NOT_KEPT)
        if self._folder.epoch != self._generations.epoch:
            await self._submit_quietly(MakeRoom())
            if self._folder.epoch != self._generations.epoch:
                return Found((), NOT_KEPT)  # what has replaced it cannot be opened
        return await self._lookups.in_pack(key) or await self._in_rows(key)

    async def _in_rows(self, key: str) -> Found:
        table = self._folder.table
        try:
            rows = await self._lookups.in_rows(key)
        except records.DamagedRecord:
            await self._submit_quietly(Remove(key, None, on_purpose=False))
            return Found((), NOT_KEPT)
        except ERRORS as error:
            await self._read_failed(table, error)
            return Found((), NOT_KEPT)
        if rows.noted is not None:
            self._note(rows.noted)
        if rows.found.generation == NOT_KEPT:
            self._settle(key)
        return rows.found

    def _settle(self, key: str) -> None:
        """Whoever began a change there may have been killed; one at a time, as most have not."""
        stamp = self._generations.generation(key)
        if not self._settling and not is_settled(stamp):
            self._settling = True
            self._start(self._settle_now(Settle(key, stamp)))

    async def _settle_now(self, operation: Settle) -> None:
        await self._submit_quietly(operation)
        self._settling = False

    def _note(self, noted: Noted) -> None:
        """A transaction for many; what comes while it has not begun may be read once more."""
        self._noted.append(noted)
        if len(self._noted) == _NOTED_AT_ONCE:
            operation, self._noted = Note(self._noted), []
            self._start(self._submit_quietly(operation))

    async def open(self, key: str, stored: StoredResponse) -> StoredBody:
        octets = self.held(stored)
        if octets is not None:
            return InlineBody(octets)
        table = self._folder.table
        try:
            if stored.length <= LARGEST_INLINE:
                octets = await self._lookups.twice(self._lookups.inline, stored)
            elif stored.length <= self._memory.largest:
                octets = await self._readers.run(self._small_file, stored)
            else:
                return FileBody(await self._open_file(stored), stored.length, self._readers)
        except BodyLost as error:
            await self._lose(key, stored, error)
            raise
        except ERRORS as error:
            await self._read_failed(table, error)
            raise BodyLost(str(error)) from error
        self._memory.keep_body(key, stored.id, octets)
        return InlineBody(octets)

    async def _open_file(self, stored: StoredResponse) -> Descriptor:
        """Several who ask for the same unchecked body wait for one check."""
        if self._folder.verifier.is_verified(stored):
            return await self._readers.run(self._folder.verifier.open, stored)
        running = self._checking.get(stored.id)
        if running is None:
            small = stored.length <= _CHECKED_AT_ONCE
            threads = self._readers if small else self._spoolers
            running = threads.run(self._folder.verifier.open, stored)
            self._checking[stored.id] = running
            running.add_done_callback(lambda _: self._checking.pop(stored.id, None))
        return await asyncio.shield(running)

    def _small_file(self, stored: StoredResponse) -> bytes:
        body = self._folder.verifier.open(stored).pread(stored.length, 0)
        if len(body) != stored.length:
            raise BodyLost("cut short")
        return body

    async def _lose(self, key: str, stored: StoredResponse, error: BodyLost) -> None:
        self._memory.drop(key)
        # Not on purpose: the fill that replaces it may be under way already.
        lost = Remove(key, frozenset((stored.id,)), on_purpose=False)
        if await self._submit_quietly(lost) != 0:  # else it was removed, or replaced, meanwhile
            _LOG.warning("lost a body of %s: %s", key, error)

    async def _read_failed(self, table: Table, error: BaseException) -> None:
        if is_damage(error):
            await self._submit_quietly(ReplaceDatabase(table, error))
        else:
            self._writer.failed(error)

    # Writing.

    async def put(self, key: str, stored: StoredResponse, body: bytes, since: int) -> None:
        self.reserve(len(body))
        crc = checksum(body)
        await self._commit(key, stored, body, crc, since)

    async def adopt(self, key: str, stored: StoredResponse, spool: Spool, since: int) -> None:
        if not isinstance(spool, SpoolFile):
            raise TypeError("a spool of another store")
        body = await spool.whole()
        if isinstance(body, bytes):
            await self._commit(key, stored, body, checksum(body), since)
            spool.abandon()
            return
        try:
            committed = await self._commit(key, stored, body, spool.crc, since)
        except asyncio.CancelledError:
            spool.adopted()  # or will be: nobody waits for the writer any more, but it has it
            raise
        if committed:
            spool.adopted()
        else:
            spool.abandon()

    async def _commit(
        self, key: str, stored: StoredResponse, body: bytes | SpooledBody, crc: int, since: int
    ) -> bool:
        length = body.length if isinstance(body, SpooledBody) else len(body)
        check_id(stored.id)
        stored = records.sized(stored, length, checksum_octets(crc))
        committed = await self._writer.submit(Put(key, stored, body, since))
        if committed is None:
            return False
        self._keep(committed, {stored.id: body} if isinstance(body, bytes) else {})
        return True

    async def update(self, key: str, changed: Sequence[StoredResponse]) -> None:
        committed = await self._writer.submit(Update(key, tuple(changed)))
        if committed is not None:
            self._keep(committed, {})

    def _keep(self, committed: Committed, bodies: dict[str, bytes]) -> None:
        found = Found(committed.variants, committed.generation)
        if self.generation(committed.key) == committed.generation:
            self._memory.keep(committed.key, found, bodies, committed.record)

    async def remove(self, key: str, ids: frozenset[str] | None = None) -> int:
        # At once, for every process; once more inside the transaction, for fills that commit now.
        self._generations.removing(key)
        self._generations.settled(key)
        self._memory.drop(key)
        try:
            async with asyncio.timeout(_PATIENCE):
                removed: int = await self._writer.submit(Remove(key, ids))
        except (StoreFailed, TimeoutError):
            # The disk still has it: hidden here until the removal succeeds.
            self._condemned.add(key)
            if len(self._condemned) == 1:
                self._start(self._remove_condemned())
            return 0
        return removed

    async def _remove_condemned(self) -> None:
        while self._condemned:
            await asyncio.sleep(_RETRY_REMOVAL)
            for key in list(self._condemned):
                try:
                    await self._writer.submit(Remove(key, None))
                except StoreFailed:
                    break
                self._condemned.discard(key)

    async def _submit_quietly(
        self, operation: MakeRoom | Remove | ReplaceDatabase | Note | Settle
    ) -> object:
        """If the disk refuses, what is damaged or not noted will be met again."""
        try:
            return await self._writer.submit(operation)
        except StoreFailed:
            _LOG.debug("%s was refused", type(operation).__name__, exc_info=True)
            return None

    # Upkeep.

    async def make_room(self) -> None:
        """For what was promised to spool files. Raises StoreFailed."""
        await self._writer.submit(MakeRoom())

    async def relieve(self, octets: int, error: OSError) -> None:
        """The disk is full before ``max_size`` is reached. Raises StoreFailed."""
        await self._writer.submit(Relieve(octets, error))

    async def tidy(self, operation: Tidying) -> Any:
        """Take out what is damaged or of no use. Raises StoreFailed."""
        return await self._writer.submit(operation)

    def disk_failed(self, error: OSError) -> StoreFailed:
        return self._writer.failed(error)

    async def remove_orphans(self) -> None:
        """Remove body files that no row names, left behind by a process that was killed."""
        spools, complete, found = self._folder.spools, False, 0
        spools.search_due = False
        _LOG.info("looking for bodies that nothing names")
        try:
            folders = body_files(self._folder.table.bodies)
            while (ids := await self._spoolers.run(next, folders, None)) is not None:
                orphans = await self._readers.run(self._without_row, ids)
                if orphans:
                    found += len(orphans)
                    await self._writer.submit(RemoveOrphans(orphans))
            complete = True
            _LOG.info("looked for bodies that nothing names: %d files had some", found)
        except (StoreFailed, *ERRORS):
            _LOG.warning("the search for orphaned files was broken off", exc_info=True)
        finally:
            spools.search_due |= not complete

    def _without_row(self, ids: list[str]) -> list[str]:
        table = self._lookups.table()
        return [id_ for id_ in ids if table.is_orphan(id_)]

    def _start(self, work: Coroutine[Any, Any, object]) -> None:
        task = self._handover.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Commit what is queued and give the folder up. Call it once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._spoolers.close()
        await self._lookups.close()
        await asyncio.to_thread(self._writer.join)
        await asyncio.sleep(0)  # those who waited for the last commit look at the generations
        await asyncio.to_thread(self._folder.close)
