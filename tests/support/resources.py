"""Origins of the differential test, and how they answer.

``Resource`` answers as a server does that knows codings, validators, ranges, conditions and HEAD.
``Said`` says the same octets to everybody, with pauses. ``Echo`` says what it was asked. Each
``script`` is for one side, direct or through the proxy, so that each has its own state.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, Protocol

from tests.support.clock import http_date
from tests.support.coding import ENCODE, Decoding, flushed
from tests.support.origin import (
    CLOSE,
    HALF_CLOSE,
    RESET,
    Conversation,
    Play,
    Received,
    Step,
    Steps,
    chunk,
    head,
)
from tests.support.wire import linger_zero

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.asking import Stage

NOW: Final = f"Date: {http_date()}"
MODIFIED: Final = http_date(-86400)
FRESH: Final = "Cache-Control: max-age=86400"
LINE: Final = b"There is much to say, and all of it has been said before. "
TEXT: Final = b"".join(b"%d: %b\n" % (n, LINE) for n in range(60))
GZIPPED: Final = ENCODE["gzip"](TEXT)
PLAIN: Final = "Content-Type: text/plain"


class Scripted(Protocol):
    """What a row says of its origin."""

    def script(self, stage: Stage) -> Steps: ...


@dataclass(frozen=True, slots=True)
class Pause:
    """The origin goes on when the client has seen ``shows``, coded or decoded."""

    shows: bytes = b""


@dataclass(frozen=True, slots=True)
class Resource:
    """``coding``: "asked" is the first that the request takes, anything else is for everybody.

    ``tag``: each coding has a strong tag of its own, as RFC 9110 §8.8.3.3 wants; None: no tag.
    ``label``: the Content-Encoding that is said instead. ``key``: a request field whose value is
    in the text. ``pieces``: the sizes of chunks, the last again and again. ``pause``, ``cut``:
    where in a body it waits for its client, and where it breaks off.
    """

    fields: tuple[str, ...] = (FRESH, PLAIN)
    text: bytes = TEXT
    coding: str = "asked"
    status: int = 200
    tag: str | None = "v1"
    modified: bool = True
    conditions: bool = True
    ranges: bool = True
    vary: str | None = "Accept-Encoding"
    key: str | None = None
    label: str | None = None
    framing: str = "length"
    pieces: tuple[int, ...] = (100, 2**20)
    pause: int | None = None
    cut: int | None = None
    minor: int = 1

    def __str__(self) -> str:
        """What is not as by default."""
        unlike = [
            f"{each.name}={getattr(self, each.name)!r}"
            for each in fields(self)
            if each.name != "text" and getattr(self, each.name) != each.default
        ]
        return f"Resource of {len(self.text)} octets: {', '.join(unlike)}"

    def script(self, stage: Stage) -> Steps:
        async def answer(conversation: Conversation) -> None:
            status, fields, octets = self._chosen(conversation.received)
            await self._send(conversation, stage, (status, fields, octets))

        return (answer,)

    def _chosen(self, received: Received) -> tuple[int, list[str], bytes]:
        """Status, fields and body: conditions come before ranges (RFC 9110 §13.2.2)."""
        coding = self._coding(received)
        key = (received.get(self.key) or "") if self.key else ""
        octets = ENCODE[coding](self.text + key.encode("latin-1"))
        tag = self._tag(coding, key)
        fields = [NOW, *self.fields, *self._of_form(coding, tag)]
        if self.status != 200 or not self.conditions:
            return self.status, fields, octets
        if self._holds(received, tag):
            unlike = ("content-length", "content-encoding", "content-type")
            return 304, [line for line in fields if not line.lower().startswith(unlike)], b""
        if (if_match := received.get("if-match")) and if_match not in ("*", tag):
            return 412, [NOW], b""
        span, held = received.get("range"), received.get("if-range")
        current = held is None or (held in (tag, MODIFIED) and not held.startswith("W/"))
        if span and current and self.ranges and received.method == "GET":
            return _part(span, octets, fields)
        return 200, fields, octets

    def _coding(self, received: Received) -> str:
        if self.coding != "asked":
            return self.coding
        asked = [each.partition(";") for each in (received.get("accept-encoding") or "").split(",")]
        taken = [name.strip() for name, _, q in asked if q.strip() not in ("q=0", "q=0.0")]
        return next((name for name in taken if name in ENCODE), "identity")

    def _tag(self, coding: str, key: str) -> str | None:
        if self.tag is None:
            return None
        suffixed = coding != "identity" and self.coding == "asked" and not self.tag.startswith("W/")
        bare = self.tag.removeprefix("W/") + key + (f"-{coding}" if suffixed else "")
        return f'W/"{bare}"' if self.tag.startswith("W/") else f'"{bare}"'

    def _of_form(self, coding: str, tag: str | None) -> list[str]:
        said = self.label or coding
        lines = [] if said == "identity" else [f"Content-Encoding: {said}"]
        if tag:
            lines.append(f"ETag: {tag}")
        if self.modified:
            lines.append(f"Last-Modified: {MODIFIED}")
        if self.vary and (self.coding == "asked" or self.vary != "Accept-Encoding"):
            lines.append(f"Vary: {self.vary}")
        if self.ranges:
            lines.append("Accept-Ranges: bytes")
        return lines

    def _holds(self, received: Received, tag: str | None) -> bool:
        if received.method not in ("GET", "HEAD"):
            return False
        if (held := received.get("if-none-match")) is not None:
            bare = (tag or "?").removeprefix("W/")
            return held == "*" or bare in re.findall(r'"[^"]*"', held)
        return self.modified and received.get("if-modified-since") == MODIFIED

    async def _send(
        self, conversation: Conversation, stage: Stage, answer: tuple[int, list[str], bytes]
    ) -> None:
        status, fields, octets = answer
        bodiless = conversation.received.method == "HEAD" or status in (204, 304)
        framing, lines = (() if status in (204, 304) else self._framing(octets)), fields
        start = head(status, *lines, *framing, date=False)
        start = start.replace(b"HTTP/1.1", b"HTTP/1.%d" % self.minor, 1)
        stage.said += start
        conversation.writer.write(start)
        conversation.over = self.minor == 0 or self.framing == "close"
        if bodiless:
            return
        pause, end = self.pause, len(octets) if self.cut is None else min(self.cut, len(octets))
        if pause is not None and pause < end:
            await self._write(conversation, stage, octets[:pause])
            decoded = Decoding(self.label or self._coding(conversation.received))
            decoded.feed(octets[:pause])
            await stage.until(octets[:pause], decoded.text)
            await self._write(conversation, stage, octets[pause:end])
        else:
            await self._write(conversation, stage, octets[:end])
        if end < len(octets):
            conversation.over = True
        elif self._in_chunks:
            stage.said += b"0\r\n\r\n"
            conversation.writer.write(b"0\r\n\r\n")

    @property
    def _in_chunks(self) -> bool:
        return self.framing == "chunked" and self.minor == 1

    def _framing(self, octets: bytes) -> tuple[str, ...]:
        if self.framing == "length":
            return (f"Content-Length: {len(octets)}",)
        return ("Transfer-Encoding: chunked",) if self._in_chunks else ("Connection: close",)

    async def _write(self, conversation: Conversation, stage: Stage, octets: bytes) -> None:
        sizes = list(self.pieces)
        while octets:
            size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
            piece, octets = octets[:size], octets[size:]
            coded = chunk(piece) if self._in_chunks else piece
            stage.said += coded
            conversation.writer.write(coded)
            await conversation.writer.drain()


def _part(span: str, octets: bytes, fields: list[str]) -> tuple[int, list[str], bytes]:
    """One range of them (RFC 9110 §14.2); several are answered whole, as a server may."""
    found = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", span)
    if not octets or not found or not (found[1] or found[2]):
        return 200, fields, octets
    size = len(octets)
    first = int(found[1]) if found[1] else max(0, size - int(found[2]))
    last = min(int(found[2]), size - 1) if found[1] and found[2] else size - 1
    if first >= size or (found[1] and found[2] and int(found[2]) < first):
        return 416, [NOW, f"Content-Range: bytes */{size}"], b""
    part = f"Content-Range: bytes {first}-{last}/{size}"
    return 206, [*fields, part], octets[first : last + 1]


@dataclass(frozen=True, slots=True)
class Said:
    """``steps`` in their order, whatever is asked; of the first octets only the head for HEAD."""

    steps: tuple[bytes | Pause | Step, ...]

    def script(self, stage: Stage) -> Steps:
        async def answer(conversation: Conversation) -> None:
            writer = conversation.writer
            for step in self.steps:
                match step:
                    case bytes() if conversation.received.method == "HEAD":
                        writer.write(step.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
                        return
                    case bytes():
                        writer.write(step)
                        await writer.drain()
                    case Pause():
                        await stage.until(step.shows)
                    case _:
                        _end(conversation, step)

        return (answer,)


def _end(conversation: Conversation, step: Step) -> None:
    conversation.over = True
    if step is RESET:
        linger_zero(conversation.writer)
        conversation.writer.transport.abort()
    elif step is HALF_CLOSE:
        conversation.writer.write_eof()
    else:
        assert step is CLOSE


def said(*steps: bytes | Pause | Step) -> Said:
    return Said(steps)


def plain(*fields: str, body: bytes = b"hello", status: int = 200) -> Said:
    """A short answer with a length."""
    return said(head(status, NOW, *fields, f"Content-Length: {len(body)}") + body)


def live(coding: str, *fields: str, framing: str = "chunked") -> Said:
    """A feed of three lines, each of which its reader has before the next is there."""
    lines = [b'{"line": %d, "text": "%b"}\n' % (n, b"abc" * n) for n in (1, 2, 3)]
    coded = [] if coding == "identity" else [f"Content-Encoding: {coding}"]
    wrap: Callable[[bytes], bytes] = chunk if framing == "chunked" else bytes
    how = "Transfer-Encoding: chunked" if framing == "chunked" else "Connection: close"
    steps: list[bytes | Pause | Step] = [head(200, NOW, how, *coded, *fields), Pause()]
    pieces = flushed(coding, *lines)
    for piece, line in zip(pieces, lines, strict=False):
        steps += [wrap(piece), Pause(line)]
    if pieces[-1]:
        steps.append(wrap(pieces[-1]))
    return said(*steps, b"0\r\n\r\n" if framing == "chunked" else CLOSE)


def paused(*fields: str, body: bytes, at: int) -> Said:
    """A body with a length that pauses after ``at`` octets."""
    start = head(200, NOW, *fields, f"Content-Length: {len(body)}") + body[:at]
    return said(start, Pause(body[:at]), body[at:])


@dataclass(frozen=True, slots=True)
class Echo:
    """The body is what was asked: method, fields that are end-to-end, content."""

    fields: tuple[str, ...] = ("Cache-Control: no-store",)

    def script(self, stage: Stage) -> Steps:
        async def answer(conversation: Conversation) -> None:
            received = conversation.received
            unlike = {"host", "via", "connection", "te", "transfer-encoding", "keep-alive"}
            lines = {f"{k}: {v}" for k, v in received.lines if k.lower() not in unlike}
            lines -= {"Content-Length: 0"}  # RFC 9110 §8.6: what has no content may say so
            same = received.get("host") == _address(conversation)
            host = "of this origin" if same else "of another"
            text = "\n".join([received.method, received.target, host, *sorted(lines)])
            body = text.encode("latin-1") + b"\n" + bytes(received.body)
            length = f"Content-Length: {len(body)}"
            sent = b"" if received.method == "HEAD" else body
            conversation.writer.write(head(200, NOW, *self.fields, length) + sent)

        return (answer,)


def _address(conversation: Conversation) -> str:
    """The address that the request came to."""
    host, port = conversation.writer.get_extra_info("sockname")[:2]
    return f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Steady:
    """The steps of an origin as they are, for what reads the content of a request late."""

    steps: Steps

    def script(self, stage: Stage) -> Steps:
        return self.steps


@dataclass(frozen=True, slots=True)
class Written:
    """A play of the row's own; ``make`` is called once for each side."""

    make: Callable[[Stage], Play]

    def script(self, stage: Stage) -> Steps:
        return (self.make(stage),)
