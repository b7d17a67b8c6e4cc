"""Who may speak to the admin listener."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from proxy.admin.guard import HEADERS, Guard

OPEN = Guard("127.0.0.1", "")
LOCKED = Guard("admin.example", "secret-é")
HERE = "127.0.0.1:3129"


def refused(guard: Guard, line: str, **fields: str) -> tuple[int, str] | None:
    method, _, path = line.partition(" ")
    named = {name.replace("_", "-"): value for name, value in ({"Host": HERE} | fields).items()}
    refusal = guard.refuses(method, path, CIMultiDict(named))
    return None if refusal is None else (refusal.status, refusal.reason)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param("127.0.0.1:3129", None, id="the address"),
        pytest.param("127.0.0.1", None, id="without a port"),
        pytest.param("[::1]:3129", None, id="IPv6"),
        pytest.param("[::1]", None, id="IPv6 without a port"),
        pytest.param("localhost:3129", None, id="localhost"),
        pytest.param("LOCALHOST", None, id="in any case"),
        pytest.param("10.0.0.7:3129", None, id="another address cannot be rebound"),
        pytest.param("admin.example:3129", None, id="the configured name"),
        pytest.param("evil.example:3129", (421, "wrong-host"), id="rebound"),
        pytest.param("127.0.0.1.evil.example", (421, "wrong-host"), id="looks like an address"),
        pytest.param("localhost.evil.example", (421, "wrong-host"), id="looks like localhost"),
        pytest.param("", (421, "wrong-host"), id="none"),
    ],
)
def test_host(host: str, expected: tuple[int, str] | None) -> None:
    guard = Guard("admin.example", "")
    assert refused(guard, "GET /api/stats", Host=host) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, None, id="a program"),
        pytest.param({"Origin": f"http://{HERE}"}, None, id="our own page"),
        pytest.param({"Origin": "http://evil.example"}, (403, "cross-site"), id="another site"),
        pytest.param({"Origin": "null"}, (403, "cross-site"), id="a sandbox"),
        pytest.param({"Origin": "http://127.0.0.1:8000"}, (403, "cross-site"), id="another port"),
        pytest.param({"Sec_Fetch_Site": "same-origin"}, None, id="same origin"),
        pytest.param({"Sec_Fetch_Site": "none"}, None, id="typed by a person"),
        pytest.param({"Sec_Fetch_Site": "cross-site"}, (403, "cross-site"), id="cross-site"),
        pytest.param({"Sec_Fetch_Site": "same-site"}, (403, "cross-site"), id="same site only"),
    ],
)
@pytest.mark.parametrize("line", ["GET /api/entries", "POST /api/purge", "GET /healthz"])
def test_sites(line: str, fields: dict[str, str], expected: tuple[int, str] | None) -> None:
    assert refused(OPEN, line, **fields) == expected


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_methods(method: str) -> None:
    assert refused(OPEN, f"{method} /api/stats") == (405, "method")


@pytest.mark.parametrize(
    ("line", "shown", "expected"),
    [
        pytest.param("GET /api/stats", "Bearer secret-é", None, id="the token"),
        pytest.param("GET /api/stats", "bearer  secret-é ", None, id="in any case"),
        pytest.param("GET /api/stats", "Bearer secret", (401, "token"), id="a part of it"),
        pytest.param("GET /api/stats", "Bearer secret-é2", (401, "token"), id="more"),
        pytest.param("GET /api/stats", "Basic secret-é", (401, "token"), id="another scheme"),
        pytest.param("GET /api/stats", "", (401, "token"), id="none"),
        pytest.param("GET /", "", None, id="the page, which asks for it"),
        pytest.param("GET /healthz", "", None, id="healthz"),
        pytest.param("GET /readyz", "", None, id="readyz"),
    ],
)
def test_token(line: str, shown: str, expected: tuple[int, str] | None) -> None:
    assert refused(LOCKED, line, Authorization=shown) == expected


def test_a_refusal_says_what_to_do() -> None:
    refusal = LOCKED.refuses("GET", "/api/stats", CIMultiDict(Host=HERE))
    assert refusal is not None
    assert "token" in refusal.sentence
    assert refusal.fields["WWW-Authenticate"].startswith("Bearer")


def test_nothing_from_elsewhere_runs_on_the_page() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
