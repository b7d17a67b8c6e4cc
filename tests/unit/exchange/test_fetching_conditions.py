"""What a request says about what it has, or about the age of what it takes, while others fetch."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from proxy.policy.reasons import Reason
from tests.support.bench import URL, Bench, answers, whole
from tests.support.build import resp
from tests.support.clock import http_date
from tests.support.fakes import FakeResponse
from tests.support.origin import Gate

if TYPE_CHECKING:
    from proxy.semantics.messages import ResponseHead

FRESH = resp(200, "max-age=60", 'ETag: "1"')
STALE = resp(200, "max-age=60", "Age: 100", 'ETag: "1"')
MINE = 'If-None-Match: "1"'
BASIC = "Authorization: Basic dXNlcjpwYXNz"
LONG_AGO = http_date(-864_000)
SINCE = f"If-Modified-Since: {LONG_AGO}"
NOT_MODIFIED = resp(304, "", 'ETag: "1"')


def conditions(bench: Bench) -> list[str | None]:
    """What each request to the origin said about tags."""
    return [asked.fields.get("if-none-match") for asked in bench.fetcher.requests]


async def poll(bench: Bench, times: int, *lines: str, method: str = "GET") -> None:
    """So many polls, each answered with 304."""
    for _ in range(times):
        got = await bench.get(f"{method} {URL}", *(lines or (MINE,)))
        assert (got.status, got.body) == (304, b"")


@pytest.mark.parametrize(
    ("method", "line", "lines"),
    [
        pytest.param("GET", "Cache-Control: private", (MINE,), id="9111-5.2.2.7 private"),
        pytest.param("GET", "Cache-Control: no-store", (MINE,), id="9111-5.2.2.5 no-store"),
        pytest.param("GET", "Vary: *", (MINE,), id="9111-4.1 Vary"),
        pytest.param("GET", "Cache-Control: max-age=60", (MINE, BASIC), id="9111-3.5"),
        pytest.param("GET", "X: y", (MINE, "Cookie: a=b"), id="no lifetime but for one client"),
        pytest.param("GET", "X: y", (MINE, "Cache-Control: no-store"), id="9111-5.2.1.5"),
        pytest.param("GET", "X: y", (MINE, "X-Forwarded-Host: b"), id="P18 reflected"),
        pytest.param("GET", "X: y", (MINE, "Range: bytes=0-1"), id="a range"),
        pytest.param("HEAD", "X: y", (MINE,), id="HEAD"),
    ],
)
async def test_a_conditional_client_stays_conditional(
    method: str, line: str, lines: tuple[str, ...]
) -> None:
    bench = Bench()
    for _ in range(4):
        bench.fetcher.says(URL, resp(304, line, 'ETag: "1"'))
    await poll(bench, 4, *lines, method=method)
    assert conditions(bench) == ['"1"'] * 4


@pytest.mark.parametrize(
    ("line", "head"),
    [
        pytest.param(MINE, NOT_MODIFIED, id="9110-13.1.2 tag"),
        pytest.param(MINE, resp(304), id="9110-13.1.2 tag that is not repeated"),
        pytest.param(SINCE, resp(304), id="9110-13.1.3 date that is not repeated"),
        pytest.param(MINE, resp(304, "public, max-age=60"), id="9111-5.2.2.9 public"),
    ],
)
async def test_what_clients_validate_again_is_fetched_beside(line: str, head: ResponseHead) -> None:
    bench, gate = Bench(), Gate()
    bench.fetcher.says(URL, head)
    bench.fetcher.says(URL, head)
    whole_one = resp(200, "max-age=60", 'ETag: "1"', f"Last-Modified: {LONG_AGO}")
    bench.fetcher.says(URL, whole_one, b"body", before=gate, interim=(resp(103),))
    await poll(bench, 1, line)
    second = await whole(await bench.open(f"GET {URL}", line))
    assert (second.status, second.reason) == (304, Reason.NOT_STORED_STATUS)
    await gate.reached()
    bench.fetcher.says(URL, head)
    # It waits for nothing: what is fetched beside is not its own.
    third = await whole(await bench.open(f"GET {URL}", line))
    assert (third.status, third.reason) == (304, Reason.NOT_STORED_STATUS)
    gate.open()
    await bench.settled()
    assert bench.interim == []
    assert conditions(bench)[2] is None
    assert "if-modified-since" not in bench.fetcher.requests[2].fields
    fourth = await bench.get(f"GET {URL}", line)
    assert (fourth.status, fourth.reason) == (304, Reason.HIT)
    assert ((await bench.get()).body, bench.asked) == (b"body", 4)


async def test_nobody_reads_what_is_fetched_beside() -> None:
    # So that it neither waits for a reader nor ends with one.
    bench, gate = Bench(), Gate()
    for _ in range(2):
        bench.fetcher.says(URL, NOT_MODIFIED)
    coded = resp(200, "max-age=60", 'ETag: "1"', "Content-Encoding: gzip", "Content-Type: text/css")
    octets = gzip.compress(b"body")
    bench.fetcher.says(URL, coded, octets[:9], gate, octets[9:], length=len(octets))
    for _ in range(2):
        polled = await bench.open(f"GET {URL}", MINE, "Accept-Encoding: gzip")
        assert (await whole(polled)).status == 304
    await gate.reached()
    ((_, fill),) = bench.exchange.keeping.under_way()
    assert fill.readers == 0
    gate.open()
    await bench.settled()
    assert (await bench.get()).body == b"body"
    assert bench.asked == 3


class Endless(FakeResponse):
    """A response of whose body there is always more."""

    def __init__(self, head: ResponseHead, length: int | None) -> None:
        super().__init__(head, (), length)
        self.pieces = 0

    def at_hand(self) -> bytes | None:
        return None

    async def read(self) -> bytes:
        self.pieces += 1
        assert self.pieces < 100, "nobody wants that much"
        return bytes(100_000)


@pytest.mark.parametrize(
    "length", [pytest.param(2**40, id="announced"), pytest.param(None, id="not announced")]
)
async def test_what_is_too_large_is_dropped_and_not_fetched_again(length: int | None) -> None:
    bench = Bench()
    bench.store.largest = 500_000
    for _ in range(2):
        bench.fetcher.says(URL, NOT_MODIFIED)
    response = bench.fetcher.plays(URL, Endless(FRESH, length))
    for _ in range(3):
        bench.fetcher.says(URL, NOT_MODIFIED)
    await poll(bench, 5)
    assert conditions(bench) == ['"1"', '"1"', None, '"1"', '"1"', '"1"']
    assert response.closed
    assert bench.store.at(URL) == ()


async def test_nothing_is_fetched_beside_for_what_proved_uncacheable() -> None:
    bench = Bench()
    bench.fetcher.says(URL, NOT_MODIFIED)
    bench.fetcher.says(URL, resp(200, "no-store"), b"")
    bench.fetcher.says(URL, NOT_MODIFIED)
    await poll(bench, 1)
    await bench.get()
    await poll(bench, 1)
    assert conditions(bench) == ['"1"', None, '"1"']


# Where a precondition of ours was sent in place of the client's.


@pytest.mark.parametrize(
    ("line", "status"),
    [
        pytest.param('If-None-Match: "2"', 304, id="9110-13.1.2 it has the new one"),
        pytest.param('If-None-Match: "3"', 200, id="9110-13.1.2 it has another"),
        pytest.param(SINCE, 304, id="9110-13.1.3 it has the new one"),
        pytest.param(f"If-Modified-Since: {http_date(-900_000)}", 200, id="9110-13.1.3 older"),
    ],
)
@pytest.mark.parametrize("said", ["max-age=60", "private"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_its_own_condition_is_answered_from_what_came(
    method: str, said: str, line: str, status: int
) -> None:
    bench = Bench()
    bench.fetcher.says(URL, STALE, b"old")
    await bench.get()
    new = resp(200, said, 'ETag: "2"', f"Last-Modified: {LONG_AGO}", "Content-Type: text/plain")
    body = b"new" if method == "GET" else b""
    response = bench.fetcher.says(URL, new, body, length=len(body))
    got = await bench.get(f"{method} {URL}", line)
    assert conditions(bench)[1] == '"1"'
    assert (got.status, got.forward_status) == (status, 200)
    assert got.body == (body if status == 200 else b"")
    assert got.said("etag") == '"2"'
    assert ("content-type" in got.fields) is (status == 200)
    assert response.closed or response.ended


async def test_an_error_is_no_answer_to_a_condition() -> None:
    # RFC 9110 §13.2.1.
    bench = Bench()
    bench.fetcher.says(URL, STALE, b"old")
    await bench.get()
    bench.fetcher.says(URL, resp(404, "private", 'ETag: "2"'), b"gone")
    assert (await bench.get(f"GET {URL}", 'If-None-Match: "2"')).body == b"gone"


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(resp(200, "max-age=60", "Vary: X", 'ETag: "9"'), id="9111-4.1 a variant"),
        pytest.param(
            resp(200, "max-age=60, stale-if-error=600", "Age: 100"), id="9111-4.3.1 no validator"
        ),
    ],
)
async def test_where_there_is_nothing_of_its_own_its_condition_goes_on(
    stored: ResponseHead,
) -> None:
    bench = Bench()
    bench.fetcher.says(URL, stored, b"old")
    await bench.get()
    bench.fetcher.says(URL, NOT_MODIFIED)
    await poll(bench, 1, MINE, "X: 1")
    assert conditions(bench)[1] == '"1"'


# Age.


@pytest.mark.parametrize("line", ["Cache-Control: no-cache", "Pragma: no-cache"])
async def test_no_cache_is_not_answered_by_a_fetch_that_began_before(line: str) -> None:
    # RFC 9111 §5.2.1.4: neither before its head has come nor after that.
    bench, first, second, rest = Bench(), Gate(), Gate(), Gate()
    bench.fetcher.says(URL, FRESH, b"one", rest, before=first)
    bench.fetcher.says(URL, FRESH, b"two", rest, before=second)
    bench.fetcher.says(URL, FRESH, b"three", rest)
    before = bench.start()
    await first.reached()
    anew = bench.start(f"GET {URL}", line)
    await second.reached()
    later = bench.start()
    second.open()
    outcomes = [await anew, await later]
    assert bench.asked == 2
    outcomes.append(await bench.open(f"GET {URL}", line))
    first.open()
    outcomes.append(await before)
    rest.open()
    # Who comes later joins the latest that is known to be on its way.
    assert [(await whole(one)).body for one in outcomes] == [b"two", b"two", b"three", b"one"]
    assert bench.asked == 3
    await bench.settled()


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        pytest.param("Cache-Control: max-age=0", 2, id="5.2.1.1 no older than the request"),
        pytest.param("Cache-Control: max-age=60", 1, id="5.2.1.1 young enough"),
        pytest.param("Cache-Control: min-fresh=5", 1, id="5.2.1.3 says nothing about age"),
    ],
)
async def test_a_fetch_that_is_older_than_max_age_is_not_joined(line: str, asked: int) -> None:
    bench, gate = Bench(), Gate()
    for _ in range(2):
        bench.fetcher.says(URL, FRESH, b"one", before=gate)
    clients = [bench.start(), bench.start(f"GET {URL}", line)]
    await gate.reached()
    gate.open()
    assert {got.body for got in await answers(clients)} == {b"one"}
    assert bench.asked == asked
    await bench.settled()


@pytest.mark.parametrize(
    ("method", "line"),
    [
        pytest.param("GET", "Range: bytes=1-3", id="range"),
        pytest.param("GET", MINE, id="condition"),
        pytest.param("HEAD", "X: y", id="HEAD"),
    ],
)
async def test_nobody_follows_who_asks_for_its_own_view_anew(method: str, line: str) -> None:
    bench, rest, own = Bench(), Gate(), Gate()
    bench.fetcher.says(URL, FRESH, b"01234", rest, b"56789", length=10)
    leader = await bench.open()
    bench.fetcher.says(URL, NOT_MODIFIED, before=own)
    anew = bench.start(f"{method} {URL}", line, MINE, "Cache-Control: no-cache")
    await own.reached()
    late = await bench.open()
    own.open()
    rest.open()
    assert (await whole(await anew)).status == 304
    assert [(await whole(one)).body for one in (leader, late)] == [b"0123456789"] * 2
    assert bench.asked == 2
    await bench.settled()
