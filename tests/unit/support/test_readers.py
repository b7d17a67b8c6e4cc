"""The readers of what crosses agree on what is good, and see what is not."""

import pytest

from tests.support.readers import differences, requests, responses

GET = b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEAD = OK[:-2]
EARLY = b"HTTP/1.1 103 E\r\nLink: a\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n"


@pytest.mark.parametrize(
    ("octets", "number", "rest"),
    [
        pytest.param(GET + GET, 2, False, id="two"),
        pytest.param(GET + GET[:10], 1, True, id="a cut head"),
        pytest.param(POST + CHUNKED + GET, 2, False, id="chunked"),
        pytest.param(POST + CHUNKED[:35], 0, True, id="a cut chunk"),
        pytest.param(POST + b"Content-Length: 3\r\n\r\nabc" + GET, 2, False, id="sized"),
        pytest.param(GET.replace(b"GET", b"M-X") + GET, 2, False, id="excused: a method"),
        pytest.param(GET.replace(b"/2", b"/\xe9"), 1, False, id="excused: a target"),
        pytest.param(
            POST + b"Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\na" + GET,
            2,
            False,
            id="excused: content of an upgrade",
        ),
    ],
)
def test_requests_that_have_one_reading(octets: bytes, number: int, rest: bool) -> None:
    readings = requests(octets)
    assert differences(readings) == []
    assert (len(readings["auditor"].messages), readings["auditor"].rest) == (number, rest)


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(GET + b"\r\n", id="an empty line at the end"),
        pytest.param(POST + b"Content-Length: 3\r\n" + CHUNKED, id="CL and TE"),
        pytest.param(POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", id="CL twice"),
        pytest.param(POST + b"Content-Length: +3\r\n\r\nabc", id="a sign"),
        pytest.param(POST + b"Transfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n", id="another coding"),
        pytest.param(POST + CHUNKED.replace(b"5\r", b"5;a\r"), id="an extension"),
        pytest.param(POST + CHUNKED.replace(b"5\r", b"5 \r"), id="a padded size"),
        pytest.param(POST + CHUNKED.replace(b"o\r\n", b"o\n"), id="LF behind a chunk"),
        pytest.param(GET.replace(b"\r\nHost", b"\nHost"), id="LF"),
        pytest.param(GET.replace(b": a", b": a\r\n b"), id="a fold"),
        pytest.param(GET.replace(b": a", b" : a"), id="a space before the colon"),
        pytest.param(GET.replace(b": a", b": a\0"), id="NUL"),
        pytest.param(GET.replace(b"Host: a", b"X: y"), id="no Host"),
        pytest.param(GET.replace(b"Host: a", b"Host: a\r\nHost: a"), id="Host twice"),
        pytest.param(GET.replace(b"GET ", b"GET  "), id="two spaces"),
        pytest.param(GET.replace(b"1.1", b"2.0"), id="another version"),
    ],
)
def test_requests_that_have_not(octets: bytes) -> None:
    assert differences(requests(octets))


@pytest.mark.parametrize(
    ("octets", "methods", "closed", "statuses", "rest"),
    [
        pytest.param(OK + OK, "GET GET", True, [200, 200], False, id="two"),
        pytest.param(OK + OK, "GET GET GET", False, [200, 200], False, id="two of three"),
        pytest.param(OK + OK[:-1], "GET GET", True, [200], True, id="a cut body"),
        pytest.param(OK + OK[:15], "GET GET", True, [200], True, id="a cut head"),
        pytest.param(OK + HEAD + OK, "GET HEAD GET", True, [200, 200, 200], False, id="HEAD"),
        pytest.param(EARLY + HEAD + EARLY + OK, "HEAD GET", True, [103, 200, 103, 200], False,
                     id="interim ones"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nxy", "GET", True, [200], False, id="until close"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nxy", "GET", False, [], True, id="until a reset"),
        pytest.param(b"HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n" + OK, "GET GET", True,
                     [304, 200], False, id="304"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + CHUNKED + OK, "GET GET", True, [200, 200], False,
                     id="chunked"),
        pytest.param(b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n", "GET", True, [999], False,
                     id="excused: a status"),
        pytest.param(b"HTTP/1.1 200 X\r\nX: a\x01b\r\nContent-Length: 0\r\n\r\n", "GET", True,
                     [200], False, id="excused: a control character"),
    ],
)  # fmt: skip
def test_responses_that_have_one_reading(
    octets: bytes, methods: str, closed: bool, statuses: list[int], rest: bool
) -> None:
    readings = responses(octets, methods.encode().split(), closed=closed)
    assert differences(readings) == []
    assert [read.status for read in readings["auditor"].messages] == statuses
    assert readings["auditor"].rest == rest


@pytest.mark.parametrize(
    ("octets", "methods"),
    [
        pytest.param(OK + OK, "GET", id="an answer too many"),
        pytest.param(OK + b"\r\n", "GET", id="an empty line at the end"),
        pytest.param(OK, "HEAD", id="a body of HEAD"),
        pytest.param(b"HTTP/1.1 204 N\r\n\r\nx", "GET", id="a body of 204"),
        pytest.param(OK.replace(b"Content", b"Connection: close\r\nContent") + OK, "GET GET",
                     id="more after close"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" + CHUNKED, "GET", id="CL and TE"),
        pytest.param(OK.replace(b"2\r", b"2, 2\r"), "GET", id="a length twice"),
        pytest.param(OK.replace(b"\r\nC", b"\r\n C"), "GET", id="a fold"),
        pytest.param(OK.replace(b"OK", b"O\0"), "GET", id="NUL"),
        pytest.param(OK.replace(b"200", b"20"), "GET", id="two digits"),
    ],
)  # fmt: skip
def test_responses_that_have_not(octets: bytes, methods: str) -> None:
    assert differences(responses(octets, methods.encode().split(), closed=True))
