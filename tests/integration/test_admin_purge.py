"""Purging by the admin endpoint: what it takes, what it counts, and what it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.support.origin import Gate, Origin, head, reply

if TYPE_CHECKING:
    from tests.support.admin import Admin

FRESH: Final = "Cache-Control: max-age=600"


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
    "order",
    [
        {},
        {"url": "http://a.example/", "all": True},
        {"urls": []},
        {"url": 1},
        {"host": "a.example", "variant": "1"},
    ],
)
async def test_an_order_that_is_not_clear(admin: Admin, order: dict[str, object]) -> None:
    assert (await admin.post("/api/purge", 400, **order))["error"]["reason"] == "unclear"


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


@pytest.mark.parametrize("soft", [False, True], ids=["removed", "made stale"])
async def test_one_variant_alone(admin: Admin, origin: Origin, soft: bool) -> None:
    url = origin.url("/a")
    for body in (b"one", b"three", b"two", b"two"):
        origin.serve("/a", reply(200, FRESH, "Vary: X-A", f'ETag: "{body!r}"', body=body))
    for which in ("1", "2"):
        await admin.house.get(url, f"X-A: {which}")
        await admin.get("/api/entry", url=url)  # waits until it is stored
    variants = (await admin.get("/api/entry", url=url))["variants"]
    (wanted,) = [each["id"] for each in variants if each["selecting"] == [["x-a", "1"]]]
    order = {"url": url, "variant": wanted, "soft": soft}
    counted = {"keys": 1, "octets": 3, "dry_run": True}
    assert await admin.post("/api/purge", **order, dry_run=True) == counted
    assert (await admin.house.get(url, "X-A: 1")).hit
    assert await admin.post("/api/purge", **order) == counted | {"dry_run": False}
    assert (await admin.house.get(url, "X-A: 2")).hit
    answer = await admin.house.get(url, "X-A: 1")
    assert answer.cache_status["fwd"] == ("stale" if soft else "vary-miss")


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("path", ["/a", "/none"])
async def test_a_variant_that_is_not_there(
    admin: Admin, origin: Origin, path: str, soft: bool, dry_run: bool
) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"one"))
    await admin.house.get(origin.url("/a"))
    order = {"url": origin.url(path), "variant": "none", "soft": soft, "dry_run": dry_run}
    said = await admin.post("/api/purge", 404, **order)
    assert said["error"]["reason"] == "not-stored"
    assert (await admin.house.get(origin.url("/a"))).hit
