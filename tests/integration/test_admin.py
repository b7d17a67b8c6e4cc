"""The admin endpoint of a running proxy, asked as a program asks it."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING, Final

import aiohttp
import pytest

from proxy.admin import views
from tests.support.admin import Admin
from tests.support.origin import Origin, reply
from tests.support.wire import DEADLINE, request

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.admin.peers import Named
    from tests.conftest import StartAdmin, StartHouse

FRESH: Final = "Cache-Control: max-age=600"


async def test_health(admin: Admin) -> None:
    assert (await admin.get("/healthz"))["status"] == "ok"
    assert (await admin.get("/readyz"))["status"] == "ready"


async def test_an_entry_with_its_variants_and_forms(admin: Admin, origin: Origin) -> None:
    tags = ("Cache-Tag: news", 'Cache-Groups: "all"')
    lines = (FRESH, 'ETag: "1"', "Vary: Accept-Language", "Content-Encoding: gzip", *tags)
    origin.serve("/a", reply(200, *lines, body=gzip.compress(b"hello")))
    url = origin.url("/a")
    for accept in ("gzip", "identity", "identity", "identity"):
        for language in ("de", "fr"):
            said = (f"Accept-Language: {language}", f"Accept-Encoding: {accept}")
            await admin.house.get(url, *said)
        await admin.get("/api/entry", url=url)  # waits until it is stored
    entry = await admin.get("/api/entry", url=url)
    assert (entry["url"], entry["tags"]) == (url, ["group, all", "news"])
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


async def test_what_was_asked_is_counted_and_remembered(admin: Admin, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    origin.serve("/b", reply(200, "Cache-Control: no-store", body=b"hello"))
    for path in ("/a", "/a", "/b"):
        await admin.house.get(origin.url(path))
    stats = await admin.counted(3)
    assert stats["results"] == {"miss": 1, "hit": 1, "not-stored-no-store": 1}
    assert stats["hits"] == 1
    assert stats["octets"]["cache"] > 5
    first, second = stats["top"]["urls"]["requests"]
    assert (first["name"], first["requests"]) == (origin.url("/a"), 2)
    assert [one["name"] for one in stats["top"]["urls"]["octets"]] == [
        first["name"],
        second["name"],
    ]
    assert (second["misses"], second["reason"]) == (1, "not-stored-no-store")
    (host,) = stats["top"]["hosts"]["misses"]
    assert (host["requests"], host["misses"]) == (3, 2)
    (latest, *_) = (await admin.get("/api/exchanges", limit="1"))["exchanges"]
    assert (latest["target"], latest["reason"]) == (origin.url("/b"), "not-stored-no-store")
    one = await admin.get(f"/api/exchanges/{latest['id']}")
    assert one["exchange"] == latest
    assert one["now"]["decision"] == "forward"
    await admin.get("/api/exchanges/none-1", 404)
    async with admin.session.get(f"{admin.url}/metrics") as answer:
        text = await answer.text()
    assert 'forecache_requests_total{method="GET",result="hit",status_class="2xx"} 1.0' in text


async def test_how_long_origins_took_is_known(admin: Admin, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, 'ETag: "1"', body=b"hello"))
    origin.serve("/b", reply(200, "Cache-Control: max-age=0", 'ETag: "1"', body=b"hello"))
    origin.serve("/b", reply(304, "Cache-Control: max-age=0", 'ETag: "1"'))
    origin.serve("/b", reply(503))
    origin.serve("/c", reply(200, "Cache-Control: no-store", body=b"hello"))
    wire = await admin.house.wire()
    paths = ("/a", "/a", "/b", "/b", "/b", "/c", "/c", "/c")
    for path in paths:
        await wire.send(request("GET", origin.url(path)))
        await wire.response("GET")
        await admin.house.running.door.exchange.settled(origin.url(path))
    await admin.counted(len(paths))
    latest = (await admin.get("/api/exchanges"))["exchanges"][::-1]
    reasons = ["miss", "hit", "miss", "revalidated", "stale-if-error"]
    assert [one["reason"] for one in latest] == [*reasons, *["not-stored-no-store"] * 3]
    assert [one["asked"] > 0 for one in latest] == [one["reason"] != "hit" for one in latest]
    assert all(one["asked"] <= one["elapsed"] for one in latest)
    async with admin.session.get(f"{admin.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    assert "forecache_upstream_duration_seconds_count 7.0" in lines
    assert 'forecache_cache_stores_total{outcome="stored"} 2.0' in lines
    assert 'forecache_cache_evictions_total{reason="unused"} 0.0' in lines
    assert "forecache_log_records_dropped_total 0.0" in lines


async def test_entries_page_by_page(admin: Admin, origin: Origin) -> None:
    for number in range(5):
        lines = (FRESH, "Content-Type: text/x", f"xkey: all n{number}")
        origin.serve(f"/{number}", reply(200, *lines, body=bytes(number)))
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
    for tag, count in (("all", 5), ("n4", 1), ("N4", 0)):
        assert len((await admin.get("/api/entries", tag=tag))["entries"]) == count
    for wrong in ({"sort": "colour"}, {"limit": "0"}, {"state": "ripe"}, {"cursor": "x"}):
        await admin.get("/api/entries", 400, **wrong)


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


async def test_events_are_made_once_for_all_who_watch(
    admin: Admin, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    made: list[object] = []
    show = views.exchange

    def counted(named: Named) -> dict[str, object]:
        made.append(named)
        return show(named)

    monkeypatch.setattr(views, "exchange", counted)

    async def watch(begun: asyncio.Event) -> dict[str, object]:
        async with admin.session.get(f"{admin.url}/api/events") as answer:
            async for line in answer.content:
                begun.set()
                if line.startswith(b"data: ") and b'"target"' in line:
                    shown: dict[str, object] = json.loads(line[6:])
                    return shown
        raise AssertionError("it ended")

    begun = [asyncio.Event() for _ in range(50)]
    watching = [asyncio.create_task(watch(one)) for one in begun]
    await asyncio.gather(*(one.wait() for one in begun))
    await admin.house.get(origin.url("/a"))
    seen = await asyncio.gather(*watching)
    assert [one["target"] for one in seen] == [origin.url("/a")] * 50
    assert len(made) == 1


@pytest.mark.parametrize("form", ["squid", "combined", "json"])
async def test_34_userinfo_is_in_no_view(
    form: str, start_admin: StartAdmin, origin: Origin, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    admin = await start_admin({"log": {"access": str(log), "format": form}})
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    secret = f"http://user:secret@{origin.authority}/a"
    refused = [secret, secret.replace("//", "/"), secret.replace("//", "///"), secret[7:]]
    for target in refused:
        assert b" 400 " in await admin.house.raw(request("GET", target))
    assert b" 400 " in await admin.house.raw(request("CONNECT", f"user:secret@{origin.authority}"))
    for _ in range(2):
        for referer in refused:
            await admin.house.get(origin.url("/a"), f"Referer: {referer}")
    count = 5 + 2 * 4
    stats = await admin.counted(count)
    latest = await admin.get("/api/exchanges")
    assert len(latest["exchanges"]) == count
    first = latest["exchanges"][0]
    seen = [stats, latest, await admin.get(f"/api/exchanges/{first['id']}")]
    async with asyncio.timeout(DEADLINE):
        while log.read_text().count("\n") < count:  # noqa: ASYNC110 - a thread writes it
            await asyncio.sleep(0.02)
    seen.append(log.read_text())
    assert "secret" not in str(seen)


async def test_nobody_is_led_there_through_the_proxy(admin: Admin) -> None:
    answer = await admin.house.get(f"{admin.url}/healthz")
    assert answer.status == 502
    assert b"this proxy itself" in answer.body


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


async def test_a_second_proxy_serves_without_it(start_house: StartHouse) -> None:
    where = {"admin": {"listen": "127.0.0.1:3129"}}  # the default, which nobody has asked for
    houses = [await start_house(where) for _ in range(2)]
    assert houses[1].running.admin is None
    for house in houses:
        assert (await house.get("/healthz")).status == 200
