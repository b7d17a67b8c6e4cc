"""What is expected of an origin that said something before."""

import pytest

from proxy.upstream.again import said
from proxy.wire.heads import Limits, parse_response

DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


def head(*lines: bytes) -> bytes:
    return b"HTTP/1.1 304 Not Modified\r\n" + b"".join(lines) + b"\r\n"


@pytest.mark.parametrize(
    ("before", "date", "after"),
    [
        pytest.param((b'ETag: "1"\r\n',), DATE, (b"X: 1\r\n",), id="in the middle"),
        pytest.param((), DATE, (), id="alone"),
        pytest.param((), DATE.replace(b"Date", b"dAtE"), (b"X-Date: 1\r\n",), id="in any case"),
    ],
)
def test_all_but_the_value_of_date_is_expected(
    before: tuple[bytes, ...], date: bytes, after: tuple[bytes, ...]
) -> None:
    octets = head(*before, date, *after)
    expected = said(octets, parse_response(octets, Limits()).fields, 7)
    assert expected is not None
    assert expected.before == b"HTTP/1.1 304 Not Modified\r\n" + b"".join(before) + date[:6]
    assert expected.after == b"\r\n" + b"".join(after) + b"\r\n"
    assert expected.size == len(octets) + 7


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((b"X: 1\r\n",), id="no Date"),
        pytest.param((DATE, DATE), id="two"),
        pytest.param((b"Date: yesterday\r\n",), id="a Date of another length"),
        pytest.param((DATE, b"Age: 1\r\n"), id="RFC 9111 5.1: an age that grows"),
        pytest.param((DATE, b"Connection: close\r\n"), id="RFC 9112 9.6: the connection ends"),
        pytest.param((DATE, b"Keep-Alive: timeout=5\r\n"), id="the connection has its own time"),
        pytest.param((DATE, b"Transfer-Encoding: chunked\r\n"), id="framed by more than a length"),
    ],
)
def test_nothing_is_expected_where_it_would_depend_on_more(lines: tuple[bytes, ...]) -> None:
    octets = head(*lines)
    assert said(octets, parse_response(octets, Limits()).fields, 0) is None


def test_nothing_is_expected_of_who_speaks_http_1_0() -> None:
    """RFC 9112 §9.3: it does not keep the connection, so nothing of it is waited for there."""
    octets = head(DATE).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert said(octets, parse_response(octets, Limits()).fields, 0) is None


def test_nothing_is_expected_of_octets_that_are_not_known() -> None:
    octets = head(DATE)
    assert said(b"", parse_response(octets, Limits()).fields, 0) is None
