"""Bodies in another coding, made as they are read: a little at a time, large pieces off the loop.

``Transcoded`` reads another body and is read like one; ``Checked`` passes a coded body on as it
comes, and breaks it off where it turns out not to be whole.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from proxy.codings.streams import Decoder, Encoder, Undecodable
from proxy.store.base import BodyLost
from proxy.upstream.base import BadResponse, Lost

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.codings.options import CodingOptions
    from proxy.codings.registry import Chain, Coding
    from proxy.exchange.answer import BodyReader
    from proxy.exchange.keeping import Source

SMALL: Final = 16 * 1024  # octets for which a turn in a thread costs more than the work
PIECE: Final = 64 * 1024  # octets given to a coder at a time: a millisecond or so
_THREADS: Final = 2
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
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="coding")

    def decoder(self, chain: Chain) -> Decoder:
        """One that keeps to the limits."""
        return Decoder(chain, most=self.options.max_decoded, ratio=self.options.max_ratio)

    def at_once(self, octets: bytes, chain: Chain, coding: Coding | None) -> bytes | None:
        """A small body with the codings of ``chain`` undone and ``coding`` applied.

        None if it is not small, one way or the other. Raises BadResponse.
        """
        if len(octets) > SMALL:
            return None
        if chain:
            decoder = self.decoder(chain)
            octets = self.work(decoder.feed, octets)
            if decoder.pending or len(octets) > PIECE:
                return None
            self.ended(decoder)
        if coding is not None:
            encoder = Encoder(coding, self.options)
            octets = self.work(encoder.feed, octets) + self.work(encoder.end)
            self.encoded(encoder)
        return octets

    def work(self, step: Callable[..., T], *octets: bytes) -> T:
        """One step, and what it took. Raises BadResponse."""
        began = time.thread_time()
        try:
            return step(*octets)
        except Undecodable as error:
            self.counts.refused += 1
            # RFC 9209 §2.3.23.
            sentence = f"The response cannot be decoded: {error}."
            raise BadResponse(502, "http_response_content_coding", sentence) from None
        finally:
            self.counts.seconds += time.thread_time() - began

    async def work_apart(self, step: Callable[..., T], *octets: bytes) -> T:
        """The same, in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self.work, step, *octets)

    def ended(self, decoder: Decoder) -> None:
        """The body ended here: whole, or never begun, as a HEAD or a length of 0 has it.

        Raises BadResponse.
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
    """A ``BodyReader`` and ``Source``: ``source`` decoded by ``chain``, encoded by ``coding``.

    ``live``: what is fed is not held back for the sake of smaller octets.
    """

    __slots__ = ("_decoder", "_encoder", "_live", "_over", "_rest", "_shop", "_source", "length")

    length: int | None

    def __init__(
        self, shop: Workshop, source: BodyReader, chain: Chain, coding: Coding | None, *, live: bool
    ) -> None:
        self._shop = shop
        self._source = source
        self._decoder = shop.decoder(chain) if chain else None
        self._encoder = Encoder(coding, shop.options) if coding is not None else None
        self._live = live
        self._rest = b""  # of what was read, not yet given to a coder
        self._over = False
        self.length = None

    def at_hand(self) -> bytes | None:
        """Never: it has to be made first."""
        return None

    async def read(self) -> bytes:
        """What comes next; b"" at the end. Raises UpstreamError."""
        while not self._over:
            octets = await self._decoded()
            if octets is None:
                return self._end()
            if self._encoder is not None:
                octets = await self._encoded(self._encoder, octets)
            if octets:
                return octets
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
        return octets if decoder is None else await self._step(decoder.feed, octets)

    async def _read(self) -> bytes:
        try:
            return await self._source.read()
        except BodyLost as lost:
            raise Lost(502, "connection_terminated", "The stored response was lost.") from lost

    async def _encoded(self, encoder: Encoder, octets: bytes) -> bytes:
        if octets:
            octets = await self._step(encoder.feed, octets)
        if self._live and not self._rest and not octets:
            octets = self._shop.work(encoder.flush)
        return octets

    async def _step(self, step: Callable[[bytes], bytes], octets: bytes) -> bytes:
        if len(octets) <= SMALL:
            return self._shop.work(step, octets)
        return await self._shop.work_apart(step, octets)

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


class Checked:
    """A ``Source`` that says of a coded body whether it is whole, at its end at the latest."""

    __slots__ = ("_decoder", "_fed", "_held", "_shop", "_source", "length")

    length: int | None

    def __init__(self, shop: Workshop, source: Source, chain: Chain) -> None:
        self._shop = shop
        self._source = source
        self._decoder = shop.decoder(chain)
        self._held: bytes | None = None  # all of it, read but not checked to its end
        self._fed = 0  # of what was read last
        self.length = source.length

    def at_hand(self) -> bytes | None:
        """The whole body if it is here, and small enough to be checked at once.

        Raises BadResponse if it is not whole.
        """
        octets = self._source.at_hand()
        if octets is None:
            return None
        if len(octets) <= SMALL:
            self._shop.work(self._decoder.feed, octets)
            if not self._decoder.pending:
                self._shop.ended(self._decoder)
                return octets
            self._fed = len(octets)
        self._held = octets
        return None

    async def read(self) -> bytes:
        """The next octets as they came; b"" at the end. Raises UpstreamError."""
        if self._held is None:
            octets = await self._source.read()
        else:
            octets, self._held = self._held, b""
        while self._fed < len(octets) or self._decoder.pending:
            piece = b"" if self._decoder.pending else octets[self._fed : self._fed + PIECE]
            self._fed += len(piece)
            if piece and len(piece) <= SMALL:
                self._shop.work(self._decoder.feed, piece)
            else:
                await self._shop.work_apart(self._decoder.feed, piece)
        self._fed = 0
        if not octets:
            self._shop.ended(self._decoder)
        return octets

    def close(self) -> None:
        self._source.close()
