"""Bodies in another coding, made as they are read: a little at a time, large pieces off the loop.

``Transcoded`` reads another body and is read like one; ``Verifier`` decodes what goes into the
store as it came, to see whether others can be served from it.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from proxy.codings.registry import chain
from proxy.codings.streams import Decoder, Encoder, TooMuch, Undecodable
from proxy.codings.windows import ASKED, UNASKED, Windows
from proxy.store.base import BodyLost
from proxy.upstream.base import BadResponse, Lost

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.codings.options import CodingOptions
    from proxy.codings.registry import Chain, Coding
    from proxy.exchange.answer import BodyReader
    from proxy.exchange.forms import Coders
    from proxy.policy.stored import StoredResponse

SMALL: Final = 16 * 1024  # octets for which a turn in a thread costs more than the work
PIECE: Final = 64 * 1024  # octets given to a coder at a time: a millisecond or so
_THREADS: Final = 2
# Seconds of CPU that it may take to find out whether a body can be decoded, for which nobody has
# asked: for any, and for each octet of it. A slow machine (60 MB/s) makes 120 MB of the first, and
# fifteen octets of one by the second; what honest files take is a tenth of that.
CPU: Final = 2.0
CPU_PER_OCTET: Final = 0.25 / 2**20
T = TypeVar("T")


@dataclass(slots=True)
class Counts:
    """What coding took and gave: octets in and out, seconds of CPU, forms kept, bodies refused."""

    decoded_in: int = 0
    decoded_out: int = 0
    encoded_in: int = 0
    encoded_out: int = 0
    seconds: float = 0.0
    kept: int = 0
    refused: int = 0

    def __str__(self) -> str:
        return (
            f"{self.decoded_in} octets decoded to {self.decoded_out}, {self.encoded_in} encoded to"
            f" {self.encoded_out}, in {self.seconds:.2f} s of CPU; {self.kept} forms kept,"
            f" {self.refused} bodies refused"
        )


class Workshop:
    """Has the options, the threads in which coders work, and the counts. ``close`` ends threads."""

    def __init__(self, options: CodingOptions) -> None:
        self.options = options
        self.counts = Counts()
        self._windows = Windows()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="coding")

    def decoder(self, codings: Chain, room: int = ASKED) -> Decoder:
        """One that keeps to the limits."""
        most, ratio = self.options.max_decoded, self.options.max_ratio
        return Decoder(codings, most=most, ratio=ratio, windows=self._windows, room=room)

    def of_stored(self, codings: Chain) -> Decoder:
        """One for what is stored: it was looked at when it came, by the limits of that time."""
        return Decoder(codings, windows=self._windows)

    def at_once(self, octets: bytes, codings: Chain, coding: Coding | None) -> bytes | None:
        """A small body with ``codings`` undone and ``coding`` applied.

        None if it is not small, one way or the other. Raises Undecodable.
        """
        if len(octets) > SMALL:
            return None
        if codings:
            decoder = self.decoder(codings)
            octets = self.work(decoder.feed, octets)
            if decoder.pending or len(octets) > PIECE:
                return None
            self.ended(decoder)
        if coding is not None:
            encoder = Encoder(coding, self.options)
            octets = self.work(encoder.feed, octets) + self.work(encoder.end)
            self.encoded(encoder)
        return octets

    def verifier(self, stored: StoredResponse) -> Verifier | None:
        """For a body that may have to be decoded for others; None for any other."""
        codings = chain(stored.head.fields)
        if not codings or stored.verbatim or stored.part is not None:
            return None
        return Verifier(self, codings)

    def work(self, step: Callable[..., T], *octets: bytes) -> T:
        """One step, and what it took. Raises Undecodable."""
        began = time.thread_time()
        try:
            return step(*octets)
        except Undecodable:
            self.counts.refused += 1
            raise
        finally:
            self.counts.seconds += time.thread_time() - began

    async def work_apart(self, step: Callable[..., T], *octets: bytes) -> T:
        """The same, in a thread if it is more than a little."""
        if octets and len(octets[0]) <= SMALL:
            return self.work(step, *octets)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self.work, step, *octets)

    def ended(self, decoder: Decoder) -> None:
        """The body ended here: whole, or never begun, as a HEAD or a length of 0 has it.

        Raises Undecodable.
        """
        if decoder.octets_in:
            self.work(decoder.end)
        self.counts.decoded_in += decoder.octets_in
        self.counts.decoded_out += decoder.octets_out

    def encoded(self, encoder: Encoder) -> None:
        """A body has been encoded."""
        self.counts.encoded_in += encoder.octets_in
        self.counts.encoded_out += encoder.octets_out

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Transcoded:
    """A ``BodyReader`` and ``Source``: ``source`` with ``coders`` applied.

    ``live``: what is fed is not held back for the sake of smaller octets. ``span``: offset and
    number of the octets that are wanted of what is made.
    """

    __slots__ = (
        "_decoder", "_encoder", "_first", "_left", "_live", "_over", "_rest", "_shop", "_skip",
        "_source", "length",
    )  # fmt: skip

    def __init__(
        self,
        shop: Workshop,
        source: BodyReader,
        coders: Coders,
        *,
        live: bool,
        span: tuple[int, int | None] = (0, None),
    ) -> None:
        codings, coding = coders
        self._shop = shop
        self._source = source
        decoder = shop.decoder if live else shop.of_stored
        self._decoder = decoder(codings) if codings else None
        self._encoder = Encoder(coding, shop.options) if coding is not None else None
        self._live = live
        self._rest = b""  # of what was read, not yet given to a coder
        self._first: bytes | None = None  # read before it was wanted
        self._over = False
        self._skip, self._left = span
        self.length: int | None = self._left

    def at_hand(self) -> bytes | None:
        """Never: it has to be made first."""
        return None

    async def begin(self) -> None:
        """Make the first octets, which shows whether the body is in its coding at all.

        Raises UpstreamError.
        """
        self._first = await self.read()

    async def read(self) -> bytes:
        """What comes next; b"" at the end. Raises UpstreamError."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        while self._left != 0 and (octets := await self._made()):
            skipped = min(self._skip, len(octets))
            self._skip -= skipped
            octets = octets[skipped:] if self._left is None else octets[skipped:][: self._left]
            if self._left is not None:
                self._left -= len(octets)
            if octets:
                return octets
        return b""

    async def _made(self) -> bytes:
        try:
            while not self._over:
                octets = await self._decoded()
                if octets is None:
                    return self._end()
                if self._encoder is not None:
                    octets = await self._encoded(self._encoder, octets)
                if octets:
                    return octets
        except Undecodable as error:
            raise undecodable(error) from None
        return b""

    async def _decoded(self) -> bytes | None:
        """The next octets without a coding, maybe none; None at the end."""
        decoder = self._decoder
        if decoder is not None and decoder.pending:
            return await self._shop.work_apart(decoder.feed)
        octets = self._rest or await self._read()
        if not octets:
            return None
        octets, self._rest = octets[:PIECE], octets[PIECE:]
        return octets if decoder is None else await self._shop.work_apart(decoder.feed, octets)

    async def _read(self) -> bytes:
        try:
            return await self._source.read()
        except BodyLost as lost:
            raise Lost(502, "connection_terminated", "The stored response was lost.") from lost

    async def _encoded(self, encoder: Encoder, octets: bytes) -> bytes:
        if octets:
            octets = await self._shop.work_apart(encoder.feed, octets)
        if self._live and not self._rest:
            octets += self._shop.work(encoder.flush)
        return octets

    def _end(self) -> bytes:
        self._over = True
        if self._decoder is not None:
            self._shop.ended(self._decoder)
        if self._encoder is None:
            return b""
        octets = self._shop.work(self._encoder.end)
        self._shop.encoded(self._encoder)
        return octets

    def close(self) -> None:
        self._over = True
        self._source.close()


class Ready:
    """A ``Source`` of octets that are all there."""

    __slots__ = ("_octets", "length")

    length: int | None

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.length = len(octets)

    def at_hand(self) -> bytes:
        return self._octets

    async def read(self) -> bytes:
        octets, self._octets = self._octets, b""
        return octets

    def close(self) -> None:
        self._octets = b""


class Verifier:
    """Decodes a coded body on its way into the store: whole or not, and how long it is decoded.

    It has a budget of CPU. Each step is small, so that it ends with the task that waits for it.
    """

    __slots__ = ("_decoder", "_shop", "_spent")

    def __init__(self, shop: Workshop, codings: Chain) -> None:
        self._shop = shop
        self._decoder = shop.decoder(codings, UNASKED)
        self._spent = 0.0  # seconds

    def take(self, octets: bytes) -> bool:
        """Look at a small body at once; False if it is not small. Raises Undecodable."""
        if len(octets) <= SMALL:
            self._shop.work(self._decode, octets)
        return len(octets) <= SMALL

    async def feed(self, octets: bytes) -> None:
        """Look at more of the body. Raises Undecodable."""
        for start in range(0, len(octets), PIECE):
            await self._drained()
            await self._shop.work_apart(self._decode, octets[start : start + PIECE])

    async def end(self) -> int:
        """The octets of the decoded body, which ends here. Raises Undecodable if it does not."""
        await self._drained()
        self._shop.ended(self._decoder)
        return self._decoder.octets_out

    async def _drained(self) -> None:
        while self._decoder.pending:
            await self._shop.work_apart(self._decode)

    def _decode(self, octets: bytes = b"") -> None:
        decoder, began = self._decoder, time.thread_time()
        if self._spent > CPU + CPU_PER_OCTET * decoder.octets_in:
            raise TooMuch(f"it takes more than {self._spent:.1f} seconds of CPU to decode")
        try:
            decoder.feed(octets)
        finally:
            self._spent += time.thread_time() - began


def undecodable(error: Undecodable) -> BadResponse:
    """For a client for whom it had to be decoded (RFC 9209 §2.3.23)."""
    sentence = f"The response cannot be decoded: {error}."
    return BadResponse(502, "http_response_content_coding", sentence)
