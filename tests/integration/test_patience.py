"""Many who wait for one origin, and for long: neither is an error."""

import asyncio

from tests.conftest import StartHouse
from tests.support.house import House
from tests.support.origin import Gate, Origin, chunk, head, reply

EVENTS = head(200, "Content-Type: text/event-stream", "Transfer-Encoding: chunked")
MANY = 100


async def test_a_hundred_streams_of_events_and_one_request(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/events", EVENTS + chunk(b"data: 1\n\n"), gate, b"0\r\n\r\n")
    origin.serve("/a", reply(200, body=b"hello"))
    streams = [await house.open(origin.url("/events")) for _ in range(MANY)]
    for stream in streams:
        assert (await stream.head()).status == 200
    assert (await house.get(origin.url("/a"))).body == b"hello"
    gate.open()
    for stream in streams:
        await stream.whole()


async def test_a_hundred_long_polls_and_one_request(house: House, origin: Origin) -> None:
    gate = Gate()
    for number in range(MANY):
        origin.serve(f"/poll/{number}", gate, reply(200, body=b"news"))
    origin.serve("/a", reply(200, body=b"hello"))
    polls = [await house.open(origin.url(f"/poll/{number}")) for number in range(MANY)]
    await origin.seen(MANY)
    assert (await house.get(origin.url("/a"))).body == b"hello"
    gate.open()
    assert {(await poll.whole()).body for poll in polls} == {b"news"}


async def test_a_parent_is_no_origin(house: House, start_house: StartHouse, origin: Origin) -> None:
    """A limit on connections to one origin does not count those to all of them together."""
    child = await start_house({"upstream": {"connections_per_origin": 2, "parent": house.url}})
    gate = Gate()
    for number in range(5):
        origin.serve(f"/poll/{number}", gate, reply(200, body=b"news"))
    polls = [asyncio.ensure_future(child.get(origin.url(f"/poll/{number}"))) for number in range(5)]
    await origin.seen(5)
    gate.open()
    assert {(await poll).body for poll in polls} == {b"news"}


async def test_a_response_of_many_fields(house: House, origin: Origin) -> None:
    lines = [f"X-{number}: {number}" for number in range(500)]
    origin.serve("/a", reply(200, "Cache-Control: max-age=60", *lines, body=b"hello"))
    for hit in (False, True):
        answer = await house.get(origin.url("/a"))
        assert (answer.status, answer.body, answer.hit) == (200, b"hello", hit)
        assert answer.get("x-499") == "499"


async def test_a_response_of_too_many_octets(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, *["A:"] * 20_000))
    assert (await house.get(origin.url("/a"))).status == 502


async def test_trailers_of_many_fields(house: House, origin: Origin) -> None:
    trailers = "".join(f"X-{number}: {number}\r\n" for number in range(500)).encode()
    coded = head(200, "Transfer-Encoding: chunked")
    origin.serve("/a", coded + chunk(b"hello") + b"0\r\n" + trailers + b"\r\n")
    assert (await house.get(origin.url("/a"))).body == b"hello"
