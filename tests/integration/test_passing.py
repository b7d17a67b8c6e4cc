"""A request that passes the cache by changes nothing in it; what credentials get is no news."""

import asyncio
from collections.abc import Sequence

import pytest

from proxy.exchange.keeping import PUMP
from tests.conftest import StartHouse
from tests.support.clock import http_date
from tests.support.house import House
from tests.support.origin import Gate, Origin, head, reply
from tests.support.wire import Response, request

FRESH = "Cache-Control: max-age=60"
STALE = (FRESH, "Age: 100")
TAG = 'ETag: "1"'
BASIC = "Authorization: Basic dXNlcjpwYXNz"
COOKIE = "Cookie: id=1"
RULES = {"rules": [{"match": "http://*/ruled", "cache": False}]}

# What an origin may answer that says something of what is stored.
ANSWERS = {
    "another": reply(200, FRESH, 'ETag: "2"', "X-V: 2", body=b"other"),
    "longer": reply(200, "Cache-Control: max-age=9999", TAG, "X-V: 2", body=b"hello"),
    "no-store": reply(200, "Cache-Control: no-store", TAG, body=b"hello"),
    "private": reply(200, "Cache-Control: private", TAG, body=b"mine"),
    "304": reply(304, "Cache-Control: max-age=9999", TAG, "X-V: 2"),
    "gone": reply(410, FRESH, body=b"gone"),
    "failing": reply(500, FRESH, body=b"failing"),
    "moved": reply(302, FRESH, "Location: /elsewhere"),
    "part": reply(206, FRESH, 'ETag: "2"', "Content-Range: bytes 0-0/9", body=b"x"),
}
REQUESTS = {
    "HEAD reflected": ("HEAD", ("X-Forwarded-Host: evil.test",)),
    "HEAD no-store": ("HEAD", ("Cache-Control: no-store",)),
    "HEAD If-Match": ("HEAD", ('If-Match: "1"',)),
    "HEAD a body": ("HEAD", ("Content-Length: 1",)),
    "HEAD credentials": ("HEAD", (BASIC,)),
    "GET reflected": ("GET", ("X-Forwarded-Host: evil.test",)),
    "GET no-store": ("GET", ("Cache-Control: no-store",)),
    "GET If-Match": ("GET", ('If-Match: "1"',)),
    "GET If-Unmodified-Since": ("GET", (f"If-Unmodified-Since: {http_date()}",)),
    "GET a body": ("GET", ("Content-Length: 1",)),
    "GET a range of it": ("GET", ("X-Host: evil.test", "Range: bytes=0-0")),
    "GET its own tag": ("GET", ("X-Host: evil.test", 'If-None-Match: "1"')),
    "GET no-cache": ("GET", ("X-Host: evil.test", "Cache-Control: no-cache")),
    "OPTIONS": ("OPTIONS", ()),
    "PROPFIND": ("PROPFIND", ()),
}


async def written() -> None:
    """What answers have made of what is stored."""
    tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith(PUMP)]
    await asyncio.gather(*tasks)


def told(answer: Response) -> tuple[int, bytes, Sequence[tuple[str, str]]]:
    """What others get, but for what goes with the time."""
    apart = {"age", "cache-status"}
    return (
        answer.status,
        answer.body,
        [line for line in answer.lines if line[0].lower() not in apart],
    )


async def asked(house: House, url: str, which: str) -> Response:
    method, lines = REQUESTS[which]
    body = b"x" if "Content-Length: 1" in lines else None
    lines = tuple(line for line in lines if not line.startswith("Content-Length"))
    return await house.get(url, *lines, method=method, body=body)


def without_body(octets: bytes, which: str) -> bytes:
    return octets.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if which.startswith("HEAD") else octets


def answers(which: str) -> list[str]:
    """Nobody may say 304 to who did not ask for it."""
    return [name for name in ANSWERS if name != "304" or "its own tag" in which]


@pytest.mark.parametrize("which", REQUESTS)
async def test_what_is_fresh_stays(house: House, origin: Origin, which: str) -> None:
    for answer in answers(which):
        url = origin.url(f"/{answer}")
        origin.serve(f"/{answer}", reply(200, FRESH, TAG, "X-V: 1", body=b"hello"))
        origin.serve(f"/{answer}", without_body(ANSWERS[answer], which))
        await house.get(url)
        before = await house.get(url)
        for _ in range(2):
            await asked(house, url, which)
        await written()
        served = len(origin.requests)
        after = await house.get(url)
        assert (before.hit, after.hit) == (True, True), answer
        assert (told(after), len(origin.requests)) == (told(before), served), answer


@pytest.mark.parametrize("which", REQUESTS)
async def test_what_is_stale_stays(house: House, origin: Origin, which: str) -> None:
    for answer in answers(which):
        url = origin.url(f"/{answer}")
        origin.serve(f"/{answer}", reply(200, *STALE, TAG, "X-V: 1", body=b"hello"))
        for _ in range(2):
            origin.serve(f"/{answer}", without_body(ANSWERS[answer], which))
        origin.serve(f"/{answer}", reply(304, FRESH, TAG))
        await house.get(url)
        for _ in range(2):
            await asked(house, url, which)
        await written()
        after = await house.get(url)
        assert origin.requests[-1].get("if-none-match") == '"1"', answer
        assert (after.status, after.body, after.get("x-v")) == (200, b"hello", "1"), answer


@pytest.mark.parametrize("which", [row for row in REQUESTS if row != "HEAD credentials"])
async def test_nothing_comes_to_be_stored(house: House, origin: Origin, which: str) -> None:
    for answer in answers(which):
        url = origin.url(f"/{answer}")
        for _ in range(2):
            origin.serve(f"/{answer}", without_body(ANSWERS[answer], which))
        origin.serve(f"/{answer}", reply(200, FRESH, body=b"clean"))
        for _ in range(2):
            await asked(house, url, which)
        await written()
        first = await house.get(url)
        assert (first.body, first.cache_status["fwd"]) == (b"clean", "uri-miss"), answer


async def test_a_rule_that_says_no_cache(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house(RULES)
    for body in (b"one", b"two", b"three"):
        origin.serve("/ruled", reply(200, FRESH, body=body))
    for body in (b"one", b"two", b"three"):
        assert (await house.get(origin.url("/ruled"))).body == body


async def test_a_foreign_host_inside_connect(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, TAG, body=b"hello"))
    url = origin.url("/a")
    await house.get(url)
    before = await house.get(url)
    for method in ("HEAD", "GET", "POST", "DELETE"):
        origin.serve("/a", without_body(ANSWERS["another"], method))
        wire = await house.tunnel(origin.authority)
        await wire.send(request(method, "/a", ("Host: other.test",)))
        await wire.response(method)
    after = await house.get(url)
    assert after.hit
    assert told(after) == told(before)


@pytest.mark.parametrize(
    ("lines", "answer", "stays"),
    [
        pytest.param((BASIC,), "another", True, id="3.5 a GET with credentials, another"),
        pytest.param((BASIC,), "private", True, id="3.5 a GET with credentials, private"),
        pytest.param((BASIC,), "gone", True, id="3.5 a GET with credentials, gone"),
        pytest.param((), "no-store", False, id="4.3.3 anybody: the origin says so"),
    ],
)
async def test_a_validation_for_one(
    house: House, origin: Origin, lines: tuple[str, ...], answer: str, stays: bool
) -> None:
    url, stored = origin.url("/a"), (*STALE, "Cache-Control: stale-if-error=600", TAG)
    origin.serve("/a", reply(200, *stored, body=b"hello"))
    await house.get(url)
    origin.serve("/a", ANSWERS[answer])
    await house.get(url, *lines)
    await written()
    origin.serve("/a", reply(503))
    assert (await house.get(url)).status == (200 if stays else 503)


async def test_a_304_for_one_takes_nothing_from_others(house: House, origin: Origin) -> None:
    """What is fresh by its dates is not for those with credentials (RFC 9111 §4.2.2, §3.5)."""
    url, modified = origin.url("/a"), f"Last-Modified: {http_date(-864_000)}"
    lines = ("Cache-Control: must-revalidate", modified, TAG)
    origin.serve("/a", reply(200, *lines, body=b"hello"))
    origin.serve("/a", reply(304, *lines, "X-V: 2"))
    await house.get(url)
    await house.get(url, BASIC, "Cache-Control: no-cache")
    assert (await house.get(url)).hit


@pytest.mark.parametrize("line", [BASIC, COOKIE], ids=["Authorization", "Cookie"])
async def test_what_one_was_refused_queues_nobody_apart(
    house: House, origin: Origin, line: str
) -> None:
    """Those without credentials are collapsed as if nobody with some had asked."""
    url, modified = origin.url("/a"), f"Last-Modified: {http_date(-864_000)}"
    first, second = Gate(), Gate()
    origin.serve("/a", first, reply(200, modified, body=b"mine"))
    origin.serve("/a", second, reply(200, modified, body=b"everybody's"))
    leader = await house.open(url, line)
    await first.reached()
    others = [await house.open(url) for _ in range(4)]
    first.open()
    assert await leader.rest() == b"mine"
    await second.reached()
    second.open()
    assert {await other.rest() for other in others} == {b"everybody's"}
    assert len(origin.requests) == 2


async def test_an_error_queues_nobody_apart(house: House, origin: Origin) -> None:
    url, gate = origin.url("/a"), Gate()
    origin.serve("/a", reply(400, body=b"no"))
    origin.serve("/a", gate, reply(200, FRESH, body=b"hello"))
    await house.get(url, "X-Odd: 1")
    others = [await house.open(url) for _ in range(3)]
    await gate.reached()
    gate.open()
    assert {await other.rest() for other in others} == {b"hello"}
    assert len(origin.requests) == 2


async def test_what_passes_by_neither_leads_nor_follows(house: House, origin: Origin) -> None:
    url, gate = origin.url("/a"), Gate()
    origin.serve("/a", gate, reply(200, FRESH, body=b"one"))
    origin.serve("/a", reply(200, FRESH, body=b"two"))
    passing = await house.open(url, "X-Forwarded-Host: evil.test")
    await gate.reached()
    assert (await house.get(url)).body == b"two"
    gate.open()
    assert await passing.rest() == b"one"
    assert (await house.get(url)).body == b"two"


async def test_a_304_that_passes_by_fetches_nothing_beside(house: House, origin: Origin) -> None:
    url = origin.url("/a")
    lines = ('If-None-Match: "1"', f"If-Unmodified-Since: {http_date()}")
    origin.serve("/a", reply(304, FRESH, TAG))
    for _ in range(4):
        await house.get(url, *lines)
    assert [received.get("if-none-match") for received in origin.requests] == ['"1"'] * 4


async def test_head_of_a_fill_that_passes_by(house: House, origin: Origin) -> None:
    """What is on its way into the cache is not touched either."""
    url, gate = origin.url("/a"), Gate()
    origin.serve("/a", head(200, FRESH, TAG, "Content-Length: 5") + b"he", gate, b"llo")
    origin.serve("/a", head(200, "Cache-Control: no-store", 'ETag: "2"', "Content-Length: 5"))
    leader = await house.open(url)
    assert await leader.read(2) == b"he"
    await house.get(url, "X-Forwarded-Host: evil.test", method="HEAD")
    gate.open()
    assert await leader.rest() == b"llo"
    assert (await house.get(url)).hit


@pytest.mark.parametrize(("line", "stays"), [("X-Other: 1", False), ("X-Forwarded-Path: /b", True)])
async def test_what_a_request_may_have_written_removes_nothing_of_others(
    house: House, origin: Origin, line: str, stays: bool
) -> None:
    """RFC 9111 §4.4 asks for the target alone; the rest of it is the origin's word, if it is."""
    for path in ("/a", "/b", "/c"):
        origin.serve(path, reply(200, FRESH, 'Cache-Groups: "g"', body=b"hello"))
        await house.get(origin.url(path))
    named = ("Location: /b", 'Cache-Group-Invalidation: "g"')
    origin.serve("/a", reply(200, *named, body=b"done"))
    await house.get(origin.url("/a"), line, method="POST", body=b"x")
    for path, hit in (("/a", False), ("/b", stays), ("/c", stays)):
        assert (await house.get(origin.url(path))).hit is hit, path
