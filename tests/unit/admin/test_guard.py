"""Who may speak to the admin listener."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

import pytest
from multidict import CIMultiDict

from proxy.admin.guard import HEADERS, Guard

if TYPE_CHECKING:
    from types import FrameType

OPEN = Guard("127.0.0.1", "")
LOCKED = Guard("admin.example", "secret-é")
HERE = "127.0.0.1:3129"


def refused(guard: Guard, path: str, **fields: str) -> tuple[int, str] | None:
    named = {name.replace("_", "-"): value for name, value in ({"Host": HERE} | fields).items()}
    refusal = guard.refuses(path, CIMultiDict(named))
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
        pytest.param("[::1", (421, "wrong-host"), id="half a bracket"),
        pytest.param("::1", (421, "wrong-host"), id="IPv6 without brackets"),
        pytest.param("[::1%25eth0]", (421, "wrong-host"), id="IPv6 with a zone"),
        pytest.param("[evil.example]", (421, "wrong-host"), id="a name in brackets"),
        pytest.param("localhost.", (421, "wrong-host"), id="a dot at the end"),
        pytest.param("127.0.0.1.:3129", (421, "wrong-host"), id="an address with a dot"),
        pytest.param("2130706433", (421, "wrong-host"), id="an address as a number"),
        pytest.param("127.0.0.1:evil.example", (421, "wrong-host"), id="a port that is none"),
        pytest.param("127.0.0.1:80:80", (421, "wrong-host"), id="two ports"),
        pytest.param("evil.example@127.0.0.1", (421, "wrong-host"), id="userinfo"),
        pytest.param("127.0.0.1, evil.example", (421, "wrong-host"), id="a list"),
        pytest.param(":3129", (421, "wrong-host"), id="a port only"),
    ],
)
def test_host(host: str, expected: tuple[int, str] | None) -> None:
    guard = Guard("admin.example", "")
    assert refused(guard, "/api/stats", Host=host) == expected


def test_a_request_without_host() -> None:
    refusal = OPEN.refuses("/api/stats", CIMultiDict())
    assert refusal is not None
    assert refusal.status == 421
    # Behind a socket of the file system no browser comes.
    assert Guard("", "").refuses("/api/stats", CIMultiDict()) is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, None, id="a program"),
        pytest.param({"Origin": f"http://{HERE}"}, None, id="our own page"),
        pytest.param({"Origin": "http://evil.example"}, (403, "cross-site"), id="another site"),
        pytest.param({"Origin": "null"}, (403, "cross-site"), id="a sandbox"),
        pytest.param({"Origin": f"https://{HERE}"}, None, id="our own page behind TLS"),
        pytest.param({"Origin": "http://127.0.0.1:8000"}, (403, "cross-site"), id="another port"),
        pytest.param({"Origin": "http://127.0.0.1"}, (403, "cross-site"), id="the default port"),
        pytest.param({"Origin": HERE}, (403, "cross-site"), id="no scheme"),
        pytest.param({"Origin": f"file://{HERE}"}, (403, "cross-site"), id="another scheme"),
        pytest.param({"Origin": f"x://http://{HERE}"}, (403, "cross-site"), id="two schemes"),
        pytest.param({"Origin": ""}, (403, "cross-site"), id="empty"),
        pytest.param({"Sec_Fetch_Site": "same-origin"}, None, id="same origin"),
        pytest.param({"Sec_Fetch_Site": "none"}, None, id="typed by a person"),
        pytest.param({"Sec_Fetch_Site": "cross-site"}, (403, "cross-site"), id="cross-site"),
        pytest.param({"Sec_Fetch_Site": "same-site"}, (403, "cross-site"), id="same site only"),
        pytest.param({"Sec_Fetch_Site": "Same-Origin"}, (403, "cross-site"), id="no such word"),
        pytest.param({"Sec_Fetch_Site": ""}, (403, "cross-site"), id="an empty word"),
        pytest.param(
            {"Origin": "http://evil.example", "Sec_Fetch_Site": "same-origin"},
            (403, "cross-site"),
            id="one that contradicts the other",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/api/entries", "/api/purge", "/healthz"])
def test_sites(path: str, fields: dict[str, str], expected: tuple[int, str] | None) -> None:
    assert refused(OPEN, path, **fields) == expected


def steps(shown: str) -> list[str]:
    """Every function that runs, ours and built in, while a request shows this token."""
    fields = CIMultiDict({"Host": HERE, "Authorization": f"Bearer {shown}"})
    called: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event in {"call", "c_call"}:
            called.append(getattr(argument, "__name__", frame.f_code.co_name))

    before = sys.getprofile()
    gc.disable()  # what a collection finalizes is no step of this
    sys.setprofile(note)
    try:
        LOCKED.refuses("/api/stats", fields)
    finally:
        sys.setprofile(before)
        gc.enable()
    return called[: called.index("compare_digest") + 1]


@pytest.mark.parametrize("shown", ["x", "secret", "secret-é", "secret-\udcff", "s" * 4096])
def test_a_token_of_any_length_takes_the_same_way(shown: str) -> None:
    """No way out by length or beginning: digests of one length meet in one comparison."""
    way = steps(shown)
    assert way == steps("secret-!")
    assert sum("sha256" in step for step in way) == 2


@pytest.mark.parametrize(
    ("path", "shown", "expected"),
    [
        pytest.param("/api/stats", "Bearer secret-é", None, id="the token"),
        pytest.param("/api/stats", "bearer  secret-é ", None, id="in any case"),
        pytest.param("/api/stats", "Bearer secret", (401, "token"), id="a part of it"),
        pytest.param("/api/stats", "Bearer secret-é2", (401, "token"), id="more"),
        pytest.param("/api/stats", "Basic secret-é", (401, "token"), id="another scheme"),
        pytest.param("/api/stats", "", (401, "token"), id="none"),
        pytest.param("/", "", None, id="the page, which asks for it"),
        pytest.param("/healthz", "", None, id="healthz"),
        pytest.param("/readyz", "", None, id="readyz"),
    ],
)
def test_token(path: str, shown: str, expected: tuple[int, str] | None) -> None:
    assert refused(LOCKED, path, Authorization=shown) == expected


def test_a_refusal_says_what_to_do() -> None:
    refusal = LOCKED.refuses("/api/stats", CIMultiDict(Host=HERE))
    assert refusal is not None
    assert "token" in refusal.sentence
    assert refusal.fields["WWW-Authenticate"].startswith("Bearer")


def test_nothing_from_elsewhere_runs_on_the_page() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
