"""A proxy, and an origin and clients of raw octets: everything that crosses is kept and read.

They live on a loop in a thread for as long as many examples need.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeVar

from tests.support import auditor, mutations, readers
from tests.support.house import House
from tests.support.wire import DEADLINE, Wire, linger_zero

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from pathlib import Path

    from tests.support.auditor import Read

T = TypeVar("T")
EXAMPLE: Final = 30.0
GOOD: Final = b"the answer to what was asked"
SAID: Final = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n"
TLS: Final = 0x16  # the first octet of a handshake, for what is asked of https
# All addresses but 127.0.0.0/8: nothing that is made up is connected to.
ELSEWHERE: Final = [
    *("::/0", "0.0.0.0/2", "64.0.0.0/3", "96.0.0.0/4", "112.0.0.0/5", "120.0.0.0/6"),
    *("124.0.0.0/7", "126.0.0.0/8", "128.0.0.0/1"),
]
# What belongs to one connection (RFC 9110 §7.6.1).
OF_THE_CONNECTION: Final = frozenset(
    b"keep-alive proxy-connection proxy-authorization proxy-authenticate http2-settings"
    b" proxy-authentication-info".split()
)


@dataclass(frozen=True, slots=True)
class Script:
    """What the origin says to every request for one path; ``ends``: close, reset, or keep.

    ``before`` is what it says first, to so many requests of one client: a whole response.
    """

    pieces: tuple[bytes, ...]
    ends: str = "keep"
    before: bytes = b""
    times: int = 0


@dataclass(slots=True)
class Client:
    """What one client sent and got."""

    methods: tuple[bytes, ...]
    octets: bytes = b""
    reset: bool = False

    @property
    def reading(self) -> auditor.Reading:
        return auditor.responses(self.octets, self.methods, closed=not self.reset)

    @property
    def finals(self) -> list[Read]:
        return [read for read in self.reading.messages if read.status >= 200]

    def differences(self) -> list[str]:
        found = readers.differences(
            readers.responses(self.octets, self.methods, closed=not self.reset)
        )
        for read in self.reading.messages:
            names = {name for name, _ in read.fields}
            if names & OF_THE_CONNECTION:
                found.append(f"of the connection: {names & OF_THE_CONNECTION}")
            if read.status < 200 and names & {b"connection", b"transfer-encoding"}:
                found.append(f"in an interim response: {read}")
        return found


@dataclass(slots=True, eq=False)
class Heard:
    """What an origin got on one connection since it was last asked."""

    octets: bytearray = field(default_factory=bytearray)
    answered: int = 0
    over: bool = False


class Crossing:
    """One proxy with its defaults, and one origin."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._heard: set[Heard] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._scripts: dict[bytes, Script] = {}
        self._before: Counter[bytes] = Counter()  # by path, how often it is still said
        self._number = 0
        self.port = 0
        self._house = self.run(self._start(folder))

    def run(self, what: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(EXAMPLE)

    def close(self) -> None:
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self, folder: Path) -> House:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        access = {"allow_destinations": ["127.0.0.1"], "deny_destinations": ELSEWHERE}
        # Inside CONNECT, too, nothing crosses unread.
        changes = {"access": access, "server": {"connect_other": "refuse"}}
        return await House.start(folder, changes, [self.port])

    async def _stop(self) -> None:
        await self._house.stop()
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # The origin.

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        heard = Heard()
        self._heard.add(heard)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                while octets := await reader.read(2**16):
                    heard.octets += octets
                    if not await self._answer(heard, writer):
                        break
        finally:
            heard.over = True
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(self, heard: Heard, writer: asyncio.StreamWriter) -> bool:
        """Answer the whole requests that have come; whether the connection goes on."""
        reading = auditor.requests(bytes(heard.octets))
        for read in reading.messages[heard.answered :]:
            heard.answered += 1
            script = self._next(read.start[1])
            for piece in script.pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if script.ends == "reset":
                linger_zero(writer)
            if script.ends != "keep":
                return False
        return not reading.refused

    def _next(self, path: bytes) -> Script:
        script = self._scripts.get(path) or Script((SAID % len(GOOD) + GOOD,))
        if self._before[path] > 0:
            self._before[path] -= 1
            return Script((script.before,))
        return script

    def _taken(self) -> list[bytes]:
        """What came since the last time, by connection."""
        found = [bytes(h.octets) for h in self._heard if h.octets and h.octets[0] != TLS]
        self._heard = {heard for heard in self._heard if not heard.over}
        for heard in self._heard:
            heard.octets.clear()
            heard.answered = 0
        return found

    # Clients.

    async def _talk(
        self, pieces: Sequence[bytes], methods: Sequence[bytes], *, inside: bool = False
    ) -> Client:
        """Send the pieces, close that side, and read to the end."""
        client = Client(tuple(methods))
        wire = await Wire.connect(self._house.port)
        try:
            if inside:
                named = b"127.0.0.1:%d" % self.port
                await wire.send(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (named, named))
                assert (await wire.head()).status == 200
            async with asyncio.timeout(DEADLINE):
                with contextlib.suppress(OSError):
                    for piece in pieces:
                        wire.writer.write(piece)
                        await asyncio.sleep(0)
                    wire.writer.write_eof()
                try:
                    while octets := await wire.reader.read(2**16):
                        client.octets += octets
                except ConnectionError:
                    client.reset = True
        finally:
            await wire.close()
        return client

    # Examples.

    def sent(self, pieces: Sequence[bytes], *, inside: bool = False) -> list[str]:
        """What is wrong with what an origin gets of these octets, and with the answers."""
        authority = b"127.0.0.1:%d" % self.port
        pieces = [piece.replace(mutations.AUTHORITY, authority) for piece in pieces]
        return self.run(self._sent(pieces, authority, inside=inside))

    async def _sent(self, pieces: Sequence[bytes], authority: bytes, *, inside: bool) -> list[str]:
        client = await self._talk(pieces, [b"GET"] * 20, inside=inside)
        found = client.differences()
        forwarded: list[Read] = []
        for octets in await self._settled():
            found += readers.differences(readers.requests(octets))
            forwarded += auditor.requests(octets).messages
        given = auditor.requests(b"".join(pieces), given=True)
        left = Counter((*_asked(read), read.body) for read in given.messages)
        left.subtract(Counter((*_asked(read), read.body) for read in forwarded))
        found += [f"nobody asked for {what}" for what, times in left.items() if times < 0]
        for read in forwarded:
            found += _crossed(read, authority, inside=inside)
        return [*found, f"  {client.octets!r}"] if found else []

    async def _settled(self) -> list[bytes]:
        for _ in range(6):
            await asyncio.sleep(0)
        return self._taken()

    def said(self, script: Script, method: bytes, fields: Sequence[bytes] = ()) -> list[str]:
        """What is wrong with what clients get of an origin that says this."""
        whole = b"".join(script.pieces)
        if script.ends == "keep" and not _is_whole(whole, method):
            script = replace(script, ends="close")
        return self.run(self._said(script, method, fields))

    async def _said(self, script: Script, method: bytes, fields: Sequence[bytes]) -> list[str]:
        self._number += 1
        path = b"/%d" % self._number
        self._scripts[path] = script
        good = b"/%d/good" % self._number
        try:
            ask = self._request(method, path, fields) + self._request(b"GET", good)
            plain = self._request(b"GET", path, minor=0)
            trailing = self._request(b"GET", path, [b"TE: trailers"])
            ranged = self._request(b"GET", path, [b"Range: bytes=1-2"])
            coded = self._request(b"GET", path, [b"Accept-Encoding: gzip"])
            both = (b"GET", b"GET")
            asked = [
                ([ask], (method, b"GET")),
                ([plain], (b"GET",)),
                ([trailing + self._request(b"GET", good)], both),
                ([ranged + self._request(b"GET", good)], both),
                ([coded + self._request(b"GET", good)], both),
            ]
            self._before[path] = script.times
            for _ in range(script.times):
                await self._talk([trailing], (b"GET",))
            talks = [self._talk(*asked[0]), self._talk(*asked[1])]
            clients = list(await asyncio.gather(*talks))
            alone = ([self._request(b"GET", good)], (b"GET",))
            rest = (asked[2], asked[0], asked[3], asked[4], alone)
            clients += [await self._talk(*each) for each in rest]
        finally:
            del self._scripts[path], self._before[path]
        found = []
        for octets in await self._settled():
            found += readers.differences(readers.requests(octets))
        for number, client in enumerate(clients):
            told = [f"client {number}: {each}" for each in client.differences()]
            told += _answered(client, script, good=number != 1, last=number == 6)
            found += [f"{each}\n    {client.octets!r}" for each in told]
        return found

    def _request(
        self, method: bytes, path: bytes, fields: Sequence[bytes] = (), minor: int = 1
    ) -> bytes:
        authority = b"127.0.0.1:%d" % self.port
        lines = [
            b"%b http://%b%b HTTP/1.%d" % (method, authority, path, minor),
            b"Host: %b" % authority,
            *([b"Content-Length: 0"] if method == b"POST" else []),
            *(fields or [b"Accept-Encoding: identity"]),
        ]
        return b"\r\n".join([*lines, b"", b""])


def _is_whole(said: bytes, method: bytes) -> bool:
    """Whether nobody waits for more after this."""
    return all(
        any(
            read.status >= 200
            for read in auditor.responses(said, [m], closed=False, given=True).messages
        )
        for m in (method, b"GET")
    )


def _asked(read: Read) -> tuple[bytes, bytes]:
    """Method and path, from a target of any form."""
    method, target = read.start
    scheme, colon, rest = target.partition(b"://")
    if colon and not scheme.startswith(b"/"):
        authority = min(rest.partition(b"/")[0], rest.partition(b"?")[0], key=len)
        path = rest[len(authority) :]
        target = path if path.startswith(b"/") else b"/" + path
        if not path and method == b"OPTIONS":
            target = b"*"
    return method, target


def _crossed(read: Read, authority: bytes, *, inside: bool) -> list[str]:
    """What should not have reached an origin."""
    found = []
    names = {name for name, _ in read.fields}
    if names & OF_THE_CONNECTION:
        found.append(f"of the connection: {names & OF_THE_CONNECTION}")
    if read.fields[0][0] != b"host" or (read.fields[0][1] != authority and not inside):
        found.append(f"Host is not first, or another: {read.fields}")
    options = {o.strip().lower() for v in read.all(b"connection") for o in v.split(b",")}
    if not options <= {b"te", b"upgrade"} or not options <= names:
        found.append(f"Connection: {options}")
    if b"h2c" in b",".join(read.all(b"upgrade")).lower():
        found.append("Upgrade: h2c")
    if read.trailers:
        found.append(f"trailers of a client: {read.trailers}")
    return found


def _answered(client: Client, script: Script, *, good: bool, last: bool) -> list[str]:
    """What is wrong with the answers, as far as it is known what they should be."""
    found, answers = [], client.finals
    first = None if last or not answers else answers[0]
    follows = answers if last else answers[1:]
    if first is not None and not (first.status == 502 and first.all(b"proxy-status")):
        said, closed = b"".join(script.pieces), script.ends == "close"
        given = auditor.responses(said, client.methods[:1], closed=closed, given=True)
        found += _passed_on(first, given, script, client.methods[0])
    if good:
        found += [f"not what was asked for: {read}" for read in follows if read.body != GOOD]
        closes = first is not None and b"close" in first.all(b"connection")
        if not (follows or closes or client.reset or client.reading.rest):
            found.append("the next request has no answer")
    return found


def _passed_on(read: Read, given: auditor.Reading, script: Script, method: bytes) -> list[str]:
    """What is wrong with the answer, seeing what the origin has said."""
    finals = [final for final in given.messages if final.status >= 200]
    if not finals:
        if given.rest and read.status == 206:
            return []  # of a response that is cut later on
        return [f"{given.refused or 'a cut answer that looks whole'}: {read}"]
    said = finals[0]
    if script.before and said.status == 304:
        (said,) = auditor.responses(script.before, [method], closed=False, given=True).messages
    if read.status != said.status:
        # A part is cut from what is whole.
        part = (read.status, said.status) in {(206, 200), (416, 200), (304, 200)}
        return [] if part else [f"another status: {read}"]
    body = read.body
    if said.all(b"content-encoding") != read.all(b"content-encoding"):
        body = gzip.decompress(body) if body else body
    same = read.status == 206 or body == said.body or method == b"HEAD"
    return [] if same else [f"another body: {read}"]
