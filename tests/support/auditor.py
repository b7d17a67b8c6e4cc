"""A small strict reader of HTTP/1.1 (RFC 9112), written from it; it knows nothing of the proxy.

It goes through the octets by hand, one line after the other, and takes no more than the grammar
says. ``given``: what comes to the proxy may be written in the few other ways that have one
reading: a length said twice, extensions of chunks, an empty line before a request; of an origin,
blanks behind the size of a chunk, a status line without its last space, a coding nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOKEN: Final = frozenset(
    b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
VISIBLE: Final = frozenset(range(0x21, 0x7F)) | frozenset(range(0x80, 0x100))
TEXT: Final = VISIBLE | frozenset(b" \t")
DIGITS: Final = frozenset(b"0123456789")
HEX: Final = frozenset(b"0123456789abcdefABCDEF")
COMPRESSION: Final = frozenset({b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"})

Line = tuple[bytes, bytes]


class Refused(Exception):
    """The octets are not what the grammar says."""


class Unfinished(Exception):
    """They end before the message does."""


@dataclass(frozen=True, slots=True)
class Read:
    """One message: method and target, or status; fields with lower-case names, in order."""

    start: tuple[bytes, ...]
    fields: tuple[Line, ...]
    body: bytes = b""
    trailers: tuple[Line, ...] = ()
    end: int = field(default=0, compare=False)  # where the next one begins

    def all(self, name: bytes) -> list[bytes]:
        return [value for own, value in self.fields if own == name]

    @property
    def status(self) -> int:
        return int(self.start[0])


@dataclass(slots=True)
class Reading:
    """What somebody makes of a stream; ``rest``: there is more, which is no whole message.

    ``begun``: the head of a message that is not whole.
    """

    messages: list[Read] = field(default_factory=list)
    rest: bool = False
    refused: str = ""
    begun: Read | None = None


def requests(octets: bytes, *, given: bool = False) -> Reading:
    """Requests one after the other, as on a connection."""
    reading, cursor = Reading(), _Cursor(octets, given=given)
    try:
        while cursor.at < len(octets):
            reading.messages.append(replace(cursor.request(), end=cursor.at))
    except Unfinished:
        reading.rest, reading.begun = True, cursor.begun
    except Refused as refused:
        reading.refused = str(refused)
    return reading


def responses(
    octets: bytes, methods: Sequence[bytes], *, closed: bool, given: bool = False
) -> Reading:
    """Responses to requests of these methods, interim ones among them."""
    reading, cursor = Reading(), _Cursor(octets, given=given)
    try:
        for read in cursor.responses(methods, closed=closed):
            reading.messages.append(replace(read, end=cursor.at))
    except Unfinished:
        reading.rest, reading.begun = True, cursor.begun
    except Refused as refused:
        reading.refused = str(refused)
    return reading


class _Cursor:
    """Where we are in the octets."""

    def __init__(self, octets: bytes, *, given: bool) -> None:
        self.octets = octets
        self.at = 0
        self.given = given
        # RFC 9110 §5.5: a recipient may retain control characters; here they come from origins.
        self.loose = False
        self.begun: Read | None = None

    def request(self) -> Read:
        self.begun = None
        if self.given and self.octets.startswith(b"\r\n", self.at):
            self.at += 2
        parts = self.line().split(b" ")
        if len(parts) != 3:
            raise Refused("not three parts with one space between them")
        method, target, version = parts
        _all(method, TOKEN, "method")
        _all(target, VISIBLE, "target")
        minor = _minor(version)
        fields = self.fields()
        named = self.begun = Read((method, target), fields)
        if len(named.all(b"host")) > 1 or (minor and not named.all(b"host")):
            raise Refused("not one Host")
        lengths, codings = self.framing(named)
        if codings:
            if lengths or not minor or b", ".join(codings).lower() != b"chunked":
                raise Refused("Transfer-Encoding is not chunked alone")
            return Read(named.start, fields, *self.chunked())
        return Read(named.start, fields, self.take(lengths[0] if lengths else 0))

    def responses(self, methods: Sequence[bytes], *, closed: bool) -> Iterator[Read]:
        self.loose = True
        for method in methods:
            if self.at >= len(self.octets):
                return
            while (read := self.response(method, closed=closed)).status < 200:
                yield read
                if read.status == 101:
                    return
            yield read
            options = b",".join(read.all(b"connection")).lower()
            if b"close" in [option.strip(b" \t") for option in options.split(b",")]:
                break
        if self.at < len(self.octets) and not self.given:
            raise Refused("octets that belong to no answer")

    def response(self, method: bytes, *, closed: bool) -> Read:
        self.begun = None
        line = self.line()
        if self.given and line.count(b" ") == 1:
            line += b" "
        version, space, rest = line.partition(b" ")
        status, second, reason = rest.partition(b" ")
        minor = _minor(version)
        if not space or not second or len(status) != 3:
            raise Refused("no status line")
        _all(status, DIGITS, "status")
        if status[:1] == b"0":
            raise Refused("no status")
        if not TEXT.issuperset(reason):
            raise Refused("a control character in the phrase")
        read = self.begun = Read((status,), self.fields())
        lengths, codings = self.framing(read)
        if lengths and codings and read.status >= 200:
            raise Refused("both a length and a coding")
        if read.status < 200 or read.status in (204, 304) or method == b"HEAD":
            return read
        if codings:
            return self.coded(read, codings, closed=closed, minor=minor)
        if lengths:
            return Read(read.start, read.fields, self.take(lengths[0]))
        return self.until_close(read, closed=closed)

    def coded(self, read: Read, codings: list[bytes], *, closed: bool, minor: int) -> Read:
        names = [name.strip(b" \t") for name in b",".join(codings).lower().split(b",")]
        if minor and names == [b"chunked"]:
            return Read(read.start, read.fields, *self.chunked())
        known = any(b"chunked" in name or name in COMPRESSION for name in names)
        if not self.given or not minor or known:
            raise Refused("Transfer-Encoding is not chunked alone")
        for name in names:
            _all(name, TOKEN, "coding")
        return self.until_close(read, closed=closed)

    def until_close(self, read: Read, *, closed: bool) -> Read:
        body = self.octets[self.at :]
        self.at = len(self.octets)
        if not closed:
            raise Unfinished
        return Read(read.start, read.fields, body)

    def framing(self, read: Read) -> tuple[list[int], list[bytes]]:
        lengths = read.all(b"content-length")
        if self.given:
            lengths = [part.strip(b" \t") for value in lengths for part in value.split(b",")]
            if len(set(lengths)) > 1:
                raise Refused("lengths that differ")
            lengths = lengths[:1]
        if len(lengths) > 1:
            raise Refused("more than one length")
        for length in lengths:
            _all(length, DIGITS, "length")
            if len(length) > 18:
                raise Refused("a length of too many digits")
        return [int(length) for length in lengths], read.all(b"transfer-encoding")

    def chunked(self) -> tuple[bytes, tuple[Line, ...]]:
        content = b""
        while size := self.size():
            content += self.take(size)
            if self.take(2) != b"\r\n":
                raise Refused("no CRLF behind a chunk")
        return content, self.fields()

    def size(self) -> int:
        line, extension, more = self.line().partition(b";")
        if extension and not (self.given and (TEXT | frozenset(range(1, 32))).issuperset(more)):
            raise Refused("an extension of a chunk")
        if (self.given and self.loose) or extension:
            line = line.rstrip(b" \t")
        _all(line, HEX, "size of a chunk")
        if len(line) > 16:
            raise Refused("a size of too many digits")
        return int(line, 16)

    def fields(self) -> tuple[Line, ...]:
        lines = []
        while line := self.line():
            name, colon, value = line.partition(b":")
            if not colon:
                raise Refused("a field line without a colon")
            _all(name, TOKEN, "name of a field")
            value = value.strip(b" \t")
            if not (self.loose or TEXT.issuperset(value)):
                raise Refused("a control character in a value")
            lines.append((name.lower(), value))
        return tuple(lines)

    def line(self) -> bytes:
        """Up to a CRLF; no other CR, LF and no NUL may come before it."""
        end = self.octets.find(b"\r\n", self.at)
        line = self.octets[self.at : end if end >= 0 else None]
        if b"\n" in line or b"\0" in line or b"\r" in (line if end >= 0 else line[:-1]):
            raise Refused("a bare CR or LF, or NUL")
        if end < 0:
            raise Unfinished
        self.at = end + 2
        return line

    def take(self, size: int) -> bytes:
        taken = self.octets[self.at : self.at + size]
        if len(taken) < size:
            raise Unfinished
        self.at += size
        return taken


def _all(octets: bytes, of: frozenset[int], what: str) -> None:
    if not octets or not of.issuperset(octets):
        raise Refused(f"no {what}")


def _minor(version: bytes) -> int:
    if len(version) != 8 or not version.startswith(b"HTTP/1.") or version[7] not in DIGITS:
        raise Refused("no version of HTTP/1")
    return version[7] - 0x30
