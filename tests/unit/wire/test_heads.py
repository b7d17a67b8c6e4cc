"""Each row is fed whole, octet by octet, and with junk after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from proxy.semantics.fields import Fields
from proxy.semantics.messages import RequestHead, ResponseHead
from proxy.wire.heads import (
    BadMessage,
    Limits,
    check_partial,
    check_partial_response,
    head_end,
    parse_fields,
    parse_request,
    parse_response,
    render_request,
    render_response,
)

LIMITS = Limits(head=400, line=100, fields=5)
Head = RequestHead | ResponseHead


def whole(message: bytes) -> list[bytes]:
    return [message]


def octet_by_octet(message: bytes) -> list[bytes]:
    return [message[i : i + 1] for i in range(len(message))]


def with_junk(message: bytes) -> list[bytes]:
    return [message + b"\x00\r\n\r\n\x16\x03"]


FEEDS = pytest.mark.parametrize("cut", [whole, octet_by_octet, with_junk])
Cut = Callable[[bytes], Sequence[bytes]]


def read(
    pieces: Sequence[bytes],
    check: Callable[[bytearray, Limits, int], None],
    parse: Callable[[bytes, Limits], Head],
) -> Head | None:
    buffer = bytearray()
    for piece in pieces:
        seen = len(buffer)
        buffer += piece
        end = head_end(buffer, seen)
        if end > 0:
            return parse(bytes(buffer[:end]), LIMITS)
        check(buffer, LIMITS, seen)
        check(buffer, LIMITS, 0)  # nothing is overlooked
    return None


def read_request(pieces: Sequence[bytes]) -> Head | None:
    return read(pieces, check_partial, parse_request)


def read_response(pieces: Sequence[bytes]) -> Head | None:
    return read(pieces, check_partial_response, parse_response)


HOST = b"Host: a.example\r\n"
GET = b"GET / HTTP/1.1\r\n"


@FEEDS
@pytest.mark.parametrize(
    ("message", "head"),
    [
        pytest.param(
            b"GET http://a.example/x?y HTTP/1.1\r\n" + HOST + b"\r\n",
            RequestHead("GET", "http://a.example/x?y", 1, Fields([("Host", "a.example")])),
            id="9112-3 absolute-form",
        ),
        pytest.param(
            b"\r\n" + GET + HOST + b"\r\n",
            RequestHead("GET", "/", 1, Fields([("Host", "a.example")])),
            id="9112-2.2 one empty line before is skipped",
        ),
        pytest.param(
            b"BREW-it! * HTTP/1.0\r\n\r\n",
            RequestHead("BREW-it!", "*", 0, Fields()),
            id="9110-9.1 any token is a method; 1.0 needs no Host",
        ),
        pytest.param(
            b"CONNECT [::1]:443 HTTP/1.1\r\nHOST:[::1]:443\r\n\r\n",
            RequestHead("CONNECT", "[::1]:443", 1, Fields([("HOST", "[::1]:443")])),
            id="9112-3.2.3 authority-form",
        ),
        pytest.param(
            GET + HOST + b"A: \t b\tc \t\r\nE:\r\nO: \xe9\xff\r\n\r\n",
            RequestHead(
                "GET",
                "/",
                1,
                Fields([("Host", "a.example"), ("A", "b\tc"), ("E", ""), ("O", "\xe9\xff")]),
            ),
            id="9110-5.5 whitespace around a value is no part of it; obs-text survives",
        ),
        pytest.param(
            b"GET /\xfc HTTP/1.9\r\nhost:\r\n\r\n",
            RequestHead("GET", "/\xfc", 9, Fields([("host", "")])),
            id="9110-2.5 any minor version; an empty Host is valid syntax",
        ),
    ],
)
def test_good_requests(message: bytes, head: RequestHead, cut: Cut) -> None:
    assert read_request(cut(message)) == head


@FEEDS
@pytest.mark.parametrize(
    ("message", "status", "word"),
    [
        pytest.param(b"GET /\r\n\r\n", 400, "request line", id="P5 HTTP/0.9"),
        pytest.param(b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505, "HTTP/1.1", id="9110-15.6.6 2.0"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/1.1", id="9113-3.4 preface"),
        pytest.param(
            b"\r\nGET / HTTP/3\r\n\r\n", 505, "HTTP/1.1", id="version after an empty line"
        ),
        pytest.param(
            b"GET / HTTP/1.10\r\n" + HOST + b"\r\n", 400, "request line", id="2.3 two digits"
        ),
        pytest.param(b"GET / http/1.1\r\n" + HOST + b"\r\n", 400, "request line", id="2.3 case"),
        pytest.param(
            b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400, "request line", id="3 two spaces"
        ),
        pytest.param(b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n", 400, "", id="3 tab for space"),
        pytest.param(
            b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n", 400, "request line", id="3 space at end"
        ),
        pytest.param(
            b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", 400, "request line", id="3.2 space"
        ),
        pytest.param(b"GET /\x7f HTTP/1.1\r\n" + HOST + b"\r\n", 400, "request line", id="3.2 DEL"),
        pytest.param(
            b" GET / HTTP/1.1\r\n" + HOST + b"\r\n", 400, "request line", id="3 leading space"
        ),
        pytest.param(b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n", 400, "", id="3.1 method is a token"),
        pytest.param(b"\r\n\r\n", 400, "request line", id="2.2 only one empty line"),
        pytest.param(b"A\r\nB\r\n\r\n", 400, "", id="3 one word"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "", id="TLS hello"),
        pytest.param(GET + b"Host: a\r\n b\r\n\r\n", 400, "folded", id="P1 obs-fold"),
        pytest.param(
            GET + b" Host: a\r\n\r\n", 400, "folded", id="2.2 whitespace after first line"
        ),
        pytest.param(
            GET + b"Host : a\r\n\r\n", 400, "before the colon", id="5.1 space before colon"
        ),
        pytest.param(
            GET + b"Host\t: a\r\n\r\n", 400, "before the colon", id="5.1 tab before colon"
        ),
        pytest.param(GET + HOST + b"no colon\r\n\r\n", 400, "no colon", id="5 no colon"),
        pytest.param(GET + HOST + b": x\r\n\r\n", 400, "token", id="P1 empty name"),
        pytest.param(GET + HOST + b"a\xe9: x\r\n\r\n", 400, "token", id="P1 name not a token"),
        pytest.param(GET + HOST + b"a b: x\r\n\r\n", 400, "token", id="P1 space in name"),
        pytest.param(GET + HOST + b"a: x\x00y\r\n\r\n", 400, "control", id="P1 NUL"),
        pytest.param(GET + HOST + b"a: x\x0by\r\n\r\n", 400, "control", id="P1 vertical tab"),
        pytest.param(GET + HOST + b"a: \x7f\r\n\r\n", 400, "control", id="P1 DEL"),
        pytest.param(GET + HOST + b"a: x\ry\r\n\r\n", 400, "CRLF", id="P1 bare CR"),
        pytest.param(GET + HOST + b"a: x\nb: y\r\n\r\n", 400, "CRLF", id="P1 bare LF"),
        pytest.param(GET + HOST + b"a: x\r\r\n\r\n", 400, "CRLF", id="P1 CR CR LF"),
        pytest.param(b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "", id="P1 LF ends first line"),
        pytest.param(GET + b"\r\n", 400, "needs a Host", id="3.2 no Host in 1.1"),
        pytest.param(GET + HOST + HOST + b"\r\n", 400, "more than one Host", id="3.2 Host twice"),
        pytest.param(GET + b"host: a\r\nHOST: b\r\n\r\n", 400, "more than one", id="3.2 two Hosts"),
        pytest.param(GET + b"Host: a, b\r\n\r\n", 400, "host", id="3.2 list in Host"),
        pytest.param(GET + b"Host: u@a\r\n\r\n", 400, "host", id="3.2 userinfo in Host"),
        pytest.param(GET + b"Host: a/b\r\n\r\n", 400, "host", id="3.2 path in Host"),
        pytest.param(GET + b"Host: a:x\r\n\r\n", 400, "host", id="3.2 port not digits"),
        pytest.param(
            b"GET /" + b"a" * 100 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
            414,
            "longer than 100",
            id="bounds: first line",
        ),
        pytest.param(
            b"GET / HTTP/1.1\t" + b"a" * 100 + b"\r\n" + HOST + b"\r\n",
            414,
            "longer than 100",
            id="bounds: first line that is bad as well",
        ),
        pytest.param(
            GET + HOST + b"a: " + b"x" * 400 + b"\r\n\r\n",
            431,
            "larger than 400",
            id="bounds: head",
        ),
        pytest.param(
            GET + HOST + b"a: b\r\n" * 5 + b"\r\n", 431, "than 5 field lines", id="fields"
        ),
    ],
)
def test_bad_requests(message: bytes, status: int, word: str, cut: Cut) -> None:
    with pytest.raises(BadMessage) as caught:
        read_request(cut(message))
    assert caught.value.status == status
    assert word in caught.value.detail


@pytest.mark.parametrize(
    ("start", "status"),
    [
        pytest.param(b"\x16", 400, id="TLS"),
        pytest.param(b"GET / HTTP/1.1\n", 400, id="bare LF"),
        pytest.param(b"GET / HTTP/1.1\rX", 400, id="bare CR"),
        pytest.param(b"GET /\r\n", 400, id="HTTP/0.9 does not wait for more"),
        pytest.param(b"GET / HTTP/3.0\r\n", 505, id="version is seen at once"),
        pytest.param(b"GET /" + b"a" * 100, 414, id="first line without end"),
        pytest.param(GET + b"a: " + b"x" * 400, 431, id="head without end"),
        pytest.param(GET + b"a: b\r\n" * 8, 431, id="fields without end"),
    ],
)
def test_hopeless_beginnings_are_refused_early(start: bytes, status: int) -> None:
    with pytest.raises(BadMessage) as caught:
        check_partial(start, LIMITS)
    assert caught.value.status == status


@pytest.mark.parametrize("head", [b"\r\n" + GET + HOST + b"a: b\r\n\r"])
def test_good_beginnings_are_waited_on(head: bytes) -> None:
    for end in range(len(head) + 1):
        check_partial(head[:end], LIMITS)


@FEEDS
@pytest.mark.parametrize(
    ("message", "head"),
    [
        pytest.param(
            b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
            ResponseHead(200, "OK", Fields([("A", "b")]), 1),
            id="9112-4",
        ),
        pytest.param(
            b"HTTP/1.0 204 \r\n\r\n", ResponseHead(204, "", Fields(), 0), id="4 no reason"
        ),
        pytest.param(b"HTTP/1.1 200\r\n\r\n", ResponseHead(200, "", Fields(), 1), id="4 no space"),
        pytest.param(
            b"HTTP/1.1 599 \xe9 \tx\r\n\r\n",
            ResponseHead(599, "\xe9 \tx", Fields(), 1),
            id="4 obs-text in the reason",
        ),
        pytest.param(
            b"HTTP/1.1 600 So\r\n\r\n", ResponseHead(600, "So", Fields(), 1), id="15 above 599"
        ),
        pytest.param(b"HTTP/1.1 999\r\n\r\n", ResponseHead(999, "", Fields(), 1), id="15 highest"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nA: \tb\x01c\x0bd\x7f\x1b \r\nE: f\r\n\r\n",
            ResponseHead(200, "OK", Fields([("A", "b\x01c\x0bd\x7f\x1b"), ("E", "f")]), 1),
            id="9110-5.5 control octets in a value are passed on",
        ),
    ],
)
def test_good_responses(message: bytes, head: ResponseHead, cut: Cut) -> None:
    assert read_response(cut(message)) == head


@FEEDS
@pytest.mark.parametrize(
    ("message", "word"),
    [
        pytest.param(b"HTTP/2 200 OK\r\n\r\n", "version", id="2.3 HTTP/2"),
        pytest.param(b"HTTP/2.0 200 OK\r\n\r\n", "version", id="2.3 HTTP/2.0"),
        pytest.param(b"HTTP/11 200 OK\r\n\r\n", "status line", id="2.3 no version"),
        pytest.param(b"ICY 200 OK\r\n\r\n", "first octets|status line", id="2.3 ICY"),
        pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", "status line", id="4 four digits"),
        pytest.param(b"HTTP/1.1 20 OK\r\n\r\n", "status line", id="4 two digits"),
        pytest.param(b"HTTP/1.1 099 OK\r\n\r\n", "status line", id="9110-15 below 100"),
        pytest.param(b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n", "status line", id="4 no digits"),
        pytest.param(b"HTTP/1.1  200 OK\r\n\r\n", "status line", id="4 two spaces"),
        pytest.param(b"HTTP/1.1 200 O\x00K\r\n\r\n", "status line", id="4 NUL in the reason"),
        pytest.param(b"HTTP/1.1 200 OK\nA: b\r\n\r\n", "CRLF|status line", id="P36 bare LF"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "folded", id="5.2 obs-fold"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "before the colon", id="5.1 space"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n", "control", id="P11 NUL"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "CRLF", id="P11 bare CR"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", "CRLF", id="P11 bare LF"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA\x01: b\r\n\r\n", "token", id="P11 in a name"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 6 + b"\r\n", "than 5", id="fields"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 400 + b"\r\n\r\n", "than 400", id="head"),
        pytest.param(b"HTTP/1.1 200 " + b"x" * 100 + b"\r\n\r\n", "than 100", id="first line"),
    ],
)
def test_bad_responses(message: bytes, word: str, cut: Cut) -> None:
    with pytest.raises(BadMessage, match=word):
        read_response(cut(message))


@pytest.mark.parametrize("start", [b"SSH-2.0-x\r\n", b"HTP", b"HTTP/3 200\r\n", b"\r\n"])
def test_what_is_no_response_is_not_waited_on(start: bytes) -> None:
    with pytest.raises(BadMessage):
        check_partial_response(start, LIMITS)


def test_head_end_looks_on_from_where_it_stopped() -> None:
    head = GET + HOST + b"\r\n"
    assert [head_end(head[:n], n - 1) for n in (len(head) - 1, len(head))] == [-1, len(head)]
    assert head_end(head + b"\r\n\r\n", 0) == len(head)


@pytest.mark.parametrize("text", [b"A: b", b"A: b\r\n", b"", b"A: b\r\n\n", b"A: b\r\nx\n"])
def test_an_unfinished_section_is_refused(text: bytes) -> None:
    with pytest.raises(BadMessage, match=r"do not end|no colon|than CRLF"):
        parse_fields(text, LIMITS)


@pytest.mark.parametrize("size", [1, 2000], ids=["remembered", "too long for that"])
def test_fields_that_came_before(size: int) -> None:
    section = HOST + b"X: " + size * b"x" + b"\r\n\r\n"
    roomy = Limits(fields=2)
    first, other = (parse_request(line + section, roomy) for line in (GET, b"PUT /y HTTP/1.0\r\n"))
    assert first.fields == other.fields
    assert (other.method, other.target, other.minor) == ("PUT", "/y", 0)
    with pytest.raises(BadMessage, match="more than 1 field lines"):
        parse_request(GET + section, Limits(fields=1))


def test_a_missing_host_is_missed_whatever_came_before() -> None:
    assert parse_request(b"GET / HTTP/1.0\r\nX: y\r\n\r\n", LIMITS).minor == 0
    with pytest.raises(BadMessage, match="needs a Host"):
        parse_request(b"GET / HTTP/1.1\r\nX: y\r\n\r\n", LIMITS)


def test_rendered_heads() -> None:
    fields = Fields([("Host", "a.example"), ("X", "\xe9")])
    assert render_request("GET", "/x", fields) == (
        b"GET /x HTTP/1.1\r\nHost: a.example\r\nX: \xe9\r\n\r\n"
    )
    assert render_response(204, "", ()) == b"HTTP/1.1 204 \r\n\r\n"


def parts(bad: str) -> Iterator[tuple[str, str, str, str]]:
    yield bad, "/", "A", "b"
    yield "GET", bad, "A", "b"
    yield "GET", "/", bad, "b"
    yield "GET", "/", "A", bad


@pytest.mark.parametrize("bad", ["a\rb", "a\nb", "a\r\nb: c", "a\0b", "\u0131"])
def test_render_refuses_what_would_not_parse_back(bad: str) -> None:
    for method, target, name, value in parts(bad):
        with pytest.raises(ValueError, match=r"inside|latin-1"):
            render_request(method, target, [(name, value)])
    with pytest.raises(ValueError, match=r"inside|latin-1"):
        render_response(200, bad, [])


def test_render_refuses_a_space_in_the_request_line() -> None:
    with pytest.raises(ValueError, match="space"):
        render_request("GET", "/ HTTP/1.1", [])
