"""What in a folder is of no use to anybody, and which operation gives its room back.

A generator that only looks, a little between two steps; whoever takes something out looks again
within a transaction. What a living process writes to is left alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.store import beside, records
from proxy.store.base import FORMS
from proxy.store.disk import DAMAGED
from proxy.store.folder import fixed
from proxy.store.operations import (
    GiveBack,
    MakeRoom,
    Remove,
    RemoveLeftBehind,
    RemoveNameless,
    RemoveOrphans,
)
from proxy.store.packs import is_pack
from proxy.store.reading import PAGE
from proxy.store.spools import SPOOL, left_behind

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from proxy.store.beside import Beside
    from proxy.store.operations import Tidying
    from proxy.store.reading import RecordRow

_ROWS: Final = 100  # between two steps
_PARTS: Final = 256  # about, of the folder of bodies
_FREED_AT_ONCE: Final = 16 * 2**20


class What(StrEnum):
    """The words are those of the API."""

    FORMS = "forms"  # kept forms of bodies that are gone
    BODIES = "bodies"  # bodies that no record names
    FILES = "files"  # files that no row names
    HOLES = "holes"  # parts of packs that no row names
    SPOOLS = "spools"  # of dead processes
    ASIDE = "aside"  # a damaged database
    ROOM = "room"  # what is over the limit
    PAGES = "pages"  # free ones of the database


_CONTENT: Final = {What.FORMS, What.BODIES}  # what counts towards the limit


@dataclass(frozen=True, slots=True)
class Useless:
    """So many of that kind, the octets that they take, and what gives them back."""

    what: What
    count: int
    octets: int
    operations: tuple[Tidying, ...]


class Looked(NamedTuple):
    """About how far it is, and what was found since the last step."""

    done: int
    of: int
    found: list[Useless]


def look(folder: Path, max_size: int) -> Generator[Looked, None, None]:
    """In the order in which it should be given back. Blocks. Raises StoreFailed."""
    with beside.opened(folder) as rows:
        done, of, freed = 0, rows.count_bodies() + _PARTS, 0
        for step in chain(_forms(rows), _bodies(rows), _files(rows)):
            done += step.seen
            freed += sum(one.octets for one in step.found if one.what in _CONTENT)
            yield Looked(done, max(of, done), step.found)
        over = max(0, rows.content() - freed - (max_size - fixed(folder)))
        rest = [*_left_behind(folder), *_over(over), *_pages(rows, freed + over)]
        yield Looked(done, done, rest)


class _Step(NamedTuple):
    seen: int
    found: list[Useless]


def _forms(rows: Beside) -> Iterator[_Step]:
    after = ""
    while page := rows.forms(_ROWS, after=after):
        there = {body.id for body in rows.bodies_of([_parent(row) for row in page])}
        yield _Step(0, [_form(row) for row in page if _parent(row) not in there])
        after = page[-1].key


def _parent(row: RecordRow) -> str:
    """The id of the body that it was made of."""
    return row.key[len(FORMS) :].partition(" ")[0]


def _form(row: RecordRow) -> Useless:
    octets = len(row.record)
    if records.is_sound(row.key, row.record):
        octets += sum(length for _, length in records.bodies(row.key, row.record))
    return Useless(What.FORMS, 1, octets, (Remove(row.key, None),))


def _bodies(rows: Beside) -> Iterator[_Step]:
    last = 0
    while page := rows.bodies_after(last, _ROWS):
        nameless = rows.nameless(page)
        operation = RemoveNameless([body.id for body in nameless])
        octets = sum(body.octets for body in nameless)
        yield _Step(len(page), _some(What.BODIES, len(nameless), octets, operation))
        last = page[-1].rowid


def _files(rows: Beside) -> Iterator[_Step]:
    parts = sorted(rows.bodies.iterdir()) if rows.bodies.exists() else []
    for part in parts:
        # What is not where ``body_path`` has it was put there by somebody else.
        named = [entry for entry in os.scandir(part) if entry.name[-2:] == part.name]
        packs = [entry for entry in named if is_pack(entry.name)]
        files = [entry for entry in named if not is_pack(entry.name)]
        known = {body.id for body in rows.bodies_of([entry.name for entry in files])}
        orphans = [entry for entry in files if entry.name not in known]
        octets = sum(_blocks(entry) for entry in orphans)
        operation = RemoveOrphans([entry.name for entry in orphans])
        yield _Step(1, _some(What.FILES, len(orphans), octets, operation))
        for entry in packs:
            yield _Step(0, _holes(rows, entry))


def _holes(rows: Beside, pack: os.DirEntry[str]) -> list[Useless]:
    places = rows.unnamed(pack.name)
    if places is None:
        return []
    octets = sum(place.room for place in places) if places else _blocks(pack)
    return _some(What.HOLES, len(places) or 1, octets, RemoveOrphans([pack.name]))


def _blocks(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:  # it was on its way out
        return 0


def _left_behind(folder: Path) -> list[Useless]:
    spooled = list(left_behind(folder / SPOOL))
    try:
        aside = [(folder / DAMAGED).stat().st_size]
    except FileNotFoundError:
        aside = []
    return [
        *_some(What.SPOOLS, len(spooled), sum(spooled), RemoveLeftBehind()),
        *_some(What.ASIDE, len(aside), sum(aside), RemoveLeftBehind()),
    ]


def _over(octets: int) -> list[Useless]:
    """How many keys that will be shows when they leave."""
    return [Useless(What.ROOM, 0, octets, (MakeRoom(),))] if octets else []


def _pages(rows: Beside, freed: int) -> list[Useless]:
    """Those that are free now; given back are also those that will be by then, about ``freed``."""
    free = rows.usage().free
    operations = (GiveBack(_FREED_AT_ONCE),) * -(-(free + freed) // _FREED_AT_ONCE)
    return [Useless(What.PAGES, free // PAGE, free, operations)] if operations else []


def _some(what: What, count: int, octets: int, *operations: Tidying) -> list[Useless]:
    return [Useless(what, count, octets, operations)] if count else []
