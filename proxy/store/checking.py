"""Whether what is stored is still what was stored: every record, every body, read from disk.

A generator that works a little between two steps, so that it can be run beside a proxy that
serves, and be given up at any time. What is changed or removed while it is looked at is not damage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.store import beside, records
from proxy.store.base import StoreFailed
from proxy.store.bodies import LARGEST_INLINE, checksum_octets, open_file
from proxy.store.catalogue_rows import slowly
from proxy.store.crc import crc32
from proxy.store.disk import is_damage

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from proxy.policy.stored import StoredResponse
    from proxy.store.beside import Beside
    from proxy.store.reading import RecordRow

_ROWS: Final = 500  # records between two steps, or
_OCTETS: Final = 8 * 2**20  # so much of bodies
_PIECE: Final = 2**20
_MOST_FORMS: Final = 64  # of one body
_SUM: Final = "its checksum differs"


class Damage(NamedTuple):
    """``id`` names the body, "" where it is the record; ``rowid`` 0: the whole database."""

    key: str
    id: str
    why: str
    rowid: int


class Checked(NamedTuple):
    """Up to now so many records, of about ``of``, and octets of bodies; what is new since the last.

    ``missing`` are keys that were asked for and under which nothing is stored.
    """

    done: int
    of: int
    octets: int
    damaged: tuple[Damage, ...]
    missing: tuple[str, ...]


def check(folder: Path, keys: Sequence[str] | None = None) -> Generator[Checked, None, None]:
    """All that is stored, or these keys with the forms kept of them; at least one step.

    Blocks. Raises StoreFailed.
    """
    checker = _Checker()
    try:
        with beside.opened(folder) as rows:
            yield from checker.run(rows, keys)
    except StoreFailed as failure:
        if not is_damage(failure.__cause__):
            raise
        why = f"the whole database: {failure.__cause__}"
        checker.damaged.append(Damage("", "", why, 0))
    yield checker.step()


def _all(rows: Beside) -> Iterator[list[RecordRow]]:
    last = 0
    while page := rows.records_after(last, _ROWS):
        yield page
        last = page[-1].rowid


def _some(rows: Beside, keys: Sequence[str], missing: list[str]) -> Iterator[list[RecordRow]]:
    for key in keys:
        page = rows.records_of([key])
        if not page:
            missing.append(key)
        for row in list(page):
            if records.is_sound(row.key, row.record):
                for id_, _ in records.bodies(row.key, row.record):
                    page += rows.forms(_MOST_FORMS, of=id_)
        yield page


class _Checker:
    """Collects what is found until the next step."""

    _rows: Beside

    def __init__(self) -> None:
        self._done = self._of = self._octets = self._told = 0
        self.damaged: list[Damage] = []
        self._missing: list[str] = []

    def run(self, rows: Beside, keys: Sequence[str] | None) -> Iterator[Checked]:
        """All but the last step."""
        self._rows = rows
        self._of = rows.count_keys() if keys is None else len(keys)
        for page in _all(rows) if keys is None else _some(rows, keys, self._missing):
            for row in slowly(page):
                for _ in self._check(row):
                    yield self.step()
            yield self.step()

    def step(self) -> Checked:
        """What is new."""
        damaged, missing = tuple(self.damaged), tuple(self._missing)
        self.damaged.clear()
        self._missing.clear()
        self._told = self._octets
        return Checked(self._done, max(self._of, self._done), self._octets, damaged, missing)

    def _check(self, row: RecordRow) -> Iterator[None]:
        """Yields where a step is due."""
        key = row.key
        try:
            variants = records.decode(key, row.record)
        except records.DamagedRecord as error:
            variants = ()
            if self._rows.record_at(row.rowid) == row:
                self._find(row, "", f"the record cannot be read: {error}")
        for stored in variants:
            why = (yield from self._body(stored)) if stored.length else ""
            if why and self._is_still(key, stored):
                self._find(row, stored.id, why)
        self._done += 1

    def _find(self, row: RecordRow, id_: str, why: str) -> None:
        self.damaged.append(Damage(row.key, id_, why, row.rowid))

    def _is_still(self, key: str, stored: StoredResponse) -> bool:
        """What was replaced, removed or evicted meanwhile has taken its body along."""
        record = self._rows.record(key)
        if record is None or not records.is_sound(key, record):
            return False
        return stored.id in {id_ for id_, _ in records.bodies(key, record)}

    def _body(self, stored: StoredResponse) -> Generator[None, None, str]:
        """What is wrong with it, "" if nothing is."""
        try:
            if stored.length > LARGEST_INLINE:
                return (yield from self._file(stored))
            body = self._rows.inline_body(stored.id)
        except (OSError, ValueError) as error:
            return f"it cannot be read: {error}"
        if body is None:
            return "there is no row of it, or nothing where that says"
        yield from self._count(len(body))
        if len(body) != stored.length:
            return _length(len(body), stored)
        return "" if checksum_octets(crc32(body)) == stored.checksum else _SUM

    def _file(self, stored: StoredResponse) -> Generator[None, None, str]:
        file = open_file(self._rows.bodies, stored.id)
        crc = length = 0
        while piece := file.pread(_PIECE, length):
            crc = crc32(piece, crc)
            length += len(piece)
            yield from self._count(len(piece))
        if length != stored.length:
            return _length(length, stored)
        return "" if checksum_octets(crc) == stored.checksum else _SUM

    def _count(self, octets: int) -> Iterator[None]:
        self._octets += octets
        if self._octets - self._told >= _OCTETS:
            yield


def _length(length: int, stored: StoredResponse) -> str:
    return f"{length} octets instead of {stored.length}"
