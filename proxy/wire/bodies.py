"""Body octets (RFC 9112 §6, §7): decode by framing, encode chunks.

The decoder keeps no more than an unfinished chunk line or trailer section between two feeds.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from proxy.semantics.fields import NO_FIELDS, Fields
from proxy.wire.framing import Chunked, Framing, Sized, UntilClose
from proxy.wire.heads import BadMessage, Limits, head_end, parse_fields

# §7.1: 1*HEXDIG, here at most 16; §7.1.1: extensions are dropped.
_EXTENSIONS: Final = rb";[\t\x20-\x7e\x80-\xff]*+"
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*+%b)?\r\n" % _EXTENSIONS)
# Some origins pad sizes to a width of their own: blanks that have one reading.
_PADDED_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*+(?:%b)?\r\n" % _EXTENSIONS)
_CHUNK_LINE_START: Final = re.compile(rb"[0-9A-Fa-f]{1,16}(?:[ \t]*+(?:%b)?)?\r?\Z" % _EXTENSIONS)
_MAX_CHUNK_LINE: Final = 4096
# Extensions and padding are overhead without meaning here: what there is more of than of content,
# and than a few octets for each chunk, is bounded over the whole body too.
_MAX_EXTENSIONS: Final = 65536
_FEW: Final = 16
JOINED: Final = 4096  # octets up to which pieces are joined


def gather(pieces: list[bytes], piece: bytes) -> None:
    """Add a piece. Crumbs are joined: each by itself would take forty octets more.

    Of a body that comes in chunks of one octet there would be a quarter of a million in 256 KiB.
    """
    if pieces and len(pieces[-1]) + len(piece) <= JOINED:
        pieces[-1] += piece
    else:
        pieces.append(piece)


class BodyDecoder:
    """Turns octets of one message body into content; an ``origin`` may be sloppy in what is clear.

    ``complete``: the body has ended whole; ``rest``: octets that came after its end;
    ``trailers``: the trailer section of a chunked body, as received.
    """

    __slots__ = ("_chunks", "_left", "complete", "rest", "trailers")

    def __init__(self, framing: Framing, limits: Limits, *, origin: bool = False) -> None:
        self.rest = b""
        self.trailers = NO_FIELDS
        self._chunks = _Chunks(limits, origin) if isinstance(framing, Chunked) else None
        # Octets still to come; -1: all until the connection ends.
        self._left = 0
        if isinstance(framing, Sized):
            self._left = framing.length
        elif isinstance(framing, UntilClose):
            self._left = -1
        self.complete = self._chunks is None and not self._left

    def feed(self, octets: bytes) -> bytes:
        """The content in ``octets``, b"" if there is none. Raises BadMessage (400, 431)."""
        if self.complete:
            self.rest += octets
            return b""
        if self._chunks is not None:
            return self._feed_chunks(self._chunks, octets)
        left = self._left
        if left < 0:
            return octets
        if len(octets) < left:
            self._left = left - len(octets)
            return octets
        self.complete = True
        self._left = 0
        if len(octets) == left:
            return octets
        self.rest = octets[left:]
        return octets[:left]

    def _feed_chunks(self, chunks: _Chunks, octets: bytes) -> bytes:
        content = chunks.feed(octets)
        if chunks.ended:
            self.complete = True
            self.rest = chunks.held
            self.trailers = chunks.trailers
        return content

    def eof(self) -> None:
        """The connection has ended. Raises BadMessage if the body is not whole."""
        if self._left < 0:
            self.complete = True
        if not self.complete:
            raise BadMessage(400, "the connection ended before the body was whole")


class _Part(Enum):
    SIZE = auto()
    CONTENT = auto()
    CONTENT_END = auto()
    TRAILERS = auto()


# A member of an Enum is slow to look up.
_SIZE, _CONTENT, _CONTENT_END, _TRAILERS = _Part


class _Chunks:
    """The chunked coding as a machine: size line, that many octets, CRLF; at last trailers."""

    __slots__ = (
        "_extensions", "_left", "_limits", "_origin", "_part", "_searched", "ended", "held",
        "trailers",
    )  # fmt: skip

    def __init__(self, limits: Limits, origin: bool) -> None:
        self.ended = False
        self.held = b""  # unread octets; once ended, those after the body
        self.trailers = NO_FIELDS
        self._limits = limits
        self._origin = origin
        self._left = 0
        self._extensions = 0
        self._searched = 0  # octets of an unfinished trailer section that were looked at
        self._part = _SIZE

    def feed(self, octets: bytes) -> bytes:
        buffer = self.held + octets if self.held else octets
        pieces: list[bytes] = []
        at, end = 0, len(buffer)
        while at < end and not self.ended:
            if self._part is _CONTENT:
                pieces.append(buffer[at : at + self._left])
                past = at + self._content(len(pieces[-1]))
            else:
                past = self._line(buffer, at)
            if past == at:
                break
            at = past
        self.held = buffer[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _content(self, size: int) -> int:
        self._left -= size
        if not self._left:
            self._part = _CONTENT_END
        return size

    def _line(self, buffer: bytes, at: int) -> int:
        """Take what is no content; where it ends, or ``at`` if it has not come whole."""
        if self._part is _SIZE:
            return self._size_line(buffer, at)
        if self._part is _CONTENT_END:
            return self._content_end(buffer, at)
        return self._trailer_section(buffer, at)

    def _size_line(self, buffer: bytes, at: int) -> int:
        line = _PADDED_LINE if self._origin else _CHUNK_LINE
        match = line.match(buffer, at, at + _MAX_CHUNK_LINE)
        if match is None:
            unfinished = _CHUNK_LINE_START.match(buffer, at)
            if unfinished is None or len(buffer) - at >= _MAX_CHUNK_LINE:
                raise BadMessage(400, "a chunk does not begin with its size in hexadecimal")
            return at
        self._left = int(match[1], 16)
        more = match.end() - match.end(1) - 2 - _FEW - self._left
        self._extensions = max(0, self._extensions + more)
        if self._extensions > _MAX_EXTENSIONS:
            raise BadMessage(400, "there are too many chunk extensions")
        self._part = _CONTENT if self._left else _TRAILERS
        return match.end()

    def _content_end(self, buffer: bytes, at: int) -> int:
        found = buffer[at : at + 2]
        if found == b"\r\n":
            self._part = _SIZE
            return at + 2
        if found != b"\r":
            raise BadMessage(400, "a chunk is longer than the size before it says")
        return at

    def _trailer_section(self, buffer: bytes, at: int) -> int:
        if buffer.startswith(b"\r\n", at):
            self.ended = True  # an empty section is its blank line alone
            return at + 2
        section = buffer[at:]
        size = head_end(section, self._searched)
        if (size if size > 0 else len(section)) > self._limits.head:
            raise BadMessage(431, f"the trailers are larger than {self._limits.head} octets")
        if size < 0:
            self._searched = len(section)
            return at
        self.trailers = parse_fields(section[:size], self._limits, origin=self._origin)
        self.ended = True
        return at + size


def chunk(octets: bytes) -> bytes:
    """One chunk; ``octets`` is not empty (an empty chunk would end the body)."""
    return b"%x\r\n%b\r\n" % (len(octets), octets)


def last_chunk(trailers: Fields = NO_FIELDS) -> bytes:
    """The last chunk and the trailer section. Raises ValueError for CR, LF or NUL in a trailer."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in trailers)
    if lines.count("\n") != len(trailers) or lines.count("\r") != len(trailers) or "\0" in lines:
        raise ValueError("CR, LF or NUL inside a trailer field")
    return b"0\r\n" + lines.encode("latin-1") + b"\r\n"
