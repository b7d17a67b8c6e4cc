"""Each clause that bars a response from the store, in its place and with its figures."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy import storing
from proxy.policy.clauses import Explanation, Verdict
from proxy.policy.explain import explain_storing
from proxy.policy.options import Errors, Options, SetCookie
from proxy.policy.reasons import Reason
from proxy.policy.rules import Rule
from proxy.semantics.messages import Request, ResponseHead
from proxy.semantics.units import Octets
from tests.support.build import req, resp
from tests.support.stored import GET, NOW, OPTIONS, URL, get

param = pytest.param

TAG = 'ETag: "a"'
POSTS = Options(rules=(Rule(match="http://a.example/**", store_post=True),))
OFF = Options(rules=(Rule(match="http://a.example/**", cache=False),))


def names(explanation: Explanation) -> list[str]:
    return [clause.name for clause in explanation.clauses]


STATUS = "Responses with status 429 are not for other requests."
KEEP_NONE = Options(errors=Errors.NEVER)
RANGE = "Range: bytes=0-9"


def test_who_is_allowed_selects_too() -> None:
    head = resp(200, "max-age=9", "Access-Control-Allow-Origin: http://a.test", "Vary: Foo")
    (clause,) = [c for c in explain_storing(GET, head, NOW, OPTIONS).clauses if c.name == "vary"]
    assert clause.text == 'What selects it is known: Vary says "Foo", and one Origin is allowed.'


@pytest.mark.parametrize(
    ("request_", "head", "options", "reason", "name", "text"),
    [
        param(GET, resp(200), OFF, Reason.NOT_STORED_RULE, "rule", "cache = false", id="a rule"),
        param(
            req(f"PUT {URL}"), resp(200), OPTIONS, Reason.NOT_STORED_METHOD, "method",
            "Answers to PUT are not stored", id="3 method",
        ),
        param(
            get("Content-Length: 1"), resp(200), OPTIONS, Reason.REQUEST_BODY, "body", "has a body",
            id="a body",
        ),
        param(
            get("X-Host: b"), resp(200), OPTIONS, Reason.REQUEST_REFLECTED, "reflected-field",
            "in Vary: x-host.", id="reflected",
        ),
        param(GET, resp(429), OPTIONS, Reason.NOT_STORED_STATUS, "status", STATUS, id="3 status"),
        param(
            GET, resp(404), KEEP_NONE, Reason.NOT_STORED_ERROR, "error", "Status 404 is an error",
            id="errors",
        ),
        param(
            GET, resp(200, "max-age=9"), Options(response_head=Octets(9)),
            Reason.NOT_STORED_TOO_LARGE, "head", "more than response_head allows for", id="a head",
        ),
        param(
            GET, resp(200, "no-store"), OPTIONS, Reason.NOT_STORED_NO_STORE, "no-store",
            'the origin says "no-store", the client nothing.', id="5.2.2.5",
        ),
        param(
            get("Cache-Control: no-store"), resp(200), OPTIONS, Reason.NOT_STORED_NO_STORE,
            "no-store", 'the origin says nothing, the client "no-store".', id="5.2.1.5",
        ),
        param(
            GET, resp(200, "private"), OPTIONS, Reason.NOT_STORED_PRIVATE, "private",
            'It is for one user: the origin says "private".', id="5.2.2.7",
        ),
        param(
            get("Authorization: x"), resp(200, "max-age=60"), OPTIONS,
            Reason.NOT_STORED_AUTHORIZATION, "authorization", 'it says "max-age=60".', id="3.5",
        ),
        param(
            GET, resp(200, "Vary: *"), OPTIONS, Reason.NOT_STORED_VARY, "vary", 'Vary says "*".',
            id="4.1",
        ),
        param(
            GET, resp(200, "max-age=60", "Set-Cookie: a=b"), Options(set_cookie=SetCookie.NEVER),
            Reason.NOT_STORED_SET_COOKIE, "set-cookie",
            'set_cookie = "never": the origin says "max-age=60".', id="7.3",
        ),
        param(
            GET, resp(200, "Content-Type: text/event-stream"), OPTIONS,
            Reason.NOT_STORED_EVENT_STREAM, "event-stream", "a stream of events", id="events",
        ),
        param(
            get(RANGE), resp(206, TAG), OPTIONS, Reason.NOT_STORED_RANGE, "range",
            "Content-Range says nothing.", id="3.3 no range",
        ),
        param(
            get(RANGE), resp(206, "Content-Range: bytes 0-9/100"), OPTIONS,
            Reason.NOT_STORED_PARTIAL, "partial", "no strong validator", id="3.3 no validator",
        ),
        param(
            get("If-Match: *"), resp(200, "max-age=60"), OPTIONS, Reason.REQUEST_PRECONDITION,
            "precondition", "for the origin to judge", id="4.3.2 preconditions",
        ),
        param(
            GET, resp(200), OPTIONS, Reason.NOT_STORED_NO_FRESHNESS, "reuse",
            "never be reused", id="3 no freshness",
        ),
    ],
)  # fmt: skip
def test_what_bars_a_response_from_the_store(
    request_: Request,
    head: ResponseHead,
    options: Options,
    reason: Reason,
    name: str,
    text: str,
) -> None:
    explanation = explain_storing(request_, head, NOW, options)
    assert explanation.decision == storing.DoNotStore(reason)
    assert explanation.reason is reason
    *before, last = explanation.clauses
    assert (last.name, last.verdict) == (name, Verdict.NO)
    assert text in last.text
    assert {c.name for c in before if c.verdict is Verdict.NO} <= {"fresh"}


@pytest.mark.parametrize(
    ("request_", "head", "reused"),
    [
        param(GET, resp(200, "max-age=60"), "fresh", id="fresh"),
        param(GET, resp(200, "max-age=0", TAG), "reuse", id="stale, with a validator"),
        param(GET, resp(404, "max-age=60"), "error", id="an error"),
        param(
            get(RANGE), resp(206, "max-age=60", TAG, "Content-Range: bytes 0-9/100"), "range",
            id="a part",
        ),
        param(
            req(f"POST {URL}", "Content-Length: 1"),
            resp(200, "max-age=60", f"Content-Location: {URL}"), "method",
            id="9110 9.3.3 the answer to a POST",
        ),
    ],
)  # fmt: skip
def test_what_may_be_stored(request_: Request, head: ResponseHead, reused: str) -> None:
    explanation = explain_storing(request_, head, NOW, POSTS)
    assert isinstance(explanation.decision, storing.Store)
    assert explanation.reason is None
    assert reused in names(explanation)
    last = explanation.clauses[-1]
    assert (last.name, last.verdict) == ("reuse", Verdict.YES)
    assert "lifetime" in names(explanation)
    assert ("body" in names(explanation)) is (request_.method == "GET")


CONTROLS = ["", "max-age=60", "max-age=0", "no-store", "s-maxage=5", "public", "private"]


@settings(max_examples=50, derandomize=True)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    status=st.sampled_from([200, 204, 206, 304, 404, 500]),
    control=st.sampled_from(CONTROLS),
    lines=st.lists(st.sampled_from([TAG, "Vary: *", "Set-Cookie: a=b"]), max_size=2),
    asked=st.sampled_from(["Accept: */*", "Authorization: x", "Cache-Control: no-store"]),
    options=st.sampled_from([OPTIONS, OFF, KEEP_NONE]),
)
def test_it_only_repeats_what_was_decided(
    method: str, status: int, control: str, lines: list[str], asked: str, options: Options
) -> None:
    request, head = req(f"{method} {URL}", asked), resp(status, control, *lines)
    told = explain_storing(request, head, NOW, options)
    assert told.decision == storing.may_store(request, head, NOW, options)
    barred = told.clauses[-1].verdict is Verdict.NO
    assert barred is isinstance(told.decision, storing.DoNotStore)
