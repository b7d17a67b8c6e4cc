"""Many clients, one request to the origin: who leads, who follows, and what they all get."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.exchange.answer import Flow
from proxy.policy.reasons import Reason
from proxy.upstream.base import Lost, NotReached, UpstreamError
from tests.support.bench import URL, Bench, answers, whole
from tests.support.build import resp
from tests.support.origin import Gate

if TYPE_CHECKING:
    from proxy.semantics.messages import ResponseHead

FRESH = resp(200, "max-age=60", 'ETag: "1"')
CUT = Lost(502, "connection_terminated", "cut")
UNREACHED = NotReached(502, "connection_refused", "refused")


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


async def test_after_a_failure_all_who_waited_ask_at_once() -> None:
    # What befell one request may be its own doing, and nobody waits for a second leader.
    bench, first, second = Bench(), Gate(), Gate()
    bench.fetcher.fails(URL, CUT, before=first)
    for _ in range(12):
        bench.fetcher.says(URL, FRESH, b"hello", before=second)
    leader, *others = [bench.start() for _ in range(13)]
    await first.reached()
    first.open()
    assert (await whole(await leader)).status == 502
    await second.reached()
    assert bench.asked == 13
    second.open()
    assert {got.body for got in await answers(others)} == {b"hello"}
    await bench.settled()


async def test_nobody_waits_for_one_impatient_leader_after_another() -> None:
    bench, gates = Bench(), [Gate() for _ in range(5)]
    for gate in gates:
        bench.fetcher.says(URL, FRESH, b"hello", before=gate)
    *leaders, patient = [bench.start() for _ in range(5)]
    for leader, gate in zip(leaders[:3], gates, strict=False):
        await gate.reached()
        leader.cancel()
    # The fourth leads the next flight, and who has waited three times asks on its own.
    await gates[4].reached()
    for gate in gates:
        gate.open()
    assert {got.body for got in await answers([leaders[3], patient])} == {b"hello"}
    await bench.settled()


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


async def test_a_fill_that_broke_before_its_followers_woke() -> None:
    bench, gate = Bench(), Gate()
    bench.store.room = 0
    bench.fetcher.says(URL, FRESH, bytes(300_000), CUT, before=gate)
    bench.fetcher.says(URL, FRESH, b"again")
    leader, follower = bench.start(), bench.start()
    await gate.reached()
    gate.open()
    with pytest.raises(UpstreamError):
        await whole(await leader)
    assert (await whole(await follower)).body == b"again"
    await bench.settled()


async def test_several_ranges_of_what_flows_are_the_whole() -> None:
    # RFC 9110 §14.2: a server may ignore Range, and here the order of octets is the fill's.
    bench, gate = Bench(), Gate()
    bench.fetcher.says(URL, FRESH, b"01234", gate, b"56789", length=10)
    leader = await bench.open()
    ranged = await bench.open(f"GET {URL}", "Range: bytes=8-9,0-1")
    gate.open()
    got = await whole(ranged)
    assert (got.status, got.body) == (200, b"0123456789")
    await whole(leader)
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


ALL = "Range: bytes=0-"
SPAN = "Content-Range: bytes 0-9/10"


@pytest.mark.parametrize(
    ("status", "lines"),
    [pytest.param(206, (SPAN,), id="206"), pytest.param(200, (), id="200, the range ignored")],
)
async def test_everything_by_a_range_leads(status: int, lines: tuple[str, ...]) -> None:
    bench, gate = Bench(), Gate()
    head = resp(status, "max-age=60", *lines)
    bench.fetcher.says(URL, head, b"01234", b"56789", before=gate, length=10)
    clients = [bench.start(f"GET {URL}", line) for line in (ALL, ALL, "X: y")]
    await gate.reached()
    gate.open()
    got = await answers(clients)
    assert [one.status for one in got] == [status, 206, 200]
    assert [one.body for one in got] == [b"0123456789"] * 3
    assert got[0].said("content-range") == (SPAN.partition(": ")[2] if lines else "")
    assert [r.fields.get("range") for r in bench.fetcher.requests] == ["bytes=0-"]
    await bench.settled()
    assert (await bench.get()).reason is Reason.HIT


async def test_everything_by_a_range_leads_another_variant() -> None:
    bench, gate = Bench(), Gate()
    bench.fetcher.says(URL, resp(200, "max-age=60", "Vary: X"), b"one", gate)
    leader = await bench.open(f"GET {URL}", "X: 1")
    other = resp(206, "max-age=60", "Vary: X", "Content-Range: bytes 0-2/3")
    bench.fetcher.says(URL, other, b"two", length=3)
    clients = [bench.start(f"GET {URL}", "X: 2", ALL) for _ in range(2)]
    assert [(one.status, one.body) for one in await answers(clients)] == [(206, b"two")] * 2
    gate.open()
    assert (await whole(leader)).body == b"one"
    assert bench.asked == 2
    await bench.settled()


@pytest.mark.parametrize(
    ("head", "length"),
    [
        pytest.param(resp(206, "no-store", SPAN), 10, id="not for storing"),
        pytest.param(resp(206, "max-age=60", "Content-Range: bytes 0-4/10"), 5, id="not all of it"),
        pytest.param(resp(206, "max-age=60", SPAN), None, id="without a length in its framing"),
        pytest.param(resp(416, "max-age=60", "Content-Range: bytes */0"), 0, id="there is nothing"),
    ],
)
async def test_what_comes_of_such_a_range_may_be_for_one_alone(
    head: ResponseHead, length: int | None
) -> None:
    bench, gate = Bench(), Gate()
    body = bytes(10 if length is None else length)
    for _ in range(3):
        bench.fetcher.says(URL, head, body, length=length, before=gate)
    clients = [bench.start(f"GET {URL}", ALL) for _ in range(3)]
    await gate.reached()
    gate.open()
    got = await answers(clients)
    assert [(one.status, one.body) for one in got] == [(head.status, body)] * 3
    assert bench.asked == 3
    assert bench.store.at(URL) == ()


async def test_a_range_far_ahead_is_the_origins_and_not_stored() -> None:
    bench, gate, size = Bench(), Gate(), 2**22
    bench.fetcher.says(URL, FRESH, b"0", gate, bytes(size - 1), length=size)
    leader = await bench.open()
    line = f"Content-Range: bytes 3000000-3000001/{size}"
    bench.fetcher.says(URL, resp(206, "max-age=60", 'ETag: "1"', line), b"ab", length=2)
    got = await whole(await bench.open(f"GET {URL}", "Range: bytes=3000000-3000001"))
    assert (got.status, got.body, got.reason) == (206, b"ab", Reason.NOT_STORED_UNDER_WAY)
    assert "fwd=uri-miss; fwd-status=206" in got.said("cache-status")
    gate.open()
    assert len((await whole(leader)).body) == size
    await bench.settled()
    assert [one.part for one in bench.store.at(URL)] == [None]
    assert (await bench.get()).reason is Reason.HIT


async def test_an_origin_that_ignores_a_range_far_ahead_fills_nothing_twice() -> None:
    bench, gate, size = Bench(), Gate(), 2**22
    bench.fetcher.says(URL, FRESH, b"0", gate, bytes(size - 1), length=size)
    leader = await bench.open()
    bench.fetcher.says(URL, FRESH, b"another", length=7)
    got = await whole(await bench.open(f"GET {URL}", "Range: bytes=3000000-"))
    assert (got.status, got.body, got.reason) == (200, b"another", Reason.NOT_STORED_UNDER_WAY)
    gate.open()
    await whole(leader)
    await bench.settled()
