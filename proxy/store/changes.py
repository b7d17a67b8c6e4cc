"""What a group of operations does to records and bodies, within one transaction."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from proxy.store import records
from proxy.store.operations import (
    Committed,
    Note,
    Put,
    Remove,
    RemoveDamaged,
    RemoveLeftBehind,
    RemoveNameless,
    RemoveOrphans,
    Settle,
    Update,
)
from proxy.store.packs import Place

if TYPE_CHECKING:
    from proxy.policy.stored import StoredResponse
    from proxy.store.folder import Folder
    from proxy.store.operations import Noted, Operation

_LOG: Final = logging.getLogger(__name__)


class Changes:
    """Applies operations one after the other. ``keys``: by how many more keys there are then."""

    __slots__ = ("_directory", "_folder", "_generations", "_now", "_table", "damaged", "keys")

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._table = folder.table
        self._generations = folder.generations
        self._directory = folder.directory
        # What is under the keys that were written: their rows are made with the commit only.
        self._now: dict[str, tuple[StoredResponse, ...]] = {}
        self.keys = 0
        self.damaged = 0

    def apply(self, operation: Operation) -> Committed | int | None:
        """What it answers, but for the generation, which the commit gives."""
        match operation:
            case Put():
                return self._put(operation)
            case Update(key=key, changed=changed):
                return self._update(key, changed)
            case Remove():
                return self._removed(operation)
            case Note(noted=noted):
                self._note(noted)
            case Settle(unsettled=key, stamp=stamp):
                if self._generations.generation(key) == stamp:
                    self._generations.settled(key)
            case RemoveDamaged(key=key, rowid=rowid):
                return self._remove_damaged(key, rowid)
            case _:
                self._tidy(operation)
        return None

    def _tidy(self, operation: Operation) -> None:
        match operation:
            case RemoveNameless(ids=ids):
                self._folder.remove_nameless(ids)
            case RemoveOrphans(ids=ids):
                self._folder.remove_orphans(ids)
            case RemoveLeftBehind():
                self._folder.remove_left_behind()
            case _:
                pass  # room was made, or the database replaced, before the transaction

    def _variants(self, key: str) -> tuple[StoredResponse, ...]:
        """What is stored; a damaged record is removed with its bodies."""
        known = self._now.get(key)
        if known is not None:
            return known
        record = self._table.record(key)
        if record is None:
            return ()
        try:
            return records.decode(key, record)
        except records.DamagedRecord as error:
            _LOG.warning("damaged record of %s: %s", key, error)
            self._table.delete_bodies_of(key)
            self._forget(key)
            self.damaged += 1
            return ()

    def _put(self, put: Put) -> Committed | None:
        key, stored = put.key, put.stored
        if self._generations.removals(key) != put.since:
            if type(put.body) is Place:
                self._table.free(put.body)
            return None
        # Most keys are new: their marks spare a search of the index. Whoever removes searches.
        before = self._variants(key) if self._generations.maybe_stored(key) else ()
        after = records.with_variant(before, stored)
        if before:
            self._delete_bodies(before, after)
        else:
            self.keys += 1
        self._generations.storing(key)
        only = len(after) == 1
        committed = self._write(key, after, put.record if only else b"")
        if stored.length:
            self._table.write_body(key, stored.id, put.body)
        if only and type(put.body) is Place:
            self._directory.put(key, put.body)
        return committed

    def _update(self, key: str, changed: tuple[StoredResponse, ...]) -> Committed | None:
        before = self._variants(key)
        if not before:
            return None
        by_id = {stored.id: stored for stored in changed}
        return self._write(key, records.newest_first([by_id.get(s.id, s) for s in before]))

    def _removed(self, remove: Remove) -> int:
        if remove.on_purpose:
            self._generations.removing(remove.key)
            return self._remove(remove.key, remove.ids)
        removed = self._remove(remove.key, remove.ids)
        self.damaged += removed
        return removed

    def _remove(self, key: str, ids: frozenset[str] | None) -> int:
        before = self._variants(key)
        rest = tuple(s for s in before if ids is not None and s.id not in ids)
        self._delete_bodies(before, rest)
        if rest:
            self._write(key, rest)
        elif before:
            self._forget(key)
        return len(before) - len(rest)

    def _note(self, noted: list[Noted]) -> None:
        """Nobody else changes a row now: what has the same generation is as it was read."""
        for key, generation, place in noted:
            if self._generations.generation(key) == generation and key not in self._now:
                self._directory.forget(key)
                self._directory.put(key, place)

    def _remove_damaged(self, key: str, rowid: int) -> int:
        row = self._table.record_at(rowid)
        if row is None or row.key != key or key in self._now or records.is_sound(*row[1:]):
            return 0
        self._table.delete_bodies_of(key)
        self._table.delete_rows([rowid])
        self._directory.forget(key)
        self._now[key] = ()
        self.keys -= 1
        self.damaged += 1
        return 1

    def _write(
        self, key: str, variants: tuple[StoredResponse, ...], record: bytes = b""
    ) -> Committed:
        self._directory.forget(key)
        record = record or records.encode(key, variants)
        self._table.write_record(key, record)
        self._now[key] = variants
        return Committed(key, variants, record)

    def _forget(self, key: str) -> None:
        self._directory.forget(key)
        self._table.delete_record(key)
        self._now[key] = ()
        self.keys -= 1

    def _delete_bodies(
        self, before: tuple[StoredResponse, ...], after: tuple[StoredResponse, ...]
    ) -> None:
        kept = {stored.id for stored in after}
        gone = [stored.id for stored in before if stored.length and stored.id not in kept]
        if gone:
            self._table.delete_bodies(gone)
