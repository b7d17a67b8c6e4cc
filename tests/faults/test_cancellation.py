"""Exchanges that are cancelled at each await in turn: nothing is left, and the next one is right.

A client may leave at any moment. One row is one kind of exchange; it is cancelled at its first
await, then at its second, and so on, until it ends before that: each time when it begins to wait,
and each time when what it waited for has just come.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

import pytest

from proxy.store.tiered import TieredStore
from tests.support.cancelling import Cancelling
from tests.support.origin import Conversation, Origin, Received, chunk, head
from tests.support.wire import Cut, Wire, request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.conftest import StartHouse
    from tests.support.house import Config, House

pytestmark = pytest.mark.slow

BODY: Final = random.Random(5).randbytes(3000)
GZIP: Final = b"\x1f\x8b"
SMALL: Final = 100  # octets of a body that comes with its head
PIECES: Final = 6
PAUSE: Final = 0.001  # seconds between two of them
LARGE: Final = random.Random(6).randbytes(900_000)
GZIPPED: Final = gzip.compress(LARGE)
FRESH: Final = ("Cache-Control: max-age=600", 'ETag: "v1"')
STALE: Final = ("Cache-Control: max-age=0", 'ETag: "v1"')
NO_STORE: Final = ("Cache-Control: no-store",)
# Every request has a task, and what is stored is on disk.
CONFIG: Final[Config] = {
    "server": {"exchange_ids": True},
    "cache": {"memory": "0"},
    "access": {"purge_clients": ["127.0.0.1"]},
}
EXCHANGE: Final = "Conversation._exchange"
MOST: Final = 200  # awaits
QUIET: Final = 5.0  # seconds until everything has been given back


class Said:
    """What the origin says: a body in pieces, or a part of it, or that it is still the same.

    ``drops``: it closes a connection on which a second request comes. ``fails``: it does not know
    whether it is the same.
    """

    def __init__(
        self,
        *fields: str,
        body: bytes = BODY,
        chunked: bool = False,
        drops: bool = False,
        fails: bool = False,
    ) -> None:
        self.fields = fields
        self.body = body
        self.chunked = chunked
        self.drops = drops
        self.fails = fails
        self._seen: WeakSet[asyncio.StreamWriter] = WeakSet()

    async def __call__(self, conversation: Conversation) -> None:
        asked, writer = conversation.received, conversation.writer
        if self.drops and writer in self._seen:
            conversation.over = True
            return
        self._seen.add(writer)
        if asked.get("upgrade"):
            writer.write(head(101, "Connection: Upgrade", "Upgrade: odd"))
            await conversation.reader.read()
            conversation.over = True
            return
        if asked.get("if-none-match") and not self.fails:
            writer.write(head(304, *self.fields, f"X-Time: {time.monotonic()}"))
            return
        status, fields, octets = self._part(asked)
        framing = "Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {len(octets)}"
        writer.write(head(status, *fields, framing, f"X-Time: {time.monotonic()}"))
        size = max(SMALL, len(octets) // PIECES + 1)
        for start in range(0, len(octets), size):
            if start:
                await asyncio.sleep(PAUSE)  # it is on its way while the proxy does something
            piece = octets[start : start + size]
            writer.write(chunk(piece) if self.chunked else piece)
            await writer.drain()
        if self.chunked:
            writer.write(b"0\r\n\r\n")

    def _part(self, asked: Received) -> tuple[int, tuple[str, ...], bytes]:
        if asked.get("if-none-match"):
            return 503, (), self.body[::-1]
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.get("range") or "")
        if not found:
            return 200, self.fields, self.body
        first, last = int(found[1]), int(found[2] or len(self.body) - 1)
        said = f"Content-Range: bytes {first}-{last}/{len(self.body)}"
        return 206, (*self.fields, said), self.body[first : last + 1]


Ask = tuple[str, tuple[str, ...], bytes | None]  # method, fields, body


def get(*fields: str) -> Ask:
    return "GET", fields, None


@dataclass(frozen=True, slots=True)
class Row:
    """``first`` are asked before, one after the other; ``beside`` while the one to cancel is.

    ``task`` is the function of the task that is cancelled, ``before`` how many of those come
    before it. ``talk`` takes the place of an ordinary request.
    """

    id: str
    says: Said
    asks: Ask = field(default_factory=get)
    first: tuple[Ask, ...] = ()
    beside: tuple[Ask, ...] = ()
    task: str = EXCHANGE
    before: int = 0
    config: Config = field(default_factory=dict)
    talk: Callable[[Wire, str], Awaitable[None]] | None = None
    host: str = "127.0.0.1"


OUTLIVES: Final = Said(
    "Cache-Control: max-age=0, stale-if-error=600", 'ETag: "v1"', body=LARGE, fails=True
)
HEAD: Final[Ask] = ("HEAD", (), None)
FRESH_CONNECTIONS: Final = {"upstream": {"idle_connections": 0}}
UNKNOWN_NAMES: Final = {"upstream": {"idle_connections": 0, "dns_ttl": "0s"}}
ONE_CONNECTION: Final = {"upstream": {"connections_per_origin": 1}}
PART: Final = get("Range: bytes=1000-1999")
COMPLETING: Final = get("Range: bytes=0-400000")
UPLOAD: Final = ("POST", (), LARGE)


async def tunnelled(wire: Wire, url: str) -> None:
    """What is inside is no HTTP."""
    authority = url.split("/")[2]
    await wire.send(request("CONNECT", authority))
    await wire.head()
    await wire.send(b"\x16\x03\x01")
    await wire.half_close()
    await wire.rest()


async def asked_inside(wire: Wire, url: str) -> None:
    """What is inside is HTTP."""
    authority = url.split("/")[2]
    await wire.send(request("CONNECT", authority))
    await wire.head()
    path = url.removeprefix(f"http://{authority}")
    await wire.send(request("GET", path, (f"Host: {authority}",)))
    await wire.response()


async def switched(wire: Wire, url: str) -> None:
    """It becomes a tunnel."""
    await wire.send(request("GET", url, ("Connection: Upgrade", "Upgrade: odd")))
    await wire.response()
    await wire.half_close()
    await wire.rest()


ROWS: Final = [
    Row("a miss that is stored", Said(*FRESH)),
    Row("a miss that is stored, large", Said(*FRESH, body=LARGE)),
    Row("a miss that is stored, in chunks", Said(*FRESH, body=LARGE, chunked=True)),
    Row("a miss that is stored, coded", Said(*FRESH, "Content-Encoding: gzip", body=GZIPPED)),
    Row("a miss that is passed on", Said(*NO_STORE)),
    Row("a miss that is passed on, large", Said(*NO_STORE, body=LARGE, chunked=True)),
    Row(
        "a miss that is decoded",
        Said(*NO_STORE, "Content-Encoding: gzip", "Content-Type: text/plain", body=GZIPPED),
        config={"coding": {"negotiate": True}},
    ),
    Row(
        "a miss that is encoded",
        Said(*FRESH, "Content-Type: text/plain", body=LARGE),
        asks=get("Accept-Encoding: gzip"),
        config={"coding": {"encode": "always"}},
    ),
    Row("a HEAD", Said(*FRESH), asks=HEAD),
    Row("a HEAD that changes what is stored", Said(*STALE), asks=HEAD, first=(get(),)),
    Row("a connection that is opened", Said(*NO_STORE), config=FRESH_CONNECTIONS),
    Row("a name that is looked up", Said(*NO_STORE), config=UNKNOWN_NAMES, host="localhost"),
    Row(
        "a connection that is waited for",
        Said(*NO_STORE),
        config=ONE_CONNECTION,
        beside=(get(), get("X: y")),
        before=2,
    ),
    Row(
        "the only connection that may be opened",
        Said(*NO_STORE),
        config={"upstream": {"connections_per_origin": 1, "idle_connections": 0}},
    ),
    Row("a connection that was closed", Said(*NO_STORE, drops=True)),
    Row("a hit", Said(*FRESH), first=(get(),)),
    Row("a hit, large", Said(*FRESH, body=LARGE), first=(get(),)),
    Row("a range of a hit", Said(*FRESH, body=LARGE), asks=PART, first=(get(),)),
    Row(
        "ranges of a hit",
        Said(*FRESH, body=LARGE),
        asks=get("Range: bytes=0-99,300000-300099"),
        first=(get(),),
    ),
    Row(
        "a hit that is decoded",
        Said(*FRESH, "Content-Encoding: gzip", "Content-Type: text/plain", body=GZIPPED),
        asks=get("Accept-Encoding: identity"),
        first=(get("Accept-Encoding: gzip"),),
    ),
    Row(
        "a hit that is decoded, and kept so",
        Said(*FRESH, "Content-Encoding: gzip", "Content-Type: text/plain", body=GZIPPED),
        asks=get("Accept-Encoding: identity"),
        first=(get("Accept-Encoding: gzip"), get("Accept-Encoding: identity")),
    ),
    Row("a range that is missed", Said(*FRESH, body=LARGE), asks=PART),
    Row("what a part lacks", Said(*FRESH, body=LARGE), asks=COMPLETING, first=(PART,)),
    Row("a validation", Said(*STALE), first=(get(),)),
    Row("a validation, large", Said(*STALE, body=LARGE), first=(get(),)),
    Row("what outlives an error", OUTLIVES, first=(get(),)),
    Row("a reload", Said(*FRESH), asks=get("Cache-Control: no-cache"), first=(get(),)),
    Row("a follower", Said(*FRESH, body=LARGE), beside=(get(),), before=1),
    Row("whom others follow", Said(*FRESH, body=LARGE), beside=(get(), get())),
    Row("who waits with others", Said(*NO_STORE), beside=(get(), get()), before=1),
    Row("an upload", Said(*NO_STORE), asks=UPLOAD),
    Row("an upload that invalidates", Said(*FRESH), asks=UPLOAD, first=(get(),)),
    Row("a purge", Said(*FRESH), asks=("PURGE", (), None), first=(get(),)),
    Row("a tunnel", Said(*FRESH), task="ConnectTask._reach", talk=tunnelled),
    Row("CONNECT, and HTTP inside", Said(*FRESH), task="ConnectTask._reach", talk=asked_inside),
    Row("a request inside", Said(*FRESH), talk=asked_inside),
    Row("an upgrade", Said(*NO_STORE), talk=switched),
    Row("what is stored", Said(*FRESH, body=LARGE), task="Keeping._pump"),
    Row(
        "what is stored for many",
        Said(*FRESH, body=LARGE, chunked=True),
        beside=(get(), get()),
        task="Keeping._pump",
    ),
    Row(
        "what is stored, coded",
        Said(*FRESH, "Content-Encoding: gzip", body=GZIPPED),
        task="Keeping._pump",
    ),
    Row(
        "what a part lacks, stored",
        Said(*FRESH, body=LARGE),
        asks=COMPLETING,
        first=(PART,),
        task="Keeping._pump",
    ),
    Row("the commit", Said(*FRESH, body=b"hello"), task="Keeping._finish"),
    Row("what a validation changes", Said(*STALE), first=(get(),), task="Arriving._write"),
    Row(
        "what is fetched behind",
        Said("Cache-Control: max-age=0, stale-while-revalidate=600", 'ETag: "v1"', body=LARGE),
        first=(get(),),
        task="Fetching._behind",
    ),
]


class Place:
    """A house, and what has to be as it was."""

    def __init__(self, house: House, origin: Origin) -> None:
        self.house = house
        self.origin = origin
        self._before = asyncio.all_tasks()

    async def ask(self, url: str, ask: Ask) -> bytes | None:
        """The body of the answer; None if it was cut."""
        method, fields, body = ask
        try:
            return (await self.house.get(url, *fields, method=method, body=body)).body
        except (Cut, ConnectionError):
            return None

    async def talk(self, url: str, talk: Callable[[Wire, str], Awaitable[None]]) -> None:
        wire = await Wire.connect(self.house.port)
        try:
            with contextlib.suppress(Cut, ConnectionError, ValueError):
                await talk(wire, url)
        finally:
            await wire.close()

    def left(self) -> list[str]:
        """What is still there."""
        running = self.house.running
        exchange, door = running.door.exchange, running.door
        assert isinstance(running.store, TieredStore)
        promised = running.store._folder.spools.promised
        pool = repr(running.fetcher._pool)
        spools = (running.settings.store.dir / "spool").glob("*/*")
        tasks = {task for task in asyncio.all_tasks() - self._before if not task.done()}
        found = {
            "tasks": [task for task in tasks if "Origin." not in repr(task)],
            "connections": [pool] if not re.search(r"open=(\d+) idle=\1 waiting=0", pool) else [],
            "keys": sorted(exchange.keys_under_way()),
            "fills": exchange.keeping.unfinished(),
            "octets that were promised room": [promised] if promised else [],
            "spooled": [path for path in spools if path.name != "lock"],
            "clients": [*door.connections, *door.tunnels],
            "places of clients": [door.shares.total] if door.shares.total else [],
        }
        return [f"{what}: {each}" for what, each in found.items() if each]

    async def quiet(self, told: str) -> None:
        """Until nothing is left."""
        end = asyncio.get_running_loop().time() + QUIET
        while left := self.left():
            assert asyncio.get_running_loop().time() < end, f"{told}: left are {left}"
            await asyncio.sleep(0.002)


def right(ask: Ask, says: Said, told: str, body: bytes | None) -> None:
    """Whether this was all of the answer."""
    assert body is not None, f"{told}: cut"
    if ask[0] != "GET" or "Range" in repr(ask):
        return
    gzipped = body.startswith(GZIP)
    assert (
        body == says.body
        or (gzipped and gzip.decompress(body) == says.body)
        or (says.body.startswith(GZIP) and body == gzip.decompress(says.body))
    ), f"{told}: {body[:50]!r}"


async def one(place: Place, row: Row, number: int, *, late: bool, aims: Cancelling) -> bool:
    """The row, cancelled at that await; whether it was reached."""
    path = f"/{number}{'l' if late else 'e'}"
    url = place.origin.url(path).replace("127.0.0.1", row.host)
    place.origin.serve(path, row.says)
    for ask in row.first:
        right(ask, row.says, f"{row.id}, before", await place.ask(url, ask))
        await place.quiet("before")
    aims.aim(row.task, number, before=row.before, late=late)
    if row.talk is not None:
        await place.talk(url, row.talk)
        bodies = []
    else:
        asked = (*row.beside, row.asks)
        bodies = await asyncio.gather(*(place.ask(url, ask) for ask in asked))
    told = f"{row.id}, at its await {number} ({'late' if late else 'early'}), {aims.where}"
    await place.quiet(told)
    reached = bool(aims.where)
    aims.aim("", 0, before=0, late=False)
    cut = [body for body in bodies if body is None]
    assert len(cut) <= (1 if row.task == EXCHANGE else len(bodies)), f"{told}: more than one is cut"
    for body in bodies:
        if body is not None:
            right(row.asks, row.says, told, body)
    for _ in range(2):
        right(get(), row.says, f"{told}, then", await place.ask(url, get()))
        await place.quiet(f"{told}, then")
    return reached


@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ROWS])
async def test_cancelled_at_each_await(
    start_house: StartHouse,
    origin: Origin,
    monkeypatch: pytest.MonkeyPatch,
    row: Row,
    *,
    late: bool,
) -> None:
    monkeypatch.setattr("proxy.store.bodies.NOWAIT", None)  # what is read is read in a thread
    place = Place(await start_house({**CONFIG, **row.config}), origin)
    with Cancelling() as aims:
        for number in range(1, MOST):
            if not await one(place, row, number, late=late, aims=aims):
                break
    assert 1 < number < MOST - 1, f"{number} awaits"
