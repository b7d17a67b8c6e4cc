"""Each row is fed whole, octet by octet, and with junk after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from proxy.semantics.fields import NO_FIELDS, Fields
from proxy.wire.bodies import BodyDecoder, chunk, gather, last_chunk
from proxy.wire.framing import CHUNKED, NO_BODY, UNTIL_CLOSE, Framing, Sized
from proxy.wire.heads import BadMessage, Limits

LIMITS = Limits(head=200, line=100, fields=5)
JUNK = b"\x00\r\n\r\nGET"
Cut = Callable[[bytes], Sequence[bytes]]


def whole(body: bytes) -> list[bytes]:
    return [body]


def octet_by_octet(body: bytes) -> list[bytes]:
    return [body[i : i + 1] for i in range(len(body))]


FEEDS = pytest.mark.parametrize("cut", [whole, octet_by_octet])


@FEEDS
@pytest.mark.parametrize("junk", [b"", JUNK])
@pytest.mark.parametrize(
    ("framing", "body", "content"),
    [
        pytest.param(Sized(5), b"hello", b"hello", id="6.2 sized"),
        pytest.param(CHUNKED, b"0\r\n\r\n", b"", id="7.1 empty"),
        pytest.param(CHUNKED, b"5\r\nhello\r\n0\r\n\r\n", b"hello", id="7.1 one chunk"),
        pytest.param(
            CHUNKED, b"1\r\na\r\n00A\r\n0123456789\r\n000\r\n\r\n", b"a0123456789", id="7.1 hex"
        ),
        pytest.param(
            CHUNKED, b'2;a=b;c="d;e"\r\nok\r\n0 ; x\r\n\r\n', b"ok", id="7.1.1 extensions"
        ),
        pytest.param(
            CHUNKED, b"0000000000000002\r\nok\r\n0\r\n\r\n", b"ok", id="P3 sixteen digits"
        ),
        pytest.param(
            CHUNKED, b"2\r\n\r\n\r\n0\r\nA: b\r\n\r\n", b"\r\n", id="7.1 CRLF is content too"
        ),
    ],
)
def test_bodies(framing: Framing, body: bytes, content: bytes, junk: bytes, cut: Cut) -> None:
    decoder = BodyDecoder(framing, LIMITS)
    assert b"".join(decoder.feed(piece) for piece in cut(body + junk)) == content
    assert decoder.complete
    assert decoder.rest == junk
    decoder.eof()


@FEEDS
@pytest.mark.parametrize("tail", [b"", b"hello\r\n0\r\n\r\n"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"\r\n", 400, id="P3 no size"),
        pytest.param(b"x\r\n", 400, id="P3 not hex"),
        pytest.param(b"-1\r\n", 400, id="P3 sign"),
        pytest.param(b"0x5\r\n", 400, id="P3 prefix"),
        pytest.param(b" 5\r\n", 400, id="P3 space before"),
        pytest.param(b"5 \r\n", 400, id="P3 space after"),
        pytest.param(b"5_0\r\n", 400, id="P3 underscore"),
        pytest.param(b"5\n", 400, id="P3 bare LF"),
        pytest.param(b"5\r", 400, id="P3 bare CR"),
        pytest.param(b"5;a\nb\r\n", 400, id="P3 LF in extension"),
        pytest.param(b"5;a\x00\r\n", 400, id="P3 NUL in extension"),
        pytest.param(b"00000000000000005\r\n", 400, id="P3 seventeen digits"),
        pytest.param(b"5;" + b"a" * 4095 + b"\r\n", 400, id="P3 long extension"),
        pytest.param(b"5;" + b"a" * 5000, 400, id="P3 endless extension"),
        pytest.param(b"2\r\nhello", 400, id="P3 longer than its size"),
        pytest.param(b"5\r\nhello\n", 400, id="P3 content ended by LF"),
        pytest.param(b"5\r\nhello\rx", 400, id="P3 content ended by CR"),
        pytest.param(b"0\r\nA : b\r\n\r\n", 400, id="P4 trailer syntax"),
        pytest.param(b"0\r\nA: b\n\r\n\r\n", 400, id="P4 trailer with bare LF"),
        pytest.param(b"0\r\nA: " + b"x" * 300 + b"\r\n\r\n", 431, id="bounds: trailers"),
        pytest.param(b"0\r\nA: " + b"x" * 300, 431, id="bounds: endless trailers"),
        pytest.param(b"0\r\n" + b"a: b\r\n" * 6 + b"\r\n", 431, id="bounds: trailer lines"),
    ],
)
def test_bad_chunks(body: bytes, status: int, tail: bytes, cut: Cut) -> None:
    decoder = BodyDecoder(CHUNKED, LIMITS)
    with pytest.raises(BadMessage) as caught:  # noqa: PT012 (the octet that tells may be any)
        for piece in cut(body + tail):
            decoder.feed(piece)
        decoder.eof()
    assert caught.value.status == status
    assert not decoder.complete


@FEEDS
@pytest.mark.parametrize(
    ("body", "content"),
    [
        pytest.param(b"b   \r\nhello world\r\n0  \r\n\r\n", b"hello world", id="7.1 padded"),
        pytest.param(b"2\t \r\nok\r\n0\r\n\r\n", b"ok", id="7.1 a tab"),
        pytest.param(b"2 \t;ext\r\nok\r\n0\r\n\r\n", b"ok", id="7.1.1 before an extension"),
    ],
)
def test_sizes_padded_with_blanks_are_read_from_origins_only(
    body: bytes, content: bytes, cut: Cut
) -> None:
    decoder = BodyDecoder(CHUNKED, LIMITS, origin=True)
    assert b"".join(decoder.feed(piece) for piece in cut(body)) == content
    assert decoder.complete


@FEEDS
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"5 0\r\n", id="P3 two numbers"),
        pytest.param(b"5 0;x\r\n", id="P3 two numbers and an extension"),
        pytest.param(b" 5\r\n", id="P3 space before"),
        pytest.param(b"5 \n", id="P3 bare LF"),
        pytest.param(b"5 \rx", id="P3 bare CR"),
        pytest.param(b"5\x0b\r\n", id="P3 another blank"),
        pytest.param(b"5" + b" " * 4095 + b"\r\n", id="P3 long padding"),
        pytest.param(b"5" + b" " * 5000, id="P3 endless padding"),
        pytest.param(b"0\r\nA: b\x00c\r\n\r\n", id="P4 NUL in a trailer"),
        pytest.param(b"0\r\nA: b\rc\r\n\r\n", id="P4 bare CR in a trailer"),
    ],
)
def test_bad_chunks_of_origins(body: bytes, cut: Cut) -> None:
    decoder = BodyDecoder(CHUNKED, LIMITS, origin=True)
    with pytest.raises(BadMessage):  # noqa: PT012 (the octet that tells may be any)
        for piece in cut(body):
            decoder.feed(piece)
        decoder.eof()


def test_padding_is_bounded_over_the_body() -> None:
    decoder = BodyDecoder(CHUNKED, LIMITS, origin=True)
    with pytest.raises(BadMessage, match="too many"):
        decoder.feed((b"1" + b" " * 4000 + b"\r\nx\r\n") * 17)


@pytest.mark.parametrize("origin", [True, False])
def test_control_octets_in_trailers(origin: bool) -> None:
    decoder = BodyDecoder(CHUNKED, LIMITS, origin=origin)
    body = b"0\r\nA: b\x0bc\r\n\r\n"
    if origin:
        decoder.feed(body)
        assert decoder.trailers == Fields([("A", "b\x0bc")])
    else:
        with pytest.raises(BadMessage, match="control character"):
            decoder.feed(body)


def test_extensions_are_bounded_over_the_body() -> None:
    decoder = BodyDecoder(CHUNKED, LIMITS)
    flood = b"1;" + b"a" * 4000 + b"\r\nx\r\n"
    with pytest.raises(BadMessage, match="too many"):
        decoder.feed(flood * 17)


@pytest.mark.parametrize("line", [b"1       \r\n", b"1;a=b\r\n", b"80;" + b"a" * 64 + b"\r\n"])
def test_a_long_body_may_have_as_much_beside_it(line: bytes) -> None:
    """An origin that pads each size, or signs each chunk, does so for as long as it speaks."""
    decoder = BodyDecoder(CHUNKED, LIMITS, origin=True)
    octets = b"x" * int(line.partition(b";")[0], 16)
    for _ in range(20_000):
        assert decoder.feed(line + octets + b"\r\n") == octets


def test_trailers() -> None:
    decoder = BodyDecoder(CHUNKED, LIMITS)
    decoder.feed(b"0\r\nA: b\r\nC:  d \r\n\r\n")
    assert decoder.trailers == Fields([("A", "b"), ("C", "d")])


def test_no_body_is_complete_at_once() -> None:
    decoder = BodyDecoder(NO_BODY, LIMITS)
    assert decoder.complete
    assert decoder.feed(b"x") == b""
    assert decoder.rest == b"x"


def test_until_close() -> None:
    decoder = BodyDecoder(UNTIL_CLOSE, LIMITS)
    assert decoder.feed(b"a") + decoder.feed(b"b") == b"ab"
    assert not decoder.complete
    decoder.eof()
    assert decoder.complete


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        pytest.param(Sized(5), b"hell", id="6.3 sized"),
        pytest.param(CHUNKED, b"", id="7.1 nothing"),
        pytest.param(CHUNKED, b"5\r\nhello\r\n", id="7.1 no last chunk"),
        pytest.param(CHUNKED, b"5\r\nhello\r\n0\r\n", id="7.1 no trailer section"),
        pytest.param(CHUNKED, b"5\r\nhello\r\n0\r\nA: b\r\n", id="7.1 cut trailers"),
    ],
)
def test_a_cut_body_is_never_complete(framing: Framing, body: bytes) -> None:
    decoder = BodyDecoder(framing, LIMITS)
    decoder.feed(body)
    with pytest.raises(BadMessage, match="before the body was whole"):
        decoder.eof()


def test_encoding() -> None:
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert last_chunk() == b"0\r\n\r\n"
    assert last_chunk(Fields([("A", "b")])) == b"0\r\nA: b\r\n\r\n"
    assert last_chunk(NO_FIELDS) == last_chunk()


@pytest.mark.parametrize("bad", ["a\rb", "a\nb", "a\0b"])
def test_no_trailer_can_end_the_body(bad: str) -> None:
    with pytest.raises(ValueError, match="inside"):
        last_chunk(Fields([("A", bad)]))


def test_crumbs_are_joined() -> None:
    """Each by itself would take forty octets more."""
    pieces: list[bytes] = []
    for _ in range(10_000):
        gather(pieces, b"xy")
    assert b"".join(pieces) == b"xy" * 10_000
    assert len(pieces) == 5
    gather(pieces, large := bytes(5000))
    assert pieces[-1] is large
