"""May a response be stored, and as what: the clauses of RFC 9111 §3."""

from dataclasses import replace

import pytest

from proxy.policy import storing
from proxy.policy.options import Errors, FreshnessOptions, Options, SetCookie
from proxy.policy.reasons import Reason
from proxy.policy.rules import Rule
from proxy.policy.stored import Part
from proxy.policy.storing import DoNotStore, Store, may_store
from proxy.semantics.messages import Request, ResponseHead
from proxy.semantics.units import Octets, Seconds
from tests.support.build import fields, req, resp
from tests.support.stored import GET, NOW, OPTIONS, URL, at, get, stored

param = pytest.param

CDN = Options(freshness=FreshnessOptions(targeted=("CDN-Cache-Control",)))
FRESH = "max-age=60"
HERE = "http://a.example/**"
POSTS = Options(rules=(Rule(match=HERE, store_post=True),))
OLD = f"Last-Modified: {at(-86400)}"


def reason(request: Request, head: ResponseHead, options: Options = OPTIONS) -> Reason | None:
    """None when it may be stored."""
    match may_store(request, head, NOW, options):
        case Store():
            return None
        case DoNotStore(why):
            return why


@pytest.mark.parametrize(
    ("request_line", "lines", "head", "why"),
    [
        param("GET", [], resp(200, FRESH), None, id="3 GET"),
        param("HEAD", [], resp(200, FRESH), Reason.NOT_STORED_METHOD, id="3 HEAD has no body"),
        param("PUT", [], resp(200, FRESH), Reason.NOT_STORED_METHOD, id="3 PUT"),
        param("BREW", [], resp(200, FRESH), Reason.NOT_STORED_METHOD, id="3 unknown"),
        param("GET", ["Content-Length: 3"], resp(200, FRESH), Reason.REQUEST_BODY, id="body"),
        param("GET", ["X-Host: b"], resp(200, FRESH), Reason.REQUEST_REFLECTED, id="reflected"),
        param("GET", ["If-Match: *"], resp(200, FRESH), Reason.REQUEST_PRECONDITION, id="If-Match"),
        param("GET", [f"If-Unmodified-Since: {at(0)}"], resp(200, FRESH),
              Reason.REQUEST_PRECONDITION, id="If-Unmodified-Since"),
        param("POST", ["Content-Length: 3"], resp(200, FRESH, f"Content-Location: {URL}"), None,
              id="9110 9.3.3 POST that says it is the GET"),
        param("POST", [], resp(200, FRESH), Reason.NOT_STORED_METHOD, id="POST that does not"),
        param("POST", [], resp(200, FRESH, "Content-Location: /y"), Reason.NOT_STORED_METHOD,
              id="POST about another"),
        param("POST", [], resp(201, FRESH, "Content-Location: /x"), Reason.NOT_STORED_METHOD,
              id="POST that created"),
        param("POST", [], resp(200, "", OLD, "Content-Location: /x"),
              Reason.NOT_STORED_NO_FRESHNESS, id="POST without explicit freshness"),
        param("POST", [], resp(200, "max-age=0", OLD, "Content-Location: /x"),
              Reason.NOT_STORED_NO_FRESHNESS, id="POST already stale"),
        param("POST", ["X-Host: b"], resp(200, FRESH, "Content-Location: /x"),
              Reason.REQUEST_REFLECTED, id="POST, reflected"),
    ],
)  # fmt: skip
def test_methods(request_line: str, lines: list[str], head: ResponseHead, why: Reason) -> None:
    request = req(f"{request_line} {URL}", *lines)
    assert reason(request, head, POSTS) is why
    if request.method == "POST":
        for options in (OPTIONS, Options(rules=(Rule(match=HERE),))):
            assert reason(request, head, options) is Reason.NOT_STORED_METHOD


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_host_of_another_authority(method: str) -> None:
    request = replace(req(f"{method} {URL}"), host="b.example")
    head = resp(200, FRESH, f"Content-Location: {URL}")
    assert reason(request, head, POSTS) is Reason.REQUEST_OTHER_HOST


@pytest.mark.parametrize(
    ("octets", "why"),
    [param(1000, None, id="all of it"), param(1001, Reason.NOT_STORED_TOO_LARGE, id="one more")],
)
def test_the_head_is_bounded(octets: int, why: Reason | None) -> None:
    options = Options(response_head=Octets(1000))
    date, control = f"Date: {at(0)}", f"Cache-Control: {FRESH}"
    padding = "X: " + "x" * (octets - len(f"{date}\r\n{control}\r\nX: \r\n"))
    assert reason(GET, resp(200, control, date, padding), options) is why


@pytest.mark.parametrize(
    ("status", "control", "why"),
    [(status, FRESH, None) for status in (200, 203, 204, 299, 301, 302, 303, 307, 308)]
    + [(status, FRESH, None) for status in (400, 401, 404, 410, 499, 500, 502, 503, 504, 599)]
    + [
        (status, FRESH, Reason.NOT_STORED_STATUS)
        for status in (101, 103, 304, 407, 412, 413, 416, 417, 421, 428, 429, 431, 511, 600, 999)
    ]
    + [
        (200, f"{FRESH}, no-store, must-understand", None),
        (599, f"{FRESH}, must-understand", Reason.NOT_STORED_STATUS),
        (599, f"{FRESH}, no-store, must-understand", Reason.NOT_STORED_STATUS),
    ],
)
def test_statuses(status: int, control: str, why: Reason | None) -> None:
    assert reason(GET, resp(status, control)) is why


@pytest.mark.parametrize(
    ("lines", "head", "why"),
    [
        param([], resp(200, f"No-Store, {FRESH}"), Reason.NOT_STORED_NO_STORE, id="3 no-store"),
        param(["Cache-Control: no-store"], resp(200, FRESH), Reason.NOT_STORED_NO_STORE,
              id="5.2.1.5 of the request"),
        param([], resp(200, f"private, {FRESH}"), Reason.NOT_STORED_PRIVATE, id="3 private"),
        param([], resp(200, f'private="x-a", {FRESH}'), None, id="5.2.2.7 qualified"),
        param(["Authorization: x"], resp(200, FRESH), Reason.NOT_STORED_AUTHORIZATION, id="3.5"),
        param(["Authorization: x"], resp(200, f"public, {FRESH}"), None, id="3.5 public"),
        param(["Authorization: x"], resp(200, "s-maxage=60"), None, id="3.5 s-maxage"),
        param(["Authorization: x"], resp(200, f"must-revalidate, {FRESH}"), None,
              id="3.5 must-revalidate"),
        param([], resp(200, FRESH, "Vary: *"), Reason.NOT_STORED_VARY, id="4.1 *"),
        param([], resp(200, FRESH, "Vary: Foo, *"), Reason.NOT_STORED_VARY, id="4.1 * and more"),
        param([], resp(200, FRESH, "Vary:", "Vary: *"), Reason.NOT_STORED_VARY, id="4.1 lines"),
        param([], resp(200, FRESH, "Vary: \x0b*"), Reason.NOT_STORED_VARY, id="4.1 no name"),
        param([], resp(200, FRESH, "Vary: Foo"), None, id="4.1 Vary"),
        param([], resp(200, FRESH, "Content-Type: text/Event-Stream; charset=utf-8"),
              Reason.NOT_STORED_EVENT_STREAM, id="event stream"),
    ],
)  # fmt: skip
def test_directives_and_sharing(lines: list[str], head: ResponseHead, why: Reason | None) -> None:
    assert reason(get(*lines), head) is why


@pytest.mark.parametrize(
    ("setting", "control", "why"),
    [
        param(SetCookie.EXPLICIT, FRESH, Reason.NOT_STORED_SET_COOKIE, id="explicit: silent"),
        param(SetCookie.EXPLICIT, f"public, {FRESH}", None, id="explicit: public"),
        param(SetCookie.EXPLICIT, "s-maxage=60", None, id="explicit: s-maxage"),
        param(
            SetCookie.EXPLICIT,
            f'{FRESH}, no-cache="set-cookie, set-cookie2"',
            None,
            id="left out anyway",
        ),
        param(SetCookie.RFC, FRESH, None, id="rfc"),
        param(SetCookie.NEVER, f"public, {FRESH}", Reason.NOT_STORED_SET_COOKIE, id="never"),
    ],
)
@pytest.mark.parametrize("name", ["Set-Cookie", "Set-Cookie2"])
def test_set_cookie(setting: SetCookie, control: str, why: Reason | None, name: str) -> None:
    assert reason(GET, resp(200, control, f"{name}: a=b"), Options(set_cookie=setting)) is why


@pytest.mark.parametrize(
    ("lines", "head", "why"),
    [
        param([], resp(200), Reason.NOT_STORED_NO_FRESHNESS, id="3 nothing said"),
        param([], resp(200, "", OLD), None, id="4.2.2 heuristic"),
        param([], resp(302, "", OLD), Reason.NOT_STORED_NO_FRESHNESS, id="4.2.2 not for 302"),
        param([], resp(302, "public", OLD), None, id="4.2.2 public"),
        param([], resp(200, "", f"Expires: {at(60)}"), None, id="3 Expires"),
        param([], resp(200, "max-age=0", 'ETag: "a"'), None, id="stale, but can be validated"),
        param([], resp(200, "", f"Expires: {at(-9)}", OLD), None, id="stale, with a date"),
        param([], resp(200, "", 'ETag: "a"'), None, id="no freshness, but can be validated"),
        param([], resp(200, "", "ETag: a"), Reason.NOT_STORED_NO_FRESHNESS, id="no entity tag"),
        param([], resp(200, "max-age=0"), Reason.NOT_STORED_NO_FRESHNESS, id="stale, no validator"),
        param([], resp(200, "no-cache"), Reason.NOT_STORED_NO_FRESHNESS, id="5.2.2.4 useless"),
        param([], resp(200, f"no-cache, {FRESH}"), Reason.NOT_STORED_NO_FRESHNESS,
              id="5.2.2.4 useless though fresh"),
        param([], resp(200, "no-cache", 'ETag: "a"'), None, id="5.2.2.4 can be validated"),
        param([], resp(200, "max-age=0, stale-while-revalidate=9"), None, id="RFC 5861 3"),
        param([], resp(200, "max-age=0, stale-if-error=9"), None, id="RFC 5861 4"),
        param([], resp(200, "max-age=0, stale-if-error=9, must-revalidate"),
              Reason.NOT_STORED_NO_FRESHNESS, id="RFC 5861 4, forbidden"),
        param([], resp(200, FRESH, "Age: 61"), Reason.NOT_STORED_NO_FRESHNESS, id="came stale"),
        param([], resp(404, "max-age=0", 'ETag: "a"'), Reason.NOT_STORED_NO_FRESHNESS,
              id="a stale error"),
        param([], resp(404, "", OLD), None, id="9110 15.1 a listed error"),
        param([], resp(500, "", OLD), Reason.NOT_STORED_NO_FRESHNESS, id="other errors: explicit"),
        param(["Cookie: a"], resp(200, "", OLD, 'ETag: "a"'), Reason.NOT_STORED_NO_FRESHNESS,
              id="silent about one client's"),
        param(["Cookie: a"], resp(200, FRESH), None, id="not silent"),
        param(["Cookie: a"], resp(200, "public", 'ETag: "a"'), None, id="said to be everybody's"),
    ],
)  # fmt: skip
def test_freshness(lines: list[str], head: ResponseHead, why: Reason | None) -> None:
    assert reason(get(*lines), head) is why


@pytest.mark.parametrize(("status", "why"), [(404, Reason.NOT_STORED_ERROR), (200, None)])
def test_errors_never(status: int, why: Reason | None) -> None:
    assert reason(GET, resp(status, FRESH), Options(errors=Errors.NEVER)) is why


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        param([FRESH, "CDN-Cache-Control: no-store"], Reason.NOT_STORED_NO_STORE, id="no-store"),
        param([FRESH, "CDN-Cache-Control: private"], Reason.NOT_STORED_PRIVATE, id="private"),
        param(["no-store", "CDN-Cache-Control: max-age=60"], None, id="instead of no-store"),
        param(["no-store", "CDN-Cache-Control: max-age=60, &&"], Reason.NOT_STORED_NO_STORE,
              id="invalid: ignored"),
        param(["max-age=60", "CDN-Cache-Control: no-cache", 'ETag: "a"'], None, id="no-cache"),
    ],
)  # fmt: skip
def test_targeted(lines: list[str], why: Reason | None) -> None:
    assert reason(GET, resp(200, *lines), CDN) is why


PART = "Content-Range: bytes 0-4/10"
TAG = 'ETag: "a"'


@pytest.mark.parametrize(
    ("lines", "head", "why"),
    [
        param(["Range: bytes=0-4"], resp(206, FRESH, PART, TAG), None, id="3.3 strong tag"),
        param(["Range: bytes=0-4"], resp(206, FRESH, PART, OLD), None, id="3.3 strong date"),
        param(["Range: bytes=0-4"], resp(206, "", PART, OLD), None, id="9110 15.1 heuristic"),
        param(["Range: bytes=0-4"], resp(206, FRESH, PART), Reason.NOT_STORED_PARTIAL,
              id="3.4 no validator"),
        param(["Range: bytes=0-4"], resp(206, FRESH, PART, 'ETag: W/"a"'),
              Reason.NOT_STORED_PARTIAL, id="3.4 weak tag"),
        param(["Range: bytes=0-"], resp(206, FRESH, "Content-Range: bytes 0-9/10"), None,
              id="9110 15.3.7 all there is needs no validator"),
        param(["Range: bytes=0-4", 'If-Range: "a"'], resp(206, FRESH, PART, TAG),
              Reason.NOT_STORED_PARTIAL, id="9110 15.3.7 fields left out"),
        param([], resp(206, FRESH, PART, TAG), Reason.NOT_STORED_RANGE, id="not asked for"),
        param(["Range: bytes=0-4"], resp(206, FRESH, "Content-Range: bytes 0-4/*", TAG),
              Reason.NOT_STORED_RANGE, id="unknown length"),
        param(["Range: bytes=0-4"], resp(206, FRESH, "Content-Range: bytes 4-9/4", TAG),
              Reason.NOT_STORED_RANGE, id="invalid"),
        param(["Range: bytes=0-1,3-4"],
              resp(206, FRESH, TAG, "Content-Type: multipart/byteranges; boundary=x"),
              Reason.NOT_STORED_RANGE, id="several"),
        param(["Range: bytes=0-4"], resp(200, FRESH), None, id="the whole instead"),
        param(["Range: bytes=0-"], resp(416, FRESH), Reason.NOT_STORED_STATUS, id="416"),
    ],
)  # fmt: skip
def test_partial_content(lines: list[str], head: ResponseHead, why: Reason | None) -> None:
    assert reason(get(*lines), head) is why


def test_rules() -> None:
    off = Options(rules=(Rule(HERE, cache=False),))
    assert reason(GET, resp(200, FRESH), off) is Reason.NOT_STORED_RULE
    month = Options(rules=(Rule(HERE, freshness=Seconds(9), max_object_size=Octets(5)),))
    assert may_store(GET, resp(200), NOW, month) == Store(Octets(5))
    assert reason(get("Cookie: a"), resp(200), month) is None
    assert reason(get("Authorization: a"), resp(200), month) is Reason.NOT_STORED_AUTHORIZATION
    assert may_store(get(url="http://b.example/"), resp(200, FRESH), NOW, month) == Store(None)
    forced = Options(rules=(Rule(HERE, freshness=Seconds(9), override=True),))
    assert reason(GET, resp(200, "no-cache"), forced) is None
    assert reason(GET, resp(200, "no-store"), forced) is Reason.NOT_STORED_NO_STORE
    assert reason(GET, resp(200, "private"), forced) is Reason.NOT_STORED_PRIVATE


def test_what_is_stored() -> None:
    request = get("Foo: 1", "Cookie: a")
    head = resp(200, f'{FRESH}, no-cache="X-A", private="x-b"', "X-A: 1", "X-B: 2", "Vary: Foo")
    held = storing.from_response(request, head, OPTIONS, "b1", NOW - 1, NOW)
    control, vary = head.fields.lines[0], head.fields.lines[-1]
    assert held.head == ResponseHead(200, "OK", fields().adding(control, vary, ("Date", at(0))))
    assert (held.id, held.selecting, held.personal) == ("b1", (("foo", "1"),), True)
    assert (held.request_time, held.response_time) == (NOW - 1, NOW)
    assert (held.part, held.invalid) == (None, False)


def test_an_invalid_date_stays_what_it_is() -> None:
    assert stored(FRESH, "Date: foo").head.fields.all("date") == ("foo",)


@pytest.mark.parametrize(
    ("content_range", "part"),
    [
        param("bytes 0-4/10", Part(0, 4, 10), id="3.3 a part"),
        param("bytes 0-9/10", None, id="all there is"),
    ],
)
def test_partial_content_has_the_head_of_the_whole(content_range: str, part: Part | None) -> None:
    held = stored(FRESH, f"Content-Range: {content_range}", TAG, status=206)
    assert (held.head.status, held.head.reason, held.part) == (200, "OK", part)
    assert "content-range" not in held.head.fields
