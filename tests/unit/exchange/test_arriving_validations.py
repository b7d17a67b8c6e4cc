"""What a 304, or the answer to a HEAD, makes of what is stored (RFC 9111 §4.3.3 to §4.3.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.policy.reasons import Reason
from tests.support.bench import URL, Bench, answers
from tests.support.build import resp
from tests.support.origin import Gate

if TYPE_CHECKING:
    from proxy.semantics.messages import ResponseHead

FRESH = resp(200, "max-age=60", 'ETag: "1"')
STALE = resp(200, "max-age=60", "Age: 100", 'ETag: "1"')


async def already(
    bench: Bench, head: ResponseHead = STALE, body: bytes = b"old", *lines: str
) -> None:
    """It is stored, because somebody asked for it with these fields."""
    bench.fetcher.says(URL, head, body)
    await bench.get(f"GET {URL}", *lines)


async def test_a_304_freshens_and_the_answer_carries_it() -> None:
    bench = Bench()
    await already(bench)
    bench.fetcher.says(URL, resp(304, "max-age=60", 'ETag: "1"', "X: new"), b"")
    got = await bench.get()
    assert (got.body, got.said("x"), got.reason) == (b"old", "new", Reason.REVALIDATED)
    assert "fwd=stale; fwd-status=304; ttl=" in got.said("cache-status")
    assert bench.fetcher.requests[1].fields.get("if-none-match") == '"1"'
    again = await bench.get()
    assert (again.said("x"), again.reason, bench.asked) == ("new", Reason.HIT, 2)


async def test_the_client_s_own_condition_is_answered_after_ours() -> None:
    bench = Bench()
    await already(bench)
    bench.fetcher.says(URL, resp(304, "max-age=60", 'ETag: "1"'), b"")
    got = await bench.get(f"GET {URL}", 'If-None-Match: "1"', "Range: bytes=0-0")
    assert got.status == 304
    asked = bench.fetcher.requests[1].fields
    assert (asked.get("if-none-match"), asked.get("range")) == ('"1"', "bytes=0-0")


async def test_validations_are_one_request() -> None:
    bench, gate = Bench(), Gate()
    await already(bench)
    bench.fetcher.says(URL, resp(304, "max-age=60", 'ETag: "1"'), b"", before=gate)
    clients = [bench.start() for _ in range(4)]
    await gate.reached()
    gate.open()
    got = await answers(clients)
    assert [one.body for one in got] == [b"old"] * 4
    assert [one.reason for one in got] == [Reason.REVALIDATED] + [Reason.COLLAPSED] * 3
    assert bench.asked == 2
    await bench.settled()


async def test_a_304_for_nothing_stored_is_asked_again_as_a_whole() -> None:
    bench = Bench()
    await already(bench)
    bench.fetcher.says(URL, resp(304, 'ETag: "other"'), b"")
    bench.fetcher.says(URL, FRESH, b"new")
    assert (await bench.get()).body == b"new"
    assert bench.fetcher.requests[2].fields.get("if-none-match") is None


async def test_a_304_that_nobody_asked_for_is_malformed() -> None:
    # Promise 11; and the origin is not asked for ever.
    bench = Bench()
    await already(bench, resp(200, "max-age=60", "Age: 100", 'ETag: "1"', "Vary: X"))
    bench.fetcher.says(URL, resp(304, 'ETag: "other"'), b"")
    bench.fetcher.says(URL, resp(304, 'ETag: "other"'), b"")
    got = await bench.get(f"GET {URL}", "Cache-Control: stale-if-error=0")
    assert (got.status, got.reason, bench.asked) == (502, Reason.ORIGIN_MALFORMED, 3)


async def test_the_variant_that_a_304_names_is_the_answer() -> None:
    # RFC 9111 §4.3.4: the origin chose "b" for this request, "a" was not validated.
    bench = Bench()
    lines = ("max-age=60", "Age: 100", "Vary: X")
    await already(bench, resp(200, *lines, 'ETag: "a"'), b"A", "X: 1")
    await already(bench, resp(200, *lines, 'ETag: "b"'), b"B", "X: 2")
    gate = Gate()
    bench.fetcher.says(URL, resp(304, "max-age=60", 'ETag: "b"'), b"", before=gate)
    leader, follower = bench.start(f"GET {URL}", "X: 1"), bench.start(f"GET {URL}", "X: 1")
    await gate.reached()
    gate.open()
    bench.fetcher.says(URL, resp(304, "max-age=60", 'ETag: "b"'), b"")
    assert [got.body for got in await answers([leader, follower])] == [b"B", b"B"]
    await bench.settled()


@pytest.mark.parametrize("line", ["Cache-Control: private", "Cache-Control: no-store", "Vary: *"])
async def test_a_304_that_takes_it_back(line: str) -> None:
    # Promise 17: what it says now is for this client alone.
    bench, gate = Bench(), Gate()
    await already(bench)
    bench.fetcher.says(URL, resp(304, line, 'ETag: "1"'), b"", before=gate)
    leader, follower = bench.start(), bench.start()
    await gate.reached()
    gate.open()
    bench.fetcher.says(URL, resp(200, line), b"mine")
    assert [got.body for got in await answers([leader, follower])] == [b"old", b"mine"]
    await bench.settled()
    assert bench.store.at(URL) == ()


async def test_a_304_to_credentials_freshens_for_nobody_else() -> None:
    bench = Bench()
    await already(bench)
    bench.fetcher.says(URL, resp(304, "max-age=60", 'ETag: "1"'), b"")
    assert (await bench.get(f"GET {URL}", "Authorization: x")).body == b"old"
    bench.fetcher.says(URL, resp(304, "max-age=60", 'ETag: "1"'), b"")
    assert (await bench.get()).reason is Reason.REVALIDATED


async def test_a_disk_that_fails_keeps_the_old_fields() -> None:
    bench = Bench()
    await already(bench)
    bench.store.down = True
    bench.fetcher.says(URL, resp(304, "max-age=60", 'ETag: "1"'), b"")
    assert (await bench.get()).reason is Reason.REVALIDATED
    bench.fetcher.says(URL, resp(304, "max-age=60", 'ETag: "1"'), b"")
    assert (await bench.get()).reason is Reason.REVALIDATED
    assert bench.asked == 3


async def test_of_variants_with_one_tag_the_client_gets_his_own() -> None:
    bench = Bench()
    for number in ("1", "2"):
        lines = ("max-age=60", "Age: 100", "Vary: X", 'ETag: "a"', f"Content-Language: {number}")
        head = resp(200, *lines)
        await already(bench, head, b"same", f"X: {number}")
    bench.fetcher.says(URL, resp(304, "max-age=60", 'ETag: "a"'), b"")
    got = await bench.get(f"GET {URL}", "X: 1")
    assert (got.said("content-language"), got.reason) == ("1", Reason.REVALIDATED)
    assert (await bench.get(f"GET {URL}", "X: 2")).reason is Reason.HIT


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        pytest.param(200, Reason.ORIGIN_UNREACHABLE, id="4.3.3 another representation"),
        pytest.param(404, Reason.ORIGIN_UNREACHABLE, id="4.3.3 none"),
        pytest.param(403, Reason.STALE_IF_ERROR, id="for this client only"),
    ],
)
async def test_a_full_answer_that_may_not_be_stored(status: int, reason: Reason) -> None:
    bench = Bench()
    await already(bench)
    bench.fetcher.says(URL, resp(status, "no-store"), b"mine")
    assert (await bench.get()).body == b"mine"
    assert (await bench.get()).reason is reason


# HEAD.


async def test_head_freshens() -> None:
    bench = Bench()
    await already(bench)
    bench.fetcher.says(URL, resp(200, "max-age=60", 'ETag: "1"', "Content-Length: 3", "X: y"), b"")
    got = await bench.get(f"HEAD {URL}", "Cache-Control: no-cache")
    assert (got.reason, got.said("content-length")) == (Reason.NOT_STORED_METHOD, "3")
    hit = await bench.get()
    assert (hit.body, hit.said("x"), hit.reason) == (b"old", "y", Reason.HIT)


async def test_head_shows_that_it_has_changed() -> None:
    bench = Bench()
    await already(bench, FRESH)
    bench.fetcher.says(URL, resp(200, "max-age=60", 'ETag: "2"'), b"")
    await bench.get(f"HEAD {URL}", "Cache-Control: no-cache")
    bench.fetcher.says(URL, resp(200, "max-age=60", 'ETag: "2"'), b"new")
    got = await bench.get()
    assert (got.body, bench.fetcher.requests[2].fields.get("if-none-match")) == (b"new", '"1"')


async def test_head_that_takes_it_back() -> None:
    bench = Bench()
    await already(bench, FRESH)
    bench.fetcher.says(URL, resp(200, "private", 'ETag: "1"'), b"")
    await bench.get(f"HEAD {URL}", "Cache-Control: no-cache")
    assert bench.store.at(URL) == ()


@pytest.mark.parametrize("status", [pytest.param(404, id="404"), pytest.param(500, id="500")])
async def test_head_that_fails_says_nothing(status: int) -> None:
    bench = Bench()
    await already(bench, FRESH)
    bench.fetcher.says(URL, resp(status, 'ETag: "2"'), b"")
    assert (await bench.get(f"HEAD {URL}", "Cache-Control: no-cache")).status == status
    assert (await bench.get()).reason is Reason.HIT


async def test_head_of_what_is_not_stored() -> None:
    bench = Bench()
    bench.fetcher.says(URL, FRESH, b"")
    assert (await bench.get(f"HEAD {URL}")).status == 200
    assert bench.store.at(URL) == ()


async def test_what_is_too_large_to_be_stored_supersedes_it_too() -> None:
    # RFC 9111 §4.3.3: the origin has said that what is stored is not current.
    bench = Bench()
    await already(bench)
    bench.store.largest = 5
    bench.fetcher.says(URL, resp(200, "max-age=60", 'ETag: "2"'), b"larger", length=6)
    got = await bench.get()
    assert (got.body, got.reason) == (b"larger", Reason.NOT_STORED_TOO_LARGE)
    assert [stored.invalid for stored in bench.store.at(URL)] == [True]
