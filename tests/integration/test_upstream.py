"""The upstream floor against origins and parents that are played octet by octet."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from proxy.access.rules import ALLOWED, Denied, Verdict
from proxy.semantics.targets import Origin, TargetURI
from proxy.semantics.units import Seconds
from proxy.upstream.base import ClientGone, Lost, NotReached, NotTunnelled, Outgoing, UpstreamError
from proxy.upstream.connection import Raw
from proxy.upstream.fetch import Upstream
from proxy.upstream.options import UpstreamOptions
from proxy.upstream.response import WINDOW, Response
from tests.support.build import fields
from tests.support.rawpeer import Peer, Play, answering, head, reset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from proxy.semantics.messages import ResponseHead
    from proxy.upstream.resolve import Addresses

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
LOOPBACK: Addresses = ((socket.AF_INET, "127.0.0.1"),)
SHORT = Seconds(0.05)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """No task and no descriptor outlives its test; counted, as uvloop renews sockets of its own."""
    (
        await asyncio.start_server(print, "127.0.0.1", 0)
    ).close()  # libuv opens a spare descriptor at the first
    await asyncio.sleep(0)
    before = descriptors()
    yield
    for _ in range(3):
        # A closed transport gives its socket back in the next turn of the loop.
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert descriptors() <= before


class Names:
    """A look-up of fixed answers; every other name is on the loopback."""

    def __init__(self) -> None:
        self.answers: dict[str, Addresses | OSError] = {}
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, name: str) -> Addresses:
        self.gate.wait()
        answer = self.answers.get(name, LOOPBACK)
        if isinstance(answer, OSError):
            raise answer
        return answer


class Guard:
    """Access: everything but these addresses; remembers what it was asked."""

    def __init__(self) -> None:
        self.denied: set[str] = set()
        self.rule = "built-in: loopback"
        self.asked: list[tuple[str, str | None]] = []

    def __call__(self, host: str, port: int, address: str | None) -> Verdict:
        self.asked.append((host, address))
        if (address or host) in self.denied:
            return Denied(self.rule, f"{host} is denied; allow_destinations would allow it.")
        return ALLOWED


VIA = "1.1 here"


class Client:
    """Makes upstreams, and closes them."""

    def __init__(self) -> None:
        self.names = Names()
        self.guard = Guard()
        self.authority = trustme.CA()
        self.interims: list[int] = []
        self.upstream: Upstream
        self.made: list[Upstream] = []
        self.options()

    def options(self, **options: object) -> None:
        trust = ssl.create_default_context()
        self.authority.configure_trust(trust)
        given = UpstreamOptions(**options)  # type: ignore[arg-type]
        self.upstream = Upstream(given, self.guard, tls=trust, lookup=self.names)
        self.made.append(self.upstream)

    def through(self, parent: Peer, **options: object) -> None:
        self.options(parent=f"http://user:pass@127.0.0.1:{parent.port}", **options)

    def server_tls(self, name: str = "a.example") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(name).configure_cert(context)
        return context

    async def fetch(self, port: int, method: str = "GET", **request: object) -> Response:
        response = await self.upstream.fetch(outgoing(port, method, **request), self._interim)
        assert isinstance(response, Response)
        return response

    async def body(self, port: int, method: str = "GET", **request: object) -> bytes:
        return await rest(await self.fetch(port, method, **request))

    def _interim(self, head: ResponseHead) -> None:
        self.interims.append(head.status)

    @property
    def pool(self) -> str:
        return repr(self.upstream._pool)


def outgoing(port: int, method: str = "GET", **request: object) -> Outgoing:
    scheme, host = request.pop("scheme", "http"), request.pop("host", "a.example")
    origin = Origin(str(scheme), str(host), port)
    target = TargetURI(origin, "/x")
    return Outgoing(method, target, fields(f"Host: {origin.authority}"), **request)  # type: ignore[arg-type]


async def rest(response: Response) -> bytes:
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    return b"".join(pieces)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    yield client
    for upstream in client.made:
        upstream.close()
    await asyncio.sleep(0)


class Body:
    """A request body of these pieces; an exception among them is raised, an event waited for."""

    def __init__(self, *pieces: bytes | Exception | asyncio.Event) -> None:
        self.pieces = list(pieces)
        self.reads = 0

    async def read(self) -> bytes:
        self.reads += 1
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if isinstance(piece, asyncio.Event):
            await piece.wait()
            return await self.read()
        if isinstance(piece, Exception):
            raise piece
        return piece


def blame(caught: pytest.ExceptionInfo[UpstreamError]) -> tuple[int, str]:
    return caught.value.status, caught.value.word


# Reuse.


async def test_a_connection_is_used_again(client: Client) -> None:
    async with Peer(answering(OK)) as origin:
        for _ in range(3):
            assert await client.body(origin.port) == b"hello"
        assert origin.connections == 1


async def test_a_whole_body_is_at_hand(client: Client) -> None:
    async with Peer(answering(OK)) as origin:
        response = await client.fetch(origin.port)
        assert response.at_hand() == b"hello"
        assert await response.read() == b""


async def test_trailers_have_come_with_the_end(client: Client) -> None:
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\nA: b\r\n\r\n"
    async with Peer(answering(said)) as origin:
        response = await client.fetch(origin.port)
        assert await response.read() == b"hello"
        assert await response.read() == b""
        assert response.trailers == fields("A: b")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", id="P7 left over"),
        pytest.param(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), id="9.6 close"),
    ],
)
async def test_a_connection_is_not_used_again(client: Client, answer: bytes) -> None:
    async with Peer(answering(answer)) as origin:
        for _ in range(3):
            assert await client.body(origin.port) == b"hello"
        assert origin.connections == 3


async def test_a_late_second_answer_is_nobodys(client: Client) -> None:
    more = asyncio.Event()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(OK)
        await more.wait()
        writer.write(OK.replace(b"hello", b"evil!"))
        assert await reader.read() == b""

    async with Peer(play) as origin:
        assert await client.body(origin.port) == b"hello"
        more.set()
        await origin.ended.get()
        assert "open=0" in client.pool


async def test_concurrent_requests_are_bounded(client: Client) -> None:
    client.options(connections_per_origin=4)  # of which one client leaves one to others
    async with Peer(answering(OK)) as origin:
        bodies = await asyncio.gather(*[client.body(origin.port) for _ in range(20)])
        assert bodies == [b"hello"] * 20
        assert origin.connections == 3


# Loss and retry.


def hanging_up(answers: int, how: Callable[[asyncio.StreamWriter], None] | None) -> Play:
    """Answer so many requests on a connection, and hang up on reading the next."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(answers):
            await head(reader)
            writer.write(OK)
        await head(reader)
        if how is not None:
            how(writer)

    return play


@pytest.mark.parametrize("how", [None, reset], ids=["FIN", "RST"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_request_lost_on_a_reused_connection_is_repeated(
    client: Client, method: str, how: Callable[[asyncio.StreamWriter], None] | None
) -> None:
    async with Peer(hanging_up(1, how)) as origin:
        for _ in range(2):
            assert (await client.fetch(origin.port)).at_hand() == b"hello"
        assert origin.connections == 2


async def test_it_is_repeated_on_a_fresh_connection(client: Client) -> None:
    async with Peer(hanging_up(1, None)) as origin:
        await asyncio.gather(client.body(origin.port), client.body(origin.port))
        assert "idle=2" in client.pool
        assert await client.body(origin.port) == b"hello"
        assert origin.connections == 3


@pytest.mark.parametrize(
    ("method", "options", "connections"),
    [
        pytest.param("POST", {}, 1, id="not idempotent"),
        pytest.param("PUT", {}, 1, id="P30 idempotent, but no GET or HEAD"),
        pytest.param("GET", {"retries": 0}, 1, id="switched off"),
    ],
)
async def test_nothing_else_is_repeated(
    client: Client, method: str, options: dict[str, object], connections: int
) -> None:
    client.options(**options)
    async with Peer(hanging_up(1, None)) as origin:
        await client.body(origin.port)
        with pytest.raises(Lost) as caught:
            await client.fetch(origin.port, method)
        assert blame(caught) == (502, "connection_terminated")
        assert origin.connections == connections


async def test_a_get_with_a_body_is_not_repeated(client: Client) -> None:
    async with Peer(hanging_up(1, None)) as origin:
        await client.body(origin.port)
        with pytest.raises(Lost):
            await client.fetch(origin.port, body=Body(b"x"))
        assert origin.connections == 1


async def test_a_fresh_connection_is_not_tried_twice(client: Client) -> None:
    async with Peer(hanging_up(0, None)) as origin:
        with pytest.raises(Lost):
            await client.fetch(origin.port)
        assert origin.connections == 1


async def test_a_response_that_has_begun_is_not_asked_for_again(client: Client) -> None:
    def begin(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1")

    async with Peer(hanging_up(1, begin)) as origin:
        await client.body(origin.port)
        with pytest.raises(Lost) as caught:
            await client.fetch(origin.port)
        assert origin.connections == 1
        assert caught.value.status == 502


@pytest.mark.parametrize(
    "answer",
    [OK[:-1], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"],
    ids=["sized", "chunked"],
)
async def test_a_cut_body(client: Client, answer: bytes) -> None:
    async with Peer(answering(answer, close=True)) as origin:
        with pytest.raises(Lost) as caught:
            await client.body(origin.port)
        assert blame(caught) == (502, "http_response_incomplete")


async def test_until_close(client: Client) -> None:
    async with Peer(answering(b"HTTP/1.1 200 OK\r\n\r\nhello", close=True)) as origin:
        assert await client.body(origin.port) == b"hello"


# Clocks.


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 103 x\r\n\r\n", OK[:-1]])
async def test_a_silent_origin(client: Client, start: bytes) -> None:
    client.options(read_timeout=SHORT)

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(start)
        await reader.read()

    async with Peer(play) as origin:
        with pytest.raises(Lost) as caught:
            await client.body(origin.port)
        assert blame(caught) == (504, "connection_read_timeout")


async def test_an_origin_that_does_not_take_the_request(client: Client) -> None:
    client.options(read_timeout=SHORT)
    async with Peer(lambda reader, writer: asyncio.Event().wait()) as origin:  # type: ignore[arg-type,return-value]
        body = Body(*[b"x" * 2**20] * 64)
        with pytest.raises(Lost) as caught:
            await client.fetch(origin.port, "POST", body=body)
        assert blame(caught) == (504, "connection_write_timeout")
        assert body.reads < 32


async def test_an_origin_that_switches_and_does_not_take_the_request(client: Client) -> None:
    client.options(read_timeout=SHORT)

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 101 x\r\nUpgrade: x\r\n\r\n")
        await asyncio.Event().wait()

    async with Peer(play) as origin:
        body = Body(*[b"x" * 2**20] * 64)
        asked = outgoing(origin.port, "POST", body=body, upgrade=True)
        raw = await client.upstream.upgrade(asked)
        assert isinstance(raw, Raw)
        with pytest.raises(Lost):
            await raw.sent()
        assert body.reads < 32
        assert "open=0" in client.pool


async def test_a_slow_client_is_not_the_origins_fault(client: Client) -> None:
    client.options(read_timeout=SHORT)
    gate = asyncio.Event()
    asyncio.get_running_loop().call_later(3 * SHORT, gate.set)
    async with Peer(reading_body(OK)) as origin:
        assert await client.body(origin.port, "POST", body=Body(b"a", gate, b"b")) == b"hello"


async def test_a_slow_reader_is_not_the_origins_fault(client: Client) -> None:
    client.options(read_timeout=SHORT)
    size = 8 * WINDOW
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
    async with Peer(answering(answer)) as origin:
        response = await client.fetch(origin.port)
        waited = asyncio.Event()
        asyncio.get_running_loop().call_later(3 * SHORT, waited.set)
        await waited.wait()
        assert len(await rest(response)) == size


# Request bodies.


def reading_body(answer: bytes) -> Play:
    """Answer when a chunked body has ended."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await head(reader)
            await reader.readuntil(b"0\r\n\r\n")
            writer.write(answer)

    return play


async def test_a_body_of_known_length(client: Client) -> None:
    got: list[bytes] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            got.extend([await head(reader), await reader.readexactly(4)])
            writer.write(OK)

    async with Peer(play) as origin:
        for _ in range(2):
            await client.body(origin.port, "PUT", body=Body(b"bo", b"dy"), length=4)
        assert b"\r\nContent-Length: 4\r\n" in got[0]
        assert got[1::2] == [b"body"] * 2
        assert origin.connections == 1


async def test_a_body_of_unknown_length(client: Client) -> None:
    got: list[bytes] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.extend([await head(reader), await reader.readuntil(b"0\r\n\r\n")])
        writer.write(OK)
        await reader.read()

    async with Peer(play) as origin:
        await client.body(origin.port, "POST", body=Body(b"bo", b"dy"))
        assert b"\r\nTransfer-Encoding: chunked\r\n" in got[0]
        assert got[1] == b"2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("body", "length"),
    [
        pytest.param((b"bo", ClientGone("cut")), None, id="chunked"),
        pytest.param((b"bo", ClientGone("cut")), 4, id="sized"),
        pytest.param((b"bo",), 4, id="too short"),
        pytest.param((b"body!",), 4, id="too long"),
    ],
)
async def test_a_cut_request_never_looks_complete(
    client: Client, body: tuple[bytes | Exception, ...], length: int | None
) -> None:
    got: list[bytes] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        got.append(await reader.read())

    async with Peer(play) as origin:
        with pytest.raises(ClientGone):
            await client.fetch(origin.port, "POST", body=Body(*body), length=length)
        await origin.ended.get()
        assert b"".join(got) in (b"", b"bo", b"2\r\nbo\r\n")
        assert "open=0" in client.pool


async def test_an_early_refusal_ends_the_sending(client: Client) -> None:
    never = asyncio.Event()
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nhello"
    async with Peer(answering(refusal)) as origin:
        response = await client.fetch(origin.port, "POST", body=Body(b"a", never))
        assert response.head.status == 413
        assert await rest(response) == b"hello"
        await origin.ended.get()
        assert "open=0" in client.pool


async def test_a_refusal_in_progress_ends_the_sending(client: Client) -> None:
    got: list[bytes] = []
    more = asyncio.Event()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(OK.replace(b"200 OK", b"413 Too Large")[:-1])
        await more.wait()
        writer.write(b"o")
        got.append(await reader.read())

    gate = asyncio.Event()
    async with Peer(play) as origin:
        response = await client.fetch(origin.port, "POST", body=Body(b"a", gate, b"b"))
        gate.set()
        for _ in range(5):
            await asyncio.sleep(0)
        more.set()
        assert await rest(response) == b"hello"
        await origin.ended.get()
    assert got == [b"1\r\na\r\n"]


async def test_a_connection_that_is_owed_a_body_is_not_used_again(client: Client) -> None:
    never = asyncio.Event()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(OK)
        await never.wait()

    async with Peer(play) as origin:
        body = Body(bytes(2**25))
        assert await client.body(origin.port, "POST", body=body, length=2**25) == b"hello"
        assert "open=0" in client.pool


async def test_an_echo_goes_both_ways_at_once(client: Client) -> None:
    """A 2xx head before the end of the request is no refusal."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(await reader.readuntil(b"0\r\n\r\n"))
        await reader.read()

    gate = asyncio.Event()
    async with Peer(play) as origin:
        response = await client.fetch(origin.port, "POST", body=Body(b"a", gate, b"b"))
        gate.set()
        assert await rest(response) == b"ab"
        assert "idle=1" in client.pool


async def test_a_client_that_goes_after_the_head(client: Client) -> None:
    gate = asyncio.Event()
    early = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with Peer(answering(early)) as origin:
        body = Body(gate, ClientGone("cut"))
        response = await client.fetch(origin.port, "POST", body=body)
        gate.set()
        with pytest.raises(Lost):
            await rest(response)


async def test_a_broken_body_source_is_not_hidden(client: Client) -> None:
    async with Peer(reading_body(OK)) as origin:
        with pytest.raises(ZeroDivisionError):
            await client.fetch(origin.port, "POST", body=Body(ZeroDivisionError()))


async def test_expect_continue_goes_end_to_end(client: Client) -> None:
    gate = asyncio.Event()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(OK)

    def opened(head: ResponseHead) -> None:
        assert head.status == 100
        gate.set()

    async with Peer(play) as origin:
        request = outgoing(origin.port, "POST", body=Body(gate, b"body"))
        response = await client.upstream.fetch(request, opened)
        assert isinstance(response, Response)
        assert await rest(response) == b"hello"


# Backpressure.


async def test_a_large_upload_goes_at_the_origins_pace(client: Client) -> None:
    size = 2**24

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        assert await reader.readexactly(size) == bytes(size)
        writer.write(OK)
        await reader.read()

    async with Peer(play) as origin:
        body = Body(*[bytes(2**20)] * 16)
        assert await client.body(origin.port, "PUT", body=body, length=size) == b"hello"
        assert "idle=1" in client.pool


async def test_an_unread_body_stops_the_origin(client: Client) -> None:
    sent = 0
    stalled = asyncio.Event()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 2**26)
        for _ in range(2**10):
            writer.write(bytes(2**16))
            asyncio.get_running_loop().call_later(0.1, stalled.set)
            await writer.drain()
            sent += 2**16
        await reader.read()

    async with Peer(play) as origin:
        response = await client.fetch(origin.port)
        await stalled.wait()
        assert sent < 2**25
        assert response._size < 4 * WINDOW
        assert len(await rest(response)) == 2**26
        assert "idle=1" in client.pool


# Access, names, addresses.


async def test_what_is_connected_to_is_judged(client: Client) -> None:
    client.guard.denied = {"127.0.0.1"}
    for host in ("a.example", "127.0.0.1"):
        with pytest.raises(NotReached, match="allow_destinations would allow it") as caught:
            await client.fetch(1, host=host)
        assert blame(caught) == (403, "destination_ip_prohibited")
    assert client.guard.asked == [("a.example", "127.0.0.1"), ("127.0.0.1", "127.0.0.1")]


async def test_our_own_listener_is_a_loop(client: Client) -> None:
    client.guard.denied, client.guard.rule = {"127.0.0.1"}, "own-listener"
    with pytest.raises(NotReached) as caught:
        await client.fetch(1)
    assert blame(caught) == (502, "proxy_loop_detected")


async def test_only_allowed_addresses_are_tried(client: Client) -> None:
    client.names.answers["a.example"] = (
        (socket.AF_INET, "127.0.0.1"),
        (socket.AF_INET, "127.0.0.2"),
    )
    client.guard.denied = {"127.0.0.1"}
    async with Peer(answering(OK)) as origin:  # listens on 127.0.0.1 alone
        with pytest.raises(NotReached) as caught:
            await client.fetch(origin.port)
        assert blame(caught) == (502, "connection_refused")
        assert origin.connections == 0


async def test_the_next_address_is_tried(client: Client) -> None:
    client.names.answers["a.example"] = (
        (socket.AF_INET, "127.0.0.2"),
        (socket.AF_INET, "127.0.0.1"),
    )
    async with Peer(answering(OK)) as origin:
        assert await client.body(origin.port) == b"hello"


AWAY: Addresses = ((socket.AF_INET, "127.0.0.2"),)  # where nobody listens


async def test_a_name_that_has_moved_is_found_at_once(client: Client) -> None:
    client.names.answers["a.example"] = AWAY
    async with Peer(answering(OK)) as origin:
        for _ in range(2):  # looked up, and not kept
            with pytest.raises(NotReached) as caught:
                await client.fetch(origin.port)
            assert blame(caught) == (502, "connection_refused")
        client.names.answers["a.example"] = LOOPBACK
        assert await client.body(origin.port) == b"hello"


async def test_a_remembered_name_that_has_moved_is_looked_up_within_the_request(
    client: Client,
) -> None:
    async with Peer(answering(OK, close=True)) as origin:
        assert await client.body(origin.port) == b"hello"
        port = origin.port
    async with Peer(answering(OK), host="127.0.0.2", port=port) as origin:
        client.names.answers["a.example"] = AWAY
        assert await client.body(port) == b"hello"
        client.guard.denied = {"127.0.0.1"}
    client.names.answers["a.example"] = LOOPBACK
    with pytest.raises(NotReached, match="allow_destinations would allow it"):
        await client.fetch(port)  # where it has moved to is judged, too


async def test_a_remembered_name_is_asked_for_once_more_and_not_again(client: Client) -> None:
    asked: list[str] = []
    lookup = client.names.__call__

    def counting(name: str) -> Addresses:
        asked.append(name)
        return lookup(name)

    client.upstream = Upstream(UpstreamOptions(), client.guard, lookup=counting)
    client.made.append(client.upstream)
    async with Peer(answering(OK, close=True)) as origin:
        assert await client.body(origin.port) == b"hello"
        port = origin.port
    for looked_up in (2, 3):
        with pytest.raises(NotReached) as caught:
            await client.fetch(port)
        assert blame(caught) == (502, "connection_refused")
        assert len(asked) == looked_up


async def test_a_name_that_does_not_resolve(client: Client) -> None:
    client.names.answers["a.example"] = socket.gaierror(socket.EAI_NONAME, "x")
    with pytest.raises(NotReached) as caught:
        await client.fetch(1)
    assert blame(caught) == (502, "dns_error")


@pytest.mark.parametrize("cancel", [False, True])
async def test_a_name_that_takes_too_long(client: Client, cancel: bool) -> None:
    client.options(connect_timeout=SHORT)
    client.names.gate.clear()
    doing = asyncio.ensure_future(client.fetch(1))
    try:
        await asyncio.sleep(0)
        if cancel:
            doing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await doing
        else:
            with pytest.raises(NotReached) as caught:
                await doing
            assert blame(caught) == (504, "dns_timeout")
    finally:
        client.names.gate.set()
    assert "open=0" in client.pool


def full_backlog() -> tuple[socket.socket, list[socket.socket]]:
    """A listener that takes no connection, and those that fill its queue."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fill = [socket.socket() for _ in range(3)]
    for one in fill:
        one.setblocking(False)
        one.connect_ex(listener.getsockname())
    return listener, fill


async def test_an_address_that_does_not_answer(client: Client) -> None:
    client.options(connect_timeout=SHORT)
    listener, fill = full_backlog()
    with pytest.raises(NotReached) as caught:
        await client.fetch(listener.getsockname()[1])
    assert blame(caught) == (504, "connection_timeout")
    for one in (listener, *fill):
        one.close()


# TLS.


async def test_tls(client: Client) -> None:
    async with Peer(answering(OK), tls=client.server_tls()) as origin:
        for _ in range(2):
            assert await client.body(origin.port, scheme="https") == b"hello"
        assert origin.connections == 1


async def test_tls_with_another_name(client: Client) -> None:
    async with Peer(answering(OK), tls=client.server_tls("b.example")) as origin:
        with pytest.raises(NotReached, match=r"a\.example") as caught:
            await client.fetch(origin.port, scheme="https")
        assert blame(caught) == (502, "tls_certificate_error")
        await asyncio.sleep(0.01)


async def test_no_tls_where_tls_was_meant(client: Client) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read()

    async with Peer(play) as origin:
        with pytest.raises(NotReached) as caught:
            await client.fetch(origin.port, scheme="https")
        assert blame(caught) == (502, "tls_protocol_error")


async def test_a_handshake_that_hangs_or_is_cut(client: Client) -> None:
    client.options(connect_timeout=SHORT)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def curt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    for play, expected in (
        (silent, (504, "connection_timeout")),
        (curt, (502, "connection_terminated")),
    ):
        async with Peer(play) as origin:
            with pytest.raises(NotReached) as caught:
                await client.fetch(origin.port, scheme="https")
            assert blame(caught) == expected


# Parents.


def tunnelling(requests: list[bytes], answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> Play:
    """A parent that connects every CONNECT to the port asked for on the loopback."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await head(reader))
        port = int(requests[-1].split()[1].rpartition(b":")[2])
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(answer)
        try:
            await asyncio.wait(
                [
                    asyncio.ensure_future(copy(reader, far_writer)),
                    asyncio.ensure_future(copy(far_reader, writer)),
                ]
            )
        finally:
            far_writer.transport.abort()

    return play


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while octets := await reader.read(2**16):
            writer.write(octets)
        writer.write_eof()
    except ConnectionError:
        pass


async def test_plain_requests_go_to_the_parent_whole(client: Client) -> None:
    got: list[bytes] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            got.append(await head(reader))
            writer.write(OK)

    client.guard.denied = {"127.0.0.1"}  # the configured parent itself is exempt
    async with Peer(play) as parent:
        client.through(parent)
        assert await client.body(81) == b"hello"
        assert await client.body(82) == b"hello"
        assert parent.connections == 1
    assert got[0] == (
        b"GET http://a.example:81/x HTTP/1.1\r\nHost: a.example:81\r\n"
        b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n"
    )


async def test_tls_goes_through_the_parent(client: Client) -> None:
    connects: list[bytes] = []
    async with (
        Peer(answering(OK), tls=client.server_tls()) as origin,
        Peer(tunnelling(connects)) as parent,
    ):
        client.through(parent)
        for _ in range(2):
            assert await client.body(origin.port, scheme="https") == b"hello"
        assert origin.connections == 1
        client.upstream.close()
        await origin.ended.get()
    assert connects == [
        f"CONNECT a.example:{origin.port} HTTP/1.1\r\nHost: a.example:{origin.port}\r\n"
        "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n".encode()
    ]


@pytest.mark.parametrize(
    ("answer", "blamed"),
    [
        (b"HTTP/1.1 407 x\r\nContent-Length: 0\r\n\r\n", (502, "proxy_configuration_error")),
        (b"HTTP/1.1 403 x\r\nContent-Length: 9\r\n\r\nno", (502, "connection_refused")),
        (b"nonsense\r\n\r\n", (502, "http_protocol_error")),
        (b"HTTP/1.1 200 OK\r\n\r\nearly", (502, "http_protocol_error")),
        (b"", (502, "connection_terminated")),
    ],
    ids=["407", "403", "nonsense", "early", "closed"],
)
async def test_a_parent_that_gives_no_tunnel(
    client: Client, answer: bytes, blamed: tuple[int, str]
) -> None:
    async with Peer(answering(answer, close=not answer)) as parent:
        client.through(parent)
        with pytest.raises(NotReached) as caught:
            await client.fetch(443, scheme="https")
        assert blame(caught) == blamed
        assert "pass" not in caught.value.detail


async def test_the_parents_407_is_no_clients_business(client: Client) -> None:
    async with Peer(answering(b"HTTP/1.1 407 x\r\nContent-Length: 5\r\n\r\nhe")) as parent:
        client.through(parent)
        with pytest.raises(NotReached) as caught:
            await client.fetch(80)
        assert blame(caught) == (502, "proxy_configuration_error")


@pytest.mark.parametrize(("host", "address"), [("127.0.0.1", "127.0.0.1"), ("bad.example", None)])
async def test_what_is_denied_is_judged_before_a_parent_gets_it(
    client: Client, host: str, address: str | None
) -> None:
    client.guard.denied = {host}
    async with Peer(answering(OK)) as parent:
        client.through(parent)
        with pytest.raises(NotReached):
            await client.fetch(80, host=host)
        with pytest.raises(NotReached):
            await client.upstream.dial(Origin("https", host, 443), VIA)
        with pytest.raises(NotReached):
            client.upstream.admitted(Origin("https", host, 443))
        assert client.guard.asked == [(host, address)] * 3
        assert client.upstream.admitted(Origin("https", "good.example", 443)) == ()
        assert parent.connections == 0


async def test_what_would_be_connected_to_is_known_without_doing_so(client: Client) -> None:
    origin = Origin("http", "a.example", 80)
    assert client.upstream.admitted(origin) is None
    assert client.upstream.admitted(Origin("http", "::1", 80)) == ("::1",)
    async with Peer(answering(OK)) as there:
        await client.body(there.port)  # its name is resolved now
    assert client.upstream.admitted(origin) == ("127.0.0.1",)
    client.guard.denied = {"127.0.0.1"}
    with pytest.raises(NotReached, match=r"a\.example is denied"):
        client.upstream.admitted(origin)


async def test_a_silent_parent(client: Client) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.read()

    async with Peer(play) as parent:
        client.through(parent, connect_total_timeout=SHORT)
        with pytest.raises(NotReached) as caught:
            await client.fetch(443, scheme="https")
        assert blame(caught) == (504, "connection_timeout")


# Tunnels.


class Taker(asyncio.Protocol):
    """Whoever takes a raw connection."""

    def __init__(self) -> None:
        self.got = b""
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.got += data

    def eof_received(self) -> bool:
        self.ended.set()
        return True


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greet, and say back what comes."""
    writer.write(b"hello ")
    writer.write(await reader.read())
    writer.write_eof()
    await reader.read()


async def converse(raw: Raw) -> bytes:
    transport, early = raw.detach()
    taker = Taker()
    transport.set_protocol(taker)
    transport.resume_reading()
    transport.write(b"world")
    transport.write_eof()
    await taker.ended.wait()
    transport.abort()
    return early + taker.got


async def test_dial(client: Client) -> None:
    async with Peer(echo) as origin:
        raw = await client.upstream.dial(Origin("https", "a.example", origin.port), VIA)
        assert raw.head is None
        assert await converse(raw) == b"hello world"


async def test_dial_through_the_parent(client: Client) -> None:
    connects: list[bytes] = []
    async with Peer(echo) as origin, Peer(tunnelling(connects)) as parent:
        client.through(parent)
        raw = await client.upstream.dial(Origin("https", "a.example", origin.port), VIA)
        assert await converse(raw) == b"hello world"
        assert len(connects) == 1


async def test_dialling_asks_access(client: Client) -> None:
    client.guard.denied = {"127.0.0.1"}
    with pytest.raises(NotReached) as caught:
        await client.upstream.dial(Origin("https", "a.example", 443), VIA)
    assert caught.value.status == 403


async def test_upgrade(client: Client) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n")
        await echo(reader, writer)

    async with Peer(play) as origin:
        raw = await client.upstream.upgrade(outgoing(origin.port, upgrade=True))
        assert isinstance(raw, Raw)
        assert await converse(raw) == b"hello world"
        assert "open=0" in client.pool


# Cancellation and closing.


async def cancelled(doing: asyncio.Task[object], reached: asyncio.Event) -> None:
    await reached.wait()
    await asyncio.sleep(0)
    doing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await doing


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("start", [b"", OK[:20], OK[:-1]], ids=["start", "head", "body"])
async def test_cancelled_while_waiting(client: Client, start: bytes, scheme: str) -> None:
    reached = asyncio.Event()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(start)
        reached.set()
        assert await reader.read() == b""

    tls = client.server_tls() if scheme == "https" else None
    async with Peer(play, tls=tls) as origin:
        doing = asyncio.ensure_future(client.body(origin.port, scheme=scheme))
        await cancelled(doing, reached)
        await origin.ended.get()
        assert client.pool == "<Pool open=0 idle=0 waiting=0>"


async def test_cancelled_while_sending(client: Client) -> None:
    reached = asyncio.Event()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        reached.set()
        await reader.read()

    async with Peer(play) as origin:
        body = Body(b"x", asyncio.Event())
        doing = asyncio.ensure_future(client.body(origin.port, "POST", body=body))
        await cancelled(doing, reached)
        await origin.ended.get()
        assert "open=0" in client.pool


async def test_cancelled_in_the_handshake(client: Client) -> None:
    reached = asyncio.Event()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        reached.set()
        await reader.read()

    async with Peer(play) as origin:
        doing = asyncio.ensure_future(client.body(origin.port, scheme="https"))
        await cancelled(doing, reached)
        await origin.ended.get()
        assert client.pool == "<Pool open=0 idle=0 waiting=0>"


async def test_cancelled_while_connecting(client: Client) -> None:
    listener, fill = full_backlog()
    doing = asyncio.ensure_future(client.body(listener.getsockname()[1]))
    reached = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, reached.set)
    await cancelled(doing, reached)
    for one in (listener, *fill):
        one.close()
    assert client.pool == "<Pool open=0 idle=0 waiting=0>"


async def test_cancelled_in_the_queue(client: Client) -> None:
    client.options(connections_per_origin=1)
    async with Peer(answering(OK[:-1])) as origin:
        response = await client.fetch(origin.port)
        doing = asyncio.ensure_future(client.body(origin.port))
        reached = asyncio.Event()
        asyncio.get_running_loop().call_soon(reached.set)
        await cancelled(doing, reached)
        assert client.pool == "<Pool open=1 idle=0 waiting=0>"
        response.close()


async def test_close_ends_what_is_under_way(client: Client) -> None:
    async with Peer(answering(OK[:-1])) as origin:
        response = await client.fetch(origin.port)
        client.upstream.close()
        with pytest.raises(Lost):
            await rest(response)
        await origin.ended.get()


# Dialled before it is known what for.


async def test_what_was_dialled_takes_a_request(client: Client) -> None:
    async with Peer(answering(OK)) as peer:
        origin = Origin("http", "a.example", peer.port)
        assert not client.upstream.has_idle(origin)
        (await client.upstream.dial(origin, VIA)).keep()
        assert client.upstream.has_idle(origin)
        assert await client.body(peer.port) == b"hello"
        assert client.upstream.has_idle(origin)
        assert peer.connections == 1


@pytest.mark.parametrize(("method", "repeated"), [("GET", True), ("HEAD", True), ("POST", False)])
async def test_a_request_lost_on_it_may_be_repeated(
    client: Client, method: str, repeated: bool
) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        if peer.connections > 1:
            writer.write(OK)
            await reader.read()

    async with Peer(play) as peer:
        (await client.upstream.dial(Origin("http", "a.example", peer.port), VIA)).keep()
        if repeated:
            await client.body(peer.port, method)
        else:
            with pytest.raises(Lost):
                await client.body(peer.port, method)
        assert peer.connections == 1 + repeated


async def test_a_name_that_is_denied_is_not_resolved(client: Client) -> None:
    client.guard.denied = {"bad.example"}
    client.names.answers["bad.example"] = socket.gaierror("no such name")
    with pytest.raises(NotReached) as caught:
        await client.upstream.dial(Origin("http", "bad.example", 80), VIA)
    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("status", "blamed", "tunnels"),
    [
        (502, (502, "connection_refused"), True),
        (503, (503, "destination_unavailable"), True),
        (504, (504, "connection_timeout"), True),
        (403, (502, "connection_refused"), False),
        (405, (502, "connection_refused"), False),
        (500, (502, "connection_refused"), False),
    ],
)
async def test_a_parent_that_opens_no_tunnel(
    client: Client, status: int, blamed: tuple[int, str], tunnels: bool
) -> None:
    async with Peer(answering(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)) as parent:
        client.through(parent)
        with pytest.raises(NotReached) as caught:
            await client.upstream.dial(Origin("http", "a.example", 80), VIA)
        assert blame(caught) == blamed
        assert isinstance(caught.value, NotTunnelled) is not tunnels


async def test_a_tunnel_that_is_kept_takes_what_cannot_be_relayed(client: Client) -> None:
    connects: list[bytes] = []
    async with Peer(answering(OK)) as origin, Peer(tunnelling(connects)) as parent:
        client.through(parent)
        target = Origin("http", "a.example", origin.port)
        (await client.upstream.dial(target, VIA)).keep()
        assert client.upstream.has_idle(target)
        request = outgoing(origin.port)._replace(fields=fields("Host: b.example"))
        response = await client.upstream.fetch(request)
        assert await rest(response) == b"hello"
        assert len(connects) == parent.connections == origin.connections == 1
