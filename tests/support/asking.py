"""Clients that ask an origin directly or through the proxy, and keep what they saw and when.

A ``Way`` is one of the two; a ``Client`` is one program on it, which keeps its connection and the
validators that it was last given, as programs do. What it saw of an answer is a ``Seen``. An
origin that waits at a pause (``Stage.until``) goes on when its client has seen enough, and what
the client had not seen in time is on record.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from tests.support.coding import Decoding
from tests.support.wire import Cut, Head, Incoming, Wire, request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.house import Door
    from tests.support.origin import Origin

# How long an origin waits at a pause for what it has sent to reach the client.
PATIENCE: Final = 1.5
# How long a client waits for a whole answer.
ANSWER: Final = 7.0

End = Literal["whole", "cut", "nothing", "silence", "unreadable"]


class Stage:
    """What the client of the moment has seen, for the origin that waits for that."""

    def __init__(self) -> None:
        self.late: list[bytes] = []
        self.said = b""  # by the origin
        self._headed = False
        self._octets = b""
        self._text = b""
        self._changed = asyncio.Event()

    def clear(self) -> None:
        """A new answer begins."""
        self.late, self.said = [], b""
        self._headed, self._octets, self._text = False, b"", b""

    def show(self, octets: bytes, text: bytes) -> None:
        """A client has these octets of a body, and that is what it could decode of them."""
        self._headed, self._octets, self._text = True, octets, text
        self._changed.set()

    async def until(self, octets: bytes, text: bytes | None = None) -> None:
        """Until the client has the head and these octets, or decoded this text; or patience ends.

        Without ``text`` the octets may have come coded or not.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                while not self._has(octets, octets if text is None else text):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self.late.append(octets)

    def _has(self, octets: bytes, text: bytes) -> bool:
        return self._headed and (text in self._text or octets in self._octets)


def value_of(name: str, lines: Iterable[str]) -> str | None:
    """The first value of that field among lines."""
    for line in lines:
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return None


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of the client ``who``.

    In fields, ``{authority}`` is the origin's, ``{etag}`` and ``{modified}`` are the validators
    that this client was given last for that path; a field without a value for them is not sent.
    """

    who: str
    fields: tuple[str, ...] = ()
    method: str = "GET"
    body: bytes | None = None
    path: str = ""
    minor: int = 1

    def header(self, name: str) -> str | None:
        return value_of(name, self.fields)

    @property
    def accept(self) -> str | None:
        return self.header("accept-encoding")

    def __str__(self) -> str:
        old = " HTTP/1.0" if self.minor == 0 else ""
        return f"{self.who}: {self.method} {self.path}{old} {' | '.join(self.fields)}"


@dataclass(slots=True)
class Seen:
    """What a client saw of one answer."""

    asked: list[str] = field(default_factory=list)  # the fields that were sent
    status: int = 0  # 0: no answer
    start: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    interim: list[Head] = field(default_factory=list)
    octets: bytes = b""
    end: End = "nothing"
    late: list[bytes] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name]

    def get(self, name: str) -> str | None:
        found = self.all(name)
        return ", ".join(found) if found else None

    @property
    def coding(self) -> str:
        return (self.get("content-encoding") or "identity").lower()

    @property
    def text(self) -> bytes | None:
        """The body as the client decodes it; None where it cannot."""
        return Decoding.whole(self.coding, self.octets)

    def __str__(self) -> str:
        lines = [self.start or "no answer", *(f"{name}: {value}" for name, value in self.fields)]
        before = [f"({head.start})" for head in self.interim]
        after = [f"trailer {name}: {value}" for name, value in self.trailers]
        body = f"[{len(self.octets)} octets, {self.end}] {self.octets[:60]!r}"
        late = [f"late: {piece!r}" for piece in self.late]
        return "\n".join(f"    {line}" for line in [*before, *lines, body, *after, *late])


@dataclass(frozen=True, slots=True)
class Way:
    """How a client reaches an origin: ``door`` None is directly; ``tunnel``: inside CONNECT."""

    origin: Origin
    door: Door | None = None
    tunnel: bool = False

    async def connect(self) -> Wire:
        if self.door is None:
            return await Wire.connect(self.origin.port)
        wire = await Wire.connect(self.door.port)
        if self.tunnel:
            await wire.send(request("CONNECT", self.origin.authority))
            assert (await wire.head()).status == 200
        return wire

    def message(self, ask: Ask, fields: list[str]) -> bytes:
        if self.door is not None and not self.tunnel:
            return request(ask.method, self.origin.url(ask.path), fields, ask.body, ask.minor)
        if not any(line.lower().startswith("host:") for line in fields):
            fields = [f"Host: {self.origin.authority}", *fields]
        return request(ask.method, ask.path, fields, ask.body, ask.minor)


class Client:
    """A program that fetches by ``way``, one request after another."""

    def __init__(self, way: Way, stage: Stage) -> None:
        self._way = way
        self._stage = stage
        self._wire: Wire | None = None
        self._given: dict[str, dict[str, str | None]] = {}

    async def ask(self, ask: Ask) -> Seen:
        self._stage.clear()
        fields = self._filled(ask)
        message = self._way.message(ask, fields)
        seen = Seen()
        reused = self._wire is not None
        for _ in range(2):
            self._wire = self._wire or await self._way.connect()
            try:
                seen = await self._exchange(self._wire, ask, message)
            except (ConnectionError, OSError):
                seen = Seen()
            if seen.end == "whole" and _persists(seen, ask):
                break
            await self.close()
            if not (seen.end == "nothing" and reused):
                break
            reused = False
        seen.asked, seen.late = fields, list(self._stage.late)
        self._given[ask.path] = {"etag": seen.get("etag"), "modified": seen.get("last-modified")}
        return seen

    async def close(self) -> None:
        if self._wire is not None:
            await self._wire.close()
            self._wire = None

    def _filled(self, ask: Ask) -> list[str]:
        known = {"authority": self._way.origin.authority, **self._given.get(ask.path, {})}
        lines = []
        for line in ask.fields:
            names = re.findall(r"\{(\w+)\}", line)
            if all(known.get(name) for name in names):
                lines.append(re.sub(r"\{(\w+)\}", lambda found: str(known[found[1]]), line))
        return lines

    async def _exchange(self, wire: Wire, ask: Ask, message: bytes) -> Seen:
        seen, incoming = Seen(), Lenient(wire, ask.method)
        try:
            async with asyncio.timeout(ANSWER):
                if ask.header("expect"):
                    head, _, body = message.partition(b"\r\n\r\n")
                    await wire.send(head + b"\r\n\r\n")
                    if await incoming.goes_on():
                        await wire.send(body)
                else:
                    await wire.send(message)
                await self._read(incoming, seen)
        except TimeoutError:
            seen.end = "silence"
        except (Cut, ConnectionError):
            seen.end = "cut" if seen.status else "nothing"
        except (ValueError, AssertionError) as error:
            seen.end = "unreadable"
            seen.start = seen.start or repr(error)
        seen.interim = incoming.interim
        return seen

    async def _read(self, incoming: Lenient, seen: Seen) -> None:
        head = await incoming.head()
        seen.status, seen.start, seen.fields = head.status, head.start, list(head.lines)
        decoding = Decoding(seen.coding)
        self._stage.show(b"", b"")
        while piece := await incoming.some():
            seen.octets += piece
            decoding.feed(piece)
            self._stage.show(seen.octets, decoding.text)
        seen.trailers = head.lines[len(seen.fields) :]
        seen.end = "whole"


class Lenient(Incoming):
    """Reads what programs read: equal lengths are one, chunk sizes may have blanks behind them.

    It has the octets of a chunk as they come, and waits for 100 where it was asked for.
    """

    _left_of_chunk = 0

    async def goes_on(self) -> bool:
        """Whether 100 (Continue) comes before the final head."""
        head = await self.wire.head()
        if head.status == 100:
            self.interim.append(head)
            return True
        self._final = head
        self._frame(head)
        return False

    def _frame(self, head: Head) -> None:
        lengths = {each.strip() for each in (head.get("content-length") or "").split(",")}
        if len(lengths) == 1 and "," in (head.get("content-length") or ""):
            lines = [line for line in head.lines if line[0].lower() != "content-length"]
            head = Head(head.start, [*lines, ("Content-Length", lengths.pop())], head.raw)
        super()._frame(head)

    async def _chunk(self) -> None:
        if not self._left_of_chunk:
            self._left_of_chunk = int((await self._line()).partition(b";")[0], 16)
            if not self._left_of_chunk:
                await self._trailers()
                return
        piece = await self.wire.reader.read(self._left_of_chunk)
        if not piece:
            raise Cut(f"{self._left_of_chunk} octets of a chunk are missing")
        self._buffer += piece
        self._left_of_chunk -= len(piece)
        if not self._left_of_chunk and await self.wire.exactly(2) != b"\r\n":
            raise ValueError("no line ends the chunk")


def _persists(seen: Seen, ask: Ask) -> bool:
    options = (seen.get("connection") or "").lower()
    framed = (
        ask.method == "HEAD"
        or seen.status in (204, 304)
        or seen.get("content-length") is not None
        or seen.get("transfer-encoding") is not None
    )
    return framed and "close" not in options and ask.minor == 1 and "1.1 " in seen.start
