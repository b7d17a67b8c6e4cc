"""What goes on to the next hop, and what stops here."""

import pytest

from proxy.semantics.forwarding import (
    accepts_trailers,
    interim_fields,
    max_forwards,
    nominated,
    passed_through,
    request_fields,
    response_fields,
    trailer_fields,
    upgrade_protocol,
    upgrading,
)
from tests.support.build import fields, uri

HERE = uri("http://a.example:8080/x")
ENDS = ("Host: a.example:8080", "Via: 1.1 here")

CONNECTION_SPECIFIC = [
    "Connection: close",
    "Proxy-Connection: keep-alive",
    "Keep-Alive: timeout=5",
    "TE: gzip",
    "Trailer: Digest",
    "Transfer-Encoding: chunked",
    "Upgrade: h2c",
    "Proxy-Authorization: Basic eA==",
    "Proxy-Authenticate: Basic",
    "Proxy-Authentication-Info: x",
    "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    "Content-Length: 5",
]


def forwarded(*lines: str, minor: int = 1) -> list[str]:
    """What is left between Host and Via."""
    sent = [f"{n}: {v}" for n, v in request_fields(fields(*lines), HERE, "here", minor)]
    assert (sent[0], sent[-1]) == ("Host: a.example:8080", f"Via: 1.{minor} here")
    return sent[1:-1]


def test_the_host_of_another_authority_goes_as_it_is() -> None:
    sent = request_fields(fields("A: 1", "Host: B.example"), HERE, "here", 1, "B.example")
    assert sent.lines == (("Host", "B.example"), ("A", "1"), ("Via", "1.1 here"))


@pytest.mark.parametrize("line", [*CONNECTION_SPECIFIC, "Host: b.example", "hOsT: b.example"])
def test_never_in_a_request(line: str) -> None:
    assert forwarded("A: 1", line, line.upper(), "B: 2") == ["A: 1", "B: 2"]


@pytest.mark.parametrize("line", CONNECTION_SPECIFIC)
def test_never_in_a_response(line: str) -> None:
    sent = response_fields(fields("A: 1", line, "B: 2"), "here", 0)
    assert sent == fields("A: 1", "B: 2", "Via: 1.0 here")


def test_the_length_that_is_no_framing() -> None:
    held = fields("Content-Length: 5", "Transfer-Encoding: chunked")
    assert response_fields(held, "here", 1, keep_length=True) == fields(
        "Content-Length: 5", "Via: 1.1 here"
    )


@pytest.mark.parametrize("lengths", [("5", "5"), ("5, 5",), ("5 ,5,5",)])
def test_a_length_that_is_said_several_times_goes_on_once(lengths: tuple[str, ...]) -> None:
    held = fields(*(f"Content-Length: {length}" for length in lengths), "A: b")
    assert response_fields(held, "here", 1, keep_length=True) == fields(
        "A: b", "Content-Length: 5", "Via: 1.1 here"
    )


@pytest.mark.parametrize(
    "line",
    [
        *("Content-Length: 5", "transfer-encoding: chunked", "Trailer: X", "TE: x"),
        *("Host: x", "Connection: x", "Keep-Alive: x", "Upgrade: x", "Proxy-Authenticate: x"),
        *("Cache-Control: x", "CDN-Cache-Control: x", "Age: 1", "Date: x", "Expires: x"),
        *("Vary: x", "Location: x", "Retry-After: 1", "If-Match: x", "Range: x"),
        *("Content-Encoding: x", "Content-Type: x", "Content-Range: x"),
        *("Set-Cookie: x", "Authorization: x", "WWW-Authenticate: x", "Via: x", "Cache-Status: x"),
        *("X-Hop: 1", "Access-Control-Allow-Origin: *"),
    ],
)
def test_never_in_trailers(line: str) -> None:
    head = fields("Connection: x-hop", "Transfer-Encoding: chunked")
    kept = ["Server-Timing: x", "ETag: y", "Content-Digest: z", "X-Own: a", "grpc-status: 0"]
    assert trailer_fields(fields(*kept[:2], line, *kept[2:]), head) == fields(*kept)


@pytest.mark.parametrize("line", [*CONNECTION_SPECIFIC, "X-Hop: 1"])
def test_not_in_interim_responses(line: str) -> None:
    """§15.2: they are forwarded as any response is."""
    head = fields("Connection: x-hop", "Link: </a>", line, "X-Own: a")
    kept = fields("Link: </a>", "X-Own: a", "Via: 1.0 me")
    assert interim_fields(head, "me", 0) == kept


@pytest.mark.parametrize(
    "line",
    ["Expect: 100-continue", "Via: 1.0 there", "Authorization: x", "Cookie: y", "X-Odd: \xff, ,"],
)
def test_kept_as_received(line: str) -> None:
    assert forwarded("A: 1", line, "A: 2") == ["A: 1", line, "A: 2"]


@pytest.mark.parametrize(
    ("connection", "lines", "kept"),
    [
        pytest.param("x-hop", ["X-Hop: 1", "x-HOP: 2", "Y: 3"], ["Y: 3"], id="7.6.1 nominated"),
        pytest.param("a, close ,B", ["A: 1", "B: 2", "C: 3"], ["C: 3"], id="7.6.1 several"),
        pytest.param("a\nConnection: b", ["A: 1", "B: 2"], [], id="7.6.1 on several lines"),
        pytest.param('"a', ["A: 1"], ["A: 1"], id="7.6.1 what is no token names nothing"),
        pytest.param("host", ["A: 1"], ["A: 1"], id="7.2 Host stays"),
        pytest.param(
            "content-length, transfer-encoding", ["A: 1"], ["A: 1"], id="framing is not theirs"
        ),
        pytest.param(
            "content-type", ["Content-Type: x"], ["Content-Type: x"], id="7.6.1 Content-*"
        ),
        pytest.param(
            "cache-control", ["Cache-Control: x"], ["Cache-Control: x"], id="7.6.1 its example"
        ),
        pytest.param(
            "CDN-Cache-Control", ["CDN-Cache-Control: x"], ["CDN-Cache-Control: x"], id="9213-2"
        ),
        pytest.param("via", ["Via: 1.1 z"], ["Via: 1.1 z"], id="7.6.3 loops stay visible"),
        pytest.param(
            "Authorization", ["Authorization: x"], ["Authorization: x"], id="11.6.2 credentials"
        ),
        pytest.param("cookie", ["Cookie: x"], ["Cookie: x"], id="6265 state"),
        pytest.param(
            "accept-language", ["Accept-Language: x"], ["Accept-Language: x"], id="12.5 selecting"
        ),
        pytest.param(
            "range, if-range", ["Range: x", "If-Range: y"], ["Range: x", "If-Range: y"], id="14.2"
        ),
        pytest.param(
            "vary, etag, age", ["Vary: x", "ETag: y"], ["Vary: x", "ETag: y"], id="12.5.5 caching"
        ),
        pytest.param(
            "X-Forwarded-For", ["X-Forwarded-For: x"], ["X-Forwarded-For: x"], id="7239 identity"
        ),
        pytest.param(
            "accepted, hosts, if", ["Accepted: x", "Hosts: y", "If: z"], ["If: z"], id="no prefixes"
        ),
    ],
)
def test_nominated_by_connection(connection: str, lines: list[str], kept: list[str]) -> None:
    received = [f"Connection: {connection}".split("\n"), lines]
    flat = [line for group in received for line in group]
    assert forwarded(*flat) == kept
    sent = response_fields(fields(*flat), "here", 1)
    assert sent == fields(*kept, "Via: 1.1 here")


FOR_ALL_RECIPIENTS = [
    "Accept",
    "Accept-Encoding",
    "Access-Control-Allow-Origin",
    "Age",
    "Allow",
    "Authorization",
    "Cache-Control",
    "Cookie",
    "Content-Encoding",
    "Content-Range",
    "Date",
    "ETag",
    "Expect",
    "Expires",
    "Forwarded",
    "If-None-Match",
    "Last-Modified",
    "Location",
    "Max-Forwards",
    "Origin",
    "Pragma",
    "Range",
    "Referer",
    "Retry-After",
    "Sec-WebSocket-Key",
    "Server",
    "Set-Cookie",
    "Strict-Transport-Security",
    "User-Agent",
    "Vary",
    "Via",
    "WWW-Authenticate",
    "X-Forwarded-Proto",
]


@pytest.mark.parametrize("name", FOR_ALL_RECIPIENTS)
def test_never_a_connection_option(name: str) -> None:
    assert forwarded(f"Connection: {name}", f"{name}: x") == [f"{name}: x"]


@pytest.mark.parametrize(
    ("connection", "names"),
    [
        pytest.param((), frozenset(), id="absent"),
        pytest.param(("close", "Keep-Alive, TE, upgrade"), frozenset(), id="the usual ones"),
        pytest.param(("X-A, close", "x-b"), frozenset({"x-a", "x-b"}), id="others"),
    ],
)
def test_nominated(connection: tuple[str, ...], names: frozenset[str]) -> None:
    assert nominated(fields(*(f"Connection: {value}" for value in connection))) == names


@pytest.mark.parametrize(
    ("te", "minor", "asked"),
    [
        pytest.param("trailers", 1, True, id="10.1.4 trailers"),
        pytest.param("trailers\t; q=0.001", 1, True, id="10.1.4 with the least weight"),
        pytest.param("gzip;q=0.5, Trailers", 1, True, id="10.1.4 among others, any case"),
        pytest.param("trailers;q=0.5", 1, True, id="10.1.4 with a weight"),
        pytest.param("trailers;q=0", 1, False, id="10.1.4 refused"),
        pytest.param("trailers ; Q=0.000", 1, False, id="10.1.4 refused at length"),
        pytest.param("gzip", 1, False, id="10.1.4 others alone"),
        pytest.param("", 1, False, id="10.1.4 empty"),
        pytest.param("trailers", 0, False, id="9112-7.1 HTTP/1.0 has no chunks"),
    ],
)
def test_te(te: str, minor: int, *, asked: bool) -> None:
    received = f"TE: {te}"
    assert accepts_trailers(fields(received), minor) is asked
    kept = ["TE: trailers", "Connection: TE"] if asked else []
    assert forwarded(received, "Connection: TE", minor=minor) == kept


@pytest.mark.parametrize(
    ("via", "been_here"),
    [
        pytest.param(("1.1 here",), True, id="7.6.3 ours"),
        pytest.param(
            ("1.0 a, HTTP/1.1  HERE (note)",), True, id="7.6.3 among others, with a comment"
        ),
        pytest.param(("1.0 a", "1.1 here"), True, id="7.6.3 on another line"),
        pytest.param(('1.0 a ("), 1.1 here',), True, id="7.6.3 an open quote hides nothing"),
        pytest.param(("1.1 there",), False, id="7.6.3 another's"),
        pytest.param(("1.1 here.example", "1.1 h"), False, id="7.6.3 not the whole name"),
        pytest.param(("here", "1.1 a (here)", ""), False, id="7.6.3 not in that place"),
        pytest.param((), False, id="7.6.3 none"),
    ],
)
def test_passed_through(via: tuple[str, ...], *, been_here: bool) -> None:
    assert passed_through(fields(*(f"Via: {value}" for value in via)), "Here") is been_here


def test_what_we_forward_we_recognise() -> None:
    assert passed_through(request_fields(fields('Via: 1.0 "'), HERE, "here", 1), "here")


@pytest.mark.parametrize(
    ("lines", "hops"),
    [
        pytest.param(("Max-Forwards: 0",), 0, id="7.6.2 nought"),
        pytest.param(("Max-Forwards: 10",), 10, id="7.6.2 number"),
        pytest.param((), None, id="7.6.2 absent"),
        pytest.param(("Max-Forwards:",), None, id="7.6.2 empty"),
        pytest.param(("Max-Forwards: -1",), None, id="7.6.2 negative"),
        pytest.param(("Max-Forwards: 1", "Max-Forwards: 1"), None, id="7.6.2 twice"),
        pytest.param(("Max-Forwards: " + "9" * 5000,), None, id="7.6.2 beyond any chain"),
    ],
)
def test_max_forwards(lines: tuple[str, ...], hops: int | None) -> None:
    assert max_forwards(fields(*lines)) == hops


WANTED = "Connection: keep-alive, Upgrade"


@pytest.mark.parametrize(
    ("lines", "minor", "protocol"),
    [
        pytest.param((WANTED, "Upgrade: websocket"), 1, "websocket", id="7.8 websocket"),
        pytest.param(
            (WANTED, "Upgrade: WebSocket, IRC/6.9"), 1, "WebSocket, IRC/6.9", id="7.8 several"
        ),
        pytest.param((WANTED, "Upgrade: h2c"), 1, None, id="9113-3.1 h2c never"),
        pytest.param(
            (WANTED, "Upgrade: H2C, websocket"), 1, "websocket", id="9113-3.1 h2c taken out"
        ),
        pytest.param((WANTED, "Upgrade: HTTP/2.0"), 1, None, id="7.8 never to HTTP"),
        pytest.param((WANTED, "Upgrade: h2"), 1, None, id="9113-3.1 h2 never"),
        pytest.param((WANTED, "Upgrade: h2cx"), 1, "h2cx", id="7.8 another that begins so"),
        pytest.param((WANTED, 'Upgrade: "websocket"'), 1, None, id="7.8 no token"),
        pytest.param((WANTED, "Upgrade:"), 1, None, id="7.8 empty"),
        pytest.param((WANTED,), 1, None, id="7.8 no Upgrade"),
        pytest.param(("Upgrade: websocket",), 1, None, id="7.8 no connection option"),
        pytest.param(("Connection: close", "Upgrade: websocket"), 1, None, id="7.8 another option"),
        pytest.param((WANTED, "Upgrade: websocket"), 0, None, id="7.8 HTTP/1.0"),
        pytest.param(
            (WANTED, "Upgrade: tcp", "Content-Length: 5"), 1, "tcp", id="7.8 with content"
        ),
    ],
)
def test_upgrade(lines: tuple[str, ...], minor: int, protocol: str | None) -> None:
    assert upgrade_protocol(fields(*lines), minor) == protocol


NTLM = "WWW-Authenticate: NTLM"
SUPPORT = ("Proxy-Support: Session-Based-Authentication", "Connection: Proxy-Support")
THERE = "Via: 1.1 there"


@pytest.mark.parametrize(
    ("lines", "sent"),
    [
        pytest.param(["WWW-Authenticate: Basic"], ["WWW-Authenticate: Basic"], id="Basic"),
        pytest.param([NTLM], [NTLM, *SUPPORT], id="4559-6 NTLM"),
        pytest.param([NTLM, THERE], [NTLM, THERE], id="4559-6 another proxy cannot do it"),
        pytest.param([NTLM, THERE, *SUPPORT], [NTLM, THERE, *SUPPORT], id="4559-6 or it can"),
    ],
)
def test_a_login_by_connection_may_pass(lines: list[str], sent: list[str]) -> None:
    assert response_fields(fields(*lines), "here", 1) == fields(*sent, "Via: 1.1 here")


def test_upgrading() -> None:
    assert upgrading(fields(*ENDS), "websocket") == fields(
        *ENDS, "Connection: Upgrade", "Upgrade: websocket"
    )
