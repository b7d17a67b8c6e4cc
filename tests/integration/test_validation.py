"""Stale responses are validated, clients' own conditions are answered from the cache."""

import pytest

from tests.conftest import StartHouse
from tests.support.clock import http_date
from tests.support.house import House
from tests.support.origin import Conversation, Gate, Origin, head, reply

STALE = ("Cache-Control: max-age=60", "Age: 100")
FRESH = "Cache-Control: max-age=60"
LONG_AGO = http_date(-864_000)


async def test_a_304_freshens(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, *STALE, 'ETag: "1"', "X-V: old", body=b"hello"))
    origin.serve("/a", reply(304, FRESH, 'ETag: "1"', "X-V: new", "Content-Length: 99"))
    await house.get(origin.url("/a"))
    validated = await house.get(origin.url("/a"))
    assert origin.requests[1].get("if-none-match") == '"1"'
    assert (validated.status, validated.body) == (200, b"hello")
    assert validated.get("x-v") == "new"
    assert validated.cache_status["fwd"] == "stale"
    assert validated.cache_status["fwd-status"] == "304"
    again = await house.get(origin.url("/a"))
    assert again.hit
    assert (again.body, again.get("x-v"), again.get("content-length")) == (b"hello", "new", "5")
    assert len(origin.requests) == 2


async def test_validated_by_date_when_there_is_no_tag(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, *STALE, f"Last-Modified: {LONG_AGO}", body=b"hello"))
    origin.serve("/a", reply(304, FRESH))
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/a"))).body == b"hello"
    assert origin.requests[1].get("if-modified-since") == LONG_AGO
    assert origin.requests[1].get("if-none-match") is None


async def test_a_weak_tag_is_sent_as_weak(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, *STALE, 'ETag: W/"1"', body=b"hello"))
    origin.serve("/a", reply(304, FRESH, 'ETag: W/"1"'))
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/a"))).body == b"hello"
    assert origin.requests[1].get("if-none-match") == 'W/"1"'


async def test_a_200_replaces(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, *STALE, 'ETag: "1"', body=b"old"))
    origin.serve("/a", reply(200, FRESH, 'ETag: "2"', body=b"new"))
    await house.get(origin.url("/a"))
    for _ in range(2):
        assert (await house.get(origin.url("/a"))).body == b"new"
    assert len(origin.requests) == 2


async def test_nothing_to_validate_with_fetches_again(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, *STALE, body=b"one"))
    origin.serve("/a", reply(200, FRESH, body=b"two"))
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/a"))).body == b"two"
    assert origin.requests[1].get("if-none-match") is None


async def test_no_cache_is_stored_and_validated_each_time(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, "Cache-Control: no-cache", 'ETag: "1"', body=b"hello"))
    origin.serve("/a", reply(304, 'ETag: "1"'))
    await house.get(origin.url("/a"))
    for count in (2, 3):
        assert (await house.get(origin.url("/a"))).body == b"hello"
        assert len(origin.requests) == count
        assert origin.requests[-1].get("if-none-match") == '"1"'


@pytest.mark.parametrize(
    ("line", "status"),
    [
        pytest.param('If-None-Match: "1"', 304, id="13.1.2 match"),
        pytest.param('If-None-Match: W/"1"', 304, id="13.1.2 weak comparison"),
        pytest.param('If-None-Match: "0", "1"', 304, id="13.1.2 list"),
        pytest.param("If-None-Match: *", 304, id="13.1.2 any"),
        pytest.param('If-None-Match: "2"', 200, id="13.1.2 no match"),
        pytest.param(f"If-Modified-Since: {LONG_AGO}", 304, id="13.1.3 not modified"),
        pytest.param(f"If-Modified-Since: {http_date(-900_000)}", 200, id="13.1.3 modified"),
        pytest.param("If-Modified-Since: yesterday", 200, id="13.1.3 invalid is ignored"),
    ],
)
async def test_a_clients_condition_on_a_fresh_response(
    house: House, origin: Origin, line: str, status: int
) -> None:
    stored = reply(200, FRESH, 'ETag: "1"', f"Last-Modified: {LONG_AGO}", "Vary: X", body=b"hello")
    origin.serve("/a", stored)
    await house.get(origin.url("/a"))
    answer = await house.get(origin.url("/a"), line)
    assert answer.status == status
    assert answer.body == (b"" if status == 304 else b"hello")
    assert answer.get("etag") == '"1"'
    assert answer.get("date")
    assert answer.get("cache-control") == "max-age=60"
    assert answer.get("vary") == "X"


async def test_a_head_does_not_grow_for_ever(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house({"upstream": {"response_head": "4KiB"}})
    lines = ("Cache-Control: no-cache", 'ETag: "1"')

    async def play(conversation: Conversation) -> None:
        more = f"X-Seen-{len(origin.requests)}: {'x' * 1000}"
        validated = conversation.received.get("if-none-match") is not None
        said = reply(304, *lines, more) if validated else reply(200, *lines, body=b"hello")
        conversation.writer.write(said)

    origin.serve("/a", play)
    for _ in range(20):
        answer = await house.get(origin.url("/a"))
        assert (answer.status, answer.body) == (200, b"hello")
        assert len(answer.raw) < 4096 + 1500
    # What has become too large is removed behind the answer; who comes then asks for all of it.
    assert None in [received.get("if-none-match") for received in origin.requests[1:]]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('If-Match: "2"', id="13.1.1 another"),
        pytest.param('If-Match: "1"', id="13.1.1 what is stored"),
        pytest.param(f"If-Unmodified-Since: {LONG_AGO}", id="13.1.4"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_the_origin_judges(house: House, origin: Origin, line: str, method: str) -> None:
    # RFC 9111 §4.3.2: a cache is not the server for If-Match and If-Unmodified-Since.
    stored = reply(200, FRESH, 'ETag: "1"', f"Last-Modified: {LONG_AGO}", body=b"hello")
    origin.serve("/a", stored)
    origin.serve("/a", reply(412, "X-From: origin"))
    await house.get(origin.url("/a"))
    for count in (2, 3):
        answer = await house.get(origin.url("/a"), line, method=method)
        assert (answer.status, answer.get("x-from")) == (412, "origin")
        assert (origin.count("/a"), origin.requests[-1].get(line.partition(":")[0])) == (
            count,
            line.partition(": ")[2],
        )
    assert (await house.get(origin.url("/a"))).hit


async def test_if_none_match_wins_over_the_date(house: House, origin: Origin) -> None:
    # RFC 9110 §13.2.2: If-Modified-Since is looked at only without If-None-Match.
    origin.serve("/a", reply(200, FRESH, 'ETag: "1"', f"Last-Modified: {LONG_AGO}", body=b"x"))
    await house.get(origin.url("/a"))
    lines = ('If-None-Match: "2"', f"If-Modified-Since: {LONG_AGO}")
    assert (await house.get(origin.url("/a"), *lines)).status == 200


async def test_a_clients_condition_on_a_miss_goes_to_the_origin(
    house: House, origin: Origin
) -> None:
    origin.serve("/a", reply(304, 'ETag: "9"'))
    answer = await house.get(origin.url("/a"), 'If-None-Match: "9"')
    assert answer.status == 304
    assert origin.requests[0].get("if-none-match") == '"9"'


@pytest.mark.parametrize(
    ("control", "lines"),
    [
        pytest.param("Cache-Control: private, max-age=60", (), id="5.2.2.7 private"),
        pytest.param(FRESH, ("Authorization: Basic dXNlcjpwYXNz",), id="3.5 Authorization"),
    ],
)
async def test_a_conditional_client_gets_304_after_304(
    house: House, origin: Origin, control: str, lines: tuple[str, ...]
) -> None:
    origin.serve("/a", reply(304, control, 'ETag: "9"'))
    for _ in range(4):
        answer = await house.get(origin.url("/a"), 'If-None-Match: "9"', *lines)
        assert answer.status == 304
    assert [asked.get("if-none-match") for asked in origin.requests] == ['"9"'] * 4


async def test_what_clients_validate_twice_is_fetched_beside(house: House, origin: Origin) -> None:
    gate = Gate()
    for _ in range(2):
        origin.serve("/a", reply(304, 'ETag: "9"'))
    origin.serve("/a", gate, reply(200, FRESH, 'ETag: "9"', body=b"hello"))
    for _ in range(2):
        assert (await house.get(origin.url("/a"), 'If-None-Match: "9"')).status == 304
    await gate.reached()
    assert origin.requests[2].get("if-none-match") is None
    # One that asks for all of it joins what was begun for nobody.
    reader = await house.open(origin.url("/a"))
    gate.open()
    assert await reader.rest() == b"hello"
    answer = await house.get(origin.url("/a"), 'If-None-Match: "9"')
    assert (answer.status, answer.hit, len(origin.requests)) == (304, True, 3)


async def test_a_condition_of_ours_does_not_cost_the_client_his(
    house: House, origin: Origin
) -> None:
    origin.serve("/a", reply(200, *STALE, 'ETag: "1"', body=b"old"))
    origin.serve("/a", reply(200, "Cache-Control: private", 'ETag: "2"', body=b"new"))
    await house.get(origin.url("/a"))
    answer = await house.get(origin.url("/a"), 'If-None-Match: "2"')
    assert (answer.status, answer.body, answer.get("etag")) == (304, b"", '"2"')
    assert answer.cache_status["fwd-status"] == "200"


async def test_an_unasked_304_does_not_become_a_stored_response(
    house: House, origin: Origin
) -> None:
    origin.serve("/a", reply(304, FRESH, 'ETag: "9"'))
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    await house.get(origin.url("/a"), 'If-None-Match: "9"')
    answer = await house.get(origin.url("/a"))
    assert (answer.status, answer.body) == (200, b"hello")


async def test_a_client_that_has_the_new_one_is_told_304(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, *STALE, 'ETag: "1"', body=b"hello"))
    origin.serve("/a", reply(304, FRESH, 'ETag: "1"'))
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/a"), 'If-None-Match: "1"')).status == 304


async def test_a_200_to_a_clients_condition_is_stored(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, 'ETag: "2"', body=b"hello"))
    assert (await house.get(origin.url("/a"), 'If-None-Match: "1"')).body == b"hello"
    assert (await house.get(origin.url("/a"))).hit


async def test_validations_of_one_key_are_one_request(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", reply(200, *STALE, 'ETag: "1"', body=b"hello"))
    origin.serve("/a", gate, reply(304, FRESH, 'ETag: "1"'))
    await house.get(origin.url("/a"))
    readers = [await house.open(origin.url("/a")) for _ in range(4)]
    await gate.reached()
    gate.open()
    assert [await reader.rest() for reader in readers] == [b"hello"] * 4
    assert len(origin.requests) == 2


async def test_head_freshens_a_stored_get(house: House, origin: Origin) -> None:
    same = ('ETag: "1"', "Content-Length: 5")
    origin.serve("/a", reply(200, *STALE, 'ETag: "1"', body=b"hello"))
    origin.serve("/a", head(200, FRESH, *same))
    origin.serve("/a", reply(200, FRESH, 'ETag: "1"', body=b"again"))
    await house.get(origin.url("/a"))
    await house.get(origin.url("/a"), method="HEAD")
    answer = await house.get(origin.url("/a"))
    assert answer.hit
    assert answer.body == b"hello"
    assert len(origin.requests) == 2


async def test_head_with_another_tag_invalidates_a_stored_get(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, 'ETag: "1"', body=b"hello"))
    origin.serve("/a", head(200, FRESH, 'ETag: "2"', "Content-Length: 7"))
    origin.serve("/a", reply(200, FRESH, 'ETag: "2"', body=b"changed"))
    await house.get(origin.url("/a"))
    await house.get(origin.url("/a"), "Cache-Control: no-cache", method="HEAD")
    assert (await house.get(origin.url("/a"))).body == b"changed"
