"""Laws of the wire floor: no octets surprise it, and where they are split does not matter."""

from __future__ import annotations

import itertools
import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.semantics.fields import Fields, Line
from proxy.semantics.messages import RequestHead, ResponseHead
from proxy.wire.bodies import BodyDecoder, chunk, last_chunk
from proxy.wire.framing import CHUNKED, request_framing
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

LIMITS = Limits()
LAW = settings(max_examples=50, derandomize=True, deadline=None)

tokens = st.from_regex(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,12}", fullmatch=True)
values = st.from_regex(r"([!-~\x80-\xff]([\t -~\x80-\xff]{0,20}[!-~\x80-\xff])?)?", fullmatch=True)
# What an origin may send: anything but CR, LF, NUL, and no whitespace around it.
loose = st.from_regex(
    r"[^\r\n\0]{0,20}", fullmatch=True, alphabet=st.characters(max_codepoint=255)
).map(lambda value: value.strip(" \t"))
targets = st.from_regex(r"[!-~\x80-\xff]{1,30}", fullmatch=True)
lines = st.lists(
    st.tuples(tokens, values).filter(lambda line: line[0].lower() != "host"), max_size=6
)
# Octets that are nearly messages find more than noise does.
nearly = st.lists(
    st.sampled_from(
        [b"GET / HTTP/1.1", b"HTTP/1.1 200 OK", b"\r\n", b"\r", b"\n", b"Host: a", b": ", b" ",
         b"Transfer-Encoding: chunked", b"Content-Length: 5", b"\x00", b"5", b";", b"0", b"hello"]
    )
    | st.binary(max_size=4),
    max_size=12,
).map(b"".join)  # fmt: skip


@LAW
@given(tokens, targets, lines)
def test_requests_survive_the_round_trip(method: str, target: str, rest: list[Line]) -> None:
    fields = Fields([("Host", "a.example"), *rest])
    rendered = render_request(method, target, fields)
    assert head_end(rendered) == len(rendered)
    assert parse_request(rendered, LIMITS) == RequestHead(method, target, 1, fields)


@LAW
@given(st.integers(100, 999), values, st.lists(st.tuples(tokens, loose), max_size=6))
def test_responses_survive_the_round_trip(status: int, reason: str, rest: list[Line]) -> None:
    rendered = render_response(status, reason, rest)
    assert parse_response(rendered, LIMITS) == ResponseHead(status, reason, Fields(rest), 1)


@LAW
@given(nearly)
@example(b"\r\n\r\n")
def test_any_octets_are_a_request_or_refused(octets: bytes) -> None:
    try:
        check_partial(octets, LIMITS)
        head = parse_request(octets, LIMITS)
        request_framing(head)
    except BadMessage as refused:
        assert refused.status in {400, 414, 431, 501, 505}  # noqa: PT017
        return
    again = render_request(head.method, head.target, head.fields)
    assert parse_request(again, LIMITS).fields == head.fields


@LAW
@given(nearly)
def test_any_octets_are_a_response_or_refused(octets: bytes) -> None:
    try:
        check_partial_response(octets, LIMITS)
        head = parse_response(octets, LIMITS)
    except BadMessage:
        return
    again = render_response(head.status, head.reason, head.fields)
    assert parse_response(again, LIMITS).fields == head.fields


FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t -~\x80-\xff]*)")


@LAW
@given(
    st.lists(
        st.sampled_from(
            [
                b"A: b",
                b"\r\n",
                b"\r\n",
                b"\r",
                b"\n",
                b" ",
                b"\t",
                b":",
                b"a",
                b"\0",
                b"\xe9",
                b"A:",
            ]
        ),
        max_size=16,
    ).map(b"".join)
)
@example(b"A: b\n\r\nA: b")
@example(b"A: b\r\n\r\nA: b")
@example(b"x\nA: b")
@example(b"x A: b\r\nA: b")
def test_a_section_is_its_lines_one_by_one(section: bytes) -> None:
    """What one pattern finds in all is what a look at each line finds, or a refusal."""
    matches = [FIELD_LINE.fullmatch(line) for line in section.split(b"\r\n")] if section else []
    whole = section + b"\r\n\r\n" if section else b"\r\n"
    proper = [(m[1].decode(), m[2].strip(b" \t").decode("latin-1")) for m in matches if m]
    try:
        found = list(parse_fields(whole, LIMITS))
    except BadMessage:
        assert None in matches
        return
    assert None not in matches
    assert found == proper


@LAW
@given(tokens, targets, lines)
def test_no_good_beginning_is_refused(method: str, target: str, rest: list[Line]) -> None:
    rendered = render_request(method, target, [("Host", "a.example"), *rest])
    for end in range(len(rendered)):
        check_partial(rendered[:end], LIMITS)


@LAW
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.lists(st.integers(0, 300)))
def test_chunks_survive_every_split(pieces: list[bytes], cuts: list[int]) -> None:
    body = b"".join(map(chunk, pieces)) + last_chunk() + b"rest"
    at = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    decoder = BodyDecoder(CHUNKED, LIMITS)
    content = [decoder.feed(body[a:b]) for a, b in itertools.pairwise(at)]
    assert b"".join(content) == b"".join(pieces)
    assert decoder.complete
    assert decoder.rest == b"rest"


@LAW
@given(nearly)
def test_any_octets_are_chunks_or_refused_alike_however_split(octets: bytes) -> None:
    def outcome(pieces: list[bytes]) -> tuple[bytes, bytes] | None:
        decoder = BodyDecoder(CHUNKED, LIMITS)
        try:
            content = b"".join([decoder.feed(piece) for piece in pieces])
            decoder.eof()
        except BadMessage:
            return None
        return content, decoder.rest

    whole = outcome([octets])
    assert outcome([octets[i : i + 1] for i in range(len(octets))]) == whole
