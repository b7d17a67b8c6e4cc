"""What is stored under a key: in a pack if the directory says where, else in the rows.

Both ways end in the memory tier. Packs are read by the loop, rows in reader threads: nothing of
diskcache ever runs on the loop.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from proxy.store import packs, records
from proxy.store.base import BodyLost, Found
from proxy.store.bodies import LARGEST_INLINE, is_whole
from proxy.store.disk import ERRORS, is_damage
from proxy.store.generations import NOT_KEPT, is_settled
from proxy.store.operations import Noted
from proxy.store.pack_reads import PackReads
from proxy.store.packs import Place
from proxy.store.threads import Threads

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from proxy.policy.stored import StoredResponse
    from proxy.store.directory import Span
    from proxy.store.disk import Table
    from proxy.store.folder import Folder
    from proxy.store.memory import MemoryTier
    from proxy.store.threads import Handover

_READERS: Final = 3

_T = TypeVar("_T")
_What = TypeVar("_What")


class Rows(NamedTuple):
    """What is stored, the bodies that came with it, the record; what the directory may note."""

    found: Found
    bodies: Mapping[str, bytes]
    record: bytes
    noted: Noted | None


class Lookups:
    """``threads`` are the readers, who may be asked for other reads, too."""

    def __init__(self, folder: Folder, memory: MemoryTier, handover: Handover) -> None:
        self._folder = folder
        self._directory = folder.directory
        self._generations = folder.generations
        self._memory = memory
        self._tables = threading.local()
        self.threads = Threads(handover, _READERS, "store-reader", self._leave)
        self._sought: tuple[str, int, Span] | None = None  # that ``at_once`` did not have at once
        self._packs = PackReads(folder.table.bodies, self.threads, handover.loop)

    def at_once(self, key: str) -> Found | None:
        """In a pack that is in the page cache; if it is not, the kernel fetches it."""
        self._sought = None
        generation = self._generations.generation(key)
        span = self._directory.find(key)
        if span is None or not is_settled(generation):
            return None
        octets = self._packs.at_once(span)
        if octets is not None:
            return self._found(key, generation, octets)
        self._sought = key, generation, span
        return None

    def soon(self, key: str, then: Callable[[Found | None], None]) -> bool:
        """After ``at_once``: whether ``then`` gets what is in a pack, None if it is not there."""
        if self._sought is None or self._sought[0] != key:
            return False
        _, generation, span = self._sought

        def come(read: asyncio.Future[bytes]) -> None:
            lost = read.cancelled() or read.exception() is not None
            then(None if lost else self._come(key, generation, read.result()))

        self._packs.read(span).add_done_callback(come)
        return True

    async def in_pack(self, key: str) -> Found | None:
        """With one read; None: ask the rows, which may know better."""
        found = self.at_once(key)
        if self._sought is None:
            return found
        _, generation, span = self._sought
        try:
            return self._come(key, generation, await self._packs.read(span))
        except OSError:
            return None

    def _come(self, key: str, generation: int, octets: bytes) -> Found | None:
        """The same after a wait: what changed meanwhile is to be looked for again."""
        if self._generations.generation(key) != generation:
            return None
        return self._found(key, generation, octets)

    def _found(self, key: str, generation: int, octets: bytes | memoryview) -> Found | None:
        """What these are of, which memory keeps or passes on; None if they are not sound."""
        entry = packs.entry(octets)
        if entry is None:
            return None
        try:
            variants = records.decode(key, entry.record)
        except records.DamagedRecord:
            return None
        if len(variants) != 1 or not is_whole(variants[0], entry.body):
            return None
        found = Found(variants, generation)
        self._memory.take(key, found, entry.body, entry.record)
        return found

    async def in_rows(self, key: str) -> Rows:
        """Raises disk.ERRORS, DamagedRecord."""
        rows = await self.twice(self._read, key)
        if rows.found.variants and rows.found.generation == self._generations.generation(key):
            self._memory.keep(key, rows.found, rows.bodies, rows.record)
        return rows

    async def twice(self, read: Callable[[_What], _T], what: _What) -> _T:
        """In a reader thread. What looks like damage may be a page that could not be read once:

        SQLite calls them the same. Raises disk.ERRORS.
        """
        try:
            return await self.threads.run(read, what)
        except ERRORS as error:
            if not is_damage(error):
                raise
        return await self.threads.run(read, what)

    def _read(self, key: str) -> Rows:
        """In a reader thread."""
        generation = self._generations.generation(key)
        table = self.table()
        record = table.record(key)
        if record is None:
            return Rows(Found((), generation), {}, b"", None)
        variants = records.decode(key, record)
        bodies: dict[str, bytes] = {}
        noted = None
        room = self._memory.largest
        for stored in variants:
            room -= stored.length
            if room < 0 or stored.length > LARGEST_INLINE:
                break
            if self._memory.body(stored.id):
                continue
            body = table.body(stored.id)
            if isinstance(body, Place):
                entry = packs.read_entry(table.bodies, body)
                if entry is not None and entry.record == record and is_settled(generation):
                    noted = Noted(key, generation, body)
                body = None if entry is None else entry.body
            if body is not None and is_whole(stored, body):
                bodies[stored.id] = body
        # If a change is under way, what was read may be what it changes.
        found = Found(variants, generation if is_settled(generation) else NOT_KEPT)
        return Rows(found, bodies, record, noted)

    def inline(self, stored: StoredResponse) -> bytes:
        """A body in a row or a pack. In a reader thread. Raises BodyLost, disk.ERRORS."""
        body = self.table().inline_body(stored.id)
        if body is None:
            raise BodyLost("no such row")
        if not is_whole(stored, body):
            raise BodyLost("its length or checksum differs")
        return body

    def table(self) -> Table:
        """The current one, in a reader thread: its connection to an older one is closed."""
        table = self._folder.table
        known = getattr(self._tables, "known", None)
        if known is not table:
            if known is not None:
                known.leave()
            self._tables.known = table
        return table

    def _leave(self) -> None:
        known = getattr(self._tables, "known", None)
        if known is not None:
            known.leave()

    async def close(self) -> None:
        """When what was asked for has been read."""
        self._packs.hand_over()
        await self.threads.close()
        self._packs.close()
