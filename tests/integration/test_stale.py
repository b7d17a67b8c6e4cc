"""Stale responses: when they may be served, and when never (RFC 9111 §4.2.4, RFC 5861)."""

import time

import pytest

from tests.conftest import StartHouse
from tests.support.house import House
from tests.support.origin import CLOSE, RESET, Gate, Origin, Step, reply

AGED = "Age: 100"


def stale(directives: str) -> bytes:
    line = f"Cache-Control: max-age=60{directives}"
    return reply(200, line, AGED, 'ETag: "1"', body=b"old")


async def test_stale_while_revalidate(house: House, origin: Origin) -> None:
    gate = Gate()
    fresh = reply(200, "Cache-Control: max-age=60", 'ETag: "2"', body=b"new")
    origin.serve("/a", stale(", stale-while-revalidate=600"))
    origin.serve("/a", gate, fresh)
    await house.get(origin.url("/a"))
    for _ in range(3):
        answer = await house.get(origin.url("/a"))
        assert (answer.body, answer.hit) == (b"old", True)
        assert answer.cache_status["ttl"].startswith("-")
    await gate.reached()
    assert len(origin.requests) == 2
    assert origin.requests[1].get("if-none-match") == '"1"'
    gate.open()
    while (answer := await house.get(origin.url("/a"))).body == b"old":
        assert answer.hit
    assert (answer.body, len(origin.requests)) == (b"new", 2)


async def test_past_the_window_it_is_validated_first(house: House, origin: Origin) -> None:
    origin.serve("/a", stale(", stale-while-revalidate=10"))
    origin.serve("/a", reply(200, "Cache-Control: max-age=60", body=b"new"))
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/a"))).body == b"new"


FAILURES = [
    pytest.param((reply(500, body=b"no"),), id="500"),
    pytest.param((reply(503, body=b"no"),), id="503"),
    pytest.param((CLOSE,), id="closed"),
    pytest.param((RESET,), id="reset"),
    pytest.param((b"nonsense\r\n\r\n", CLOSE), id="nonsense"),
]


@pytest.mark.parametrize("failure", FAILURES)
async def test_stale_if_error(
    house: House, origin: Origin, failure: tuple[bytes | Step, ...]
) -> None:
    origin.serve("/a", stale(", stale-if-error=600"))
    origin.serve("/a", *failure)
    await house.get(origin.url("/a"))
    for _ in range(2):
        answer = await house.get(origin.url("/a"))
        assert (answer.status, answer.body) == (200, b"old")
        assert answer.age >= 100


async def test_stale_if_error_when_the_origin_is_gone(house: House, origin: Origin) -> None:
    origin.serve("/a", stale(", stale-if-error=600"))
    await house.get(origin.url("/a"))
    await origin.stop()
    assert (await house.get(origin.url("/a"))).body == b"old"


@pytest.mark.parametrize(
    "directive",
    [
        pytest.param("must-revalidate", id="5.2.2.2 must-revalidate"),
        pytest.param("proxy-revalidate", id="5.2.2.8 proxy-revalidate"),
        pytest.param("s-maxage=60", id="5.2.2.10 s-maxage"),
        pytest.param("no-cache", id="5.2.2.4 no-cache"),
    ],
)
async def test_never_stale(house: House, origin: Origin, directive: str) -> None:
    origin.serve("/a", stale(f", {directive}, stale-if-error=600, stale-while-revalidate=600"))
    await house.get(origin.url("/a"))
    await origin.stop()
    answer = await house.get(origin.url("/a"))
    # §5.2.2.2: a cache that is disconnected must say so with an error, 504 is recommended.
    assert (answer.status, answer.cache_status["detail"]) == (504, "origin-unreachable")
    await origin.start()
    origin.serve("/a", reply(200, "Cache-Control: max-age=60", body=b"new"))
    origin.serve("/a", reply(200, "Cache-Control: max-age=60", body=b"new"))


@pytest.mark.parametrize("line", ["max-age=0", "no-cache", "max-age=50"])
async def test_who_wants_nothing_old_sees_the_error(
    house: House, origin: Origin, line: str
) -> None:
    origin.serve("/a", stale(", stale-if-error=600"))
    origin.serve("/a", reply(503, body=b"down"))
    await house.get(origin.url("/a"))
    answer = await house.get(origin.url("/a"), f"Cache-Control: {line}")
    assert (answer.status, answer.body) == (503, b"down")
    await origin.stop()
    assert (await house.get(origin.url("/a"), f"Cache-Control: {line}")).status == 502
    assert (await house.get(origin.url("/a"))).body == b"old"


@pytest.mark.parametrize("line", ["max-age=0", "no-cache"])
@pytest.mark.parametrize("age", [AGED, "Age: 0"], ids=["stale", "fresh"])
async def test_the_error_that_one_client_sees_is_not_what_others_see(
    house: House, origin: Origin, line: str, age: str
) -> None:
    origin.serve(
        "/a", reply(200, "Cache-Control: max-age=60, stale-if-error=600", age, body=b"old")
    )
    origin.serve("/a", reply(503, "Cache-Control: max-age=60", body=b"down"))
    await house.get(origin.url("/a"))
    answer = await house.get(origin.url("/a"), f"Cache-Control: {line}")
    assert (answer.status, answer.cache_status["detail"]) == (503, "not-stored-error")
    assert (await house.get(origin.url("/a"))).body == b"old"


async def test_a_stored_error_does_not_stand_in_for_a_newer_one(
    house: House, origin: Origin
) -> None:
    lines = ("Cache-Control: max-age=60, stale-if-error=600", AGED, 'ETag: "1"')
    fresh = "Cache-Control: max-age=60, stale-if-error=600"
    origin.serve("/a", reply(404, fresh, "Age: 59", 'ETag: "1"', body=b"old"))
    origin.serve("/a", reply(503, *lines, body=b"new"))
    await house.get(origin.url("/a"))
    answer = await house.get(origin.url("/a"), "Cache-Control: min-fresh=9")
    assert (answer.status, answer.body) == (503, b"new")


async def test_what_came_while_the_clock_was_ahead_is_validated(
    house: House, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.time
    lines = ("Cache-Control: max-age=86400", 'ETag: "1"')
    origin.serve("/a", reply(200, *lines, body=b"hello"))
    origin.serve("/a", reply(304, *lines))
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time", lambda: clock() + 3600)
        await house.get(origin.url("/a"))
    for count in (2, 2):
        assert (await house.get(origin.url("/a"))).body == b"hello"
        assert origin.count("/a") == count


async def test_must_revalidate_passes_a_5xx_on(house: House, origin: Origin) -> None:
    origin.serve("/a", stale(", must-revalidate"))
    origin.serve("/a", reply(503, body=b"down"))
    await house.get(origin.url("/a"))
    answer = await house.get(origin.url("/a"))
    assert (answer.status, answer.body) == (503, b"down")


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        pytest.param("Cache-Control: max-stale", False, id="5.2.1.2 any"),
        pytest.param("Cache-Control: max-stale=500", False, id="5.2.1.2 within"),
        pytest.param("Cache-Control: max-stale=5", True, id="5.2.1.2 not within"),
    ],
)
async def test_max_stale(house: House, origin: Origin, line: str, asked: bool) -> None:
    origin.serve("/a", stale(""))
    origin.serve("/a", reply(200, "Cache-Control: max-age=60", body=b"new"))
    await house.get(origin.url("/a"))
    answer = await house.get(origin.url("/a"), line)
    assert answer.body == (b"new" if asked else b"old")
    assert len(origin.requests) == 1 + asked


async def test_max_stale_does_not_beat_must_revalidate(house: House, origin: Origin) -> None:
    origin.serve("/a", stale(", must-revalidate"))
    origin.serve("/a", reply(200, "Cache-Control: max-age=60", body=b"new"))
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/a"), "Cache-Control: max-stale")).body == b"new"


async def test_only_if_cached_and_stale_is_504(house: House, origin: Origin) -> None:
    origin.serve("/a", stale(""))
    await house.get(origin.url("/a"))
    answer = await house.get(origin.url("/a"), "Cache-Control: only-if-cached")
    assert answer.status == 504
    assert len(origin.requests) == 1


async def test_stale_if_error_by_setting(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house({"cache.freshness": {"stale_if_error": "0"}})
    origin.serve("/a", stale(""))
    origin.serve("/a", reply(500, body=b"no"))
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/a"))).status == 500
