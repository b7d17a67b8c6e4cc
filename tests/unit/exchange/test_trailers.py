"""Trailers (RFC 9110 §6.5): who gets them, and with which bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.exchange.answer import Answer, FileSpan, Flow, Inline
from proxy.exchange.origin import Asked
from proxy.exchange.trailers import with_trailers
from proxy.semantics.fields import NO_FIELDS, Fields
from proxy.upstream.base import Outgoing
from tests.support.build import fields, resp, uri
from tests.support.door import StoredOctets, flow
from tests.support.fakes import FakeResponse

if TYPE_CHECKING:
    from proxy.semantics.messages import ResponseHead

CAME = resp(200, "Content-Encoding: gzip", "Connection: x-hop", "Trailer: A, X-Hop")
SENT = resp(200, "Content-Encoding: gzip")


def asked(sent: Fields, trailers: Fields) -> Asked:
    response = FakeResponse(CAME, (), None)
    response.trailers = trailers
    outgoing = Outgoing("GET", uri("http://a.example/"), sent)
    return Asked(response, CAME, 0.0, 0.0, outgoing, negotiated=False)


@pytest.mark.parametrize("body", [flow(b"hello"), Inline(b"hello")], ids=["stream", "at hand"])
async def test_behind_the_body_as_it_came(body: Flow | Inline) -> None:
    came = fields("A: b", "X-Hop: c", "Age: 9")
    answer = with_trailers(Answer(SENT, body), asked(fields("TE: trailers"), came))
    assert isinstance(answer.body, Flow)
    assert answer.body.trailers is not None
    assert answer.body.trailers() == fields("A: b")
    assert await answer.body.reader.read() == b"hello"
    assert answer.head.fields.get("trailer") == "A, X-Hop"


@pytest.mark.parametrize(
    ("sent", "head", "body", "trailers"),
    [
        pytest.param([], SENT, flow(b"hello"), ["A: b"], id="nobody asked"),
        pytest.param(["TE: trailers"], resp(200), flow(b"hello"), ["A: b"], id="decoded"),
        pytest.param(["TE: trailers"], resp(304), Inline(b""), ["A: b"], id="304"),
        pytest.param(["TE: trailers"], SENT, flow(b"hello", length=5), ["A: b"], id="a length"),
        pytest.param(["TE: trailers"], SENT, Inline(b"hello"), [], id="at hand without any"),
        pytest.param(
            ["TE: trailers"], SENT, FileSpan(StoredOctets(b"hello"), 0, 5), ["A: b"], id="a file"
        ),
    ],
)
def test_else_the_answer_is_what_it_was(
    sent: list[str], head: ResponseHead, body: Flow | Inline | FileSpan, trailers: list[str]
) -> None:
    answer = Answer(head, body)
    assert with_trailers(answer, asked(fields(*sent), fields(*trailers))) is answer


def test_a_stream_may_end_without_any() -> None:
    answer = with_trailers(Answer(SENT, flow(b"x")), asked(fields("TE: trailers"), NO_FIELDS))
    assert isinstance(answer.body, Flow)
    assert answer.body.trailers is not None
    assert answer.body.trailers() == NO_FIELDS
