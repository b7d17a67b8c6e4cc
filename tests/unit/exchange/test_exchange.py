"""The orchestrator: hits, methods, invalidation, our own answers, bodies that were lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from proxy.exchange.answer import FileSpan, Tunnel
from proxy.policy.options import Options
from proxy.policy.reasons import Reason
from proxy.policy.rules import Rule
from tests.support.bench import PSEUDONYM, URL, Bench, whole
from tests.support.build import resp
from tests.support.origin import Gate

if TYPE_CHECKING:
    from proxy.semantics.messages import ResponseHead

FRESH = resp(200, "max-age=60", 'ETag: "1"')
POSTS = Options(rules=(Rule(match="http://a.example/**", store_post=True),))
STALE = resp(200, "max-age=60", "Age: 100", 'ETag: "1"')


class Upload:
    """A request body."""

    def __init__(self) -> None:
        self.chunks = [b"", b"body"]

    async def read(self) -> bytes:
        return self.chunks.pop()


class Switched:
    """An ``Upgraded`` connection."""

    def __init__(self) -> None:
        self.head: ResponseHead | None = resp(101, "Upgrade: chat", "Connection: Upgrade")
        self.closed = 0

    async def sent(self) -> None:
        """There was no content."""

    def detach(self) -> tuple[asyncio.Transport, bytes]:
        return asyncio.Transport(), b""

    def close(self) -> None:
        self.closed += 1


async def test_a_miss_then_hits() -> None:
    bench = Bench()
    bench.fetcher.says(URL, FRESH, b"hello", length=5)
    miss = await bench.get()
    assert (miss.status, miss.body, miss.reason, miss.forward_status) == (
        200, b"hello", Reason.MISS, 200,
    )  # fmt: skip
    assert miss.said("cache-status") == "forecache; fwd=uri-miss; fwd-status=200; stored"
    hit = await bench.get()
    assert (hit.body, hit.reason, hit.forward_status) == (b"hello", Reason.HIT, 0)
    assert hit.said("age") == "0"
    assert (bench.asked, bench.store.touched[URL]) == (1, 1)


async def test_a_hit_from_disk_is_a_span_of_its_file() -> None:
    bench = Bench()
    bench.fetcher.says(URL, FRESH, b"hello")
    await bench.get()
    bench.store.hot = False
    outcome = await bench.open(f"GET {URL}", "Range: bytes=1-3")
    body = outcome.answer.body
    assert isinstance(body, FileSpan)
    assert (body.offset, body.length) == (1, 3)
    assert (await whole(outcome)).body == b"ell"
    assert [body.closed for body in bench.store.opened] == [1]


async def test_several_ranges_from_disk_are_put_together() -> None:
    bench = Bench()
    bench.fetcher.says(URL, FRESH, b"0123456789")
    await bench.get()
    in_memory = await bench.get(f"GET {URL}", "Range: bytes=0-1,5-6")
    bench.store.hot = False
    from_disk = await bench.get(f"GET {URL}", "Range: bytes=0-1,5-6")
    assert (from_disk.status, from_disk.body) == (206, in_memory.body)
    assert [body.closed for body in bench.store.opened] == [1]


@pytest.mark.parametrize("hot", [pytest.param(True, id="memory"), pytest.param(False, id="disk")])
async def test_a_lost_body_is_a_miss(hot: bool) -> None:
    # Promise 13.
    bench = Bench()
    bench.fetcher.says(URL, FRESH, b"hello")
    bench.fetcher.says(URL, FRESH, b"again")
    await bench.get()
    bench.store.hot = hot
    bench.store.lost = {stored.id for stored in bench.store.at(URL)}
    got = await bench.get()
    assert (got.body, got.reason) == (b"again", Reason.DAMAGED)
    assert "fwd=miss" in got.said("cache-status")
    assert (await bench.get()).reason is Reason.HIT


async def test_it_does_not_look_for_ever() -> None:
    bench = Bench()
    bench.fetcher.says(URL, FRESH, b"hello")
    bench.fetcher.says(URL, FRESH, b"again")
    await bench.get()
    bench.store.lost = {stored.id for stored in bench.store.at(URL)}
    bench.store.forgets = False
    assert (await bench.get()).body == b"again"
    assert bench.asked == 2


async def test_only_if_cached() -> None:
    bench = Bench()
    refused = await bench.get(f"GET {URL}", "Cache-Control: only-if-cached")
    assert (refused.status, refused.reason) == (504, Reason.ONLY_IF_CACHED)
    assert refused.said("cache-status") == "forecache; detail=only-if-cached"
    assert bench.asked == 0
    bench.fetcher.says(URL, FRESH, b"hello")
    await bench.get()
    assert (await bench.get(f"GET {URL}", "Cache-Control: only-if-cached")).body == b"hello"


async def test_a_loop_ends_here() -> None:
    # Promise 9.
    bench = Bench()
    got = await bench.get(f"GET {URL}", f"Via: 1.1 other, 1.1 {PSEUDONYM}")
    assert (got.status, got.reason, bench.asked) == (508, Reason.LOOP, 0)


async def test_trace_ends_where_max_forwards_does() -> None:
    bench = Bench()
    lines = ("Max-Forwards: 0", "Cookie: secret", "X: y")
    got = await bench.get(f"TRACE {URL}", *lines)
    assert (got.status, got.reason, bench.asked) == (200, Reason.MAX_FORWARDS, 0)
    assert b"X: y\r\n" in got.body
    assert b"secret" not in got.body


async def test_options_goes_on_with_one_forward_less() -> None:
    bench = Bench()
    bench.fetcher.says(URL, resp(204), b"")
    got = await bench.get(f"OPTIONS {URL}", "Max-Forwards: 2")
    assert (got.status, got.reason) == (204, Reason.METHOD)
    assert bench.fetcher.requests[0].fields.get("max-forwards") == "1"


@pytest.mark.parametrize(
    ("method", "status", "kept"),
    [
        pytest.param("POST", 200, False, id="9111-4.4 POST"),
        pytest.param("PUT", 204, False, id="9111-4.4 PUT"),
        pytest.param("DELETE", 302, False, id="9111-4.4 DELETE, redirected"),
        pytest.param("BREW", 200, False, id="9111-4.4 an unknown method"),
        pytest.param("POST", 500, True, id="9111-4.4 not on an error"),
        pytest.param("OPTIONS", 200, True, id="9111-4.4 not a safe one"),
    ],
)
async def test_invalidation(method: str, status: int, kept: bool) -> None:
    bench = Bench()
    bench.fetcher.says(URL, FRESH, b"old")
    await bench.get()
    bench.fetcher.says(URL, resp(status), b"done")
    assert (await bench.get(f"{method} {URL}")).body == b"done"
    assert bool(bench.store.at(URL)) is kept


async def test_what_the_answer_points_to_is_invalid_too() -> None:
    bench = Bench()
    other = "http://a.example/other"
    bench.fetcher.says(other, FRESH, b"old")
    await bench.get(f"GET {other}")
    bench.fetcher.says(URL, resp(201, "", "Location: /other"), b"")
    await bench.get(f"POST {URL}")
    assert bench.store.at(other) == ()


async def test_a_post_invalidates_what_is_in_flight() -> None:
    bench, gate = Bench(), Gate()
    bench.fetcher.says(URL, FRESH, b"old", gate)
    reading = await bench.open()
    bench.fetcher.says(URL, resp(200), b"done")
    await whole(await bench.open(f"POST {URL}"))
    bench.fetcher.says(URL, FRESH, b"new")
    after = await whole(await bench.open())
    gate.open()
    assert (after.body, (await whole(reading)).body) == (b"new", b"old")
    await bench.settled()
    assert [bench.store.bodies[one.id] for one in bench.store.at(URL)] == [b"new"]


async def test_a_post_may_be_stored_for_a_get() -> None:
    # RFC 9110 §9.3.3, and only where a rule says so.
    for options, reason in ((Options(), Reason.MISS), (POSTS, Reason.HIT)):
        bench = Bench(options)
        bench.fetcher.says(URL, resp(200, "max-age=60", f"Content-Location: {URL}"), b"made")
        posted = await bench.get(f"POST {URL}", body=Upload())
        assert (posted.body, posted.reason) == (b"made", Reason.METHOD)
        bench.fetcher.says(URL, FRESH, b"got")
        assert (await bench.get()).reason is reason


@pytest.mark.parametrize("down", [pytest.param(True, id="down"), pytest.param(False, id="large")])
async def test_a_post_that_the_store_does_not_take_is_passed_on(down: bool) -> None:
    bench = Bench(POSTS)
    bench.store.down, bench.store.largest = down, 2
    bench.fetcher.says(URL, resp(200, "max-age=60", f"Content-Location: {URL}"), b"made", length=4)
    assert (await bench.get(f"POST {URL}")).body == b"made"
    assert bench.store.at(URL) == ()


async def test_a_get_with_a_body_passes_the_cache_by() -> None:
    # Promise 18.
    bench = Bench()
    for body in (b"one", b"two"):
        bench.fetcher.says(URL, FRESH, body)
        got = await bench.get(f"GET {URL}", "Content-Length: 4", body=Upload())
        assert (got.body, got.reason) == (body, Reason.REQUEST_BODY)
    assert bench.store.at(URL) == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param("X-Forwarded-Host: b", Reason.REQUEST_REFLECTED, id="P18 reflected"),
        pytest.param("Cache-Control: no-store", Reason.REQUEST_NO_STORE, id="5.2.1.5 no-store"),
    ],
)
async def test_what_neither_reads_nor_writes(line: str, reason: Reason) -> None:
    bench = Bench()
    bench.fetcher.says(URL, FRESH, b"kept")
    await bench.get()
    bench.fetcher.says(URL, FRESH, b"mine")
    got = await bench.get(f"GET {URL}", line)
    assert got.body == b"mine"
    assert "fwd=bypass" in got.said("cache-status")
    assert (await bench.get()).body == b"kept"
    assert reason.value


async def test_a_rule_keeps_the_cache_out_of_it() -> None:
    bench = Bench(Options(rules=(Rule(match="http://a.example/**", cache=False),)))
    for body in (b"one", b"two"):
        bench.fetcher.says(URL, FRESH, body)
        assert (await bench.get()).body == body


async def test_an_upgrade_is_a_tunnel() -> None:
    bench, switched = Bench(), Switched()
    bench.fetcher.upgraded = switched
    outcome = await bench.open(f"GET {URL}", "Connection: Upgrade", "Upgrade: chat")
    assert (outcome.answer.head.status, outcome.reason) == (101, Reason.UPGRADE)
    assert outcome.answer.body == Tunnel(switched)
    assert outcome.answer.head.fields.get("upgrade") == "chat"
    assert bench.fetcher.requests[0].upgrade


async def test_an_upgrade_that_is_declined_is_passed_on() -> None:
    bench = Bench()
    bench.fetcher.says(URL, FRESH, b"plain")
    got = await bench.get(f"GET {URL}", "Connection: Upgrade", "Upgrade: chat")
    assert (got.body, got.reason, bench.store.at(URL)) == (b"plain", Reason.UPGRADE, ())


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_origin_that_cannot_be_reached(method: str) -> None:
    got = await Bench().get(f"{method} {URL}")
    assert (got.status, got.reason) == (502, Reason.ORIGIN_UNREACHABLE)
    assert "error=connection_refused" in got.said("proxy-status")


async def test_interim_responses_reach_the_client_that_asked() -> None:
    bench, early = Bench(), resp(103, "Link: </a>")
    bench.fetcher.says(URL, FRESH, b"hello", interim=(early,))
    assert (await bench.get()).body == b"hello"
    assert bench.interim == [early]


async def test_cancelled_while_it_invalidates() -> None:
    bench, gate = Bench(), Gate()
    response = bench.fetcher.says(URL, resp(200), b"a", gate)

    async def remove(key: str, ids: frozenset[str] | None = None) -> int:
        await gate.wait()
        return 0

    bench.store.remove = remove  # type: ignore[method-assign]
    client = bench.start(f"POST {URL}")
    await gate.reached()
    client.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client
    assert response.closed == 1


# What is whole, and not committed yet.


async def arrived(bench: Bench, head: ResponseHead = FRESH, body: bytes = b"0123456789") -> Gate:
    """A first client has read all of it; the commit waits at the gate."""
    gate = bench.store.commits = Gate()
    bench.fetcher.says(URL, head, body)
    await whole(await bench.open())
    return gate


@pytest.mark.parametrize(
    ("line", "lines", "status", "body"),
    [
        pytest.param("GET", [], 200, b"0123456789", id="GET"),
        pytest.param("HEAD", [], 200, b"", id="HEAD"),
        pytest.param(
            "GET", ["Cache-Control: only-if-cached"], 200, b"0123456789", id="only cached"
        ),
        pytest.param("GET", ["Range: bytes=2-4"], 206, b"234", id="range"),
        pytest.param("GET", ['If-None-Match: "1"'], 304, b"", id="condition"),
    ],
)
async def test_a_hit_before_it_is_committed(
    line: str, lines: list[str], status: int, body: bytes
) -> None:
    bench = Bench()
    gate = await arrived(bench)
    got = await whole(await bench.open(f"{line} {URL}", *lines))
    assert (got.status, got.body, got.reason) == (status, body, Reason.HIT)
    assert "forecache; hit; ttl=" in got.said("cache-status")
    gate.open()
    await bench.settled()
    assert bench.asked == 1


async def test_several_ranges_before_it_is_committed() -> None:
    bench = Bench()
    gate = await arrived(bench)
    got = await whole(await bench.open(f"GET {URL}", "Range: bytes=0-1,5-6"))
    assert got.status == 206
    assert b"\r\n\r\n56\r\n" in got.body
    gate.open()
    await bench.settled()


@pytest.mark.parametrize(
    ("head", "lines"),
    [
        pytest.param(STALE, [], id="stale"),
        pytest.param(FRESH, ["Cache-Control: no-cache"], id="9111-5.2.1.4 no-cache"),
        pytest.param(FRESH, ["Pragma: no-cache"], id="9111-5.4 no-cache"),
        pytest.param(FRESH, ["Cache-Control: max-age=0"], id="9111-5.2.1.1 max-age"),
    ],
)
async def test_who_must_validate_waits_for_the_commit(head: ResponseHead, lines: list[str]) -> None:
    bench = Bench()
    gate = await arrived(bench, head)
    bench.fetcher.says(URL, resp(304, "max-age=60"))
    client = bench.start(f"GET {URL}", *lines)
    await gate.reached()
    assert bench.asked == 1
    gate.open()
    got = await whole(await client)
    assert (got.body, got.reason) == (b"0123456789", Reason.REVALIDATED)
    assert bench.fetcher.requests[1].fields.get("if-none-match") == '"1"'
    await bench.settled()
