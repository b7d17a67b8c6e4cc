"""The fields in which the proxy speaks: Age, Cache-Status (RFC 9211), X-Cache."""

from __future__ import annotations

import pytest

from proxy.exchange.voice import Forwarded, Voice
from proxy.policy import freshness
from proxy.policy.reasons import Reason
from tests.support.build import resp
from tests.support.stored import NOW, OPTIONS, stored

VOICE = Voice("forecache-test")
TERMS = freshness.terms(stored("max-age=60"), OPTIONS, None)


def of_stored(
    reason: Reason, asked: Forwarded | None, later: float = 10.0, voice: Voice = VOICE
) -> dict[str, str]:
    lines = (("ETag", '"1"'), ("Age", "7"))
    head = voice.of_stored(
        200, "OK", lines, terms=TERMS, now=NOW + later, reason=reason, asked=asked
    )
    return dict(head.fields.lines)


@pytest.mark.parametrize(
    ("reason", "asked", "later", "said"),
    [
        pytest.param(Reason.HIT, None, 10, "forecache; hit; ttl=50", id="2.1 hit"),
        pytest.param(
            Reason.STALE_ALLOWED,
            None,
            70,
            "forecache; hit; ttl=-10; detail=stale-allowed",
            id="2.4 negative ttl",
        ),
        pytest.param(
            Reason.STALE_WHILE_REVALIDATE,
            None,
            70,
            "forecache; hit; ttl=-10; detail=stale-while-revalidate",
            id="2.1 hit while revalidating",
        ),
        pytest.param(
            Reason.REVALIDATED,
            Forwarded(Reason.EXPIRED, 304),
            0,
            "forecache; fwd=stale; fwd-status=304; ttl=60; detail=revalidated",
            id="2.3 validated",
        ),
        pytest.param(
            Reason.STALE_IF_ERROR,
            Forwarded(Reason.EXPIRED),
            70,
            "forecache; fwd=stale; ttl=-10; detail=stale-if-error",
            id="2.3 no status where nobody answered",
        ),
        pytest.param(
            Reason.COLLAPSED,
            Forwarded(Reason.MISS, 200, collapsed=True),
            0,
            "forecache; fwd=uri-miss; fwd-status=200; ttl=60; collapsed; detail=collapsed",
            id="2.6 collapsed",
        ),
    ],
)
def test_cache_status_of_stored(
    reason: Reason, asked: Forwarded | None, later: float, said: str
) -> None:
    assert of_stored(reason, asked, later)["Cache-Status"] == said


@pytest.mark.parametrize(
    ("later", "age"),
    [
        pytest.param(10.9, "10", id="whole seconds"),
        pytest.param(-5.0, "0", id="never negative"),
    ],
)
def test_age_replaces_what_was_there(later: float, age: str) -> None:
    assert of_stored(Reason.HIT, None, later)["Age"] == age


@pytest.mark.parametrize(
    ("why", "forwarded"),
    [
        pytest.param(Reason.MISS, "uri-miss", id="nothing stored"),
        pytest.param(Reason.VARY_MISS, "vary-miss", id="another variant"),
        pytest.param(Reason.MUST_REVALIDATE, "stale", id="no-cache"),
        pytest.param(Reason.INVALIDATED, "stale", id="invalid"),
        pytest.param(Reason.REQUEST_NO_CACHE, "request", id="the client's no-cache"),
        pytest.param(Reason.REQUEST_MAX_AGE, "request", id="the client's max-age"),
        pytest.param(Reason.PARTIAL_MISS, "partial", id="octets missing"),
        pytest.param(Reason.METHOD, "method", id="method"),
        pytest.param(Reason.RULE_NO_CACHE, "bypass", id="a rule"),
        pytest.param(Reason.REQUEST_REFLECTED, "bypass", id="a reflected field"),
    ],
)
def test_why_it_was_forwarded(why: Reason, forwarded: str) -> None:
    # RFC 9211 §2.2
    head = VOICE.of_origin(200, "OK", (), Reason.MISS, Forwarded(why, 200, stored=True))
    said = f"forecache; fwd={forwarded}; fwd-status=200; stored"
    assert head.fields.get("cache-status") == said


def test_what_was_not_stored_says_why() -> None:
    reason = Reason.NOT_STORED_PRIVATE
    head = VOICE.of_origin(200, "OK", (("Age", "3"),), reason, Forwarded(Reason.MISS, 200))
    said = "forecache; fwd=uri-miss; fwd-status=200; detail=not-stored-private"
    assert dict(head.fields.lines) == {"Age": "3", "Cache-Status": said}


def test_others_may_have_spoken_before() -> None:
    lines = (("Cache-Status", "far; hit"),)
    head = VOICE.of_origin(200, "OK", lines, Reason.MISS, Forwarded(Reason.MISS, 200))
    assert head.fields.members("cache-status")[0] == "far; hit"


def test_of_own() -> None:
    head = VOICE.of_own(resp(508), Reason.LOOP)
    assert (head.status, head.fields.get("cache-status")) == (508, "forecache; detail=loop")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        pytest.param(Reason.HIT, "HIT", id="hit"),
        pytest.param(Reason.REVALIDATED, "HIT", id="validated"),
        pytest.param(Reason.MISS, "MISS", id="miss"),
    ],
)
def test_x_cache_only_if_wanted(reason: Reason, said: str) -> None:
    assert of_stored(reason, None, voice=Voice("x", x_cache=True))["X-Cache"] == said
    assert "X-Cache" not in of_stored(reason, None)
