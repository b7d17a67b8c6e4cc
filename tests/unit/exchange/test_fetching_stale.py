"""Stale responses: when the origin fails, and while it is asked behind (RFC 5861)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from proxy.policy.options import FreshnessOptions, Options
from proxy.policy.reasons import Reason
from proxy.semantics.units import Seconds
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


@pytest.mark.parametrize(
    ("control", "error", "status"),
    [
        pytest.param("max-age=60, must-revalidate", UNREACHED, 504, id="9111-5.2.2.2"),
        pytest.param("max-age=60, must-revalidate", CUT, 504, id="9111-5.2.2.2 lost"),
        pytest.param("s-maxage=60", UNREACHED, 504, id="9111-5.2.2.10"),
        pytest.param("no-cache", UNREACHED, 504, id="9111-5.2.2.4"),
        pytest.param("max-age=60, stale-if-error=0", UNREACHED, 502, id="it might have been stale"),
        pytest.param(
            "max-age=60, must-revalidate",
            BadResponse(502, "http_protocol_error", "x"),
            502,
            id="an origin in reach",
        ),
        pytest.param(
            "max-age=60, must-revalidate",
            NotReached(403, "destination_ip_prohibited", "x"),
            403,
            id="a refusal of ours",
        ),
    ],
)
async def test_out_of_reach(control: str, error: UpstreamError, status: int) -> None:
    bench, gate = Bench(), Gate()
    await already(bench, resp(200, control, "Age: 100", 'ETag: "1"'))
    for _ in range(2):
        bench.fetcher.fails(URL, error, before=gate)
    clients = [bench.start(), bench.start()]
    await gate.reached()
    gate.open()
    assert [got.status for got in await answers(clients)] == [status] * 2


async def test_out_of_reach_without_a_validator() -> None:
    bench = Bench()
    await already(bench, resp(200, "max-age=60, must-revalidate"))
    assert (await bench.get(f"GET {URL}", "Cache-Control: no-cache")).status == 504


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
    assert [body.closed for body in bench.store.opened] == [1]
    assert bench.interim == []
    assert (await bench.get()).reason is Reason.HIT


@pytest.mark.parametrize("said", ["max-age=60", "no-store"])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_an_error_behind_replaces_nothing(status: int, said: str) -> None:
    # As one in front: whether or not the error says for how long it may be stored.
    bench = Bench()
    await already(bench, BEHIND)
    bench.fetcher.says(URL, resp(status, said), b"sorry")
    bench.fetcher.fails(URL, CUT)
    for _ in range(2):
        got = await bench.get()
        assert (got.body, got.reason) == (b"old", Reason.STALE_WHILE_REVALIDATE)
    bench.fetcher.says(URL, resp(304, "max-age=60", 'ETag: "1"'))
    assert ((await bench.get()).body, bench.asked) == (b"old", 4)
    assert (await bench.get()).reason is Reason.HIT


async def test_an_error_behind_replaces_what_may_not_be_stale() -> None:
    options = Options(freshness=FreshnessOptions(stale_if_error=Seconds(0)))
    bench = Bench(options)
    await already(bench, BEHIND)
    bench.fetcher.says(URL, resp(503, "max-age=60"), b"sorry")
    await bench.get()
    assert ((await bench.get()).body, bench.asked) == (b"sorry", 2)


@pytest.mark.parametrize("error", [None, CUT], ids=["error status", "lost"])
async def test_a_stored_error_does_not_stand_in_for_a_newer_one(
    error: UpstreamError | None,
) -> None:
    bench = Bench()
    await already(bench, resp(503, "max-age=60, stale-if-error=600"))
    if error is None:
        bench.fetcher.says(URL, resp(500), b"new")
    else:
        bench.fetcher.fails(URL, error)
    got = await bench.get(f"GET {URL}", "Cache-Control: min-fresh=61, stale-if-error=600")
    assert got.status == (500 if error is None else 502)
    assert b"old" not in got.body


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


async def test_the_refresh_behind_has_no_client_that_could_leave() -> None:
    bench, gate, body = Bench(), Gate(), bytes(6 * 2**20)
    await already(bench, BEHIND)
    bench.fetcher.says(URL, FRESH, b"!", gate, body, length=1 + len(body))
    assert (await whole(await bench.open())).reason is Reason.STALE_WHILE_REVALIDATE
    await gate.reached()
    gate.open()
    await bench.settled()
    assert (await bench.get()).body == b"!" + body
