"""A fill: one writer, any number of readers, one counter, one wake-up.

The pump feeds chunks; a reader at offset n waits until more than n has been received or the state
is final. Small bodies stay in memory; a larger one goes to the store's spool in pieces, and who
lags behind reads it from there. When the spool fails, the fill becomes a window: what nobody has
read yet stays in memory, and the slowest reader sets the pace. Who has others wait for longer than
``PATIENCE`` is cut. When the last reader has left, it goes on only if little is missing.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from proxy.codings.streams import Undecodable
from proxy.exchange.window import Window
from proxy.policy.partial import LONGEST, NO_LIMIT, goes_on_for, goes_on_to
from proxy.semantics.units import Seconds
from proxy.store.base import StoreFailed, TooLarge
from proxy.upstream.base import BadResponse, Lost, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.exchange.transcoding import Verifier
    from proxy.policy.partial import Finish
    from proxy.policy.stored import StoredResponse
    from proxy.store.base import Spool, Store

WINDOW: Final = 256 * 1024  # octets kept in memory before they go to the spool
PIECE: Final = 256 * 1024  # octets that a reader takes at most at a time
# Seconds in which who lags reads a window, while others have all there is and wait: 26 kB a second.
# A line that changes, or TCP that tries again for the third time, is back sooner.
PATIENCE: Final = 10.0
_TOO_SLOW: Final = "Others waited for this client, which read too slowly."


class FillState(StrEnum):
    """FLOWING until the body ended whole or was cut."""

    FLOWING = "flowing"
    WHOLE = "whole"
    BROKEN = "broken"


class Fill:
    """The body of one response on its way from the origin. Owned by the cache, not by a client."""

    __slots__ = (
        "_finish", "_largest", "_limit", "_paced", "_passed", "_patience", "_readers", "_settled",
        "_spool", "_stop", "_store", "_timer", "_unverified", "_verifier", "_waiting", "_window",
        "error", "for_cache", "length", "state", "stored", "storing",
    )  # fmt: skip

    def __init__(
        self,
        store: Store,
        stored: StoredResponse,
        length: int | None,
        largest: int | None = None,
        verifier: Verifier | None = None,
    ) -> None:
        self.stored = stored  # its length and checksum are known only when it is stored
        self.length = length  # octets announced, None if unknown
        self.state = FillState.FLOWING
        self.error: UpstreamError | None = None
        self.storing = True
        self.for_cache = False  # it goes on whatever is missing when the last client leaves
        self._store = store
        self._largest = largest  # octets that a rule lets be stored, None for the store's limit
        self._verifier = verifier  # looks whether others could decode the body
        self._unverified = False  # it has not seen the body, which is all here
        self._spool: Spool | None = None
        self._window = Window()  # what comes before it is in the spool only
        self._paced = 0  # where the window began when the patience did
        self._patience = PATIENCE  # seconds that are left of it
        self._readers: set[FillReader] = set()
        self._settled = False
        self._waiting: list[asyncio.Future[None]] = []
        self._passed: asyncio.Future[None] | None = None  # the pump waits for who lags
        self._finish: Finish = LONGEST
        self._stop: Callable[[], None] | None = None
        self._limit = NO_LIMIT  # octets up to which it goes on without a reader
        self._timer: asyncio.TimerHandle | None = None

    @property
    def received(self) -> int:
        """Octets that have come."""
        return self._window.end

    def watch(self, finish: Finish, stop: Callable[[], None]) -> None:
        """From now on ``stop`` is called when nobody reads it and it is not to go on.

        What nobody reads now was begun for the cache alone: only time ends it.
        """
        self.for_cache |= not self._readers
        self._finish, self._stop = finish, stop
        self._weigh()

    def _weigh(self) -> None:
        """After a reader came or left, or the end: whether it goes on, and for how long."""
        if self._timer is not None:
            self._timer.cancel()
        if self._readers or self._stop is None:
            return
        finish = LONGEST if self.for_cache else self._finish
        patience = goes_on_for(finish, self.received, self.length)
        self._limit = goes_on_to(finish, self.received, self.length)
        if self._limit <= self.received or not self.storing:
            patience = Seconds(0.0)
        self._timer = asyncio.get_running_loop().call_later(patience, self._stop)

    async def feed(self, chunk: bytes) -> None:
        """Take a chunk; returns when there is room for the next. Raises StoreFailed, TooLarge,

        Undecodable once, when storing ended: it goes on as a window for the readers it has. Raises
        Lost when it has none, and is not to go on without."""
        self._window.append(chunk)
        self._wake()
        if self.received > self._limit and not self._readers:
            raise deserted()
        if self.storing:
            try:
                self._check_limit()
                if self._verifier is not None:
                    await self._verifier.feed(chunk)
            except (TooLarge, Undecodable):
                self.storing, self._verifier = False, None
                raise
        if len(self._window) <= WINDOW:
            return
        if self.storing:
            await self._flush()
        else:
            await self._slowest()

    def _check_limit(self) -> None:
        if self._largest is not None and self.received > self._largest:
            raise TooLarge(f"more than the rule's {self._largest} octets")

    async def _flush(self) -> None:
        try:
            if self._spool is None:
                self._spool = self._store.spool()
            await self._spool.append(self._window.joined())
        except (StoreFailed, TooLarge):
            self.storing = False
            raise
        self._window.clear()

    async def _slowest(self) -> None:
        """Drop what every reader has passed; wait while the window is full."""
        while self._readers:
            self._window.drop(min(reader.offset for reader in self._readers))
            if len(self._window) <= WINDOW:
                return
            await self._room()
        raise deserted()

    async def _room(self) -> None:
        """Wait for who lags; cut him when those who do not have waited for too long."""
        if self._window.start - self._paced >= WINDOW:
            self._paced, self._patience = self._window.start, PATIENCE
        loop = asyncio.get_running_loop()
        began, self._passed = loop.time(), loop.create_future()
        if not any(reader.waits and reader.offset >= self.received for reader in self._readers):
            await self._passed  # nobody would have more without the slowest
            return
        try:
            async with asyncio.timeout(self._patience):
                await self._passed
        except TimeoutError:
            for reader in [r for r in self._readers if r.offset < self._window.first_end]:
                reader.cut = True
                reader.close()
        self._patience -= loop.time() - began

    async def store_as(self, key: str, since: int) -> None:
        """The body is whole: commit it. Raises StoreFailed, TooLarge, Undecodable."""
        if self._verifier is not None:
            if self._unverified:
                await self._verifier.feed(self.at_hand or b"")
            self.stored = replace(self.stored, decoded_length=await self._verifier.end())
            self._verifier = None
        if self._spool is None:
            await self._store.put(key, self.stored, self.at_hand or b"", since)
            return
        await self._flush()
        await self._store.adopt(key, self.stored, self._spool, since)

    def end(self, error: UpstreamError | None = None) -> None:
        """The state becomes final: whole without an error, broken with one. Only once."""
        if self.state is not FillState.FLOWING:
            return
        if error is None and self.length not in {None, self.received}:
            # Parts are joined by what Content-Range says, which the framing has not checked.
            error = BadResponse(502, "http_protocol_error", "The body has not the length it says.")
        if error is None:
            self.length = self.received
        self.state = FillState.WHOLE if error is None else FillState.BROKEN
        self.error = error
        self._stop = None
        self._weigh()
        self._wake()

    def settle(self) -> None:
        """It is in the store, or never will be: the spool goes when the last reader has gone."""
        self._settled = True
        self._abandon_unread()
        self._wake()

    async def settled(self) -> None:
        """Wait until it is in the store, or never will be."""
        while not self._settled:
            await self._changed()

    def _abandon_unread(self) -> None:
        if self._readers:
            return
        if self._spool is not None:
            self._spool.abandon()
        if self.state is FillState.BROKEN:
            # Its octets and its open file are not to wait for what still refers to an error.
            self._spool = None
            self._window.clear()

    @property
    def at_hand(self) -> bytes | None:
        """The body if it is whole and in memory."""
        whole = self.state is FillState.WHOLE and self._spool is None and not self._window.start
        return self._window.joined() if whole else None

    def take_whole(self, body: bytes) -> None:
        """The whole body came at once. Raises TooLarge, Undecodable if it is not to be stored."""
        self._window.append(body)
        self.end()
        try:
            self._check_limit()
            self._unverified = self._verifier is not None and not self._verifier.take(body)
        except (TooLarge, Undecodable):
            self.storing = False
            raise

    @property
    def readers(self) -> int:
        """How many clients read it just now."""
        return len(self._readers)

    def reader(self, offset: int = 0, length: int | None = None) -> FillReader:
        """A reader of ``length`` octets from ``offset`` (None: to the end)."""
        reader = FillReader(self, offset, length)
        self._readers.add(reader)
        self._weigh()
        return reader

    def dismiss(self, reader: FillReader) -> None:
        """The reader wants no more."""
        if reader not in self._readers:
            return
        self._readers.remove(reader)
        self._weigh()
        self.passed()
        if self._settled:
            self._abandon_unread()

    async def read_at(self, offset: int, size: int) -> bytes:
        """Up to ``size`` octets that have been received, from memory or from the spool.

        Raises Lost when the spool cannot be read any more.
        """
        if offset >= self._window.start or self._spool is None:
            return self._window.read(offset, size)
        try:
            return await self._spool.read_at(offset, min(size, self._window.start - offset))
        except StoreFailed as failure:
            raise Lost(500, "proxy_internal_error", "The cache disk failed.") from failure

    def passed(self) -> None:
        """A reader went on, or waits: in a window this may be what the pump waits for."""
        if self._passed is not None and not self._passed.done():
            self._passed.set_result(None)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _changed(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    async def available(self, offset: int) -> bool:
        """Wait for octets at ``offset``; False at the end. Raises what broke the fill there.

        What came before that is for its readers, who may go on from it: resume, or show it.
        """
        while offset >= self.received:
            if self.error is not None:
                raise self.error
            if self.state is FillState.WHOLE:
                return False
            self.passed()
            await self._changed()
        return True


def deserted() -> Lost:
    """What ends a fill that is not to go on without a reader."""
    return Lost(502, "connection_terminated", "Nobody reads this response any more.")


class FillReader:
    """One client's view of a fill, at its own pace. A ``BodyReader``."""

    __slots__ = ("_fill", "_left", "cut", "offset", "waits")

    def __init__(self, fill: Fill, offset: int, length: int | None) -> None:
        self._fill = fill
        self._left = length
        self.offset = offset
        self.waits = False  # for more than has come
        self.cut = False  # what it has not read is gone

    async def read(self) -> bytes:
        if self.cut:
            raise Lost(502, "connection_terminated", _TOO_SLOW)
        fill, size = self._fill, PIECE if self._left is None else min(PIECE, self._left)
        self.waits = True
        more = size > 0 and await fill.available(self.offset)
        self.waits = False
        if not more:
            self.close()
            return b""
        piece = await fill.read_at(self.offset, size)
        self.offset += len(piece)
        if self._left is not None:
            self._left -= len(piece)
        fill.passed()
        return piece

    def close(self) -> None:
        self._fill.dismiss(self)
