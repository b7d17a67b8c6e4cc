"""How the index of the catalogue is brought up with the store, upon a connection to both.

New records have rowids above the last one seen, as long as that is in its place. What is changed
or removed shows in the stamps of ``generations``: the rows of a slot whose stamp is another are
compared with the store. A change under way has an odd stamp, with which no row agrees.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from proxy.policy.options import Options
from proxy.store import generations
from proxy.store.catalogue_rows import (
    AFTER,
    COUNT,
    IDS,
    INDEXES,
    KEPT,
    LAST,
    LAST_IN_PLACE,
    LEAVING,
    MOVED,
    PARENTS,
    SIZES,
    SLOTS_AT_ONCE,
    TAGGED,
    THESE,
    UNSETTLED,
    USE,
    WAIT,
    Described,
    Source,
    decode_tags,
    describe,
    each,
    fingerprint,
    slowly,
    storable,
    transaction,
)
from proxy.store.disk import DATABASE

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from proxy.store.catalogue_rows import Found

_STEP: Final = 500  # records: some 15 ms
_PAUSE: Final = 0.0005
# So many new records, and the indexes are dropped and made again when all rows are there.
_MANY: Final = 20_000
_MOST_WAITING: Final = 100_000
_COUNT_EVERY: Final = 2.0
_FREE_PAGES: Final = 2048
_SLOTS_IN_A_PIECE: Final = 512

_UNUSED: Final = (0, 0.0)
_NO_STAMPS: Final = generations.Stamps(0, 0, memoryview(bytes(8 * generations.SLOTS)).cast("Q"))


class Progress(NamedTuple):
    """Entries in the index, about how many records are still to be read, and those skipped."""

    done: int
    left: int
    damaged: int


class Rows:
    """Writes ``entries`` and ``others``, inside transactions of the caller's."""

    def __init__(self, connection: sqlite3.Connection, options: Options) -> None:
        self._sql = connection
        self._options = options
        self.has_keys = False  # whether there is an index by key
        self.count = 0  # of entries
        self.touched: set[str] = set()  # keys whose kept forms have changed
        self.hashed = generations.Hash(b"")  # with the secret of the store

    def after(self, rowid: int, limit: int) -> list[Found]:
        """What the records say that came after that one."""
        return [self._describe(row) for row in slowly(self._sql.execute(AFTER, (rowid, limit)))]

    def _describe(self, row: tuple[Any, ...]) -> Found:
        rowid, key, stamp, record = row
        # Not by SQLite, for which a text ends at its first NUL.
        slot = generations.slot_of(self.hashed(key[1:]))
        return describe(Source(rowid, key[1:], stamp, record, slot), self._options)

    def renew(self, ids: Sequence[int]) -> None:
        """Read these records again; those that are gone leave the index."""
        found = [self._describe(row) for row in each(self._sql, THESE, ids)]
        there = {one.source.id for one in found}
        self._leave([id_ for id_ in ids if id_ not in there], ())
        self.write(found)

    def write(self, found: Sequence[Found]) -> None:
        """In the place of what is known of the same keys and rowids."""
        if not found:
            return
        entries = [one for one in found if isinstance(one, Described)]
        ids = [one.source.id for one in found]
        uses = self._leave(ids, [one.source.key for one in entries])
        sizes = self._sizes([b for one in found for b in one.bodies])
        kept = self._kept([one.source.key for one in entries])
        self._sql.executemany(
            f"INSERT INTO entries VALUES ({', '.join('?' * 18)})",  # noqa: S608
            (
                one.values(sizes, kept, *uses.get(one.source.key, _UNUSED))
                for one in slowly(entries)
            ),
        )
        self.count += len(entries)
        self._sql.executemany(
            "INSERT INTO tags VALUES (?, ?)",
            [(tag, one.source.id) for one in entries for tag in one.tags],
        )
        self._sql.executemany(
            "INSERT INTO others VALUES (?, ?, ?, ?, ?, ?, ?)",
            [one.values(sizes) for one in found if not isinstance(one, Described)],
        )

    def _leave(self, ids: Sequence[int], keys: Sequence[str]) -> dict[str, tuple[int, float]]:
        """Take these out; the hits and last uses that they had, by key."""
        rows = list(each(self._sql, LEAVING.format("id", "{}"), ids))
        if self.has_keys:
            rows += each(self._sql, LEAVING.format("key", "{}"), keys)
        self._sql.executemany("DELETE FROM entries WHERE id = ?", [row[:1] for row in rows])
        self.count -= len({row[0] for row in rows})
        said = [(tag, id_) for id_, _, _, _, text in rows for tag in decode_tags(text)]
        self._sql.executemany("DELETE FROM tags WHERE tag = ? AND entry = ?", said)
        for id_, parent in list(each(self._sql, PARENTS, ids)):
            self._sql.execute("DELETE FROM others WHERE id = ?", (id_,))
            if parent:
                self.touched.add(parent)
        return {key: (hits, used) for _, key, hits, used, _ in rows}

    def _sizes(self, bodies: Sequence[str]) -> dict[str, int]:
        """What these bodies take, in their rows and beside them."""
        rows = each(self._sql, SIZES, ["b" + body for body in bodies])
        return {key[1:]: int(size) for key, size in rows}

    def _kept(self, keys: Sequence[str]) -> dict[str, int]:
        """The octets of kept forms, by the body they were made of."""
        if self._sql.execute("SELECT 1 FROM others WHERE parent != '' LIMIT 1").fetchone() is None:
            return {}
        kept: dict[str, int] = {}
        for body, octets in each(self._sql, KEPT, keys):
            kept[body] = kept.get(body, 0) + octets
        return kept

    def settle(self, limit: int) -> int:
        """Count kept forms with their entries; how many there were, at most ``limit``."""
        forms = self._sql.execute(UNSETTLED, (limit,)).fetchall()
        # The tag of a body is the key that it is stored under.
        bodies = ["b" + body for _, body in forms]
        parents = {row[1:]: key for row, key in each(self._sql, TAGGED, bodies) if type(key) is str}
        for id_, body in forms:
            parent = parents.get(body, "")
            self._sql.execute("UPDATE others SET parent = ? WHERE id = ?", (parent, id_))
            self.touched.add(parent)
        touched, self.touched = list(self.touched), set()
        self.renew([id_ for (id_,) in each(self._sql, IDS, touched)])
        return len(forms)


class Follower:
    """Brings the index up with the store in ``folder``, and counts uses."""

    def __init__(
        self, connection: sqlite3.Connection, folder: Path, options: Options | None
    ) -> None:
        self._sql = connection
        self._folder = folder
        self._rows = Rows(connection, options or Options())
        self._options = "" if options is None else fingerprint(options)
        self._version: int | None = None  # of the index, as other connections write it
        self._state: dict[str, Any] = {}
        self._agreed = memoryview(b"")  # by slot, the stamp with which its rows agree
        self._stamps = _NO_STAMPS
        self._slots: list[int] | None = None  # those to compare; None: not known yet
        self._first = True
        self._read_all = False
        self._records = self._top = 0  # in the store, about, and the last rowid there
        self._counted = -_COUNT_EVERY

    def catch_up(self, limit: int) -> Progress:
        """As ``Catalogue.catch_up``."""
        with self._writing():
            self._orient()
        done = 1
        while done and limit > 0:
            with self._writing():
                done = self._step(min(limit, _STEP))
            limit -= done
            time.sleep(_PAUSE)
        if not done:
            self._shrink()
        damaged = self._one("SELECT count(*) FROM others WHERE body = ''")
        return Progress(self._rows.count, self._left() if done else 0, damaged)

    def _left(self) -> int:
        to_read = 0 if self._read_all else self._top - self._state["last"]
        return max(1, self._records * to_read // max(1, self._top))

    def note(self, uses: Mapping[str, tuple[int, float]]) -> None:
        """As ``Catalogue.note``."""
        with self._writing():
            waiting = self._one("SELECT count(*) FROM uses")
            for said, (hits, used) in uses.items():
                key = storable(said)
                if not self._use(key, hits, used) and waiting < _MOST_WAITING:
                    waiting += 1
                    self._sql.execute(WAIT, (key, hits, used))

    def _use(self, key: str, hits: int, used: float) -> bool:
        return self._rows.has_keys and self._sql.execute(USE, (hits, used, key)).rowcount > 0

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with transaction(self._sql):
            version = self._one("PRAGMA main.data_version")
            if version != self._version:
                self._version = version
                self._load()
            yield

    def _one(self, statement: str, *parameters: object) -> Any:
        row = self._sql.execute(statement, parameters).fetchone()
        return None if row is None else row[0]

    def _load(self) -> None:
        self._state = dict(self._sql.execute("SELECT name, value FROM state"))
        # All ones: a stamp that there never is.
        self._agreed = memoryview(bytearray(b"\xff" * 8 * generations.SLOTS)).cast("Q")
        for slot, stamp in self._sql.execute("SELECT slot, stamp FROM slots"):
            self._agreed[slot] = stamp
        self._rows.has_keys = "by_key" not in self._missing()
        self._rows.count = self._one("SELECT count(*) FROM entries")

    def _set(self, **state: object) -> None:
        self._state.update(state)
        self._sql.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", state.items())

    def _missing(self) -> list[str]:
        made = {name for (name,) in self._sql.execute("SELECT name FROM sqlite_master")}
        return [name for name in INDEXES if name not in made]

    def _orient(self) -> None:
        """Whether the index is of this store, and from where it is to be brought up."""
        # Before any row is read: what changes from now on has another stamp the next time.
        path = self._folder / "generations"
        self._stamps = generations.read(path) or _NO_STAMPS
        self._rows.hashed = generations.Hash(generations.secret(path))
        self._slots, self._read_all = None, False
        birth, epoch, _ = self._stamps
        file = (self._folder / DATABASE).stat().st_ino
        slots = self._rows.hashed("") >> 1  # of 63 bits: tells one secret from another
        is_same = birth == self._state.get("birth")
        if slots != self._state.get("slots"):
            self._place_anew()
        if file != self._state.get("file") or (is_same and epoch != self._state["epoch"]):
            self._begin_anew("entries", "tags", "others")
            self._agree(range(generations.SLOTS))
        elif not is_same or (self._first and not birth):
            self._sql.execute("DELETE FROM slots")
            self._load()
        if self._options and self._options != self._state.get("options"):
            self._begin_anew("tags")
            self._set(options=self._options)
        self._first = False
        self._set(file=file, slots=slots, birth=birth, epoch=epoch)
        self._find_last()
        self._weigh()

    def _place_anew(self) -> None:
        """The slots of all rows: they were found with another secret."""
        self._drop_indexes()
        hashed = self._rows.hashed
        self._sql.create_function("slot_of", 1, lambda key: generations.slot_of(hashed(key)))
        for table in ("entries", "others"):
            self._sql.execute(f"UPDATE {table} SET slot = slot_of(key)")  # noqa: S608
        self._sql.execute("DELETE FROM slots")
        self._load()

    def _begin_anew(self, *tables: str) -> None:
        """Read every record, for the first time or under other options."""
        self._drop_indexes()
        for table in tables:
            self._sql.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own
        self._rows.count = self._one("SELECT count(*) FROM entries")
        self._set(last=0, mark="")

    def _drop_indexes(self) -> None:
        for name in INDEXES:
            self._sql.execute(f"DROP INDEX IF EXISTS {name}")
        self._rows.has_keys = False

    def _find_last(self) -> None:
        """The last row seen that is in its place: what came since has a greater rowid."""
        last = self._state["last"]
        row = self._sql.execute(f"{LAST} WHERE c.rowid = ?", (last,)).fetchone()
        if last and row != (last, self._state["mark"]):
            before = self._one(LAST_IN_PLACE, last) or 0
            row = self._sql.execute(f"{LAST} WHERE c.rowid = ?", (before,)).fetchone()
            self._set(last=before, mark=row[1] if row else "")

    def _shrink(self) -> None:
        """Give room back to the file system once most of it is free."""
        free = self._one("PRAGMA freelist_count")
        if free > max(_FREE_PAGES, self._one("PRAGMA page_count") // 2):
            # ``execute`` would free one page only, and a script ends transactions.
            self._sql.executescript("PRAGMA incremental_vacuum")

    def _weigh(self) -> None:
        """How much is to be read, now and then; if it is much, indexes come last."""
        self._top = self._one("SELECT max(rowid) FROM store.Cache") or 0
        if self._top - self._state["last"] <= _MANY:
            self._records = self._rows.count
        elif time.monotonic() - self._counted > _COUNT_EVERY:
            self._counted = time.monotonic()
            self._records = self._one(COUNT)
            if self._rows.has_keys and self._left() > _MANY + self._rows.count // 4:
                self._drop_indexes()

    def _step(self, limit: int) -> int:
        """The first thing that is to be done; about how many records it was, 0 for nothing."""
        works = (self._read, self._index, self._compare, self._rows.settle, self._use_waiting)
        return next((done for work in works if (done := work(limit))), 0)

    def _read(self, limit: int) -> int:
        if self._read_all:
            return 0
        found = self._rows.after(self._state["last"], limit)
        self._rows.write(found)
        if found and not self._options:
            self._set(options="")
        self._read_all = len(found) < limit
        where = "ORDER BY c.rowid DESC LIMIT 1" if self._read_all else "WHERE c.rowid = ?"
        last = () if self._read_all else (found[-1].source.id,)
        row = self._sql.execute(f"{LAST} {where}", last).fetchone()
        rowid, mark = row or (0, "")
        self._set(last=rowid, mark=mark)
        return len(found)

    def _index(self, limit: int) -> int:
        for name in self._missing()[:1]:
            self._sql.execute(f"CREATE INDEX {name} ON {INDEXES[name]}")
            self._rows.has_keys = True  # it is the first
            return limit
        return 0

    def _compare(self, limit: int) -> int:
        """Rows of slots whose stamp is another than they agree with."""
        if self._slots is None:
            differing = self._differing()
            self._slots = [slot for slot in differing if not self._stamps.changed[slot] & 1]
            self._compare_rows([slot for slot in differing if self._stamps.changed[slot] & 1])
        at_once = max(SLOTS_AT_ONCE, limit * generations.SLOTS // (self._rows.count + 1))
        few, self._slots = self._slots[:at_once], self._slots[at_once:]
        self._compare_rows(few)
        self._agree(few)
        return limit if few else 0

    def _differing(self) -> list[int]:
        now, then, found = self._stamps.changed, self._agreed, []
        for start in range(0, generations.SLOTS, _SLOTS_IN_A_PIECE):
            piece = slice(start, start + _SLOTS_IN_A_PIECE)
            if now[piece] != then[piece]:
                found += [i for i in range(start, start + len(now[piece])) if now[i] != then[i]]
        return found

    def _compare_rows(self, slots: Sequence[int]) -> None:
        for start in range(0, len(slots), SLOTS_AT_ONCE):
            few = list(slots[start : start + SLOTS_AT_ONCE])
            few += [-1] * (SLOTS_AT_ONCE - len(few))
            for table in ("entries", "others"):
                moved = self._sql.execute(MOVED.format(table), few).fetchall()
                self._rows.renew([id_ for (id_,) in moved])

    def _agree(self, slots: Iterable[int]) -> None:
        stamps = [(slot, self._stamps.changed[slot]) for slot in slots]
        even = [(slot, stamp) for slot, stamp in stamps if not stamp & 1]
        self._sql.executemany("INSERT OR REPLACE INTO slots VALUES (?, ?)", even)
        for slot, stamp in even:
            self._agreed[slot] = stamp

    def _use_waiting(self, limit: int) -> int:
        """Uses that were noted before their keys were in the index; or never will be."""
        waiting = self._sql.execute("SELECT key, hits, used FROM uses LIMIT ?", (limit,)).fetchall()
        for use in waiting:
            self._use(*use)
        self._sql.executemany("DELETE FROM uses WHERE key = ?", [use[:1] for use in waiting])
        return len(waiting)
