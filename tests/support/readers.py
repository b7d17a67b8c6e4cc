"""Two more readers of a stream, h11 and httptools (llhttp), beside the ``auditor``.

What they are known to do otherwise than RFC 9112 says, without harm, is a row of ``EXCUSED``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import h11
import httptools

from tests.support import auditor
from tests.support.auditor import TEXT, Line, Read, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZE: Final = 2**20
# llhttp knows the methods by name and no others.
METHODS: Final = frozenset(
    b"GET HEAD POST PUT DELETE PATCH OPTIONS TRACE CONNECT COPY LINK LOCK MERGE MKCOL MOVE"
    b" NOTIFY PROPFIND PURGE REPORT SEARCH SUBSCRIBE UNLINK UNLOCK".split()
)


@dataclass(frozen=True, slots=True)
class Excuse:
    """``reader`` takes no message for which ``known`` holds as it is meant, for this reason."""

    reader: str
    reason: str
    known: Callable[[Read], bool]


def _obs_text(read: Read) -> bool:
    return any(octet >= 0x80 for octet in read.start[-1])


def _controls(read: Read) -> bool:
    return any(not TEXT.issuperset(value) for _, value in (*read.fields, *read.trailers))


def _unknown(read: Read) -> bool:
    return len(read.start) == 2 and read.start[0] not in METHODS


EXCUSED: Final = (
    Excuse("h11", "refuses octets beyond ASCII in a target, which clients do send", _obs_text),
    Excuse("httptools", "refuses octets beyond ASCII in a target", _obs_text),
    Excuse("httptools", "knows no methods but those of its list", _unknown),
    Excuse(
        "httptools", "takes the content of a request to upgrade for the new protocol",
        lambda r: len(r.start) == 2 and bool(r.all(b"upgrade")),
    ),
    Excuse("httptools", "refuses control characters in what origins say (9110 5.5)", _controls),
    Excuse("h11", "refuses some of them", _controls),
    Excuse("h11", "knows no status beyond 599", lambda r: len(r.start) == 1 and r.status > 599),
    Excuse(
        "h11", "refuses a length of more than 20 digits, of HEAD as well",
        lambda r: any(len(value) > 20 for value in r.all(b"content-length")),
    ),
)  # fmt: skip


def excused(messages: Sequence[Read]) -> set[str]:
    """The readers that need not understand this."""
    return {e.reader for e in EXCUSED if any(map(e.known, messages))}


def requests(octets: bytes) -> dict[str, Reading]:
    """What each makes of a stream of requests."""
    return {
        "auditor": auditor.requests(octets),
        "h11": _h11_requests(octets),
        "httptools": _httptools_requests(octets),
    }


def responses(octets: bytes, methods: Sequence[bytes], *, closed: bool) -> dict[str, Reading]:
    """What each makes of a stream of responses; ``closed``: it ended, and not by a reset."""
    return {
        "auditor": auditor.responses(octets, methods, closed=closed),
        "h11": _h11_responses(octets, methods, closed=closed),
        "httptools": _httptools_responses(octets, methods, closed=closed),
    }


def differences(readings: dict[str, Reading]) -> list[str]:
    """What is refused by one of them, or read differently by two."""
    ours = readings["auditor"]
    found = [f"auditor: {ours.refused}"] if ours.refused else []
    begun = [ours.begun] if ours.begun is not None else []
    forgiven = excused([*ours.messages, *begun])
    for name, reading in readings.items():
        if name in forgiven or name == "auditor":
            continue
        if reading.refused:
            found.append(f"{name}: {reading.refused}")
        elif reading.messages != ours.messages or reading.rest != ours.rest:
            found.append(f"{name}: {reading}\nauditor: {ours}")
    return found


# h11


class _H11:
    """What h11 makes of it, as the server of requests or as the client of responses."""

    def __init__(self, peer: h11.Connection, turn: Callable[[h11.Connection], None]) -> None:
        self.peer = peer
        self._turn = turn
        self._current: _Message | None = None
        self._messages: list[Read] = []

    def reads(self, octets: bytes, *, closed: bool) -> Reading:
        self.peer.receive_data(octets)
        if closed:
            self.peer.receive_data(b"")
        try:
            while self._take(self.peer.next_event()):
                pass
        except h11.RemoteProtocolError as error:
            # To end within a message is no fault of what has come.
            if not closed or ("closed" not in str(error) and "complete" not in str(error)):
                return Reading(self._messages, refused=str(error))
            return Reading(self._messages, rest=True)
        return Reading(
            self._messages, self._current is not None or bool(self.peer.trailing_data[0])
        )

    def _take(self, event: object) -> bool:
        """Whether more may come."""
        match event:
            case h11.Request():
                self._current = _Message((event.method, event.target), _lines(event.headers))
            case h11.InformationalResponse():
                self._messages.append(Read((b"%d" % event.status_code,), _lines(event.headers)))
            case h11.Response():
                self._current = _Message((b"%d" % event.status_code,), _lines(event.headers))
            case h11.Data():
                assert self._current is not None
                self._current.body += event.data
            case h11.EndOfMessage():
                assert self._current is not None
                self._messages.append(self._current.read(_lines(event.headers)))
                self._current = None
            case h11.PAUSED:
                self._turn(self.peer)
            case _:
                return False
        return True


def _h11_requests(octets: bytes) -> Reading:
    def answer(peer: h11.Connection) -> None:
        peer.send(h11.Response(status_code=204, headers=[]))
        peer.send(h11.EndOfMessage())
        peer.start_next_cycle()

    peer = h11.Connection(h11.SERVER, max_incomplete_event_size=SIZE)
    return _H11(peer, answer).reads(octets, closed=False)


def _h11_responses(octets: bytes, methods: Sequence[bytes], *, closed: bool) -> Reading:
    if not octets:
        return Reading()
    asked = iter(methods)

    def ask(peer: h11.Connection) -> None:
        if peer.our_state is h11.DONE:
            peer.start_next_cycle()
        peer.send(h11.Request(method=next(asked, b"GET"), target="/", headers=[("Host", "a")]))
        peer.send(h11.EndOfMessage())

    peer = h11.Connection(h11.CLIENT, max_incomplete_event_size=SIZE)
    ask(peer)
    return _H11(peer, ask).reads(octets, closed=closed)


def _lines(headers: Sequence[tuple[bytes, bytes]]) -> tuple[Line, ...]:
    return tuple((bytes(name), bytes(value)) for name, value in headers)


@dataclass(slots=True)
class _Message:
    start: tuple[bytes, ...]
    fields: tuple[Line, ...] = ()
    body: bytes = b""

    def read(self, trailers: tuple[Line, ...]) -> Read:
        return Read(self.start, self.fields, self.body, trailers)


# httptools


@dataclass(slots=True)
class _Told:
    """What httptools calls, for the messages of one stream."""

    messages: list[Read] = field(default_factory=list)
    url: bytes = b""
    fields: list[Line] = field(default_factory=list)
    trailers: list[Line] = field(default_factory=list)
    body: bytes = b""
    headed: bool = False
    within: bool = False
    start: Callable[[], tuple[bytes, ...]] = tuple

    def on_message_begin(self) -> None:
        self.url, self.fields, self.trailers, self.body = b"", [], [], b""
        self.headed, self.within = False, True

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        (self.trailers if self.headed else self.fields).append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.headed = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        fields, trailers = tuple(self.fields), tuple(self.trailers)
        self.messages.append(Read(self.start(), fields, self.body, trailers))
        self.within = False


def _httptools_requests(octets: bytes) -> Reading:
    told = _Told()
    while True:
        parser = httptools.HttpRequestParser(told)
        told.start = lambda parser=parser: (parser.get_method(), told.url)  # type: ignore[misc]
        try:
            parser.feed_data(octets)
        except httptools.HttpParserUpgrade as upgrade:
            octets = octets[upgrade.args[0] :]
            if octets:
                continue
        except httptools.HttpParserError as error:
            return Reading(told.messages, told.within, repr(error))
        return Reading(told.messages, told.within)


def _httptools_responses(octets: bytes, methods: Sequence[bytes], *, closed: bool) -> Reading:
    told = _Told()
    # It cannot be told that a response answers HEAD: each stretch without one is for itself.
    for stretch, head in _stretches(octets, methods):
        parser = httptools.HttpResponseParser(told)
        told.start = lambda parser=parser: (b"%d" % parser.get_status_code(),)  # type: ignore[misc]
        try:
            parser.feed_data(stretch)
        except httptools.HttpParserUpgrade:
            return Reading(told.messages, told.within)
        except httptools.HttpParserError as error:
            return Reading(told.messages, told.within, repr(error))
        if head and told.within and told.headed:
            told.on_message_complete()
    unframed = not {b"content-length", b"transfer-encoding"} & {name for name, _ in told.fields}
    if closed and told.within and told.headed and unframed:
        told.on_message_complete()
    return Reading(told.messages, told.within)


def _stretches(octets: bytes, methods: Sequence[bytes]) -> list[tuple[bytes, bool]]:
    """The octets cut around each answer to HEAD; and whether it is one."""
    asked, cuts, before = iter(methods), [0], 0
    for read in auditor.responses(octets, methods, closed=False).messages:
        if read.status >= 200 and next(asked) == b"HEAD":
            cuts += [before, read.end]
        before = read.end
    cuts.append(len(octets))
    return [(octets[a:b], n % 2 == 1) for n, (a, b) in enumerate(pairwise(cuts)) if a < b]
