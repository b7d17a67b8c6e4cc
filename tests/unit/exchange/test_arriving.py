"""What has arrived: storing it, passing it on, and parts, which have more ways to go wrong."""

from __future__ import annotations

import asyncio

import pytest

from proxy.exchange.answer import Flow
from proxy.policy.options import Options
from proxy.policy.reasons import Reason
from proxy.policy.rules import Rule
from proxy.policy.stored import Part
from proxy.semantics.units import Octets
from tests.support.bench import URL, Bench, answers, whole
from tests.support.build import resp
from tests.support.origin import Gate

BODY = b"0123456789"
LINES = ("max-age=60", 'ETag: "1"')


def partial(first: int, last: int, tag: str = '"1"') -> tuple[str, str, str]:
    return "max-age=60", f"ETag: {tag}", f"Content-Range: bytes {first}-{last}/10"


async def part(bench: Bench, first: int = 0, last: int = 4) -> None:
    """These octets are stored."""
    bench.fetcher.says(URL, resp(206, *partial(first, last)), BODY[first : last + 1])
    await bench.get(f"GET {URL}", f"Range: bytes={first}-{last}")


async def test_a_part_is_stored_and_answers_what_it_can() -> None:
    bench = Bench()
    await part(bench, 2, 6)
    assert [one.part for one in bench.store.at(URL)] == [Part(2, 6, 10)]
    got = await bench.get(f"GET {URL}", "Range: bytes=3-4")
    assert (got.status, got.body, got.reason) == (206, b"34", Reason.HIT)
    assert got.said("content-range") == "bytes 3-4/10"


async def test_a_206_is_passed_to_its_client_as_it_comes() -> None:
    bench, gate = Bench(), Gate()
    bench.fetcher.says(URL, resp(206, *partial(2, 6)), b"23", gate, b"456", length=5)
    outcome = await bench.open(f"GET {URL}", "Range: bytes=2-6")
    assert isinstance(outcome.answer.body, Flow)
    assert await outcome.answer.body.reader.read() == b"23"
    gate.open()
    assert await outcome.answer.body.reader.read() == b"456"
    assert outcome.answer.head.fields.get("content-range") == "bytes 2-6/10"
    await bench.settled()


@pytest.mark.parametrize(
    ("asked", "lines", "body", "length"),
    [
        pytest.param("0-4", partial(0, 2), b"012", 3, id="fewer octets than asked for"),
        pytest.param("0-2", partial(0, 4), b"01234", 5, id="more"),
        pytest.param("0-1,5-6", partial(0, 6), b"0123456", 7, id="several made into one"),
        pytest.param("0-4", partial(0, 4), b"0123", 4, id="another length than its range"),
    ],
)
async def test_a_206_that_is_not_what_was_asked_for_is_passed_on(
    asked: str, lines: tuple[str, ...], body: bytes, length: int
) -> None:
    bench = Bench()
    bench.fetcher.says(URL, resp(206, *lines), body, length=length)
    got = await bench.get(f"GET {URL}", f"Range: bytes={asked}")
    assert (got.status, got.body, got.reason) == (206, body, Reason.NOT_STORED_RANGE)
    assert got.said("content-range") == lines[2].partition(": ")[2]
    assert bench.store.at(URL) == ()


@pytest.mark.parametrize(
    ("held", "asked", "coming", "given"),
    [
        pytest.param((0, 4), "X: y", (5, 9), BODY, id="3.4 the end is missing"),
        pytest.param((5, 9), "X: y", (0, 4), BODY, id="3.4 the beginning is missing"),
        pytest.param((2, 4), "Range: bytes=3-6", (5, 6), b"3456", id="3.4 still a part"),
    ],
)
async def test_a_part_is_completed(
    held: tuple[int, int], asked: str, coming: tuple[int, int], given: bytes
) -> None:
    bench = Bench()
    await part(bench, *held)
    octets = BODY[coming[0] : coming[1] + 1]
    bench.fetcher.says(URL, resp(206, *partial(*coming)), octets, length=len(octets))
    got = await bench.get(f"GET {URL}", asked)
    assert (got.body, got.reason) == (given, Reason.PARTIAL_MISS)
    assert "fwd=partial" in got.said("cache-status")
    assert bench.fetcher.requests[1].fields.get("if-range") == '"1"'
    assert [body.closed for body in bench.store.opened] == [1]
    again = await bench.get(f"GET {URL}", asked)
    assert (again.body, again.reason, bench.asked) == (given, Reason.HIT, 2)


async def test_a_part_whose_rest_is_cut_is_not_stored() -> None:
    bench = Bench()
    await part(bench)
    bench.fetcher.says(URL, resp(206, *partial(5, 9)), b"567")
    outcome = await bench.open()
    with pytest.raises(Exception, match="length"):
        await whole(outcome)
    await bench.settled()
    assert [one.part for one in bench.store.at(URL)] == [Part(0, 4, 10)]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(partial(5, 9, '"2"'), id="P12 another version"),
        pytest.param(partial(3, 9), id="P12 what we have comes again"),
        pytest.param(partial(6, 9), id="P12 a hole between them"),
        pytest.param(partial(5, 7), id="P12 not all that is missing"),
        pytest.param(("private", *partial(5, 9)[1:]), id="P17 it is private now"),
    ],
)
async def test_what_does_not_join_is_asked_for_as_a_whole(lines: tuple[str, ...]) -> None:
    bench = Bench()
    await part(bench)
    response = bench.fetcher.says(URL, resp(206, *lines), b"other")
    bench.fetcher.says(URL, resp(200, *LINES), BODY)
    assert (await bench.get()).body == BODY
    assert response.closed >= 1
    assert bench.fetcher.requests[2].fields.get("range") is None


async def test_another_version_in_full_replaces_the_part() -> None:
    # RFC 9110 §13.1.5: If-Range says so.
    bench = Bench()
    await part(bench)
    bench.fetcher.says(URL, resp(200, "max-age=60", 'ETag: "2"'), b"abc")
    assert (await bench.get()).body == b"abc"
    assert (await bench.get()).reason is Reason.HIT


async def test_a_part_that_is_lost() -> None:
    bench = Bench()
    await part(bench)
    bench.store.lost = {one.id for one in bench.store.at(URL)}
    bench.fetcher.says(URL, resp(206, *partial(5, 9)), b"56789")
    bench.fetcher.says(URL, resp(200, *LINES), BODY)
    assert (await bench.get()).body == BODY


async def test_a_part_whose_body_is_lost_while_it_is_joined() -> None:
    bench = Bench()
    await part(bench)
    bench.fetcher.says(URL, resp(206, *partial(5, 9)), b"56789")
    outcome = await bench.open()
    bench.store.opened[0].lost = True
    with pytest.raises(Exception, match="lost"):
        await whole(outcome)
    await bench.settled()


@pytest.mark.parametrize("down", [pytest.param(True, id="down"), pytest.param(False, id="large")])
async def test_a_join_that_the_store_does_not_take(down: bool) -> None:
    bench = Bench()
    await part(bench)
    bench.store.down, bench.store.largest = down, 7
    bench.fetcher.says(URL, resp(206, *partial(5, 9)), b"56789", length=5)
    bench.fetcher.says(URL, resp(200, *LINES), BODY, length=10)
    assert (await bench.get()).body == BODY
    assert [body.closed for body in bench.store.opened] == [1]


async def test_cancelled_while_the_part_is_opened() -> None:
    bench = Bench()
    await part(bench)
    bench.store.opens = Gate()
    response = bench.fetcher.says(URL, resp(206, *partial(5, 9)), b"56789")
    client = bench.start()
    await bench.store.opens.reached()
    client.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client
    assert response.closed == 1


async def test_the_rest_cannot_be_reached() -> None:
    bench = Bench()
    await part(bench)
    assert (await bench.get()).status == 502


async def test_a_rules_limit_holds_for_what_is_joined() -> None:
    limit = Rule(match="http://a.example/**", max_object_size=Octets(7))
    bench = Bench(Options(rules=(limit,)))
    await part(bench)
    bench.fetcher.says(URL, resp(206, *partial(5, 9)), b"56789", length=5)
    bench.fetcher.says(URL, resp(200, *LINES), BODY, length=10)
    assert (await bench.get()).reason is Reason.NOT_STORED_TOO_LARGE
    assert [one.part for one in bench.store.at(URL)] == [Part(0, 4, 10)]


async def test_a_follower_does_not_take_a_part_for_the_whole() -> None:
    # A part was validated; who waited for that wants more than it has.
    bench, gate = Bench(), Gate()
    aged = ("max-age=60", "Age: 100", *partial(0, 4)[1:])
    bench.fetcher.says(URL, resp(206, *aged), b"01234")
    await bench.get(f"GET {URL}", "Range: bytes=0-4")
    bench.fetcher.says(URL, resp(304, *LINES), b"", before=gate)
    inside = bench.start(f"GET {URL}", "Range: bytes=0-1")
    also = bench.start(f"GET {URL}", "Range: bytes=1-2", "Cache-Control: min-fresh=61")
    await gate.reached()
    gate.open()
    bench.fetcher.says(URL, resp(200, *LINES), BODY)
    assert (await whole(await inside)).body == b"01"
    assert (await whole(await also)).body == b"12"
    await bench.settled()


async def test_fields_for_one_client_alone() -> None:
    # RFC 9111 §5.2.2.7
    bench, gate = Bench(), Gate()
    line = 'Cache-Control: max-age=60, private="X-Mine"'
    bench.fetcher.says(URL, resp(200, line, "X-Mine: 1"), b"hello", before=gate)
    clients = [bench.start(), bench.start()]
    await gate.reached()
    gate.open()
    assert [got.said("x-mine") for got in await answers(clients)] == ["1", ""]
    await bench.settled()
    assert (await bench.get()).said("x-mine") == ""


async def test_a_body_that_passes_by_streams() -> None:
    bench, gate = Bench(), Gate()
    response = bench.fetcher.says(URL, resp(200, "no-store"), b"a", gate, b"b", length=2)
    outcome = await bench.open()
    body = outcome.answer.body
    assert body == Flow(response, 2)
    gate.open()
    got = await whole(outcome)
    assert (got.body, got.reason) == (b"ab", Reason.NOT_STORED_NO_STORE)
