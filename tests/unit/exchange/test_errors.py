"""Answers of our own: what they say, and that they say who speaks."""

from __future__ import annotations

import pytest

from proxy.exchange import errors
from proxy.exchange.answer import Inline
from proxy.policy.reasons import Reason
from proxy.upstream.base import BadResponse, Lost, NotReached, UpstreamError


def test_own_says_who_what_and_why() -> None:
    lines = (("Allow", "GET"),)
    answer = errors.own(504, Reason.ONLY_IF_CACHED, "Try again.", lines=lines)
    assert (answer.head.status, answer.head.reason) == (504, "Gateway Timeout")
    assert answer.body == Inline(
        b"504 Gateway Timeout\n\nTry again.\n\n-- forecache (only-if-cached)\n"
    )
    assert dict(answer.head.fields.lines) == {
        "Content-Type": "text/plain; charset=utf-8",
        "Cache-Control": "no-store",
        "Allow": "GET",
    }


def test_a_status_without_a_phrase() -> None:
    assert errors.own(599, Reason.INTERNAL, "x").head.reason == "Error"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(NotReached(502, "connection_refused", "x"), Reason.ORIGIN_UNREACHABLE, id="2"),
        pytest.param(NotReached(502, "dns_error", "x"), Reason.ORIGIN_UNREACHABLE, id="2.3.2"),
        pytest.param(NotReached(504, "dns_timeout", "x"), Reason.ORIGIN_TIMEOUT, id="2.3.1"),
        pytest.param(
            NotReached(504, "connection_timeout", "x"), Reason.ORIGIN_TIMEOUT, id="2.3.11"
        ),
        pytest.param(
            NotReached(403, "destination_ip_prohibited", "x"), Reason.DENIED_DESTINATION, id="2.3.6"
        ),
        pytest.param(Lost(504, "http_response_timeout", "x"), Reason.ORIGIN_TIMEOUT, id="2.3.26"),
        pytest.param(Lost(502, "connection_terminated", "x"), Reason.ORIGIN_LOST, id="2.3.10"),
        pytest.param(
            BadResponse(502, "http_protocol_error", "x"), Reason.ORIGIN_MALFORMED, id="2.3.29"
        ),
        pytest.param(
            BadResponse(502, "http_response_content_coding", "x"),
            Reason.ORIGIN_MALFORMED,
            id="2.3.23",
        ),
        pytest.param(NotReached(508, "proxy_loop_detected", "x"), Reason.LOOP, id="2.3.33"),
    ],
)
def test_from_upstream(error: UpstreamError, reason: Reason) -> None:
    # RFC 9209
    answer = errors.from_upstream(error)
    assert errors.reason_of(error) is reason
    assert answer.head.status == error.status
    said = f'forecache; error={error.word}; details="{reason}"'
    assert answer.head.fields.get("proxy-status") == said
    assert isinstance(answer.body, Inline)
    assert b"\n\nx\n\n" in answer.body.data
