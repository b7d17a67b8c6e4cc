"""Access is judged for every answer: by what a request says before anything stored is looked at,

and by the address before a connection is made.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.admin import HERE, Admin
from tests.support.house import DEADLINE, House
from tests.support.origin import Origin, reply
from tests.support.wire import request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import StartHouse
    from tests.support.house import Config

param = pytest.param

FRESH: Final = "Cache-Control: max-age=86400"
AGED: Final = ("Cache-Control: max-age=60, stale-while-revalidate=86400", "Age: 100")
FAILING: Final = ("Cache-Control: max-age=60, stale-if-error=86400", "Age: 100")
CODED: Final = ("Content-Encoding: gzip", "Content-Type: text/plain", FRESH)
BODY: Final = b"stored"
REFUSED: Final = (403, "denied-destination")


@dataclass(frozen=True)
class Way:
    """How a client comes by what is stored: what the origin said, and what the client asks."""

    name: str
    said: bytes
    fields: tuple[str, ...] = ()
    method: str = "GET"
    primed: int = 1  # times that it was asked for before
    status: int = 200  # what it gets while nobody denies it
    in_memory: bool = False
    also: tuple[bytes, ...] = ()  # what the origin says the next times


WAYS: Final = (
    Way("from disk", reply(200, FRESH, body=BODY)),
    Way("from memory", reply(200, FRESH, body=BODY), in_memory=True),
    Way("stale, validated behind", reply(200, *AGED, body=BODY)),
    Way("stale, the origin fails", reply(200, *FAILING, body=BODY), also=(reply(503),)),
    Way("only-if-cached", reply(200, FRESH, body=BODY), ("Cache-Control: only-if-cached",)),
    Way("HEAD", reply(200, FRESH, body=BODY), method="HEAD"),
    Way("a range", reply(200, FRESH, 'ETag: "1"', body=BODY), ("Range: bytes=0-1",), status=206),
    Way("a validator", reply(200, FRESH, 'ETag: "1"', body=BODY), ('If-None-Match: "1"',),
        status=304),
    Way("decoded", reply(200, *CODED, body=gzip.compress(BODY)), ("Accept-Encoding: identity",)),
    Way("the same again, not stored", reply(200, "Cache-Control: no-store", body=BODY), primed=4),
    Way("the same again, validated",
        reply(200, "Cache-Control: max-age=1", "Age: 9", 'ETag: "1"', body=BODY), primed=4,
        also=(reply(304, "Cache-Control: max-age=1", "Age: 9", 'ETag: "1"'),)),
    Way("max-stale", reply(200, *FAILING, body=BODY), ("Cache-Control: max-stale",)),
)  # fmt: skip


async def ask(house: House, url: str, way: Way) -> list[tuple[int, str]]:
    """Three times on one connection, as what is remembered is used from the third on."""
    wire, got = await house.wire(), []
    for _ in range(3):
        await wire.send(request(way.method, url, way.fields))
        answer = await wire.response(way.method)
        detail = answer.cache_status.get("detail", "")
        assert BODY not in answer.body or answer.status != 403
        got.append((answer.status, str(detail)))
    return got


class Names:
    """The system's resolver, which knows one more name; ``gate`` holds it up."""

    def __init__(self) -> None:
        self.known = {"app.named.test": "127.0.0.1"}
        self.gate = threading.Event()
        self.gate.set()
        self._system = socket.getaddrinfo

    def look_up(self, host: Any, *args: Any, **more: Any) -> Any:
        assert self.gate.wait(DEADLINE)
        return self._system(self.known.get(host, host), *args, **more)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.look_up)
    return names


@pytest.fixture
async def origins(origin: Origin) -> AsyncIterator[dict[str, Origin]]:
    """The origin by its addresses."""
    six = Origin(host="::1")
    await six.start()
    yield {"127.0.0.1": origin, "::1": six}
    await six.stop()


@asynccontextmanager
async def admin(folder: Path, changes: Config, port: int) -> AsyncIterator[Admin]:
    """A proxy with an admin endpoint; it ends within the test, so that another may follow it."""
    house = await House.start(folder, {**HERE, **changes}, [port])
    asking = Admin(house)
    try:
        yield asking
    finally:
        await asking.session.close()
        await house.stop()


KINDS: Final = [
    param("app.named.test", {"deny_destinations": ["app.named.test"]}, id="a name"),
    param("app.named.test", {"deny_destinations": ["*.named.test"]}, id="a suffix"),
    param("127.0.0.1", {"deny_destinations": ["127.0.0.1"]}, id="an IPv4 address"),
    param("127.0.0.1", {"deny_destinations": ["loopback"]}, id="a kind of address"),
    param("[::1]", {"deny_destinations": ["::1/128"]}, id="an IPv6 address"),
    param("[::ffff:127.0.0.1]", {"deny_destinations": ["127.0.0.0/8"]}, id="a mapped address"),
    param("127.0.0.1", {"allow_destinations": []}, id="not allowed any more"),
]


@pytest.mark.parametrize(("host", "denied"), KINDS)
async def test_nothing_stored_is_served_of_a_place_that_is_denied_since(
    names: Names,
    origins: dict[str, Origin],
    tmp_path: Path,
    host: str,
    denied: Config,
) -> None:
    origin = origins["::1" if host == "[::1]" else "127.0.0.1"]
    authority, access = f"{host}:{origin.port}", {"connect_ports": [origin.port]}
    urls = {way: f"http://{authority}/{number}" for number, way in enumerate(WAYS)}
    allowed = {**access, "allow_destinations": ["loopback", "app.named.test"]}
    async with admin(tmp_path, {"access": allowed}, origin.port) as before:
        await prime(before, origin, urls)
        for way, url in urls.items():
            assert {status for status, _ in await ask(before.house, url, way)} == {way.status}
    asked = len(origin.requests)
    async with admin(tmp_path, {"access": {**allowed, **denied}}, origin.port) as after:
        await is_refused(after, authority, urls)
        await origin.stop()
        await is_refused(after, authority, urls)
    assert len(origin.requests) == asked


async def prime(before: Admin, origin: Origin, urls: dict[Way, str]) -> None:
    """Have all of it stored that may be."""
    for way, url in urls.items():
        for said in (way.said, *way.also):
            origin.serve(f"/{url.rpartition('/')[2]}", said)
        for _ in range(way.primed):
            await before.house.get(url)
        if b"no-store" not in way.said:
            await before.get("/api/entry", url=url)


async def is_refused(after: Admin, authority: str, urls: dict[Way, str]) -> None:
    """Every way to it, and those on which the cache is not asked."""
    house, store = after.house, after.house.running.store
    for way, url in urls.items():
        if way.in_memory:
            assert (await store.lookup(url)).variants
            assert store.peek(url) is not None
    refused = {way.name: await ask(house, url, way) for way, url in urls.items()}
    assert refused == {way.name: [REFUSED] * 3 for way in WAYS}
    url = urls[WAYS[0]]
    others = [
        await house.get(authority, method="CONNECT"),
        await house.get(url, "Connection: Upgrade", "Upgrade: websocket"),
        await house.get(url, method="POST", body=b"x"),
    ]
    assert [answer.status for answer in others] == [403] * 3
    for way, url in urls.items():
        said = await after.get("/api/explain", url=url, method=way.method)
        assert (said["decision"], said["reason"]) == ("refuse", REFUSED[1]), way.name
    order = {"urls": list(urls.values())}
    async with after.session.post(f"{after.url}/api/warm", json=order) as answer:
        warmed = [json.loads(line) for line in (await answer.text()).splitlines()]
    assert [(each["status"], each["reason"]) for each in warmed] == [REFUSED] * len(WAYS)


async def test_what_is_refused_for_its_address_is_no_failure_of_the_origin(
    names: Names, origin: Origin, tmp_path: Path
) -> None:
    """A name says nothing of its addresses, which are judged when it is connected to.

    Until then what is fresh is served; what is not has nobody to stand in for.
    """
    base, ports = f"http://app.named.test:{origin.port}", {"connect_ports": [origin.port]}
    stale = reply(200, *FAILING, 'ETag: "1"', body=BODY)
    for path, said in (("/fresh", reply(200, FRESH, body=BODY)), ("/stale", stale)):
        origin.serve(path, said)
    allowed = {**ports, "allow_destinations": ["app.named.test"]}
    async with admin(tmp_path, {"access": allowed}, origin.port) as before:
        for path in ("/fresh", "/stale"):
            await before.house.get(base + path)
            await before.get("/api/entry", url=base + path)
    denied: Config = {**ports, "allow_destinations": []}
    async with admin(tmp_path, {"access": denied}, origin.port) as after:
        house = after.house
        assert (await house.get(base + "/fresh")).body == BODY
        names.gate.clear()
        flights, key = house.running.door.exchange.flights, f"{base}/stale"
        waiting = [await house.open(key) for _ in range(3)]
        removals = house.running.store.removals(key)
        while not ((flight := flights.under_way(key, removals)) and flight.followed):  # noqa: ASYNC110
            await asyncio.sleep(0)
        names.gate.set()
        answers = [await each.whole() for each in waiting]
        answers += [await house.get(key), await house.get(key, "Cache-Control: stale-if-error=9")]
        for answer in answers:
            assert (answer.status, answer.cache_status["detail"]) == REFUSED
            assert b"app.named.test (127.0.0.1) is denied by the built-in rule" in answer.body
        assert flights.keys() == set()
        assert not flights.is_uncacheable(key, time.time())
        # It is still there for when it is allowed again.
        assert (await house.running.store.lookup(key)).variants
    assert len(origin.requests) == 2


METADATA: Final = ["169.254.169.254", "fd00:ec2::254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe"]


@pytest.mark.parametrize("address", METADATA)
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
async def test_an_allowed_name_does_not_lead_to_metadata(
    start_house: StartHouse, names: Names, method: str, address: str
) -> None:
    names.known["app.named.test"] = address
    allowed = ["app.named.test", "*.named.test", "private"]
    house = await start_house({"access": {"allow_destinations": allowed}})
    target = "app.named.test:80" if method == "CONNECT" else "http://app.named.test/"
    answer = await house.get(target, method=method)
    assert (answer.status, answer.cache_status["detail"]) == REFUSED
    assert b"cloud metadata" in answer.body


async def test_requests_go_to_listed_ports_alone(start_house: StartHouse, origin: Origin) -> None:
    """So that nobody posts a letter; what is inside CONNECT goes by the ports of that."""
    origin.serve("/a", reply(200, FRESH, body=BODY))
    shared = {"cache": {"dir": str((await start_house()).running.settings.store.dir)}}
    house = await start_house(shared)
    assert (await house.get(origin.url("/a"))).status == 200
    letter = "http://127.0.0.1:25/"
    for denied, port, url in (
        (house, 25, letter),
        (
            await start_house({**shared, "access": {"http_ports": [80]}}),
            origin.port,
            origin.url("/a"),
        ),
    ):
        for method, body in (("GET", None), ("POST", b"MAIL FROM:<a@a.example>")):
            answer = await denied.get(url, method=method, body=body)
            assert (answer.status, answer.cache_status["detail"]) == (403, "denied-port")
            assert answer.proxy_status["error"] == "http_request_denied"
            assert f", {port}] would allow it".encode() in answer.body
            assert b"http_ports" in answer.body
    wire = await denied.tunnel(origin.authority)
    for target, status in (("/a", 200), (origin.url("/a"), 200), (letter, 403)):
        host = letter[7:-1] if target is letter else origin.authority
        await wire.send(request("GET", target, (f"Host: {host}",)))
        assert (await wire.response()).status == status


async def test_what_is_denied_may_be_purged(start_house: StartHouse, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=BODY))
    house = await start_house()
    await house.get(origin.url("/a"))
    shared = {"cache": {"dir": str(house.running.settings.store.dir)}}
    denied: Config = {"deny_destinations": ["127.0.0.1"]}
    plain = await start_house({**shared, "access": denied})
    assert (await plain.get(origin.url("/a"), method="PURGE")).status == 403
    purging = await start_house({**shared, "access": {**denied, "purge_clients": ["127.0.0.1"]}})
    assert (await purging.get(origin.url("/a"), method="PURGE")).status == 200
    assert (await purging.get(origin.url("/a"), method="PURGE")).status == 404
    assert origin.count("/a") == 1
