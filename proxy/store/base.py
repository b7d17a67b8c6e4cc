"""The ports of the store floor. The exchange floor speaks to these and to nothing below them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.policy.stored import StoredResponse

# Keys that begin so are of what can be made again: it is evicted first.
FORMS: Final = "form "


class StoreFailed(Exception):
    """The disk said no (full, read-only, I/O error): go on without storing."""


class BodyLost(Exception):
    """The body is missing, cut, swapped or damaged. Its stored response is removed: a miss."""


class TooLarge(Exception):
    """The body is larger than ``max_object_size``: stream on, do not store."""


class Found(Struct, frozen=True, gc=False):
    """What is stored under one key, newest first, as of ``generation``."""

    variants: tuple[StoredResponse, ...]
    generation: int


class Cells(Protocol):
    """Generations by index."""

    def __getitem__(self, index: int, /) -> int: ...


class StoredBody(Protocol):
    """Random access to the bytes of one stored response; stays readable when it is removed."""

    length: int

    def fileno(self) -> int | None:
        """A descriptor for sendfile, whose file offset 0 is the body's; None if not a file."""

    async def read_at(self, offset: int, size: int) -> bytes:
        """At most ``size`` bytes from ``offset``; b"" at the end. Raises BodyLost."""

    def close(self) -> None: ...


class Spool(Protocol):
    """A body on its way into the store. Dropped without ``Store.adopt`` = failed: ``abandon``."""

    length: int

    async def append(self, chunk: bytes) -> None:
        """Write off the loop, in order. Raises StoreFailed, TooLarge; what was written stays."""

    async def read_at(self, offset: int, size: int) -> bytes:
        """Bytes appended so far."""

    def abandon(self) -> None:
        """Remove it; safe to call twice, and after adoption (then it does nothing)."""


class Store(Protocol):
    """Stored responses by key. Methods without ``async`` never touch the disk.

    A *generation* is an opaque integer per key that differs whenever anything under the key was
    changed or removed, by this process or another (keys may share one: a false alarm is harmless).
    """

    def generation(self, key: str) -> int: ...

    def cell(self, key: str) -> tuple[Cells, int]:
        """Where its generation is, as long as the store is open: what holds it, and the index."""

    def peek(self, key: str) -> Found | None:
        """The memory tier, dropped if its generation has passed. None: ask ``lookup``."""

    def at_once(self, key: str) -> Found | None:
        """What one read of the kernel's memory brings, if it does; else it is asked for."""

    def soon(self, key: str, then: Callable[[Found | None], None]) -> bool:
        """After ``at_once`` failed: whether ``then`` gets it without a task that waits for it.

        It gets None if ``lookup`` has to be asked after all. Found once, its bodies are ``held``
        until others have passed: take them at once.
        """

    def held(self, stored: StoredResponse) -> bytes | None:
        """The body if it is in memory (b"" for an empty one)."""

    def touch(self, key: str) -> None:
        """Recency for eviction; called on each reuse, costs well under a microsecond."""

    async def lookup(self, key: str) -> Found:
        """From memory or disk; promotes to memory. A damaged record is an empty Found."""

    async def open(self, key: str, stored: StoredResponse) -> StoredBody:
        """Verified by length and checksum at first use. Raises BodyLost (and removes it)."""

    def reserve(self, expected: int | None) -> None:
        """Raises TooLarge for ``expected`` octets (None: unknown), StoreFailed if down."""

    def spool(self) -> Spool:
        """A new body on disk."""

    async def put(self, key: str, stored: StoredResponse, body: bytes, since: int) -> None:
        """Store a small whole body; replaces the variant with equal ``selecting``.

        ``since`` is ``removals(key)`` as it was when the fetch began: if the key was removed
        meanwhile nothing is stored. ``stored.length`` and ``checksum`` are filled in here.
        Returns when the response is committed and visible. Raises StoreFailed, TooLarge.
        """

    async def adopt(self, key: str, stored: StoredResponse, spool: Spool, since: int) -> None:
        """The same for a spooled body, adopted by rename."""

    async def update(self, key: str, changed: Sequence[StoredResponse]) -> None:
        """Replace, by id, the metadata of those still stored. Bodies are not touched."""

    async def remove(self, key: str, ids: frozenset[str] | None = None) -> int:
        """Remove these (None: all) and count them; fills in flight will not commit (``since``)."""

    def removals(self, key: str) -> int:
        """A generation that only ``remove`` changes."""
