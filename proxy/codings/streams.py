"""Coded bodies in pieces: decoders that return little at a time and prove the end, encoders.

Nothing that cannot be proved to be whole passes for whole: octets after the end are corrupt, too
(but for zeros after gzip members, which are padding). A coding's own memory stays below 17 MiB.
"""

from __future__ import annotations

import sys
import zlib
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Final

import brotli

from proxy.codings.registry import Coding
from proxy.codings.windows import ASKED, Windows, brotli_window

if sys.version_info >= (3, 14):  # pragma: no cover -- one of the two is for another Python
    from compression import zstd
else:  # pragma: no cover -- see above
    from backports import zstd

try:
    from isal import isal_zlib as deflating
except ImportError:
    # A machine for which there is no wheel: the same interface, four times as slow.
    import zlib as deflating  # type: ignore[no-redef]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from proxy.codings.options import CodingOptions
    from proxy.codings.registry import Chain

STEP: Final = 256 * 2**10  # octets: the most that one call of a Decoder returns
# Together at most a STEP: enough to come back with, and what one stage may add to that.
_ENOUGH: Final = 64 * 2**10
_PIECE: Final = STEP - _ENOUGH
# brotli goes beyond its limit by half of it.
_BROTLI_PIECE: Final = 64 * 2**10
_BROTLI_BITE: Final = 2**10  # of input at a time: what becomes of more could be seen too late
_MOST_ROUNDS: Final = 64  # frames or members, which may be empty, in one call
# Octets as which a round without fresh input counts at least: a frame of none takes 15 us, too.
_ROUND: Final = 4 * 2**10
_RATIO_COUNTS_FROM: Final = 8 * 2**20  # octets: small bodies of blanks are no bombs

_GZIP: Final = 31  # wbits of zlib: a gzip header, the largest window
_ZLIB: Final = 15
_RAW: Final = -15
# RFC 9659 §3: 8 MiB is what decoders must and encoders may use. A larger one, up to 2 GiB, would
# be reserved before the first octet.
_ZSTD_DECODING: Final[Mapping[int, int]] = {zstd.DecompressionParameter.window_log_max: 23}
_BROTLI_WINDOW: Final = 20


class Undecodable(Exception):
    """The octets cannot be decoded; the decoder is of no more use."""


class Corrupt(Undecodable):
    """They are not what their coding says, or not whole."""


class TooMuch(Undecodable):
    """They would become more, or take more memory, than is allowed."""


class _Stage(ABC):
    """One coding undone. ``pending``: ``take`` has something to do without more input."""

    __slots__ = ("_input", "pending", "swells", "window")

    def __init__(self) -> None:
        self.window = 2**15  # octets that it remembers at most
        self.swells = False  # how many of those is not known
        self._input = b""
        self.pending = False

    def give(self, coded: bytes) -> None:
        """More input; kept until it is taken."""
        self._input += coded
        self.pending = True

    @abstractmethod
    def take(self) -> bytes:
        """The next octets, at most ``_PIECE``, maybe none. Raises Undecodable."""

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether the input so far is all that the coding says there is."""


class _Gzip(_Stage):
    """Members in sequence (RFC 1952 §2.2), zeros after any of them."""

    __slots__ = ("_member", "_wholes")

    def __init__(self) -> None:
        super().__init__()
        self._member: zlib._Decompress | None = None
        self._wholes = 0

    def take(self) -> bytes:
        if self._member is None:
            if self._wholes:
                self._input = self._input.lstrip(b"\0")
            if not self._input:
                self.pending = False
                return b""
            self._member = zlib.decompressobj(_GZIP)
        member = self._member
        octets = _inflated(member, self._input)
        self._input = member.unused_data or member.unconsumed_tail
        self.pending = bool(self._input) or len(octets) == _PIECE
        if member.eof:
            self._member = None
            self._wholes += 1
        return octets

    @property
    def ended(self) -> bool:
        return self._member is None and self._wholes > 0


class _Deflate(_Stage):
    """One stream in the zlib format (RFC 1950), or raw, as some origins send it (RFC 1951)."""

    __slots__ = ("_stream",)

    def __init__(self) -> None:
        super().__init__()
        self._stream: zlib._Decompress | None = None

    def take(self) -> bytes:
        stream = self._stream
        if stream is None:
            if len(self._input) < 2:
                self.pending = False
                return b""
            wrapped = _is_zlib_header(self._input[0], self._input[1])
            stream = self._stream = zlib.decompressobj(_ZLIB if wrapped else _RAW)
        if stream.eof:
            raise Corrupt("deflate: there are octets after its end")
        octets = _inflated(stream, self._input)
        self._input = stream.unused_data or stream.unconsumed_tail
        self.pending = bool(self._input) or (len(octets) == _PIECE and not stream.eof)
        return octets

    @property
    def ended(self) -> bool:
        return self._stream is not None and self._stream.eof


class _Zstd(_Stage):
    """Frames in sequence, skippable ones among them (RFC 8878 §3.1)."""

    __slots__ = ("_frame", "_wholes")

    def __init__(self) -> None:
        super().__init__()
        self.window = 2**23
        self._frame: zstd.ZstdDecompressor | None = None
        self._wholes = 0

    def take(self) -> bytes:
        if self._frame is None:
            self._frame = zstd.ZstdDecompressor(options=_ZSTD_DECODING)
        frame = self._frame
        try:
            octets = frame.decompress(self._input, _PIECE)
        except zstd.ZstdError as error:
            kind = TooMuch if "too much memory" in str(error) else Corrupt
            raise kind(f"zstd: {error}") from None
        if frame.eof:
            self._frame = None
            self._wholes += 1
            self._input = frame.unused_data
            self.pending = bool(self._input)
        else:
            self._input = b""
            self.pending = not frame.needs_input
        return octets

    @property
    def ended(self) -> bool:
        return self._frame is None and self._wholes > 0


class _Brotli(_Stage):
    """One stream (RFC 7932). A decoder fills its window before it gives the first octet of it."""

    __slots__ = ("_fresh", "_stream")

    def __init__(self) -> None:
        super().__init__()
        self._fresh = True
        self._stream = brotli.Decompressor()

    def take(self) -> bytes:
        stream = self._stream
        coded = b""
        if stream.can_accept_more_data():
            if self._fresh and self._input:
                self._fresh, self.window = False, brotli_window(self._input[0])
            coded, self._input = self._input[:_BROTLI_BITE], self._input[_BROTLI_BITE:]
        try:
            octets: bytes = stream.process(coded, output_buffer_limit=_BROTLI_PIECE)
        except brotli.error:
            raise Corrupt("br: it is not brotli, or there are octets after its end") from None
        full = len(octets) >= _BROTLI_PIECE and not stream.is_finished()
        self.swells |= full
        self.pending = full or bool(self._input)
        return octets

    @property
    def ended(self) -> bool:
        return bool(self._stream.is_finished())


def _inflated(stream: zlib._Decompress, coded: bytes) -> bytes:
    try:
        return stream.decompress(coded, _PIECE)
    except zlib.error as error:
        raise Corrupt(str(error)) from None


def _is_zlib_header(first: int, second: int) -> bool:
    """RFC 1950 §2.2. Raw deflate that begins so would be a stored block with odd padding."""
    return first & 0x0F == 8 and first <= 0x78 and (first << 8 | second) % 31 == 0


_STAGES: Final[Mapping[Coding, type[_Stage]]] = {
    Coding.GZIP: _Gzip,
    Coding.DEFLATE: _Deflate,
    Coding.ZSTD: _Zstd,
    Coding.BR: _Brotli,
}


class Decoder:
    """Undoes the codings of a body, the last applied first.

    ``most`` octets in all, ``ratio`` of what all codings together make to what went in; 0: no
    limit. With others of the same ``windows`` it remembers ``room``. ``octets_in`` and
    ``octets_out`` count. Pieces fed should be of at most a ``STEP``.
    """

    __slots__ = (
        "_held", "_made", "_most", "_ratio", "_room", "_stages", "_windows", "_work",
        "octets_in", "octets_out",
    )  # fmt: skip

    def __init__(
        self,
        chain: Chain,
        *,
        most: int = 0,
        ratio: int = 0,
        windows: Windows | None = None,
        room: int = ASKED,
    ) -> None:
        self._windows = windows or Windows()
        self._windows.add(1, 0)
        self._held = 0  # octets that it remembers, at most
        self._room = room
        self._stages = [_STAGES[coding]() for coding in reversed(chain)]
        self._most = most
        self._ratio = ratio
        self._work = 0  # octets that came out of any stage during one call
        self._made = 0  # and in all: a coding may make much of which the next one makes nothing
        self.octets_in = 0
        self.octets_out = 0

    def __del__(self) -> None:
        self._windows.add(-1, -self._held)

    @property
    def pending(self) -> bool:
        """Whether ``feed()`` without octets may return more."""
        return any(stage.pending for stage in self._stages)

    def feed(self, coded: bytes = b"") -> bytes:
        """At most a ``STEP`` of what can be decoded, maybe nothing. Raises Undecodable.

        The rest is to be fetched while ``pending``. A call takes about a millisecond at most, but
        where a br window fills, of up to 16 MiB: 40 milliseconds. Other threads run meanwhile.
        """
        if coded:
            self.octets_in += len(coded)
            self._stages[0].give(coded)
        self._work = rounds = 0
        pieces = []
        while self.pending and self._work <= _ENOUGH and rounds < _MOST_ROUNDS:
            rounds += 1
            pieces.append(self._round())
        octets = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.octets_out += len(octets)
        self._made += max(self._work, _ROUND * (rounds - bool(coded)))
        self._check()
        return octets

    def pieces(self, coded: bytes) -> Iterator[bytes]:
        """All that can be decoded now, each piece as from ``feed``, none of them empty."""
        if piece := self.feed(coded):
            yield piece
        while self.pending:
            if piece := self.feed():
                yield piece

    def end(self) -> None:
        """The body ended here: raises Corrupt unless that is its end.

        ValueError while ``pending``. A body of no octets is corrupt, too: no coding makes one.
        """
        if self.pending:
            raise ValueError("there are decoded octets to fetch")
        if not all(stage.ended for stage in self._stages):
            raise Corrupt("it ends before its end")

    def _round(self) -> bytes:
        """What the last stage that has something yields, through those after it."""
        stages = self._stages
        last = max(i for i, stage in enumerate(stages) if stage.pending)
        octets = stages[last].take()
        self._work += len(octets)
        for stage in stages[last + 1 :]:
            if octets:
                stage.give(octets)
                octets = stage.take() if stage.pending else b""
                self._work += len(octets)
        return octets

    def _check(self) -> None:
        held = sum(s.window if s.swells else min(self._made, s.window) for s in self._stages)
        if held != self._held:
            self._windows.add(0, held - self._held)
            self._held = held
        if not self._windows.has_room(held, self._room):
            raise TooMuch("others are being decoded, and it takes more memory than is left")
        if self._most and self.octets_out > self._most:
            raise TooMuch(f"it is more than {self._most} octets when decoded")
        if self._ratio and self._made > max(_RATIO_COUNTS_FROM, self._ratio * self.octets_in):
            raise TooMuch(f"it is more than {self._ratio} times as large when decoded")


class Encoder:
    """Applies one coding to a body: each call returns what is ready, maybe nothing.

    That is never much more than was fed since the last octets came. The levels are those of the
    options. ``octets_in`` and ``octets_out`` count.
    """

    __slots__ = ("_compress", "_finish", "_flush", "_held", "octets_in", "octets_out")
    _compress: Callable[[bytes], bytes]
    _flush: Callable[[], bytes]
    _finish: Callable[[], bytes]

    def __init__(self, coding: Coding, options: CodingOptions) -> None:
        match coding:
            case Coding.GZIP:
                member = deflating.compressobj(options.gzip_level, zlib.DEFLATED, _GZIP)
                self._compress, self._finish = member.compress, member.flush
                self._flush = partial(member.flush, zlib.Z_SYNC_FLUSH)
            case Coding.ZSTD:
                frame = zstd.ZstdCompressor(options.zstd_level)
                self._compress, self._finish = frame.compress, frame.flush
                self._flush = partial(frame.flush, frame.FLUSH_BLOCK)
            case Coding.BR:
                stream = brotli.Compressor(quality=options.br_level, lgwin=_BROTLI_WINDOW)
                self._compress, self._finish = stream.process, stream.finish
                self._flush = stream.flush
            case _:
                raise ValueError(f"nothing is encoded as {coding} here")
        self._held = False
        self.octets_in = 0
        self.octets_out = 0

    def feed(self, octets: bytes) -> bytes:
        """More of the body."""
        self.octets_in += len(octets)
        self._held = True
        return self._counted(self._compress(octets))

    def flush(self) -> bytes:
        """What makes all that was fed decodable, for a body that comes slowly."""
        if not self._held:
            return b""
        self._held = False
        return self._counted(self._flush())

    def end(self) -> bytes:
        """The rest; the last call."""
        return self._counted(self._finish())

    def _counted(self, coded: bytes) -> bytes:
        self.octets_out += len(coded)
        return coded
