"""A response is fetched once and then answered from the cache."""

import pytest

from tests.conftest import StartHouse, StartProcess
from tests.support.clock import http_date
from tests.support.house import House
from tests.support.origin import Origin, chunked, head, reply

FRESH = "Cache-Control: max-age=60"


async def test_the_second_answer_is_a_hit(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, 'ETag: "1"', "X-Of: origin", body=b"hello"))
    first = await house.get(origin.url("/a"))
    second = await house.get(origin.url("/a"))
    assert (first.status, first.body) == (second.status, second.body) == (200, b"hello")
    assert not first.hit
    assert first.cache_status["fwd"] == "uri-miss"
    assert "stored" in first.cache_status
    assert second.hit
    assert 0 < int(second.cache_status["ttl"]) <= 60
    assert (second.get("cache-status") or "").startswith("forecache;")
    assert second.age >= 0
    assert second.get("x-of") == "origin"
    assert second.get("etag") == '"1"'
    assert len(origin.requests) == 1


async def test_an_age_from_upstream_counts(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, "Age: 20", body=b"x"))
    await house.get(origin.url("/a"))
    again = await house.get(origin.url("/a"))
    assert again.hit
    assert 20 <= again.age <= 25
    assert int(again.cache_status["ttl"]) <= 40


async def test_a_chunked_response_is_stored(house: House, origin: Origin) -> None:
    origin.serve("/a", head(200, FRESH, "Transfer-Encoding: chunked") + chunked(b"one ", b"two"))
    assert (await house.get(origin.url("/a"))).body == b"one two"
    again = await house.get(origin.url("/a"))
    assert again.hit
    assert again.body == b"one two"


async def test_head_is_answered_from_a_stored_get(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    await house.get(origin.url("/a"))
    answer = await house.get(origin.url("/a"), method="HEAD")
    assert answer.hit
    assert answer.get("content-length") == "5"
    assert len(origin.requests) == 1


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_003], ids=lambda size: f"{size} octets")
async def test_bodies_of_every_size_come_back_whole(
    house: House, origin: Origin, size: int
) -> None:
    body = bytes(range(251)) * (size // 251 + 1)
    origin.serve("/a", reply(200, FRESH, body=body[:size]))
    for _ in range(3):
        assert (await house.get(origin.url("/a"))).body == body[:size]
    assert len(origin.requests) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("http://{a}/p", "HTTP://{a}/p", id="4.2.3 scheme case"),
        pytest.param("http://{a}", "http://{a}/", id="4.2.3 empty path"),
    ],
)
async def test_equivalent_targets_share_a_key(
    house: House, origin: Origin, one: str, other: str
) -> None:
    for path in ("/", "/p"):
        origin.serve(path, reply(200, FRESH, body=b"x"))
    await house.get(one.format(a=origin.authority))
    assert (await house.get(other.format(a=origin.authority))).hit


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("/p?a=1", "/p?a=2", id="query"),
        pytest.param("/p", "/P", id="path case"),
        pytest.param("/p", "/%70", id="percent-encoding untouched"),
        pytest.param("/p", "/p?", id="empty query"),
        pytest.param("/x/../p", "/p", id="dot segments untouched"),
    ],
)
async def test_paths_are_told_apart_and_forwarded_as_they_are(
    house: House, origin: Origin, one: str, other: str
) -> None:
    for path in (one, other):
        origin.serve(path, reply(200, FRESH, body=path.encode()))
    for path in (one, other, one, other):
        assert (await house.get(origin.url(path))).body == path.encode()
    assert [received.target for received in origin.requests] == [one, other]


async def test_the_cache_survives_a_restart(start_process: StartProcess, origin: Origin) -> None:
    large = b"0123456789" * 50_000
    origin.serve("/small", reply(200, "Cache-Control: max-age=600", body=b"hello"))
    origin.serve("/large", reply(200, "Cache-Control: max-age=600", body=large))
    process = await start_process()
    await process.get(origin.url("/small"))
    await process.get(origin.url("/large"))
    assert await process.stop() == 0
    await process.start()
    for path, body in (("/small", b"hello"), ("/large", large)):
        answer = await process.get(origin.url(path))
        assert answer.hit
        assert answer.body == body
    assert len(origin.requests) == 2


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param(("Cache-Control: no-store",), 200, id="5.2.2.5 no-store"),
        pytest.param(("Cache-Control: NO-STORE, max-age=60",), 200, id="5.2.2.5 any case"),
        pytest.param(
            ("Cache-Control: max-age=60", "Cache-Control: no-store"), 200, id="5.3 any line"
        ),
        pytest.param(("Cache-Control: private, max-age=60",), 200, id="5.2.2.7 private"),
        pytest.param(("Cache-Control: max-age=60", "Vary: *"), 200, id="4.1 Vary: *"),
        pytest.param((), 200, id="3 neither freshness nor validator"),
        pytest.param(("Expires: 0",), 200, id="5.3 invalid Expires"),
        pytest.param(("Cache-Control: max-age=0",), 200, id="5.2.2.1 max-age=0"),
        pytest.param(("Cache-Control: s-maxage=0, max-age=60",), 200, id="5.2.2.10 s-maxage wins"),
        pytest.param(("Cache-Control: no-cache, max-age=60",), 200, id="5.2.2.4 no-cache"),
        pytest.param((f"Last-Modified: {http_date(-86400)}",), 500, id="4.2.2 not heuristic: 500"),
        pytest.param(
            ("Cache-Control: max-age=60", "Set-Cookie: a=b"), 200, id="setting: cookies explicit"
        ),
    ],
)
async def test_not_reused_without_asking(
    house: House, origin: Origin, fields: tuple[str, ...], status: int
) -> None:
    origin.serve("/a", reply(status, *fields, body=b"first"))
    origin.serve("/a", reply(status, *fields, body=b"second"))
    assert (await house.get(origin.url("/a"))).body == b"first"
    second = await house.get(origin.url("/a"))
    assert (second.body, second.hit) == (b"second", False)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param(("Cache-Control: s-maxage=60, max-age=0",), 200, id="5.2.2.10 s-maxage"),
        pytest.param((f"Expires: {http_date(86_400)}",), 200, id="5.3 Expires"),
        pytest.param((f"Last-Modified: {http_date(-864_000)}",), 200, id="4.2.2 heuristic"),
        pytest.param((f"Last-Modified: {http_date(-864_000)}",), 404, id="4.2.2 heuristic 404"),
        pytest.param(("Cache-Control: max-age=60", "Location: /b"), 302, id="3 explicit 302"),
        pytest.param(("Cache-Control: max-age=60",), 204, id="3 204"),
        pytest.param(
            ("Cache-Control: public, max-age=60", "Set-Cookie: a=b"), 200, id="setting: public"
        ),
    ],
)
async def test_reused(house: House, origin: Origin, fields: tuple[str, ...], status: int) -> None:
    origin.serve("/a", reply(status, *fields))
    await house.get(origin.url("/a"))
    second = await house.get(origin.url("/a"))
    assert second.status == status
    assert second.hit
    assert len(origin.requests) == 1


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("Cache-Control: no-cache", id="5.2.1.4 no-cache"),
        pytest.param("Pragma: no-cache", id="5.4 Pragma"),
        pytest.param("Cache-Control: no-store", id="5.2.1.5 no-store"),
        pytest.param("Cache-Control: max-age=10", id="5.2.1.1 max-age"),
        pytest.param("Cache-Control: min-fresh=50", id="5.2.1.3 min-fresh"),
    ],
)
async def test_request_directives_that_ask_for_more(
    house: House, origin: Origin, line: str
) -> None:
    origin.serve("/a", reply(200, FRESH, "Age: 20", body=b"first"))
    origin.serve("/a", reply(200, FRESH, "Age: 20", body=b"second"))
    await house.get(origin.url("/a"))
    again = await house.get(origin.url("/a"), line)
    assert (again.body, again.hit) == (b"second", False)
    assert again.cache_status["fwd"] in ("request", "bypass")


async def test_an_empty_body_is_no_body(house: House, origin: Origin) -> None:
    # Several clients send Content-Length: 0 with every GET.
    origin.serve("/a", reply(200, FRESH, body=b"x"))
    await house.get(origin.url("/a"), "Content-Length: 0")
    assert (await house.get(origin.url("/a"), "Content-Length: 0")).hit


async def test_only_if_cached_and_not_cached_is_504(house: House, origin: Origin) -> None:
    answer = await house.get(origin.url("/a"), "Cache-Control: only-if-cached")
    assert answer.status == 504
    assert origin.requests == []


async def test_only_if_cached_and_cached(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"x"))
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/a"), "Cache-Control: only-if-cached")).hit


async def test_the_answer_to_head_does_not_stand_for_get(house: House, origin: Origin) -> None:
    origin.serve("/a", head(200, FRESH, "Content-Length: 5"))
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    await house.get(origin.url("/a"), method="HEAD")
    assert (await house.get(origin.url("/a"))).body == b"hello"


async def test_x_cache_behind_its_setting(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house({"server": {"x_cache": True}})
    origin.serve("/a", reply(200, FRESH, body=b"x"))
    assert (await house.get(origin.url("/a"))).get("x-cache") == "MISS"
    assert (await house.get(origin.url("/a"))).get("x-cache") == "HIT"
