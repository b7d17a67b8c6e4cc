"""The admin endpoint of a running proxy, asked as a program asks it."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp
import pytest

from proxy.admin.api import Api
from tests.support.origin import Gate, Origin, head, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import web

    from proxy.admin.inside import Inside
    from tests.conftest import StartHouse
    from tests.support.house import House

FRESH: Final = "Cache-Control: max-age=600"
HERE: Final = {"admin": {"listen": "127.0.0.1:0"}}


class Admin:
    """Asks the endpoint of one proxy."""

    def __init__(self, house: House) -> None:
        server = house.running.admin
        assert server is not None
        self.house = house
        self.url = f"http://{server.address}"
        self.session = aiohttp.ClientSession()

    async def get(self, path: str, status: int = 200, /, **query: str) -> Any:
        async with self.session.get(self.url + path, params=query) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def post(self, path: str, status: int = 200, /, **order: object) -> Any:
        async with self.session.post(self.url + path, json=order) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()


@pytest.fixture
async def admin(start_house: StartHouse) -> AsyncIterator[Admin]:
    made = Admin(await start_house(HERE))
    yield made
    await made.session.close()


async def test_health(admin: Admin) -> None:
    assert (await admin.get("/healthz"))["status"] == "ok"
    assert (await admin.get("/readyz"))["status"] == "ready"


async def test_an_entry_with_its_variants_and_forms(admin: Admin, origin: Origin) -> None:
    lines = (FRESH, 'ETag: "1"', "Vary: Accept-Language", "Content-Encoding: gzip")
    origin.serve("/a", reply(200, *lines, body=gzip.compress(b"hello")))
    url = origin.url("/a")
    for _ in range(3):
        for language in ("de", "fr"):
            await admin.house.get(url, f"Accept-Language: {language}")
        await admin.get("/api/entry", url=url)  # waits until it is stored
    entry = await admin.get("/api/entry", url=url)
    assert entry["url"] == url
    first, second = entry["variants"]
    assert {tuple(first["selecting"][0]), tuple(second["selecting"][0])} == {
        ("accept-language", "de"),
        ("accept-language", "fr"),
    }
    assert first["validators"] == {"ETag": '"1"'}
    assert first["octets"] == len(gzip.compress(b"hello"))
    assert first["forms"] == [{"coding": "identity", "octets": 5}]


async def test_what_is_not_stored_is_404(admin: Admin, origin: Origin) -> None:
    wrong = await admin.get("/api/entry", 404, url=origin.url("/none"))
    assert wrong["error"]["reason"] == "not-stored"


@pytest.mark.parametrize(
    "url", ["", "x", "/etc/passwd", "ftp://a.example/", "http://", "http://a.example:0/"]
)
async def test_what_is_no_url_is_said(admin: Admin, url: str) -> None:
    assert (await admin.get("/api/entry", 400, url=url))["error"]["reason"] == "unclear"


async def test_the_octets_are_to_be_saved(admin: Admin, origin: Origin) -> None:
    body = b"<script>alert(1)</script>" * 20_000
    origin.serve("/a", reply(200, FRESH, "Content-Type: text/html", body=body))
    await admin.house.get(origin.url("/a"))
    path = f"{admin.url}/api/entry/body"
    async with admin.session.get(path, params={"url": origin.url("/a")}) as answer:
        assert await answer.read() == body
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment")
    await admin.get("/api/entry/body", 404, url=origin.url("/a"), id="another")


async def test_purged_the_origin_is_asked(admin: Admin, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"one"))
    origin.serve("/a", reply(200, FRESH, body=b"two"))
    url = origin.url("/a")
    await admin.house.get(url)
    counted = {"keys": 1, "octets": 3, "dry_run": True}
    assert await admin.post("/api/purge", url=url, dry_run=True) == counted
    assert (await admin.house.get(url)).hit
    assert await admin.post("/api/purge", url=url) == counted | {"dry_run": False}
    assert (await admin.house.get(url)).body == b"two"
    assert await admin.post("/api/purge", url=origin.url("/b")) == {
        "keys": 0, "octets": 0, "dry_run": False,
    }  # fmt: skip


async def test_softly_purged_it_is_validated(admin: Admin, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, 'ETag: "1"', body=b"one"))
    origin.serve("/a", reply(304, FRESH, 'ETag: "1"'))
    url = origin.url("/a")
    await admin.house.get(url)
    await admin.post("/api/purge", url=url, soft=True)
    answer = await admin.house.get(url)
    assert (answer.body, answer.cache_status["fwd"]) == (b"one", "stale")
    assert origin.requests[1].get("if-none-match") == '"1"'
    assert (await admin.house.get(url)).hit


async def test_what_is_on_its_way_is_purged_too(admin: Admin, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", head(200, FRESH, "Content-Length: 6") + b"one", gate, b"two")
    origin.serve("/a", reply(200, FRESH, body=b"anew"))
    url = origin.url("/a")
    reader = await admin.house.open(url)
    assert await reader.read(3) == b"one"
    (fill,) = (await admin.get("/api/fills"))["fills"]
    assert (fill["key"], fill["received"], fill["length"], fill["followers"]) == (url, 3, 6, 1)
    await admin.post("/api/purge", url=url)
    gate.open()
    assert await reader.rest() == b"two"
    assert (await admin.house.get(url)).body == b"anew"
    assert (await admin.get("/api/fills"))["fills"] == []


@pytest.mark.parametrize(
    "order", [{}, {"url": "http://a.example/", "all": True}, {"urls": []}, {"url": 1}]
)
async def test_an_order_that_is_not_clear(admin: Admin, order: dict[str, object]) -> None:
    assert (await admin.post("/api/purge", 400, **order))["error"]["reason"] == "unclear"


async def test_warmed_it_is_a_hit(admin: Admin, origin: Origin) -> None:
    for path in ("/a", "/b"):
        origin.serve(path, reply(200, FRESH, body=path.encode() * 50_000))
    urls = [origin.url("/a"), origin.url("/b"), origin.url("/none")]
    order = {"urls": urls, "headers": {"Accept-Language": "de"}}
    async with admin.session.post(f"{admin.url}/api/warm", json=order) as answer:
        lines = [json.loads(line) async for line in answer.content]
    assert [line["done"] for line in lines] == [1, 2, 3]
    assert {line["url"]: (line["status"], line["octets"]) for line in lines} == {
        urls[0]: (200, 100_000),
        urls[1]: (200, 100_000),
        urls[2]: (404, 9),
    }
    assert origin.requests[0].get("accept-language") == "de"
    assert (await admin.house.get(urls[0])).hit


async def counted(admin: Admin, requests: int) -> Any:
    """The statistics once they have that many requests: records come in batches."""
    while True:
        stats = await admin.get("/api/stats")
        if stats["requests"] >= requests:
            return stats
        await asyncio.sleep(0.05)


async def test_what_was_asked_is_counted_and_remembered(admin: Admin, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    origin.serve("/b", reply(200, "Cache-Control: no-store", body=b"hello"))
    for path in ("/a", "/a", "/b"):
        await admin.house.get(origin.url(path))
    stats = await counted(admin, 3)
    assert stats["results"] == {"miss": 1, "hit": 1, "not-stored-no-store": 1}
    assert stats["hits"] == 1
    assert stats["octets"]["cache"] > 5
    assert {url["name"] for url in stats["top"]["urls"]} == {origin.url("/a"), origin.url("/b")}
    (latest, *_) = (await admin.get("/api/exchanges", limit="1"))["exchanges"]
    assert (latest["target"], latest["reason"]) == (origin.url("/b"), "not-stored-no-store")
    one = await admin.get(f"/api/exchanges/{latest['id']}")
    assert one["exchange"] == latest
    assert one["now"]["decision"] == "forward"
    await admin.get("/api/exchanges/none-1", 404)
    async with admin.session.get(f"{admin.url}/metrics") as answer:
        text = await answer.text()
    assert 'forecache_requests_total{method="GET",result="hit",status_class="2xx"} 1.0' in text


async def test_explained(admin: Admin, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, 'ETag: "1"', body=b"hello"))
    origin.serve("/b", reply(200, "Cache-Control: private", body=b"hello"))
    for path in ("/a", "/b"):
        await admin.house.get(origin.url(path))
    await admin.get("/api/entry", url=origin.url("/a"))  # waits until it is stored
    hit = await admin.get("/api/explain", url=origin.url("/a"))
    assert (hit["decision"], hit["reason"]) == ("serve", "hit")
    lines = {"header": "Cache-Control: no-cache"}
    asked = await admin.get("/api/explain", url=origin.url("/a"), **lines)
    assert (asked["decision"], asked["reason"]) == ("revalidate", "request-no-cache")
    posted = await admin.get("/api/explain", url=origin.url("/a"), method="post")
    assert (posted["decision"], posted["reason"]) == ("forward", "method")
    await counted(admin, 2)
    never = await admin.get("/api/explain", url=origin.url("/b"))
    assert never["reason"] == "miss"
    assert never["last"]["reason"] == "not-stored-private"
    await admin.get("/api/explain", 400, url=origin.url("/a"), header="nonsense")
    await admin.get("/api/explain", 400, url=origin.url("/a"), header="X: a\r\nY: b")


async def test_entries_page_by_page(admin: Admin, origin: Origin) -> None:
    for number in range(5):
        origin.serve(f"/{number}", reply(200, FRESH, "Content-Type: text/x", body=bytes(number)))
        await admin.house.get(origin.url(f"/{number}"))
        await admin.get("/api/entry", url=origin.url(f"/{number}"))
    query = {"sort": "url", "order": "asc", "limit": "2", "type": "text/*"}
    seen: list[str] = []
    cursor = ""
    for _ in range(3):
        page = await admin.get("/api/entries", **query, cursor=cursor)
        seen += [entry["url"] for entry in page["entries"]]
        cursor = page["cursor"]
    assert seen == [origin.url(f"/{number}") for number in range(5)]
    assert cursor == ""
    (found,) = (await admin.get("/api/entries", q="/3"))["entries"]
    assert found["url"] == origin.url("/3")
    for wrong in ({"sort": "colour"}, {"limit": "0"}, {"state": "ripe"}, {"cursor": "x"}):
        await admin.get("/api/entries", 400, **wrong)


async def test_purged_by_prefix_host_and_tag(admin: Admin, origin: Origin) -> None:
    for path in ("/a/1", "/a/2", "/b"):
        origin.serve(path, reply(200, FRESH, "Cache-Tag: news", body=b"hello"))
        await admin.house.get(origin.url(path))
        await admin.get("/api/entry", url=origin.url(path))
    prefix = origin.url("/a/")
    assert (await admin.post("/api/purge", prefix=prefix, dry_run=True))["keys"] == 2
    assert (await admin.post("/api/purge", prefix=prefix))["keys"] == 2
    assert (await admin.post("/api/purge", prefix=prefix))["keys"] == 0
    assert (await admin.post("/api/purge", tag="news", soft=True))["keys"] == 1
    assert (await admin.house.get(origin.url("/b"))).cache_status["fwd"] == "stale"
    assert (await admin.post("/api/purge", host="127.0.0.1"))["keys"] == 1
    await admin.post("/api/purge", 400, glob="nonsense")


async def test_a_wide_purge_takes_what_is_on_its_way(admin: Admin, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", head(200, FRESH, "Content-Length: 6") + b"one", gate, b"two")
    origin.serve("/a", reply(200, FRESH, body=b"anew"))
    reader = await admin.house.open(origin.url("/a"))
    assert await reader.read(3) == b"one"
    await admin.post("/api/purge", all=True)
    gate.open()
    assert await reader.rest() == b"two"
    assert (await admin.house.get(origin.url("/a"))).body == b"anew"


async def test_events_come_as_they_happen(admin: Admin, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    async with admin.session.get(f"{admin.url}/api/events") as answer:
        assert answer.content_type == "text/event-stream"
        await admin.house.get(origin.url("/a"))
        names = []
        async for line in answer.content:
            if line.startswith(b"event: "):
                names.append(line.split()[1])
            if line.startswith(b"data: ") and names[-1] == b"exchange":
                assert json.loads(line[6:])["target"] == origin.url("/a")
                break
    assert b"counters" in names


async def test_all_that_there_is_is_described(admin: Admin) -> None:
    described = await admin.get("/api/openapi.json")
    routes = cast("list[web.RouteDef]", list(Api(cast("Inside", None)).routes))
    assert {route.path for route in routes} == set(described["paths"])
    for path in described["paths"]:
        if "{" not in path and "get" in described["paths"][path] and path != "/api/events":
            async with admin.session.get(admin.url + path) as answer:
                assert answer.status in (200, 400), path


async def test_nobody_is_led_there_through_the_proxy(admin: Admin) -> None:
    answer = await admin.house.get(f"{admin.url}/healthz")
    assert answer.status == 502
    assert b"this proxy itself" in answer.body


async def test_a_page_of_another_site_changes_nothing(admin: Admin, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"one"))
    await admin.house.get(origin.url("/a"))
    for name, value in (("Origin", "http://evil.example"), ("Host", "evil.example")):
        async with admin.session.post(
            f"{admin.url}/api/purge", json={"url": origin.url("/a")}, headers={name: value}
        ) as answer:
            assert answer.status in {403, 421}
    assert (await admin.house.get(origin.url("/a"))).hit


async def test_the_page_and_what_it_may_do(admin: Admin) -> None:
    async with admin.session.get(f"{admin.url}/") as answer:
        assert answer.content_type == "text/html"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_token_is_asked_for(start_house: StartHouse, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret\n")
    house = await start_house({"admin": {"listen": "127.0.0.1:0", "token_file": str(file)}})
    admin = Admin(house)
    try:
        await admin.get("/api/fills", 401)
        await admin.get("/healthz")
        async with admin.session.get(
            f"{admin.url}/api/fills", headers={"Authorization": "Bearer secret"}
        ) as answer:
            assert answer.status == 200
    finally:
        await admin.session.close()


async def test_a_socket_of_the_file_system(start_house: StartHouse, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    await start_house({"admin": {"listen": f"unix:{path}"}})
    assert path.stat().st_mode & 0o777 == 0o600
    connector = aiohttp.UnixConnector(str(path))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get("http://localhost/healthz") as answer,
    ):
        assert answer.status == 200


async def test_slow_readers_keep_nobody_waiting(admin: Admin, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=bytes(8 * 2**20)))
    await admin.house.get(origin.url("/a"))
    host, _, port = admin.url.removeprefix("http://").rpartition(":")
    writers = []
    for _ in range(100):
        _, writer = await asyncio.open_connection(host, int(port), limit=1024)
        asking = f"GET /api/entry/body?url={origin.url('/a')} HTTP/1.1\r\nHost: {host}\r\n\r\n"
        writer.write(asking.encode())
        writers.append(writer)
    for _ in range(20):
        assert (await admin.house.get(origin.url("/a"))).hit
    for writer in writers:
        writer.transport.abort()


async def test_a_second_proxy_serves_without_it(start_house: StartHouse) -> None:
    where = {"admin": {"listen": "127.0.0.1:3129"}}  # the default, which nobody has asked for
    houses = [await start_house(where) for _ in range(2)]
    assert houses[1].running.admin is None
    for house in houses:
        assert (await house.get("/healthz")).status == 200
