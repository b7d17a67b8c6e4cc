"""Non-error answers to unsafe methods invalidate (RFC 9111 §4.4)."""

import pytest

from tests.conftest import StartHouse
from tests.support.house import House
from tests.support.origin import Gate, Origin, head, reply

FRESH = "Cache-Control: max-age=60"


async def store(house: House, origin: Origin, path: str) -> None:
    origin.serve(path, reply(200, FRESH, body=b"old"))
    assert (await house.get(origin.url(path))).status == 200
    assert (await house.get(origin.url(path))).hit


@pytest.mark.parametrize(
    ("method", "status", "gone"),
    [
        pytest.param("POST", 200, True, id="POST 200"),
        pytest.param("PUT", 201, True, id="PUT 201"),
        pytest.param("DELETE", 204, True, id="DELETE 204"),
        pytest.param("POST", 303, True, id="POST 303"),
        pytest.param("M-SEARCH", 200, True, id="unknown method 200"),
        pytest.param("PATCH", 404, False, id="PATCH 404 is an error"),
        pytest.param("PUT", 500, False, id="PUT 500 is an error"),
        pytest.param("OPTIONS", 200, False, id="OPTIONS is safe"),
        pytest.param("PROPFIND", 207, False, id="PROPFIND is safe"),
    ],
)
async def test_the_target(
    house: House, origin: Origin, method: str, status: int, gone: bool
) -> None:
    await store(house, origin, "/a")
    origin.serve("/a", reply(status))
    origin.serve("/a", reply(200, FRESH, body=b"new"))
    assert (await house.get(origin.url("/a"), method=method, body=b"x")).status == status
    again = await house.get(origin.url("/a"))
    assert again.hit is not gone
    assert again.body == (b"new" if gone else b"old")


async def test_all_variants_of_the_target(house: House, origin: Origin) -> None:
    for body in (b"1", b"2", b"posted", b"3", b"4"):
        origin.serve("/a", reply(200, FRESH, "Vary: X-A", body=body))
    for value in ("1", "2"):
        await house.get(origin.url("/a"), f"X-A: {value}")
    await house.get(origin.url("/a"), method="POST", body=b"")
    for value, body in (("1", b"3"), ("2", b"4")):
        assert (await house.get(origin.url("/a"), f"X-A: {value}")).body == body


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
@pytest.mark.parametrize("form", ["/b", "http://{a}/b", "b"], ids=["path", "absolute", "relative"])
async def test_what_the_answer_points_to(
    house: House, origin: Origin, name: str, form: str
) -> None:
    await store(house, origin, "/b")
    origin.serve("/post", reply(201, f"{name}: {form.format(a=origin.authority)}"))
    await house.get(origin.url("/post"), method="POST", body=b"x")
    assert not (await house.get(origin.url("/b"))).hit


@pytest.mark.parametrize("method", ["MOVE", "COPY"])
@pytest.mark.parametrize("form", ["/b", "http://{a}/b"], ids=["path", "absolute"])
async def test_where_it_went(house: House, origin: Origin, method: str, form: str) -> None:
    # RFC 4918 §9.8, §9.9
    await store(house, origin, "/b")
    origin.serve("/a", reply(201))
    line = f"Destination: {form.format(a=origin.authority)}"
    await house.get(origin.url("/a"), line, method=method)
    assert not (await house.get(origin.url("/b"))).hit


async def test_other_origins_are_left_alone(start_house: StartHouse, origin: Origin) -> None:
    # §4.4: only URIs of the same origin, or anybody could empty anybody's cache.
    other = Origin()
    await other.start()
    try:
        house = await start_house()
        await store(house, other, "/b")
        origin.serve("/post", reply(201, f"Location: {other.url('/b')}"))
        await house.get(origin.url("/post"), method="POST", body=b"x")
        assert (await house.get(other.url("/b"))).hit
    finally:
        await other.stop()


async def test_a_write_during_a_fill_keeps_the_fill_out(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", head(200, FRESH, "Content-Length: 6") + b"old", gate, b"old")
    origin.serve("/a", reply(204))
    origin.serve("/a", reply(200, FRESH, body=b"new"))
    reader = await house.open(origin.url("/a"))
    assert await reader.read(3) == b"old"
    await house.get(origin.url("/a"), method="PUT", body=b"new")
    gate.open()
    assert await reader.rest() == b"old"
    assert (await house.get(origin.url("/a"))).body == b"new"


GROUPED = (FRESH, 'Cache-Groups: "news"')


@pytest.mark.parametrize(
    ("method", "said", "gone"),
    [
        pytest.param("POST", '"news"', True, id="POST, the group"),
        pytest.param("POST", '"sport", "news";x=1', True, id="POST, one of several"),
        pytest.param("DELETE", '"news"', True, id="DELETE"),
        pytest.param("POST", '"sport"', False, id="another group"),
        pytest.param("POST", "news", False, id="not a String"),
        pytest.param("GET", '"news"', False, id="a safe method"),
    ],
)
async def test_groups(house: House, origin: Origin, method: str, said: str, gone: bool) -> None:
    # RFC 9875 §3
    for path in ("/a", "/b"):
        origin.serve(path, reply(200, *GROUPED, body=b"old"))
        origin.serve(path, reply(200, *GROUPED, body=b"new"))
        await house.get(origin.url(path))
    origin.serve("/change", reply(200, f"Cache-Group-Invalidation: {said}"))
    await house.get(origin.url("/change"), method=method, body=None if method == "GET" else b"x")
    for path in ("/a", "/b"):
        assert (await house.get(origin.url(path))).body == (b"new" if gone else b"old")


async def test_groups_of_another_origin(start_house: StartHouse, origin: Origin) -> None:
    other = Origin()
    await other.start()
    try:
        house = await start_house()
        other.serve("/a", reply(200, *GROUPED, body=b"old"))
        await house.get(other.url("/a"))
        origin.serve("/change", reply(200, 'Cache-Group-Invalidation: "news"'))
        await house.get(origin.url("/change"), method="POST", body=b"x")
        assert (await house.get(other.url("/a"))).hit
    finally:
        await other.stop()


async def test_a_group_changes_during_a_fill(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", head(200, *GROUPED, "Content-Length: 6") + b"old", gate, b"old")
    origin.serve("/a", reply(200, *GROUPED, body=b"new"))
    origin.serve("/change", reply(200, 'Cache-Group-Invalidation: "news"'))
    reader = await house.open(origin.url("/a"))
    assert await reader.read(3) == b"old"
    await house.get(origin.url("/change"), method="POST", body=b"x")
    gate.open()
    assert await reader.rest() == b"old"
    assert (await house.get(origin.url("/a"))).body == b"new"


@pytest.mark.parametrize(
    "part", [pytest.param(True, id="of a part"), pytest.param(False, id="of what proved alone")]
)
async def test_a_group_changes_during_a_request_that_nobody_joins(
    house: House, origin: Origin, part: bool
) -> None:
    gate = Gate()
    fields = ["Range: bytes=0-2"] if part else []
    parted = (206, *GROUPED, 'ETag: "1"', "Content-Range: bytes 0-2/6")
    origin.serve("/a", reply(200, "Cache-Control: no-store"))
    origin.serve("/a", gate, reply(*(parted if part else (200, *GROUPED)), body=b"old"))
    origin.serve("/a", reply(200, *GROUPED, body=b"new"))
    origin.serve("/change", reply(200, 'Cache-Group-Invalidation: "news"'))
    await house.get(origin.url("/a"))
    reader = await house.open(origin.url("/a"), *fields)
    await gate.reached()
    await house.get(origin.url("/change"), method="POST", body=b"x")
    gate.open()
    assert await reader.rest() == b"old"
    answer = await house.get(origin.url("/a"), *fields)
    assert answer.body == b"new"
