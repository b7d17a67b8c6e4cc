"""Cache-Status and Proxy-Status as text."""

import pytest

from proxy.semantics.status_fields import cache_status, proxy_status


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(cache_status(), "forecache", id="2 nothing to say"),
        pytest.param(
            cache_status(hit=True, ttl=376), "forecache; hit; ttl=376", id="2.1 hit, 2.4 ttl"
        ),
        pytest.param(cache_status(hit=True, ttl=-1.5), "forecache; hit; ttl=-2", id="2.4 stale"),
        pytest.param(
            cache_status(hit=True, ttl=0.9), "forecache; hit; ttl=0", id="2.4 rounded down"
        ),
        pytest.param(
            cache_status(forward="uri-miss", forward_status=200, stored=True, collapsed=True),
            "forecache; fwd=uri-miss; fwd-status=200; stored; collapsed",
            id="2.2 forward, 2.3 status, 2.5 stored, 2.6 collapsed",
        ),
        pytest.param(
            cache_status(key='http://a.example/"\\\xe9', detail="stale-allowed"),
            'forecache; key="http://a.example/\\"\\\\%E9"; detail=stale-allowed',
            id="2.7 key is a string, 2.8 detail may be a token",
        ),
        pytest.param(
            cache_status(detail="two words"), 'forecache; detail="two words"', id="2.8 string"
        ),
        pytest.param(
            cache_status(detail=""), 'forecache; detail=""', id="9651-3.3.4 no empty token"
        ),
        pytest.param(
            cache_status(detail="9x"), 'forecache; detail="9x"', id="9651-3.3.4 no digit first"
        ),
    ],
)
def test_cache_status(text: str, expected: str) -> None:
    assert text == expected


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        pytest.param("", "forecache; error=dns_error", id="9209-2.1 error alone"),
        pytest.param(
            "no such name", 'forecache; error=dns_error; details="no such name"', id="2.1.5"
        ),
        pytest.param(
            'a "b" \\', 'forecache; error=dns_error; details="a \\"b\\" \\\\"', id="9651 escapes"
        ),
        pytest.param(
            "a\r\nB: c", 'forecache; error=dns_error; details="a%0D%0AB: c"', id="9651 controls"
        ),
        pytest.param(
            "\x7f\xe9\u20ac", 'forecache; error=dns_error; details="%7F%E9%E2%82%AC"', id="ascii"
        ),
        pytest.param("\ud800", 'forecache; error=dns_error; details="%3F"', id="lone surrogate"),
    ],
)
def test_proxy_status(detail: str, expected: str) -> None:
    assert proxy_status("dns_error", detail) == expected
