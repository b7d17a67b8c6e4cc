"""Requests that go no further."""

from __future__ import annotations

import pytest

from proxy.exchange.answer import Inline
from proxy.exchange.own import METHODS, asked_of_us, capabilities
from proxy.policy.reasons import Reason
from tests.support.bench import PSEUDONYM, URL
from tests.support.build import req


@pytest.mark.parametrize(
    ("line", "lines", "reason"),
    [
        pytest.param("GET", [f"Via: 1.1 {PSEUDONYM}"], Reason.LOOP, id="7.6.3 a loop"),
        pytest.param("POST", [f"Via: 1.0 a, 1.1 {PSEUDONYM}"], Reason.LOOP, id="any method"),
        pytest.param("GET", ["Via: 1.1 other"], None, id="7.6.3 another proxy"),
        pytest.param("TRACE", ["Max-Forwards: 0"], Reason.MAX_FORWARDS, id="7.6.2 TRACE"),
        pytest.param("OPTIONS", ["Max-Forwards: 0"], Reason.MAX_FORWARDS, id="7.6.2 OPTIONS"),
        pytest.param("OPTIONS", ["Max-Forwards: 1"], None, id="7.6.2 one more"),
        pytest.param("OPTIONS", ["Max-Forwards: x"], None, id="7.6.2 not a number"),
        pytest.param("GET", ["Max-Forwards: 0"], None, id="7.6.2 GET"),
    ],
)
def test_what_ends_here(line: str, lines: list[str], reason: Reason | None) -> None:
    own = asked_of_us(req(f"{line} {URL}", *lines), PSEUDONYM)
    assert (None if own is None else own.reason) == reason


def test_trace_shows_what_came_but_nothing_sensitive() -> None:
    # RFC 9110 §9.3.8
    lines = [
        "Max-Forwards: 0",
        "Cookie: a",
        "Authorization: b",
        "Proxy-Authorization: c",
        "X: \xe9",
    ]
    own = asked_of_us(req(f"TRACE {URL}", *lines), PSEUDONYM)
    assert own is not None
    body = b"TRACE http://a.example/x HTTP/1.1\r\nMax-Forwards: 0\r\nX: \xe9\r\n\r\n"
    assert own.answer.body == Inline(body)
    assert own.answer.head.fields.get("content-type") == "message/http"


def test_capabilities() -> None:
    answer = capabilities()
    assert (answer.head.status, answer.head.fields.get("allow")) == (204, METHODS)
    assert answer.body == Inline(b"")
