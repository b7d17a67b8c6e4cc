"""Connections have owners, and CONNECT is a connection: as it would be without the proxy."""

from __future__ import annotations

import asyncio
import os
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.asking import PATIENCE
from tests.support.origin import READ_BODY, Conversation, Gate, Origin, Steps, head, reply
from tests.support.resources import FRESH, NOW, Written
from tests.support.rows import Row, check, get, put
from tests.support.wire import Incoming, Wire, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import StartHouse
    from tests.support.asking import Ask
    from tests.support.house import House


class Logins:
    """Answers who is logged in on the connection (RFC 4559 §6, and NTLM before it).

    Three messages make a login: the client's first, a challenge, and the client's name.
    """

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme
        self._users: dict[int, str] = {}  # by connection; "" once challenged

    async def __call__(self, conversation: Conversation) -> None:
        received = conversation.received
        scheme, _, token = (received.get("authorization") or "").partition(" ")
        said = b64decode(token).decode() if scheme == self._scheme else ""
        fields = [NOW, "Cache-Control: no-cache", 'ETag: "1"']
        if said.startswith("user ") and received.connection in self._users:
            self._users[received.connection] = said.removeprefix("user ")
        elif said == "hello":
            self._users[received.connection] = ""
            fields.append(f"WWW-Authenticate: {self._scheme} {token_of('challenge')}")
        user = self._users.get(received.connection, "")
        if not user and said != "hello":
            fields.append(f"WWW-Authenticate: {self._scheme}")
        body = f"{received.method} by {user or 'nobody'}".encode()
        length = f"Content-Length: {len(body)}"
        conversation.writer.write(head(200 if user else 401, *fields, length) + body)


def token_of(text: str) -> str:
    return b64encode(text.encode()).decode()


def logins(scheme: str) -> list[Row]:
    """One user and others who are not, two users in turn and at once, short and long stories."""

    def said(user: str, text: str) -> Ask:
        return get(f"Authorization: {scheme} {token_of(text)}", who=user)

    def hello(user: str) -> Ask:
        return said(user, "hello")

    def name(user: str) -> Ask:
        return said(user, f"user {user}")

    def other(user: str) -> Ask:
        return get(who=user, path="/other")

    a, b = [hello("a"), name("a")], [hello("b"), name("b")]
    stories = {
        "one, then nobody": [*a, other("a"), other("b"), other("a"), other("c")],
        "two in turn": [*a, other("a"), other("b"), *b, other("a"), other("b")],
        "two at once": [hello("a"), hello("b"), name("b"), name("a"), other("a"), other("b")],
        "many times": [*a, *[other("a")] * 5, *[other("b")] * 5, *[other("a")] * 3],
        "nobody at first": [*[other("b")] * 4, *a, other("b"), other("b"), other("a")],
        "challenged only": [hello("a"), other("b"), other("a")],
        "a POST of another": [*a, put("/other", method="POST"), other("a")],
    }
    return [
        Row(
            f"{scheme}{way}: {story}",
            Written(lambda _: Logins(scheme)),
            tuple(asks),
            tunnel=bool(way),
        )
        for story, asks in stories.items()
        for way in ("", " in CONNECT")
    ]


LOGINS: Final = [row for scheme in ("NTLM", "Negotiate") for row in logins(scheme)]


@pytest.mark.parametrize("row", LOGINS, ids=str)
async def test_same_as_direct(
    start_house: StartHouse, origin: Origin, direct: Origin, row: Row
) -> None:
    await check(row, start_house, origin, direct)


async def test_a_connection_with_a_login_ends_with_its_client(house: House, origin: Origin) -> None:
    gone = asyncio.Event()

    async def watch(conversation: Conversation) -> None:
        await Logins("NTLM")(conversation)
        await conversation.reader.read(1)
        conversation.over = True
        gone.set()

    origin.otherwise = watch
    line = f"Authorization: NTLM {token_of('hello')}"
    asking = await house.open(origin.url("/"), line)
    assert (await asking.whole()).status == 401
    await asking.wire.close()
    async with asyncio.timeout(PATIENCE):
        await gone.wait()


# What a client and a server say inside CONNECT: bytes are what one sends and the other awaits.
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Talk:
    """``lines`` in turn, the server's begin with ``S:``; the server closes after the last."""

    id: str
    lines: tuple[bytes, ...]

    def __str__(self) -> str:
        return self.id

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for line in self.lines:
            if line.startswith(b"S:"):
                writer.write(line[2:])
                await writer.drain()
            elif await reader.readexactly(len(line)) != line:
                break
        writer.close()

    async def ask(self, wire: Wire) -> list[bytes]:
        """What the client hears, and where it waited in vain."""
        heard = []
        for line in self.lines:
            if not line.startswith(b"S:"):
                await wire.send(line)
                continue
            try:
                async with asyncio.timeout(PATIENCE):
                    heard.append(await wire.reader.readexactly(len(line) - 2))
            except asyncio.IncompleteReadError as error:
                return [*heard, error.partial, b"(closed)"]
            except TimeoutError:
                return [*heard, b"(nothing)"]
        return [*heard, await wire.rest()]


TALKS: Final = [
    Talk("the server speaks first", (b"S:220 ready\r\n", b"QUIT\r\n", b"S:221 bye\r\n")),
    Talk("the server speaks alone", (b"S:SSH-2.0-own\r\n",)),
    Talk("three octets", (b"six", b"S:nine")),
    Talk("one octet", (b"G", b"S:ET")),
    Talk("octets that begin like a method", (b"EARLY-", b"S:late")),
    Talk("a line that is no request", (b"USER me\r\n", b"S:331 who\r\n", b"PASS x\r\n", b"S:ok")),
    Talk("a line with two blanks", (b"MAIL FROM: a\r\n", b"S:250 ok\r\n")),
    Talk("zeros", (bytes(4), b"S:ok")),
    Talk("one octet of TLS", (b"\x16", b"S:ok")),
    Talk("TLS", (b"\x16\x03\x01\x00\x02\x01\x00", b"S:\x15\x03\x01\x00\x02\x02\x28")),
    Talk("SSH", (b"SSH-2.0-client\r\n", b"S:SSH-2.0-server\r\n", b"x" * 1000, b"S:" + b"y" * 1000)),
    Talk("nothing is said", (b"S:",)),
]  # fmt: skip


@pytest.fixture(params=["80", "another port"])
async def listening(request: pytest.FixtureRequest) -> AsyncIterator[Listening]:
    """A place for a server, on port 80 of an address of its own where that is allowed."""
    here = Listening("127.0.0.1", 0)
    if request.param == "80":
        number = os.getpid() % 60_000 + 1000
        here = Listening(f"127.9.{number >> 8}.{number & 255}", 80)
    try:
        await here.start()
    except PermissionError:
        pytest.skip("only root may listen on port 80 here")
    yield here
    await here.stop()


class Listening:
    """A server whose every connection is played by ``talk``."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.talk: Serve | None = None
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            assert self.talk is not None
            await self.talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has left, or the test is over
        finally:
            writer.close()


@pytest.mark.parametrize("talk", TALKS, ids=str)
async def test_inside_connect_all_is_said_and_heard(
    listening: Listening, start_house: StartHouse, talk: Talk
) -> None:
    listening.talk = talk.serve
    house = await start_house(ports=(listening.port,))
    reader, writer = await asyncio.open_connection(listening.host, listening.port)
    direct = Wire(reader, writer)
    heard = await talk.ask(direct)
    await direct.close()
    tunnel = await house.tunnel(listening.authority)
    assert await talk.ask(tunnel) == heard


async def test_a_dead_port_is_an_error_of_connect(
    listening: Listening, start_house: StartHouse
) -> None:
    house = await start_house(ports=(listening.port,))
    await listening.stop()
    answer = await house.get(listening.authority, method="CONNECT")
    assert answer.status in (502, 503, 504)


@pytest.mark.parametrize("port", [80, 443])
async def test_a_name_that_is_none_is_an_error_of_connect(house: House, port: int) -> None:
    answer = await house.get(f"nowhere.invalid:{port}", method="CONNECT")
    assert answer.status in (502, 503, 504)


def serving(body: bytes) -> Serve:
    """An HTTP server whose answers are fresh."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply(200, FRESH, body=body))
            await writer.drain()

    return serve


async def fetched(wire: Wire, here: Listening, path: str) -> bytes:
    await wire.send(request("GET", path, (f"Host: {here.authority}",)))
    return (await wire.response()).body


async def test_connect_and_its_first_miss_are_one_connection(
    listening: Listening, start_house: StartHouse
) -> None:
    listening.talk = serving(b"hello")
    house = await start_house(ports=(listening.port,))
    for number in range(5):
        wire = await house.tunnel(listening.authority)
        assert await fetched(wire, listening, f"/{number}") == b"hello"
        await wire.close()
    assert listening.connections == 1


async def test_what_is_stored_is_there_inside_connect_without_the_origin(
    listening: Listening, start_house: StartHouse
) -> None:
    listening.talk = serving(b"hello")
    house = await start_house(ports=(listening.port,))
    wire = await house.tunnel(listening.authority)
    assert await fetched(wire, listening, "/a") == b"hello"
    await wire.close()
    await listening.stop()
    wire = await house.tunnel(listening.authority)
    assert await fetched(wire, listening, "/a") == b"hello"


@pytest.mark.parametrize(
    "ports",
    [
        pytest.param("any", id="any"),
        pytest.param(["any"], id="a list of any"),
        pytest.param(["1-65535"], id="a range"),
        pytest.param([443, "1024-65535"], id="a port and a range"),
    ],
)
async def test_connect_ports(start_house: StartHouse, origin: Origin, ports: object) -> None:
    house = await start_house({"access": {"connect_ports": ports}})
    assert (await house.get(origin.authority, method="CONNECT")).status == 200


@pytest.mark.parametrize("way", ["direct", "proxied"])
async def test_upgrade_with_content(house: House, origin: Origin, way: str) -> None:
    """``docker exec``: a POST with JSON that becomes a stream of octets."""
    ask = ("Connection: Upgrade", "Upgrade: tcp", "Content-Type: application/json")
    switch = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"

    async def echo(conversation: Conversation) -> None:
        while piece := await conversation.reader.read(65_536):
            conversation.writer.write(piece)
        conversation.over = True

    origin.serve("/exec", READ_BODY, switch, b"ready\n", echo)
    body = b'{"Detach": false, "Tty": true}'
    if way == "direct":
        wire = await Wire.connect(origin.port)
        lines = (f"Host: {origin.authority}", *ask)
        await wire.send(request("POST", "/exec", lines, body))
    else:
        wire = await house.wire()
        await wire.send(request("POST", origin.url("/exec"), ask, body))
    answer = await wire.head()
    assert (answer.status, answer.get("upgrade")) == (101, "tcp")
    assert await wire.exactly(6) == b"ready\n"
    await wire.send(b"ls\n")
    assert await wire.exactly(3) == b"ls\n"
    await wire.half_close()
    assert await wire.rest() == b""
    assert origin.requests[0].body == body
    await wire.close()


STREAMS: Final = 80
EVENTS: Final = head(200, NOW, "Content-Type: text/event-stream") + b"data: 1\n\n"


@pytest.mark.parametrize("kind", ["event streams", "long polls", "uploads", "downloads"])
async def test_many_that_last_hold_up_nobody(house: House, origin: Origin, kind: str) -> None:
    gate = Gate()
    start = head(200, NOW, "Content-Length: 100") + b"x"
    script: dict[str, Steps] = {
        "event streams": (EVENTS, gate),
        "long polls": (gate, reply()),
        "uploads": (READ_BODY, reply()),
        "downloads": (start, gate, b"x" * 99),
    }
    lasting: list[Incoming] = []
    for number in range(STREAMS):
        path = f"/{number}"
        origin.serve(path, *script[kind])
        lines = ("Content-Length: 100",) if kind == "uploads" else ()
        method = "POST" if kind == "uploads" else "GET"
        lasting.append(await house.open(origin.url(path), *lines, method=method))
        if kind in ("event streams", "downloads"):
            await lasting[-1].head()
    origin.serve("/a", reply(200, body=b"hello"))
    async with asyncio.timeout(5):
        assert (await house.get(origin.url("/a"))).body == b"hello"
    gate.open()
