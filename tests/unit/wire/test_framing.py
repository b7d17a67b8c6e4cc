"""RFC 9112 §6.3 and §9.3, row by row."""

from __future__ import annotations

import pytest

from proxy.semantics.messages import RequestHead, ResponseHead
from proxy.wire.framing import (
    CHUNKED,
    NO_BODY,
    UNTIL_CLOSE,
    Framing,
    Sized,
    keeps_alive,
    request_framing,
    response_framing,
)
from proxy.wire.heads import BadMessage
from tests.support.build import fields

TE = "Transfer-Encoding: "
CL = "Content-Length: "


def request(*lines: str, method: str = "POST", minor: int = 1) -> RequestHead:
    return RequestHead(method, "/", minor, fields(*lines))


@pytest.mark.parametrize(
    ("head", "framing"),
    [
        pytest.param(request(), NO_BODY, id="6.3.7 neither"),
        pytest.param(request(CL + "0"), Sized(0), id="6.3.6 zero"),
        pytest.param(request(CL + "007"), Sized(7), id="6.3.6 leading zeros"),
        pytest.param(request(CL + "5", CL + "5"), Sized(5), id="9110-8.6 equal CLs are one"),
        pytest.param(request(CL + "5 ,\t5,5"), Sized(5), id="9110-8.6 a list of equal CLs"),
        pytest.param(request(TE + "chunked"), CHUNKED, id="6.3.4"),
        pytest.param(request(TE + "CHUNKED"), CHUNKED, id="7 codings are case-insensitive"),
        pytest.param(request(CL + "0", method="CONNECT"), Sized(0), id="9110-9.3.6 no content"),
    ],
)
def test_request_framing(head: RequestHead, framing: Framing) -> None:
    assert request_framing(head) == framing


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(request(CL + "5", TE + "chunked"), 400, id="P2 CL with TE"),
        pytest.param(request(TE + "chunked", minor=0), 400, id="P2 TE in 1.0"),
        pytest.param(request(CL + "5", CL + "6"), 400, id="P2 differing CLs"),
        pytest.param(request(CL + "5, 6"), 400, id="P2 differing CLs in a list"),
        pytest.param(request(CL + "5, 05"), 400, id="P2 equal, but not spelled alike"),
        pytest.param(request(CL + "5, "), 400, id="P2 CL list with an empty member"),
        pytest.param(request(CL + "5,,5"), 400, id="P2 CL list with an empty member inside"),
        pytest.param(request(CL + "5", CL), 400, id="P2 CL beside an empty one"),
        pytest.param(request(CL + "5; 5"), 400, id="P2 CL list by another separator"),
        pytest.param(request(CL + ", ".join(["5"] * 40)), 400, id="P2 CL without end"),
        pytest.param(request(CL + "+5"), 400, id="P2 sign"),
        pytest.param(request(CL + "-1"), 400, id="P2 negative"),
        pytest.param(request(CL + "0x5"), 400, id="P2 hex"),
        pytest.param(request(CL + "5 5"), 400, id="P2 space"),
        pytest.param(request(CL + "1_0"), 400, id="P2 underscore"),
        pytest.param(request(CL + "\xb2"), 400, id="P2 superscript two is no digit"),
        pytest.param(request(CL), 400, id="P2 empty"),
        pytest.param(request(CL + "9" * 19), 400, id="P2 beyond 63 bits"),
        pytest.param(request(TE + "gzip"), 501, id="P2 unknown coding"),
        pytest.param(request(TE + "gzip, chunked"), 501, id="P2 unknown before chunked"),
        pytest.param(request(TE + "identity"), 501, id="P2 identity is gone"),
        pytest.param(request(TE + "xchunked"), 501, id="P2 alike is not equal"),
        pytest.param(request(TE + "chun\u212aed"), 400, id="P2 KELVIN SIGN is no k"),
        pytest.param(request(TE + "chun\xe2\x84\xaaed"), 400, id="P2 KELVIN SIGN in UTF-8"),
        pytest.param(request(TE + "chunked, gzip"), 400, id="6.3.4 chunked not last"),
        pytest.param(request(TE + "chunked, chunked"), 400, id="6.1 chunked twice"),
        pytest.param(request(TE + "chunked", TE + "chunked"), 400, id="6.1 chunked on two lines"),
        pytest.param(request(TE + "chunked;a=b"), 400, id="P2 parameter"),
        pytest.param(request(TE + '"chunked"'), 400, id="P2 quoted"),
        pytest.param(request(TE + ", chunked"), 400, id="P2 empty member"),
        pytest.param(request(TE), 400, id="P2 empty TE"),
        pytest.param(request(CL + "5", method="CONNECT"), 400, id="9110-9.3.6 CONNECT with CL"),
        pytest.param(
            request(TE + "chunked", method="CONNECT"), 400, id="9110-9.3.6 CONNECT with TE"
        ),
    ],
)
def test_ambiguous_requests(head: RequestHead, status: int) -> None:
    with pytest.raises(BadMessage) as caught:
        request_framing(head)
    assert caught.value.status == status


def response(status: int, *lines: str, minor: int = 1) -> ResponseHead:
    return ResponseHead(status, "", fields(*lines), minor)


@pytest.mark.parametrize(
    ("method", "head", "framing"),
    [
        pytest.param("GET", response(200, CL + "5"), Sized(5), id="6.3.6"),
        pytest.param("GET", response(200, TE + "Chunked"), CHUNKED, id="6.3.4"),
        pytest.param("GET", response(200), UNTIL_CLOSE, id="6.3.8"),
        pytest.param("GET", response(200, minor=0), UNTIL_CLOSE, id="6.3.8 in 1.0"),
        pytest.param("GET", response(200, TE + "foo"), UNTIL_CLOSE, id="6.3.4 unknown coding"),
        pytest.param("GET", response(200, CL + "5", CL + "5"), Sized(5), id="9110-8.6 equal CLs"),
        pytest.param("GET", response(200, CL + "5, 5"), Sized(5), id="9110-8.6 equal CLs, a list"),
        pytest.param("GET", response(600, CL + "5"), Sized(5), id="9110-15 beyond 599"),
        pytest.param("HEAD", response(200, CL + "5"), NO_BODY, id="6.3.1 HEAD"),
        pytest.param("HEAD", response(200, TE + "chunked"), NO_BODY, id="6.3.1 HEAD chunked"),
        pytest.param("GET", response(304, CL + "5"), NO_BODY, id="6.3.1 304"),
        pytest.param("GET", response(204), NO_BODY, id="6.3.1 204"),
        pytest.param("GET", response(103), NO_BODY, id="6.3.1 1xx"),
        pytest.param("CONNECT", response(200), NO_BODY, id="6.3.2 2xx to CONNECT"),
        pytest.param("CONNECT", response(407, CL + "5"), Sized(5), id="6.3.2 only 2xx"),
    ],
)
def test_response_framing(method: str, head: ResponseHead, framing: Framing) -> None:
    assert response_framing(method, head) == framing


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(response(200, CL + "5", TE + "chunked"), id="P11 CL with TE"),
        pytest.param(response(200, CL + "5", TE + "foo"), id="P11 CL with unknown TE"),
        pytest.param(response(200, CL + "5", CL + "6"), id="P11 differing CLs"),
        pytest.param(response(200, CL + "5, 6"), id="P11 differing CLs in a list"),
        pytest.param(response(200, CL + "5x"), id="P11 CL no number"),
        pytest.param(response(304, CL + "x"), id="P11 CL no number where it frames nothing"),
        pytest.param(response(200, TE + "chunked", minor=0), id="6.1 TE in 1.0"),
        pytest.param(response(200, TE + "foo", minor=0), id="6.1 unknown TE in 1.0"),
        pytest.param(response(200, TE + "gzip, chunked"), id="P11 a coding not asked for"),
        pytest.param(response(200, TE + "chunked, chunked"), id="P11 chunked twice"),
        pytest.param(response(200, TE + "xchunked"), id="P11 alike is not equal"),
        pytest.param(response(200, TE + "chun\u212aed"), id="P11 KELVIN SIGN is no k"),
        pytest.param(response(200, TE + "chun\xe2\x84\xaaed"), id="P11 KELVIN SIGN in UTF-8"),
        pytest.param(response(200, TE + "\x0bchunked"), id="P11 a control octet before it"),
        pytest.param(response(200, TE + "foo, chun\xe2\x84\xaaed"), id="P11 after another coding"),
        pytest.param(response(200, TE + "f\xf6\xf6"), id="P11 no token"),
        pytest.param(response(200, TE + "foo;q=1"), id="P11 a parameter"),
        pytest.param(response(200, TE + ""), id="P11 empty TE"),
        pytest.param(response(200, TE + "foo,"), id="P11 an empty member"),
        *(
            pytest.param(response(200, TE + coding), id=f"P11 octets nobody labels: {coding}")
            for coding in ("gzip", "X-GZIP", "deflate", "compress", "x-compress", "foo, gzip")
        ),
    ],
)
def test_ambiguous_responses(head: ResponseHead) -> None:
    with pytest.raises(BadMessage):
        response_framing("GET", head)


@pytest.mark.parametrize(
    ("minor", "lines", "kept"),
    [
        pytest.param(1, (), True, id="9.3 1.1"),
        pytest.param(0, (), False, id="9.3 1.0"),
        pytest.param(1, ("Connection: close",), False, id="9.3 close"),
        pytest.param(1, ("Connection: x", "connection: Y, CLOSE"), False, id="9.6 close in a list"),
        pytest.param(1, ("Connection: x",), True, id="9.3 another option"),
        pytest.param(0, ("Connection: Keep-Alive",), True, id="9.3 1.0 keep-alive"),
        pytest.param(0, ("Connection: keep-alive, close",), False, id="9.3 close wins"),
    ],
)
def test_keeps_alive(minor: int, lines: tuple[str, ...], kept: bool) -> None:
    assert keeps_alive(minor, fields(*lines)) is kept
