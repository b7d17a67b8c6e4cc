"""What the endpoint sees and does: a real store and exchange, an origin that is played."""

from __future__ import annotations

import asyncio
import gzip
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from proxy.access.rules import AccessOptions, Rules
from proxy.admin import inside
from proxy.admin.entries import Unclear
from proxy.admin.everywhere import Everywhere
from proxy.admin.explaining import Explaining
from proxy.admin.inside import Inside, Warmed
from proxy.admin.looking import Looking
from proxy.admin.purging import Missing
from proxy.admin.shapes import PurgeOrder
from proxy.admin.watching import Watching
from proxy.exchange import tasks
from proxy.exchange.exchange import Exchange
from proxy.exchange.hot import Hot
from proxy.exchange.options import ExchangeOptions
from proxy.exchange.record import ExchangeRecord, What
from proxy.exchange.voice import Voice
from proxy.frontend.door import Door
from proxy.frontend.options import ServerOptions
from proxy.policy.options import Options
from proxy.policy.reasons import Reason
from proxy.store.catalogue import Catalogue
from proxy.upstream.base import Lost
from proxy.upstream.fetch import Upstream
from proxy.upstream.options import UpstreamOptions
from tests.support.build import resp
from tests.support.fakes import FakeFetcher
from tests.support.origin import Gate
from tests.support.stores import opened
from tests.support.transport import turns
from tests.support.watched import watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from proxy.store.tiered import TieredStore

URL = "http://a.example/x"
FRESH = resp(200, "max-age=600", 'ETag: "1"', "Cache-Tag: news")


class Place:
    """One proxy but for its doors and its origins."""

    def __init__(self, store: TieredStore, folder: Path) -> None:
        options, voice = Options(), Voice("t")
        self.store = store
        self.origin = FakeFetcher()
        self.exchange = Exchange(store, self.origin, options, ExchangeOptions(), voice)
        rules = Rules(AccessOptions())
        self.upstream = Upstream(UpstreamOptions(), rules.destination)
        hot = Hot(store, options, self.exchange.forms)
        self.watching = Watching(0.0, "t")
        self.door = Door(
            *(ServerOptions(), rules, self.exchange, hot, self.origin),
            lambda record: watch(self.watching, record),
        )
        everywhere = Everywhere(self.watching, self.door, store)
        self.looking = Looking(Catalogue(folder, options), everywhere.uses)
        explaining = Explaining(options, self.exchange, rules, self.upstream)
        self.inside = Inside(
            *(options, store, self.exchange, self.door, explaining, everywhere, self.looking),
            ("127.0.0.1:3128",),
        )

    async def warmed(self, *urls: str, lines: tuple[tuple[str, str], ...] = ()) -> list[Warmed]:
        said = [one async for one in self.inside.warm(urls, lines)]
        await tasks.finish("fill", 5.0)
        return sorted(said, key=lambda one: one.url)

    async def store_all(self, *urls: str, body: bytes = b"hello") -> None:
        for url in urls:
            self.origin.says(url, FRESH, body, length=len(body))
        assert [one.status for one in await self.warmed(*urls)] == [200] * len(urls)

    async def stored(self, url: str) -> int:
        """How many variants."""
        return len((await self.inside.found(url))[1].variants)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with opened(tmp_path) as store:
        made = Place(store, tmp_path)
        yield made
        await tasks.finish("", 0)
        made.upstream.close()
        made.exchange.shop.close()
        made.looking.close()


def record(target: str, reason: Reason, *, method: str = "GET", at: float = 1.0) -> ExchangeRecord:
    asked = 0.0 if reason is Reason.HIT else 0.25
    what = What(method, target, 1, 200, 100, reason, asked=asked)
    return ExchangeRecord(at, 0.5, "127.0.0.1", what)


# Looking.


@pytest.mark.parametrize(
    ("url", "key"),
    [
        pytest.param("HTTP://A.Example:80/x?y", "http://a.example/x?y", id="one spelling"),
        pytest.param("https://[::1]:8443", "https://[::1]:8443/", id="IPv6"),
        pytest.param("ws://a.example/x", "http://a.example/x", id="ws"),
    ],
)
async def test_the_key_of_a_url(place: Place, url: str, key: str) -> None:
    assert (await place.inside.found(url))[0] == key
    assert await place.inside.settled(url) == key
    assert str(place.inside.request("HEAD", url).uri) == key


@pytest.mark.parametrize("url", ["", "/x", "*", "a.example:80", "ftp://a.example/", "http://a b/"])
async def test_what_is_no_url(place: Place, url: str) -> None:
    with pytest.raises(Unclear, match=r"^[A-Z].+\.$"):
        await place.inside.found(url)
    with pytest.raises(Unclear):
        place.inside.request("GET", url)
    with pytest.raises(Unclear):
        await place.inside.last(url)


async def test_a_request_as_from_this_machine(place: Place) -> None:
    request = place.inside.request("GET", URL, [("Accept", "x")])
    assert (request.method, request.local, request.fields.get("accept")) == ("GET", True, "x")


async def test_what_would_happen(place: Place) -> None:
    await place.store_all(URL)
    hit = await place.inside.explained("GET", URL)
    assert (hit.decision, hit.reason) == ("serve", "hit")
    asked = await place.inside.explained("GET", URL, [("Cache-Control", "no-cache")])
    assert (asked.decision, asked.reason) == ("revalidate", "request-no-cache")
    for target in ("a.example:443", "https://a.example/x"):
        assert (await place.inside.explained("CONNECT", target)).decision == "tunnel"
    assert (await place.inside.explained("CONNECT", "a.example:22")).reason == "denied-port"
    with pytest.raises(Unclear, match="authority"):
        await place.inside.explained("CONNECT", "a.example")


async def test_the_last_get_of_a_url(place: Place) -> None:
    assert await place.inside.last(URL) is None
    watch(
        place.watching,
        record(URL, Reason.MISS),
        record(URL, Reason.METHOD, method="POST"),
        record("http://a.example/y", Reason.HIT),
    )
    last = await place.inside.last("http://A.example:80/x")
    assert last is not None
    assert (last.id, last.record.what.reason) == ("t-1", Reason.MISS)


async def test_uses_and_figures(place: Place) -> None:
    await place.store_all(URL)
    await place.inside.uses(URL)
    watch(place.watching, record(URL, Reason.HIT, at=9e9), record(URL, Reason.MISS))
    assert (await place.inside.uses(URL))[0] == 1
    assert await place.inside.uses("http://a.example/none") == (0, 0.0)
    said = await place.inside.stats()
    assert (said["requests"], said["hits"], said["results"]) == (2, 1, {"hit": 1, "miss": 1})
    assert (said["listening"], said["store"]["keys"]) == (["127.0.0.1:3128"], 1)
    assert said["store"]["limit"] == place.store.usage()[1]
    counters = await place.inside.counters()
    assert counters == {
        "requests": 2, "hits": 1, "octets_cache": 100, "octets_origin": 100, "fills": 0,
    }  # fmt: skip
    metrics = (await place.inside.metrics()).decode().splitlines()
    for line in (
        "forecache_cache_entries 1.0",
        'forecache_cache_stores_total{outcome="stored"} 1.0',
        'forecache_cache_evictions_total{reason="form"} 0.0',
        "forecache_upstream_duration_seconds_count 1.0",
        "forecache_upstream_duration_seconds_sum 0.25",
    ):
        assert line in metrics


async def test_forms_are_found_beside_what_they_are_of(place: Place) -> None:
    octets = gzip.compress(b"hello" * 1000)
    head = resp(200, "max-age=600", "Content-Type: text/plain", "Content-Encoding: gzip")
    place.origin.says(URL, head, octets, length=len(octets))
    for accept in ("gzip", "identity", "identity", "identity"):
        await place.warmed(URL, lines=(("Accept-Encoding", accept),))
    (stored,) = (await place.inside.found(URL))[1].variants
    forms = await place.inside.forms(stored)
    assert {coding: form.length for coding, form in forms.items()} == {"identity": 5000}


async def test_whether_it_takes_requests(place: Place) -> None:
    assert not place.inside.draining()
    place.door.draining = True
    assert place.inside.draining()


# Purging.

URLS = (URL, "http://a.example/y/1", "http://a.example/y/2", "http://b.example/x")


@pytest.mark.parametrize(
    ("order", "gone"),
    [
        pytest.param(PurgeOrder(url="http://A.example:80/x"), {0}, id="url"),
        pytest.param(PurgeOrder(url="http://a.example/none"), set(), id="a url that is not stored"),
        pytest.param(PurgeOrder(prefix="http://a.example/y/"), {1, 2}, id="prefix"),
        pytest.param(PurgeOrder(host="a.example"), {0, 1, 2}, id="host"),
        pytest.param(PurgeOrder(glob="http://*.example/x"), {0, 3}, id="glob"),
        pytest.param(PurgeOrder(tag="news"), {0, 1, 2, 3}, id="tag"),
        pytest.param(PurgeOrder(tag="other"), set(), id="another tag"),
        pytest.param(PurgeOrder(all=True), {0, 1, 2, 3}, id="all"),
    ],
)
async def test_what_is_purged(place: Place, order: PurgeOrder, gone: set[int]) -> None:
    await place.store_all(*URLS)
    dry = PurgeOrder(
        *(order.url, order.variant, order.prefix, order.host, order.glob, order.tag),
        all=order.all, dry_run=True,
    )  # fmt: skip
    keys, octets = await place.inside.purge(dry)
    assert keys == len(gone)
    assert octets == 5 * keys if order.url else octets >= 100 * keys  # with what is about them
    assert [await place.stored(url) for url in URLS] == [1, 1, 1, 1]
    assert await place.inside.purge(order) == (keys, octets)
    assert {n for n, url in enumerate(URLS) if not await place.stored(url)} == gone


async def test_softly_it_stays_and_is_validated(place: Place) -> None:
    await place.store_all(URL)
    assert await place.inside.purge(PurgeOrder(url=URL, soft=True)) == (1, 5)
    (stored,) = (await place.inside.found(URL))[1].variants
    assert stored.invalid
    place.origin.says(URL, resp(304, "max-age=600", 'ETag: "1"'))
    (again,) = await place.warmed(URL)
    assert (again.status, again.reason, again.octets) == (200, "revalidated", 5)


async def test_one_variant_of_several(place: Place) -> None:
    for language in ("de", "fr"):
        head = resp(200, "max-age=600", "Vary: Accept-Language")
        place.origin.says(URL, head, language.encode(), length=2)
        await place.warmed(URL, lines=(("Accept-Language", language),))
    first, second = (await place.inside.found(URL))[1].variants
    with pytest.raises(Missing, match="variant"):
        await place.inside.purge(PurgeOrder(url=URL, variant="none"))
    assert await place.inside.purge(PurgeOrder(url=URL, variant=first.id)) == (1, 2)
    assert [one.id for one in (await place.inside.found(URL))[1].variants] == [second.id]


@pytest.mark.parametrize(
    "order", [PurgeOrder(url=URL), PurgeOrder(all=True), PurgeOrder(host="b.example")]
)
async def test_what_is_on_its_way_comes_again(place: Place, order: PurgeOrder) -> None:
    """Nobody can say of it yet what a tag or a host of it would be."""
    gate = Gate()
    place.origin.says(URL, FRESH, b"he", gate, b"llo", length=5)
    warming = asyncio.ensure_future(place.warmed(URL))
    await gate.reached()
    assert (await place.inside.purge(order))[0] == 0
    gate.open()
    assert [(one.status, one.octets) for one in await warming] == [(200, 5)]
    assert await place.stored(URL) == 0


@pytest.mark.parametrize("order", [PurgeOrder(glob="nonsense"), PurgeOrder(url="x")])
async def test_an_order_that_is_not_clear(place: Place, order: PurgeOrder) -> None:
    with pytest.raises((Unclear, ValueError), match=r"^."):
        await place.inside.purge(order)


# Warming.


async def test_warmed_each_says_how(place: Place) -> None:
    place.origin.says(URL, FRESH, b"hello", length=5)
    place.origin.says("http://a.example/404", resp(404), b"no", length=2)
    place.origin.says(
        "http://a.example/cut", resp(200, "no-store"), b"he",
        Lost(502, "connection_terminated", "It was cut."), length=5,
    )  # fmt: skip
    urls = [f"http://a.example/{path}" for path in ("x", "404", "cut", "unreachable")]
    said = await place.warmed(*urls)
    assert [replace(one, octets=0) if one.status == 502 else one for one in said] == [
        Warmed("http://a.example/404", 404, "not-stored-no-freshness", 2),
        Warmed("http://a.example/cut", 0, "It was cut.", 2),
        Warmed("http://a.example/unreachable", 502, "origin-unreachable", 0),
        Warmed(URL, 200, "miss", 5),
    ]
    assert await place.warmed(URL) == [Warmed(URL, 200, "hit", 5)]


async def test_so_many_at_once(place: Place) -> None:
    gate = Gate()
    urls = [f"http://a.example/{number:02}" for number in range(inside.AT_ONCE + 3)]
    for url in urls:
        place.origin.says(url, FRESH, b"x", length=1, before=gate)
    warming = asyncio.ensure_future(place.warmed(*urls))
    await gate.reached()
    await turns(50)
    assert len(place.origin.requests) == inside.AT_ONCE
    gate.open()
    assert [one.status for one in await warming] == [200] * len(urls)


async def test_who_leaves_is_not_fetched_for(place: Place) -> None:
    never = Gate()
    for number in range(inside.AT_ONCE + 3):
        place.origin.says(f"http://a.example/{number}", FRESH, before=never)
    urls = [f"http://a.example/{number}" for number in range(inside.AT_ONCE + 3)]
    warming = place.inside.warm(urls, ())
    asking = asyncio.ensure_future(anext(warming))
    await never.reached()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await warming.aclose()
    await tasks.finish("warm", 5.0)
    assert len(place.origin.requests) <= inside.AT_ONCE


@pytest.mark.parametrize(
    "urls",
    [
        pytest.param([URL, "x"], id="one is none"),
        pytest.param([URL] * (inside.MOST_WARMED + 1), id="too many"),
    ],
)
async def test_nothing_is_asked_before_all_is_clear(place: Place, urls: list[str]) -> None:
    with pytest.raises(Unclear):
        await place.warmed(*urls)
    assert place.origin.requests == []


async def test_a_fault_of_ours_keeps_nobody_waiting(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.origin.fails(URL, cast("Lost", ValueError("a fault")))
    with caplog.at_level(logging.ERROR):
        assert await place.warmed(URL) == [Warmed(URL, 0, "internal-error", 0)]
    assert "could not be fetched" in caplog.text
