"""Several variants side by side (RFC 9111 §4.1)."""

import pytest

from tests.support.house import House
from tests.support.origin import Gate, Origin, reply
from tests.support.wire import request

FRESH = "Cache-Control: max-age=60"


async def test_variants_live_side_by_side(house: House, origin: Origin) -> None:
    for body in (b"en", b"de"):
        origin.serve("/a", reply(200, FRESH, "Vary: Accept-Language", body=body))
    for _ in range(2):
        for language in ("en", "de"):
            answer = await house.get(origin.url("/a"), f"Accept-Language: {language}")
            assert answer.body == language.encode()
    assert len(origin.requests) == 2


async def test_a_variant_that_is_missing_says_so(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, "Vary: X-A", body=b"x"))
    await house.get(origin.url("/a"), "X-A: 1")
    assert (await house.get(origin.url("/a"), "X-A: 2")).cache_status["fwd"] == "vary-miss"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("X-A: 1",), ("X-A: \t1  ",), id="whitespace around a value"),
        pytest.param(
            ("Accept-Language: en , de",), ("Accept-Language: en,de",), id="around list members"
        ),
        pytest.param(("X-A: 1", "X-A: 2"), ("X-A: 1, 2",), id="lines are combined"),
        pytest.param(("Accept-Language: EN",), ("Accept-Language: en",), id="language case"),
        pytest.param((), (), id="absent both times"),
        pytest.param(("X-A: 1", "X-B: 1"), ("X-A: 1", "X-B: 2"), id="a field that is not named"),
    ],
)
async def test_the_same_variant(
    house: House, origin: Origin, one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    origin.serve("/a", reply(200, FRESH, "Vary: X-A, accept-language", body=b"x"))
    await house.get(origin.url("/a"), *one)
    assert (await house.get(origin.url("/a"), *other)).hit


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("X-A: 1",), ("X-A: 2",), id="another value"),
        pytest.param(("X-A: 1",), (), id="absent"),
        pytest.param(("X-A: a",), ("X-A: A",), id="case of an unknown field"),
        pytest.param(("X-A: 1, 2",), ("X-A: 2, 1",), id="order of an unknown field"),
        pytest.param(("X-A: 1, 2",), ("X-A: 1,2",), id="39 whitespace in an unknown field"),
        pytest.param(("X-A: ,2",), ("X-A: 2",), id="39 an empty member of an unknown field"),
        pytest.param(("Accept-Language: e n",), ("Accept-Language: en",), id="39 invalid syntax"),
        pytest.param(("X-A: 1", "X-B: 2"), ("X-A: 1\tx-b:2",), id="21 imitated separators"),
        pytest.param(("X-A:",), (), id="empty is not absent"),
        pytest.param(("X-A: id=1,",), ("X-A: id=1",), id="39 a comma at the end"),
        pytest.param(("X-A: x/1,,y",), ("X-A: x/1,y",), id="39 an empty member within"),
        pytest.param(("X-A: 1", "X-A: 2"), ("X-A: 2", "X-A: 1"), id="39 the order of lines"),
        pytest.param(
            ("Accept-Language: en;q=2",), ("Accept-Language: en ;q=2",), id="39 an invalid weight"
        ),
    ],
)
async def test_another_variant(
    house: House, origin: Origin, one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    for body in (b"one", b"other"):
        origin.serve("/a", reply(200, FRESH, "Vary: X-A, X-B, Accept-Language", body=body))
    wire = await house.wire()
    for hit in (False, True, True):  # from the origin, from the store, and from what is prepared
        for lines, body in ((one, b"one"), (other, b"other")):
            await wire.send(request("GET", origin.url("/a"), lines))
            answer = await wire.response()
            assert (answer.body, answer.hit) == (body, hit)


async def test_who_waits_gets_its_own_variant(house: House, origin: Origin) -> None:
    gates = Gate(), Gate()
    for gate, body in zip(gates, (b"one", b"other"), strict=True):
        origin.serve("/a", gate, reply(200, FRESH, "Vary: X-A", body=body))
    leader = await house.open(origin.url("/a"), "X-A: a,b")
    await gates[0].reached()
    same = await house.open(origin.url("/a"), "X-A: a,b")
    other = await house.open(origin.url("/a"), "X-A: a, b")
    gates[0].open()
    assert await leader.rest() == await same.rest() == b"one"
    await gates[1].reached()
    gates[1].open()
    assert await other.rest() == b"other"


async def test_a_validated_variant_is_for_who_selects_it(house: House, origin: Origin) -> None:
    """What is asked again and again, and mostly says the same, is told apart as well."""
    lines = ("Cache-Control: no-cache", "Vary: X-A")
    origin.serve("/a", reply(200, *lines, 'ETag: "1"', body=b"one"))
    origin.serve("/a", reply(304, *lines, 'ETag: "1"'))
    for _ in range(3):
        assert (await house.get(origin.url("/a"), "X-A: e n")).body == b"one"
    origin.serve("/a", reply(200, *lines, 'ETag: "2"', body=b"other"))
    assert (await house.get(origin.url("/a"), "X-A: en")).body == b"other"


async def test_an_answer_to_one_origin_is_for_that_origin(house: House, origin: Origin) -> None:
    # CORS: whoever forgets Vary: Origin would have others refused what they may read.
    for name in ("a", "b"):
        allowed = f"Access-Control-Allow-Origin: http://{name}.test"
        origin.serve("/a", reply(200, FRESH, allowed, body=name.encode()))
    for hit in (False, True):
        for name in ("a", "b"):
            answer = await house.get(origin.url("/a"), f"Origin: http://{name}.test")
            assert (answer.body, answer.hit) == (name.encode(), hit)
            assert answer.get("access-control-allow-origin") == f"http://{name}.test"
            assert answer.get("vary") is None
    origin.serve("/b", reply(200, FRESH, "Access-Control-Allow-Origin: *", body=b"all"))
    await house.get(origin.url("/b"), "Origin: http://a.test")
    assert (await house.get(origin.url("/b"), "Origin: http://b.test")).hit


async def test_a_304_does_not_narrow_vary(house: House, origin: Origin) -> None:
    tag = 'ETag: "1"'
    origin.serve("/a", reply(200, FRESH, "Age: 100", "Vary: X-A, X-B", tag, body=b"one"))
    origin.serve("/a", reply(304, FRESH, "Vary: X-A", tag))
    origin.serve("/a", reply(200, FRESH, "Vary: X-A, X-B", 'ETag: "2"', body=b"other"))
    for _ in range(2):
        await house.get(origin.url("/a"), "X-A: 1", "X-B: 1")
    assert (await house.get(origin.url("/a"), "X-A: 1", "X-B: 1")).hit
    assert (await house.get(origin.url("/a"), "X-A: 1", "X-B: 2")).body == b"other"


async def test_validation_offers_the_tags_of_all_variants(house: House, origin: Origin) -> None:
    for tag in ("1", "2"):
        fields = (FRESH, "Age: 100", "Vary: X-A", f'ETag: "{tag}"')
        origin.serve("/a", reply(200, *fields, body=tag.encode()))
    origin.serve("/a", reply(304, FRESH, "Vary: X-A", 'ETag: "2"'))
    for value in ("1", "2"):
        await house.get(origin.url("/a"), f"X-A: {value}")
    answer = await house.get(origin.url("/a"), "X-A: 3")
    tags = {tag.strip() for tag in (origin.requests[2].get("if-none-match") or "").split(",")}
    assert tags == {'"1"', '"2"'}
    assert (answer.status, answer.body) == (200, b"2")
