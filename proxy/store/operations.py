"""What can be asked of the writer, and what a commit answers. Sizes are in octets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from proxy.store.bodies import LARGEST_INLINE
from proxy.store.packs import Place
from proxy.store.rawdisk import SpooledBody
from proxy.store.reading import PAGE

if TYPE_CHECKING:
    from proxy.policy.stored import StoredResponse
    from proxy.store.disk import Table

_ROW: Final = 1024  # what the rows and index entries of one response take beside its body


@dataclass(slots=True)
class Committed:
    """What is stored under a key after a commit, and the ``record`` of it."""

    key: str
    variants: tuple[StoredResponse, ...]
    record: bytes
    generation: int = 0


class _Roomless:
    """Takes no room, neither in the rows nor in files."""

    __slots__ = ()
    in_rows: ClassVar[int] = 0
    in_files: ClassVar[int] = 0


@dataclass(slots=True)
class Put:
    """Store; the answer is None if the key was removed since.

    ``record``: that of the key when this is its only variant, if it is made already.
    """

    key: str
    stored: StoredResponse
    body: bytes | SpooledBody | Place
    since: int
    record: bytes = b""

    @property
    def in_rows(self) -> int:
        if type(self.body) is bytes and len(self.body) <= LARGEST_INLINE:
            return -(-len(self.body) // PAGE) * PAGE + _ROW
        return _ROW

    @property
    def in_files(self) -> int:
        if type(self.body) is Place:
            return self.body.room
        # A spooled body has its room already: it was promised while it came.
        if type(self.body) is SpooledBody and not self.body.promised:
            return -(-self.body.length // PAGE) * PAGE
        return 0


@dataclass(slots=True)
class Update:
    key: str
    changed: tuple[StoredResponse, ...]
    in_rows: ClassVar[int] = _ROW
    in_files: ClassVar[int] = 0


@dataclass(slots=True)
class Remove(_Roomless):
    """``on_purpose``: fills in flight will not commit. The answer is the count."""

    key: str
    ids: frozenset[str] | None
    on_purpose: bool = True


class Noted(NamedTuple):
    """The record of ``key`` at that generation is with its only body in that place."""

    key: str
    generation: int
    place: Place


@dataclass(slots=True)
class Note(_Roomless):
    """Read from the rows, but not known to the directory."""

    noted: list[Noted]
    key: None = None


@dataclass(slots=True)
class Settle(_Roomless):
    """The stamp of ``unsettled`` says that a change is under way; within a transaction none is."""

    unsettled: str
    stamp: int
    key: None = None


@dataclass(slots=True)
class Relieve(_Roomless):
    """The disk was full before the limit was reached, and so many octets had to be written."""

    octets: int
    error: OSError
    key: None = None


@dataclass(slots=True)
class MakeRoom(_Roomless):
    """Only what has been promised to fills; touches no key."""

    key: None = None


@dataclass(slots=True)
class RemoveOrphans(_Roomless):
    """Body files that seem to have no row."""

    ids: list[str]
    key: None = None


@dataclass(slots=True)
class RemoveDamaged(_Roomless):
    """The row at ``rowid``, if its record is not one of ``key``. The answer is the count."""

    key: str
    rowid: int


@dataclass(slots=True)
class RemoveNameless(_Roomless):
    """Bodies that no record seems to name."""

    ids: list[str]
    key: None = None


@dataclass(slots=True)
class RemoveLeftBehind(_Roomless):
    """Of dead processes, and of a damaged database."""

    key: None = None


@dataclass(slots=True)
class GiveBack(_Roomless):
    """Free pages of the database, in octets, to the file system."""

    octets: int
    key: None = None


@dataclass(slots=True)
class ReplaceDatabase(_Roomless):
    """A reader found this table damaged."""

    table: Table
    error: BaseException
    key: None = None


Tidying = (
    Remove | RemoveDamaged | RemoveNameless | RemoveOrphans | RemoveLeftBehind | MakeRoom | GiveBack
)
Operation = Put | Update | Note | Settle | Relieve | ReplaceDatabase | Tidying
