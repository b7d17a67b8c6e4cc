"""The admin endpoint of a running proxy, asked as a program asks it."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest

from tests.support.origin import Gate, Origin, head, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

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

    async def get(self, path: str, status: int = 200, **query: str) -> Any:
        async with self.session.get(self.url + path, params=query) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def post(self, path: str, status: int = 200, **order: object) -> Any:
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
