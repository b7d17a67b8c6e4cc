"""The cache is no channel between clients."""

import pytest

from tests.conftest import StartHouse
from tests.support.clock import http_date
from tests.support.house import House
from tests.support.origin import Gate, Origin, reply

FRESH = "Cache-Control: max-age=60"
MODIFIED = f"Last-Modified: {http_date(-864_000)}"
BASIC = "Authorization: Basic dXNlcjpwYXNz"


@pytest.mark.parametrize(
    ("line", "shared"),
    [
        pytest.param("Cache-Control: max-age=60", False, id="3.5 max-age alone"),
        pytest.param("Cache-Control: public, max-age=60", True, id="3.5 public"),
        pytest.param("Cache-Control: s-maxage=60", True, id="3.5 s-maxage"),
        pytest.param("Cache-Control: must-revalidate, max-age=60", True, id="3.5 must-revalidate"),
    ],
)
async def test_answers_to_credentials(
    house: House, origin: Origin, line: str, shared: bool
) -> None:
    origin.serve("/a", reply(200, line, body=b"one"))
    origin.serve("/a", reply(200, line, body=b"two"))
    await house.get(origin.url("/a"), BASIC)
    answer = await house.get(origin.url("/a"))
    assert (answer.hit, answer.body) == ((True, b"one") if shared else (False, b"two"))


async def test_answers_to_credentials_are_not_collapsed(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", gate, reply(200, FRESH, body=b"one"))
    origin.serve("/a", reply(200, FRESH, body=b"two"))
    first = await house.open(origin.url("/a"), BASIC)
    await gate.reached()
    second = await house.open(origin.url("/a"), "Authorization: Basic b3RoZXI6eA==")
    gate.open()
    assert {await first.rest(), await second.rest()} == {b"one", b"two"}


@pytest.mark.parametrize(
    "line",
    [
        "X-Forwarded-Host: evil.test",
        "X-Forwarded-Proto: https",
        "X-Original-URL: /evil",
        "X-Rewrite-URL: /evil",
        "X-Host: evil.test",
        "Forwarded: host=evil.test",
        "X-HTTP-Method-Override: DELETE",
    ],
)
async def test_reflected_fields_neither_write_nor_read(
    house: House, origin: Origin, line: str
) -> None:
    for body in (b"poison", b"clean", b"again"):
        origin.serve("/a", reply(200, FRESH, body=body))
    assert (await house.get(origin.url("/a"), line)).body == b"poison"
    assert (await house.get(origin.url("/a"))).body == b"clean"
    assert (await house.get(origin.url("/a"), line)).body == b"again"
    assert (await house.get(origin.url("/a"))).body == b"clean"


@pytest.mark.parametrize("line", ["Cookie: id=1", BASIC], ids=["Cookie", "Authorization"])
async def test_no_heuristic_freshness_for_the_personal(
    house: House, origin: Origin, line: str
) -> None:
    origin.serve("/a", reply(200, MODIFIED, body=b"mine"))
    origin.serve("/a", reply(200, MODIFIED, body=b"yours"))
    await house.get(origin.url("/a"), line)
    assert (await house.get(origin.url("/a"))).body == b"yours"


@pytest.mark.parametrize("status", [400, 403, 429, 500, 502, 503])
async def test_errors_are_not_stored_by_heuristics(
    house: House, origin: Origin, status: int
) -> None:
    origin.serve("/a", reply(status, MODIFIED, body=b"no"))
    origin.serve("/a", reply(200, FRESH, body=b"yes"))
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/a"))).body == b"yes"


@pytest.mark.parametrize(("setting", "hit"), [("explicit", True), ("never", False)])
async def test_explicit_errors_by_setting(
    start_house: StartHouse, origin: Origin, setting: str, hit: bool
) -> None:
    house = await start_house({"cache": {"errors": setting}})
    origin.serve("/a", reply(503, FRESH, body=b"no"))
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/a"))).hit is hit


@pytest.mark.parametrize(
    ("setting", "line", "hit"),
    [
        ("explicit", "Cache-Control: max-age=60", False),
        ("explicit", "Cache-Control: public, max-age=60", True),
        ("explicit", "Cache-Control: s-maxage=60", True),
        ("rfc", "Cache-Control: max-age=60", True),
        ("never", "Cache-Control: public, max-age=60", False),
    ],
)
async def test_set_cookie_by_setting(
    start_house: StartHouse, origin: Origin, setting: str, line: str, hit: bool
) -> None:
    house = await start_house({"cache": {"set_cookie": setting}})
    origin.serve("/a", reply(200, line, "Set-Cookie: id=1", body=b"x"))
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/a"))).hit is hit


async def test_only_get_and_head_are_answered_from_the_cache(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"got"))
    origin.serve("/a", reply(200, body=b"asked"))
    await house.get(origin.url("/a"))
    for method in ("OPTIONS", "PROPFIND", "REPORT"):
        assert (await house.get(origin.url("/a"), method=method)).body == b"asked"
    assert (await house.get(origin.url("/a"))).body == b"got"


async def test_no_cache_with_field_names(house: House, origin: Origin) -> None:
    # RFC 9111 §5.2.2.4: the fields named are not reused without validation.
    line = 'Cache-Control: max-age=60, no-cache="X-Secret"'
    origin.serve("/a", reply(200, line, "X-Secret: 1", "X-Open: 2", body=b"x"))
    await house.get(origin.url("/a"))
    again = await house.get(origin.url("/a"))
    assert again.get("x-secret") is None
    assert again.body == b"x"


async def test_the_first_client_gets_every_field(house: House, origin: Origin) -> None:
    # What may not be stored (§5.2.2.7, §3.1) is still sent to the client that asked.
    line = 'Cache-Control: max-age=60, private="X-Secret"'
    origin.serve("/a", reply(200, line, "X-Secret: 1", body=b"x"))
    assert (await house.get(origin.url("/a"))).get("x-secret") == "1"


async def test_private_with_field_names(house: House, origin: Origin) -> None:
    # §5.2.2.7: the fields named are not stored by a shared cache.
    line = 'Cache-Control: max-age=60, private="X-Secret"'
    origin.serve("/a", reply(200, line, "X-Secret: 1", "X-Open: 2", body=b"x"))
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/a"))).get("x-secret") is None
