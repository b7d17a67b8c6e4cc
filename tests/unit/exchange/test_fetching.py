"""Many clients, one request to the origin: who leads, who follows, and what they all get."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from proxy.exchange.answer import Flow
from proxy.policy.reasons import Reason
from proxy.upstream.base import BadResponse, Lost, NotReached, UpstreamError
from tests.support.bench import URL, Bench, answers, whole
from tests.support.build import resp
from tests.support.origin import Gate

if TYPE_CHECKING:
    from proxy.semantics.messages import ResponseHead

FRESH = resp(200, "max-age=60", 'ETag: "1"')
STALE = resp(200, "max-age=60, stale-if-error=600", "Age: 100", 'ETag: "1"')
BEHIND = resp(200, "max-age=60, stale-while-revalidate=600", "Age: 100", 'ETag: "1"')
CUT = Lost(502, "connection_terminated", "cut")
UNREACHED = NotReached(502, "connection_refused", "refused")


async def already(bench: Bench, head: ResponseHead, body: bytes = b"old") -> None:
    """It is stored."""
    bench.fetcher.says(URL, head, body)
    await bench.get()


# Misses.


async def test_n_requests_are_one_fetch() -> None:
    bench, head, rest = Bench(), Gate(), Gate()
    bench.fetcher.says(URL, FRESH, b"first", rest, b"second", before=head)
    clients = [bench.start() for _ in range(5)]
    await head.reached()
    head.open()
    outcomes = [await client for client in clients]
    late = await bench.open()
    rest.open()
    got = [await whole(outcome) for outcome in (*outcomes, late)]
    assert {one.body for one in got} == {b"firstsecond"}
    assert [one.reason for one in got] == [Reason.MISS, *[Reason.COLLAPSED] * 4, Reason.HIT]
    assert "fwd=uri-miss; fwd-status=200" in got[1].said("cache-status")
    assert "; collapsed" in got[1].said("cache-status")
    assert got[5].said("cache-status").startswith("forecache; hit; ttl=")
    assert bench.asked == 1
    await bench.settled()


async def test_a_follower_joins_a_chunked_body_that_is_whole() -> None:
    # Its length was not announced; nothing may be missing at its end.
    bench, gate = Bench(), Gate()
    bench.store.commits = Gate()
    bench.fetcher.says(URL, FRESH, b"ab", gate, b"cd")
    leader = await bench.open()
    gate.open()
    await bench.store.commits.reached()
    assert (await whole(await bench.open())).body == b"abcd" == (await whole(leader)).body
    bench.store.commits.open()
    await bench.settled()


async def test_other_variants_fly_on_their_own() -> None:
    bench, gate, other = Bench(), Gate(), Gate()
    varied = resp(200, "max-age=60", "Vary: X")
    bench.fetcher.says(URL, varied, b"one", before=gate)
    bench.fetcher.says(URL, varied, b"two", before=other)
    clients = [bench.start(f"GET {URL}", f"X: {x}") for x in "11222"]
    await gate.reached()
    gate.open()
    other.open()
    assert [got.body for got in await answers(clients)] == [b"one"] * 2 + [b"two"] * 3
    assert bench.asked == 2
    await bench.settled()
    assert len(bench.store.at(URL)) == 2


async def test_a_variant_of_a_variant_goes_alone() -> None:
    bench, gate = Bench(), Gate()
    bench.fetcher.says(URL, resp(200, "max-age=60", "Vary: X"), b"one", before=gate)
    bench.fetcher.says(URL, resp(200, "max-age=60", "Vary: X, Y"), b"two")
    bench.fetcher.says(URL, resp(200, "max-age=60", "Vary: X, Y"), b"three")
    lines = [["X: 1"], ["X: 2", "Y: 1"], ["X: 2", "Y: 2"]]
    clients = [bench.start(f"GET {URL}", *each) for each in lines]
    await gate.reached()
    gate.open()
    assert [got.body for got in await answers(clients)] == [b"one", b"two", b"three"]
    await bench.settled()


async def test_the_leader_leaves_before_the_head() -> None:
    bench, gate = Bench(), Gate()
    bench.fetcher.says(URL, FRESH, b"never", before=gate)
    bench.fetcher.says(URL, FRESH, b"hello")
    leader, *others = [bench.start() for _ in range(4)]
    await gate.reached()
    leader.cancel()
    got = await answers(others)
    assert {one.body for one in got} == {b"hello"}
    assert bench.asked == 2
    assert leader.cancelled()
    await bench.settled()


async def test_the_leader_leaves_after_the_head() -> None:
    # Promise 31.
    bench, gate = Bench(), Gate()
    bench.fetcher.says(URL, FRESH, b"first", gate, b"second")
    leader, follower = [await one for one in (bench.start(), bench.start())]
    assert isinstance(leader.answer.body, Flow)
    leader.answer.body.reader.close()
    gate.open()
    assert (await whole(follower)).body == b"firstsecond"
    await bench.settled()
    assert (await bench.get()).reason is Reason.HIT


async def test_a_follower_leaves() -> None:
    bench, gate = Bench(), Gate()
    bench.fetcher.says(URL, FRESH, b"hello", before=gate)
    leader, leaving, staying = [bench.start() for _ in range(3)]
    await gate.reached()
    leaving.cancel()
    gate.open()
    assert [got.body for got in await answers([leader, staying])] == [b"hello"] * 2
    assert bench.asked == 1
    await bench.settled()


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("Cache-Control: no-store", id="P17 no-store"),
        pytest.param("Cache-Control: private", id="P17 private"),
        pytest.param("Vary: *", id="P17 Vary"),
    ],
)
async def test_uncacheable_is_for_everybody_alone(line: str) -> None:
    bench, gate = Bench(), Gate()
    for body in (b"a", b"b", b"c"):
        bench.fetcher.says(URL, resp(200, line), body, before=gate)
    clients = [bench.start() for _ in range(3)]
    await gate.reached()
    gate.open()
    assert sorted(got.body for got in await answers(clients)) == [b"a", b"b", b"c"]
    # It is remembered: nobody queues any more.
    held, gate = [], Gate()
    for body in (b"d", b"e"):
        bench.fetcher.says(URL, resp(200, line), body, before=gate)
        held.append(bench.start())
    await gate.reached()
    assert bench.asked == 5
    gate.open()
    assert [got.body for got in await answers(held)] == [b"d", b"e"]


@pytest.mark.parametrize(
    ("down", "reason"),
    [
        pytest.param(True, Reason.NOT_STORED_STORE_FAILED, id="P16 disk failed"),
        pytest.param(False, Reason.NOT_STORED_TOO_LARGE, id="too large"),
    ],
)
async def test_what_the_store_does_not_take_is_passed_on(down: bool, reason: Reason) -> None:
    bench = Bench()
    bench.store.down, bench.store.largest = down, 2
    bench.fetcher.says(URL, FRESH, b"hello", length=5)
    got = await bench.get()
    assert (got.status, got.body, got.reason) == (200, b"hello", reason)
    assert "stored" not in got.said("cache-status").replace("not-stored", "")


async def test_an_error_is_everybodys() -> None:
    bench, gate = Bench(), Gate()
    bench.fetcher.fails(URL, UNREACHED, before=gate)
    clients = [bench.start() for _ in range(3)]
    await gate.reached()
    gate.open()
    assert [got.status for got in await answers(clients)] == [502] * 3
    assert bench.asked == 1


async def test_a_cut_reaches_all_and_is_not_stored() -> None:
    # Promise 10.
    bench, gate = Bench(), Gate()
    bench.fetcher.says(URL, FRESH, b"hello", gate, CUT, length=9)
    outcomes = [await one for one in (bench.start(), bench.start())]
    gate.open()
    for outcome in outcomes:
        with pytest.raises(UpstreamError):
            await whole(outcome)
    await bench.settled()
    assert bench.store.at(URL) == ()
    bench.fetcher.says(URL, FRESH, b"hello")
    assert (await bench.get()).body == b"hello"


async def test_who_comes_after_a_break_asks_anew() -> None:
    bench, gate = Bench(), Gate()
    bench.store.room = 0
    bench.fetcher.says(URL, FRESH, bytes(300_000), gate, b"!")
    bench.fetcher.says(URL, FRESH, b"again")
    leader = bench.start()
    await gate.reached()
    assert (await whole(await bench.open())).body == b"again"
    gate.open()
    assert len((await whole(await leader)).body) == 300_001
    await bench.settled()


@pytest.mark.parametrize(
    ("method", "line", "status", "body"),
    [
        pytest.param("GET", "Range: bytes=1-3", 206, b"123", id="9110-14.2 range"),
        pytest.param("GET", 'If-None-Match: "1"', 304, b"", id="9110-13.1.2 condition"),
        pytest.param("HEAD", "X: y", 200, b"", id="9110-9.3.2 HEAD"),
    ],
)
async def test_read_along_but_never_lead(method: str, line: str, status: int, body: bytes) -> None:
    bench, gate = Bench(), Gate()
    bench.fetcher.says(URL, FRESH, b"01234", gate, b"56789", length=10)
    leader = await bench.open()
    got = await whole(await bench.open(f"{method} {URL}", line))
    assert (got.status, got.body, got.reason, bench.asked) == (status, body, Reason.HIT, 1)
    gate.open()
    await whole(leader)
    await bench.settled()


@pytest.mark.parametrize(
    ("method", "line"),
    [
        pytest.param("GET", "Range: bytes=1-3", id="range"),
        pytest.param("GET", 'If-None-Match: "9"', id="condition"),
        pytest.param("HEAD", "X: y", id="HEAD"),
    ],
)
async def test_nobody_follows_who_asks_for_a_view_of_his_own(method: str, line: str) -> None:
    bench, gate = Bench(), Gate()
    bench.fetcher.says(URL, resp(304), b"", before=gate)
    bench.fetcher.says(URL, FRESH, b"hello")
    own = bench.start(f"{method} {URL}", line, 'If-None-Match: "9"')
    await gate.reached()
    assert (await whole(await bench.open())).body == b"hello"
    gate.open()
    assert (await whole(await own)).status == 304
    await bench.settled()


async def test_a_range_does_not_lead_another_variant() -> None:
    # What it gets is a part, and those who followed it would be cut short.
    bench, gate, part = Bench(), Gate(), Gate()
    lines = ("max-age=60", "Vary: X", 'ETag: "2"')
    bench.fetcher.says(URL, resp(200, *lines), b"one", gate)
    leader = await bench.open(f"GET {URL}", "X: 1")
    bench.fetcher.says(URL, resp(206, *lines, "Content-Range: bytes 0-1/10"), b"01", before=part)
    ranged = bench.start(f"GET {URL}", "X: 2", "Range: bytes=0-1")
    await part.reached()
    bench.fetcher.says(URL, resp(200, *lines), b"0123456789")
    assert (await whole(await bench.open(f"GET {URL}", "X: 2"))).body == b"0123456789"
    part.open()
    gate.open()
    assert [(await whole(one)).body for one in (await ranged, leader)] == [b"01", b"one"]
    await bench.settled()


async def test_no_cache_is_answered_by_what_is_newer_than_it() -> None:
    bench, head, rest = Bench(), Gate(), Gate()
    bench.fetcher.says(URL, FRESH, b"one", rest, before=head)
    leader = bench.start()
    early = bench.start(f"GET {URL}", "Cache-Control: no-cache")
    await head.reached()
    head.open()
    outcomes = [await leader, await early]
    bench.fetcher.says(URL, FRESH, b"two")
    late = await whole(await bench.open(f"GET {URL}", "Cache-Control: no-cache"))
    rest.open()
    assert [(await whole(one)).body for one in outcomes] == [b"one", b"one"]
    assert (late.body, bench.asked) == (b"two", 2)
    await bench.settled()


# Stale.


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(UNREACHED, id="5861-4 unreachable"),
        pytest.param(CUT, id="5861-4 lost"),
        pytest.param(BadResponse(502, "http_protocol_error", "x"), id="5861-4 malformed"),
    ],
)
async def test_stale_if_error(error: UpstreamError) -> None:
    bench, gate = Bench(), Gate()
    await already(bench, STALE)
    bench.fetcher.fails(URL, error, before=gate)
    clients = [bench.start() for _ in range(3)]
    await gate.reached()
    gate.open()
    got = await answers(clients)
    assert [(one.body, one.reason) for one in got] == [(b"old", Reason.STALE_IF_ERROR)] * 3
    assert int(got[0].said("age")) >= 100
    assert bench.asked == 2


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_stale_if_the_origin_fails(status: int) -> None:
    # Those who follow are spared the origin, too, as far as they take what is stale.
    bench, gate = Bench(), Gate()
    await already(bench, STALE)
    response = bench.fetcher.says(URL, resp(status), b"sorry", before=gate)
    bench.fetcher.says(URL, resp(status), b"sorry")
    clients = [bench.start(), bench.start(), bench.start(f"GET {URL}", "Cache-Control: no-cache")]
    await gate.reached()
    gate.open()
    got = await answers(clients)
    assert [one.body for one in got] == [b"old", b"old", b"sorry"]
    assert [one.forward_status for one in got] == [status] * 3
    assert f"fwd=stale; fwd-status={status}" in got[1].said("cache-status")
    assert (response.closed, bench.asked) == (1, 3)


async def test_stale_not_for_ever() -> None:
    bench = Bench()
    await already(bench, resp(200, "max-age=60, stale-if-error=10", "Age: 100", 'ETag: "1"'))
    assert (await bench.get()).status == 502


async def test_a_stale_body_that_is_lost_does_not_help() -> None:
    bench = Bench()
    await already(bench, STALE)
    bench.store.lost = {stored.id for stored in bench.store.at(URL)}
    assert (await bench.get()).status == 502


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_stale_while_revalidate_asks_once(method: str) -> None:
    bench, gate = Bench(), Gate()
    await already(bench, BEHIND)
    bench.fetcher.says(URL, resp(200, "max-age=60", 'ETag: "2"'), b"new", before=gate)
    for _ in range(3):
        got = await whole(await bench.open(f"{method} {URL}"))
        assert (got.status, got.reason) == (200, Reason.STALE_WHILE_REVALIDATE)
    await gate.reached()
    assert bench.asked == 2
    asked = bench.fetcher.requests[1]
    assert (asked.method, asked.fields.get("if-none-match")) == ("GET", '"1"')
    gate.open()
    await bench.settled()
    assert ((await bench.get()).body, bench.asked) == (b"new", 2)


async def test_revalidating_behind_leaves_nothing_open() -> None:
    bench = Bench()
    await already(bench, BEHIND)
    bench.fetcher.says(URL, resp(304, "max-age=60", 'ETag: "1"'), b"", interim=(resp(103),))
    bench.store.hot = False
    assert (await bench.get()).body == b"old"
    assert [body.closed for body in bench.store.opened] == [1, 1]
    assert bench.interim == []
    assert (await bench.get()).reason is Reason.HIT


# Clients that leave while something is awaited.


async def test_cancelled_while_the_stale_body_is_opened() -> None:
    bench = Bench()
    await already(bench, STALE)
    bench.store.hot, bench.store.opens = False, Gate()
    never = Gate()
    response = bench.fetcher.says(URL, resp(500), b"sorry", never)
    client = bench.start()
    await bench.store.opens.reached()
    client.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client
    assert response.closed == 1
    bench.store.opens.open()
    bench.fetcher.says(URL, FRESH, b"new")
    assert (await bench.get()).body == b"new"
