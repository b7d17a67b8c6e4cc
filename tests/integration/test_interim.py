"""Interim responses are forwarded in order (RFC 9110 §15.2)."""

from tests.support.house import House
from tests.support.origin import Gate, Origin, reply

EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </%d>; rel=preload\r\n\r\n"


async def test_103_goes_through_before_the_answer(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", EARLY % 1, EARLY % 2, gate, reply(200, body=b"hello"))
    incoming = await house.open(origin.url("/a"))
    for number in (1, 2):
        hint = await incoming.wire.head()
        assert hint.status == 103
        assert hint.get("link") == f"</{number}>; rel=preload"
    gate.open()
    assert await incoming.rest() == b"hello"


async def test_interim_responses_are_not_stored(house: House, origin: Origin) -> None:
    final = reply(200, "Cache-Control: max-age=60", body=b"hello")
    origin.serve("/a", b"HTTP/1.1 102 Processing\r\n\r\n", EARLY % 1, final)
    first = await house.get(origin.url("/a"))
    assert [head.status for head in first.interim] == [102, 103]
    second = await house.get(origin.url("/a"))
    assert second.hit
    assert (second.interim, second.body) == ([], b"hello")


async def test_none_for_http_1_0(house: House, origin: Origin) -> None:
    # RFC 9110 §15.2: a server must not send a 1xx to an HTTP/1.0 client.
    origin.serve("/a", EARLY % 1, reply(200, body=b"hello"))
    answer = await house.get(origin.url("/a"), minor=0)
    assert (answer.interim, answer.body) == ([], b"hello")


async def test_a_flood_of_them_is_502(house: House, origin: Origin) -> None:
    origin.serve("/a", (EARLY % 1) * 50, reply(200, body=b"hello"))
    answer = await house.get(origin.url("/a"))
    assert answer.status == 502
    assert answer.proxy_status["error"]
