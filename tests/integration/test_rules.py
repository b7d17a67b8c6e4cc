"""What an origin fails to say a person may, by ``[[rules]]``."""

from tests.conftest import StartHouse
from tests.support.clock import http_date
from tests.support.origin import CLOSE, Origin, reply

DAYS = {"match": "http://*/**/*.deb", "freshness": "30d"}


async def test_freshness_for_what_carries_none(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house({"rules": [DAYS]})
    origin.serve("/pool/main/a.deb", reply(200, f"Last-Modified: {http_date(-60)}", body=b"deb"))
    origin.serve("/pool/main/a.txt", reply(200, body=b"txt"))
    for path, hit in (("/pool/main/a.deb", True), ("/pool/main/a.txt", False)):
        await house.get(origin.url(path))
        assert (await house.get(origin.url(path))).hit is hit
    assert int((await house.get(origin.url("/pool/main/a.deb"))).cache_status["ttl"]) > 2_500_000


async def test_the_origins_word_counts_unless_overridden(
    start_house: StartHouse, origin: Origin
) -> None:
    aged = reply(200, "Cache-Control: max-age=60", "Age: 100", body=b"deb")
    for override in (False, True):
        house = await start_house({"rules": [{**DAYS, "override": override}]})
        origin.serve("/x/a.deb", aged)
        await house.get(origin.url("/x/a.deb"))
        assert (await house.get(origin.url("/x/a.deb"))).hit is override


async def test_first_match_wins(start_house: StartHouse, origin: Origin) -> None:
    rules = [{"match": "http://*/x/*.deb", "cache": False}, DAYS]
    house = await start_house({"rules": rules})
    for path, hit in (("/x/a.deb", False), ("/y/a.deb", True)):
        origin.serve(path, reply(200, body=b"deb"))
        await house.get(origin.url(path))
        assert (await house.get(origin.url(path))).hit is hit


async def test_a_regex(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house({"rules": [{"regex": r".*/v[0-9]+/.*", "freshness": "1h"}]})
    origin.serve("/v12/a", reply(200, body=b"x"))
    await house.get(origin.url("/v12/a"))
    assert (await house.get(origin.url("/v12/a"))).hit


async def test_ignored_query_members_are_not_of_the_key(
    start_house: StartHouse, origin: Origin
) -> None:
    house = await start_house({"rules": [{"match": "http://*/**", "ignore_query": ["utm_*"]}]})
    for target in ("/a?q=1&utm_x=1", "/a?q=2"):
        origin.serve(target, reply(200, "Cache-Control: max-age=60", body=target.encode()))
    await house.get(origin.url("/a?q=1&utm_x=1"))
    assert origin.requests[0].target == "/a?q=1&utm_x=1"
    assert (await house.get(origin.url("/a?utm_y=2&q=1"))).hit
    assert not (await house.get(origin.url("/a?q=2"))).hit


async def test_an_object_larger_than_the_rule_allows_streams(
    start_house: StartHouse, origin: Origin
) -> None:
    house = await start_house({"rules": [{"match": "http://*/**", "max_object_size": "1KiB"}]})
    for size in (1000, 2000):
        origin.serve(f"/{size}", reply(200, "Cache-Control: max-age=60", body=bytes(size)))
        assert len((await house.get(origin.url(f"/{size}"))).body) == size
        assert (await house.get(origin.url(f"/{size}"))).hit is (size == 1000)


async def test_stale_if_error_by_rule(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house({"rules": [{"match": "http://*/**", "stale_if_error": "1h"}]})
    origin.serve(
        "/a", reply(200, "Cache-Control: max-age=60", "Age: 100", 'ETag: "1"', body=b"old")
    )
    origin.serve("/a", reply(500, body=b"no"))
    origin.serve("/a", CLOSE)
    await house.get(origin.url("/a"))
    for _ in range(2):
        assert (await house.get(origin.url("/a"))).body == b"old"


async def test_an_object_larger_than_the_cache_allows_streams(
    start_house: StartHouse, origin: Origin
) -> None:
    house = await start_house({"cache": {"max_object_size": "64KiB"}})
    origin.serve("/a", reply(200, "Cache-Control: max-age=60", body=bytes(100_000)))
    await house.get(origin.url("/a"))
    answer = await house.get(origin.url("/a"))
    assert (len(answer.body), answer.hit) == (100_000, False)
    assert "large" in answer.cache_status.get("detail", "")


async def test_targeted_fields_where_configured(start_house: StartHouse, origin: Origin) -> None:
    # RFC 9213 §2.2: the targeted field replaces Cache-Control and Expires.
    house = await start_house({"cache.freshness": {"targeted": ["CDN-Cache-Control"]}})
    lines = ("Cache-Control: no-store", "CDN-Cache-Control: max-age=60")
    origin.serve("/a", reply(200, *lines, body=b"x"))
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/a"))).hit
