"""What is sloppy and yet has one reading is understood, and written anew (RFC 9110 §2.4)."""

import pytest

from tests.support.house import House
from tests.support.origin import CLOSE, Gate, Origin, chunk, head, reply
from tests.support.wire import Cut

FRESH = "Cache-Control: max-age=60"
OK = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
TRAILERS = b"0\r\nX-Sum: 1\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\nX-Sum: 2\r\n\r\n"
ASKED = ("TE: trailers", "Connection: TE")


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", id="8.6 twice"),
        pytest.param(OK + b"Content-Length: 5, 5\r\n\r\nhello", id="8.6 in a list"),
        pytest.param(CHUNKED + b"5   \r\nhello\r\n0 \r\n\r\n", id="7.1 padded"),
        pytest.param(CHUNKED + b"5 \t;ext\r\nhello\r\n0\r\n\r\n", id="7.1.1 padded, extension"),
    ],
)
async def test_a_body_of_sloppy_framing(house: House, origin: Origin, said: bytes) -> None:
    origin.serve("/a", said)
    for hit in (False, True):
        answer = await house.get(origin.url("/a"))
        assert (answer.status, answer.body, answer.hit) == (200, b"hello", hit)
        assert len(answer.all("content-length") + answer.all("transfer-encoding")) == 1


async def test_a_length_that_frames_nothing_is_said_once(house: House, origin: Origin) -> None:
    origin.serve("/a", OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n")
    answer = await house.get(origin.url("/a"), method="HEAD")
    assert answer.all("content-length") == ["5"]


async def test_a_chunk_size_of_two_numbers_is_refused(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", CHUNKED, gate, b"5 0\r\nhello\r\n0\r\n\r\n", CLOSE)
    incoming = await house.open(origin.url("/a"))
    gate.open()
    with pytest.raises((Cut, ConnectionResetError)):
        await incoming.rest()


@pytest.mark.parametrize("status", [600, 799, 999])
async def test_a_status_beyond_599_passes_uncached(
    house: House, origin: Origin, status: int
) -> None:
    origin.serve("/a", reply(status, FRESH, "X: y", body=b"hello"))
    for _ in range(2):
        answer = await house.get(origin.url("/a"))
        assert (answer.status, answer.body, answer.get("x")) == (status, b"hello", "y")
        assert answer.cache_status["detail"] == "not-stored-status"
    assert origin.count("/a") == 2


@pytest.mark.parametrize("octet", ["\x01", "\x08", "\x0b", "\x1b", "\x7f"])
async def test_control_octets_in_values_pass(house: House, origin: Origin, octet: str) -> None:
    line = f"X-Odd: a{octet}b"
    origin.serve("/a", reply(200, FRESH, line, "X: y", body=b"hello"))
    for hit in (False, True):
        answer = await house.get(origin.url("/a"))
        assert (answer.status, answer.body, answer.hit) == (200, b"hello", hit)
        assert (answer.get("x-odd"), answer.get("x")) == (f"a{octet}b", "y")


async def test_control_octets_in_a_cookie_are_no_502(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, "Set-Cookie: a=\x02", body=b"hello"))
    answer = await house.get(origin.url("/a"))
    assert (answer.status, answer.get("set-cookie")) == (200, "a=\x02")


@pytest.mark.parametrize(
    "coding",
    [
        pytest.param("chun\xe2\x84\xaaed", id="KELVIN SIGN"),
        pytest.param("gzip", id="octets that nothing labels"),
        pytest.param("gzip, chunked", id="a coding nobody asked for"),
        pytest.param("chunked, foo", id="chunked, but not at last"),
        pytest.param("\x0bchunked", id="a control octet"),
    ],
)
async def test_a_coding_that_is_not_quite_chunked_is_502(
    house: House, origin: Origin, coding: str
) -> None:
    lines = (FRESH, f"Transfer-Encoding: {coding}")
    origin.serve("/a", head(200, *lines) + b"5\r\nhello\r\n0\r\n\r\n", CLOSE)
    origin.serve("/a", reply(200, FRESH, body=b"good"))
    assert (await house.get(origin.url("/a"))).status == 502
    assert (await house.get(origin.url("/a"))).body == b"good"


@pytest.mark.parametrize("control", ["max-age = 750", 'max-age=" 750"', "max-age =\t750, public"])
async def test_blanks_around_an_age(house: House, origin: Origin, control: str) -> None:
    origin.serve("/a", reply(200, f"Cache-Control: {control}", "Age: 700", body=b"hello"))
    await house.get(origin.url("/a"))
    hit = await house.get(origin.url("/a"), f"Cache-Control: {control}")
    assert hit.hit
    assert int(hit.cache_status["ttl"]) in range(30, 51)
    asked = await house.get(origin.url("/a"), "Cache-Control: max-age = 650")
    assert asked.cache_status["detail"] == "request-max-age"


# Trailers (RFC 9110 §6.5).


@pytest.mark.parametrize("control", ["no-store", "max-age=60"], ids=["passing", "filling"])
@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
async def test_trailers_for_who_asked(
    house: House, origin: Origin, control: str, late: bool
) -> None:
    gate = Gate()
    lines = (f"Cache-Control: {control}", "Trailer: X-Sum", "Transfer-Encoding: chunked")
    said = head(200, *lines) + chunk(b"hello")
    origin.serve("/a", *((said, gate, TRAILERS) if late else (said + TRAILERS,)))
    incoming = await house.open(origin.url("/a"), *ASKED)
    answered = await incoming.head()
    assert (answered.get("trailer"), answered.all("x-sum")) == ("X-Sum", [])
    gate.open()
    answer = await incoming.whole()
    assert (answer.body, answer.all("x-sum")) == (b"hello", ["1", "2"])
    assert (answer.get("set-cookie"), answer.get("content-length")) == (None, None)
    assert (origin.requests[0].get("te"), origin.requests[0].get("connection")) == (
        "trailers",
        "TE",
    )


async def test_trailers_for_nobody_else(house: House, origin: Origin) -> None:
    lines = (FRESH, "Trailer: X-Sum", "Transfer-Encoding: chunked")
    for path in ("/a", "/b"):
        origin.serve(path, head(200, *lines) + chunk(b"hello") + TRAILERS)
    plain = await house.get(origin.url("/a"))
    assert (plain.body, plain.get("x-sum"), plain.get("trailer")) == (b"hello", None, None)
    assert origin.requests[0].get("te") is None
    for path in ("/a", "/b"):
        await house.get(origin.url(path), *ASKED)
        hit = await house.get(origin.url(path), *ASKED)
        assert (hit.hit, hit.body, hit.get("x-sum"), hit.get("trailer")) == (
            True,
            b"hello",
            None,
            None,
        )


async def test_no_trailers_in_http_1_0(house: House, origin: Origin) -> None:
    origin.serve("/a", head(200, "Transfer-Encoding: chunked") + chunk(b"hello") + TRAILERS)
    old = await house.get(origin.url("/a"), *ASKED, minor=0)
    assert (old.body, old.get("x-sum"), origin.requests[0].get("te")) == (b"hello", None, None)
