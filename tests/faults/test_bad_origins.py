"""Origins are hostile input: what is malformed or cut is never stored and never passed on."""

import pytest

from tests.support.house import House
from tests.support.origin import CLOSE, RESET, Gate, Origin, Step, head, reply
from tests.support.wire import Cut

FRESH = "Cache-Control: max-age=60"
OK = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"

MALFORMED = [
    pytest.param(b"nonsense\r\n\r\n", id="no status line"),
    pytest.param(b"HTTP/1.1\r\n\r\n", id="no status"),
    pytest.param(b"HTTP/1.1 20 OK\r\n\r\n", id="two digits"),
    pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", id="four digits"),
    pytest.param(b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n", id="below 100"),
    pytest.param(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", id="another version"),
    pytest.param(b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", id="lower case"),
    pytest.param(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", id="differing CLs"),
    pytest.param(OK + b"Content-Length: 1, 2\r\n\r\nab", id="differing CLs in a list"),
    pytest.param(OK + b"Content-Length: +1\r\n\r\na", id="CL with a sign"),
    pytest.param(OK + b"Content-Length: -1\r\n\r\na", id="negative CL"),
    pytest.param(OK + b"Content-Length: a\r\n\r\na", id="CL that is no number"),
    pytest.param(
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="CL and TE"
    ),
    pytest.param(OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n", id="obs-fold"),
    pytest.param(OK + b"X : a\r\nContent-Length: 0\r\n\r\n", id="space before the colon"),
    pytest.param(OK + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n", id="NUL"),
    pytest.param(OK + b"X: a\rb\r\nContent-Length: 0\r\n\r\n", id="bare CR"),
    pytest.param(OK + b"X: a\nContent-Length: 0\r\n\r\n", id="bare LF"),
    pytest.param(OK + b"no colon\r\nContent-Length: 0\r\n\r\n", id="no colon"),
    pytest.param(OK + b"X: a\r\n" * 20_000 + b"\r\n", id="more fields than fit"),
    pytest.param(OK + b"X: " + b"a" * 200_000 + b"\r\n\r\n", id="endless head"),
    pytest.param(OK + b"X: cut he", id="head cut off"),
]


@pytest.mark.parametrize("said", MALFORMED)
async def test_a_malformed_head_is_502_and_not_stored(
    house: House, origin: Origin, said: bytes
) -> None:
    origin.serve("/a", said, CLOSE)
    origin.serve("/a", reply(200, FRESH, body=b"good"))
    answer = await house.get(origin.url("/a"))
    assert answer.status == 502
    assert answer.proxy_status["error"].startswith(("http_response", "http_protocol", "connection"))
    again = await house.get(origin.url("/a"))
    assert (again.body, again.hit) == (b"good", False)


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
CUT = [
    pytest.param((OK + b"Content-Length: 10\r\n\r\nhello", CLOSE), id="length, closed"),
    pytest.param((OK + b"Content-Length: 10\r\n\r\nhello", RESET), id="length, reset"),
    pytest.param((CHUNKED, CLOSE), id="chunked, closed"),
    pytest.param((CHUNKED, RESET), id="chunked, reset"),
    pytest.param((CHUNKED + b"5\r\nwor", CLOSE), id="within a chunk"),
    pytest.param((CHUNKED + b"0\r\n", CLOSE), id="before the last line"),
    pytest.param((CHUNKED + b"0x5\r\nworld\r\n0\r\n\r\n", CLOSE), id="bad chunk size"),
    pytest.param((CHUNKED + b"5\nworld\r\n0\r\n\r\n", CLOSE), id="bare LF in a chunk line"),
    pytest.param((CHUNKED + b"5\r\nworldX\r\n0\r\n\r\n", CLOSE), id="chunk too long"),
]


@pytest.mark.parametrize("steps", CUT)
async def test_a_cut_body_is_told_and_not_stored(
    house: House, origin: Origin, steps: tuple[bytes | Step, ...]
) -> None:
    gate = Gate()
    origin.serve("/a", steps[0], gate, *steps[1:])
    origin.serve("/a", reply(200, FRESH, body=b"good"))
    incoming = await house.open(origin.url("/a"))
    await gate.reached()
    gate.open()
    try:
        status = (await incoming.head()).status
        with pytest.raises((Cut, ConnectionResetError)):
            await incoming.rest()
    except Cut:
        status = 502
    assert status in (200, 502)
    again = await house.get(origin.url("/a"))
    assert (again.body, again.hit) == (b"good", False)


async def test_a_reset_where_close_would_be_the_end(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", OK + b"\r\nuntil close", gate, RESET)
    origin.serve("/a", reply(200, FRESH, body=b"good"))
    incoming = await house.open(origin.url("/a"))
    assert await incoming.read(5) == b"until"
    gate.open()
    with pytest.raises((Cut, ConnectionResetError)):
        await incoming.rest()
    assert not (await house.get(origin.url("/a"))).hit


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", id="101"),
        pytest.param(reply(206, FRESH, "Content-Range: bytes 0-1/9", body=b"ab"), id="206"),
        pytest.param(reply(304, FRESH), id="304"),
        pytest.param(reply(416, FRESH, "Content-Range: bytes */9"), id="416"),
    ],
)
async def test_what_was_not_asked_for_is_not_stored(
    house: House, origin: Origin, said: bytes
) -> None:
    origin.serve("/a", said)
    origin.serve("/a", reply(200, FRESH, body=b"good"))
    await house.get(origin.url("/a"))
    again = await house.get(origin.url("/a"))
    assert (again.status, again.body) == (200, b"good")


@pytest.mark.parametrize(
    "content_range",
    [
        pytest.param("bytes 0-4/5", id="past the end"),
        pytest.param("bytes 5-9/10", id="not what was asked"),
        pytest.param("bytes 4-0/10", id="backwards"),
        pytest.param("bytes 0-1/10", id="not the length of the body"),
        pytest.param("junk", id="junk"),
    ],
)
async def test_a_wrong_content_range_never_becomes_a_whole(
    house: House, origin: Origin, content_range: str
) -> None:
    lines = (FRESH, 'ETag: "1"')
    origin.serve("/a", reply(206, *lines, f"Content-Range: {content_range}", body=b"01234567"))
    origin.serve("/a", reply(200, *lines, body=b"0123456789"))
    await house.get(origin.url("/a"), "Range: bytes=0-7")
    again = await house.get(origin.url("/a"))
    assert (again.status, again.body) == (200, b"0123456789")


async def test_more_octets_than_announced(house: House, origin: Origin) -> None:
    # The announced length is delivered, the connection is not used again.
    origin.serve("/a", head(200, FRESH, "Content-Length: 5") + b"helloHTTP/1.1 200 OK\r\n\r\n")
    origin.serve("/b", reply(200, body=b"clean"))
    assert (await house.get(origin.url("/a"))).body == b"hello"
    assert (await house.get(origin.url("/b"))).body == b"clean"
    assert (await house.get(origin.url("/a"))).body == b"hello"


async def test_an_unknown_transfer_coding_means_until_close(house: House, origin: Origin) -> None:
    # RFC 9112 §6.3: a response whose last coding is not chunked ends with the connection.
    origin.serve("/a", head(200, FRESH, "Transfer-Encoding: x-other") + b"body", CLOSE)
    answer = await house.get(origin.url("/a"))
    assert (answer.status, answer.body) == (200, b"body")


async def test_a_body_where_there_is_none(house: House, origin: Origin) -> None:
    origin.serve("/a", head(204, FRESH) + b"never a body")
    origin.serve("/b", reply(200, body=b"clean"))
    wire = await house.wire()
    for path, body in (("/a", b""), ("/b", b"clean")):
        await wire.send(
            f"GET {origin.url(path)} HTTP/1.1\r\nHost: {origin.authority}\r\n\r\n".encode()
        )
        assert (await wire.response()).body == body


async def test_answers_nobody_asked_for_are_not_delivered(house: House, origin: Origin) -> None:
    planted = reply(200, FRESH, body=b"planted")
    origin.serve("/a", reply(200, FRESH, body=b"asked") + planted)
    origin.serve("/b", reply(200, body=b"mine"))
    assert (await house.get(origin.url("/a"))).body == b"asked"
    assert (await house.get(origin.url("/b"))).body == b"mine"
