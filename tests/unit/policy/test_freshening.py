"""What a 304, or an answer to HEAD, makes of what is stored (RFC 9111 §4.3.3 to §4.3.5)."""

import pytest

from proxy.policy import freshening
from proxy.policy.stored import StoredResponse
from proxy.semantics.messages import Request, ResponseHead
from tests.support.build import req, resp
from tests.support.stored import GET, NOW, OPTIONS, URL, at, get, stored

param = pytest.param

LATER = (NOW + 100, NOW + 100)
TAG = 'ETag: "1"'
HEAD = req(f"HEAD {URL}")
MODIFIED = f"Last-Modified: {at(-864000)}"
HEAD_BASIC = req(f"HEAD {URL}", "Authorization: Basic dXNlcjpwYXNz")
HEAD_COOKIE = req(f"HEAD {URL}", "Cookie: a=1")
BASIC = get("Authorization: Basic dXNlcjpwYXNz")


def variant(x: str, *lines: str) -> StoredResponse:
    return stored("max-age=60", "Vary: X", *lines, body_id=x, to=get(f"X: {x}"))


@pytest.mark.parametrize(
    ("request_", "head", "current", "news", "gone"),
    [
        param(GET, resp(304, "max-age=60", TAG), True, True, False, id="4.3.4 fresh again"),
        param(GET, resp(304, "no-store", TAG), False, False, True, id="3 it may not stay"),
        param(get("Cookie: a"), resp(304, "max-age=60", TAG), True, True, False, id="his cookies"),
        param(BASIC, resp(304, "max-age=60", TAG), False, False, False, id="3.5 for him alone"),
        param(BASIC, resp(304, "public, max-age=60", TAG), True, True, False, id="3.5 public"),
        param(BASIC, resp(304, "no-store", TAG), False, False, True, id="3 for nobody"),
        param(
            BASIC,
            resp(304, "must-revalidate", MODIFIED, TAG),
            False,
            False,
            False,
            id="4.2.2 no heuristic for him, but for others",
        ),
    ],
)
def test_by_not_modified(
    request_: Request, head: ResponseHead, current: bool, news: bool, gone: bool
) -> None:
    held = stored("max-age=60", TAG)
    made = freshening.by_not_modified((held,), request_, head, LATER, OPTIONS)
    assert made is not None
    assert made.answer.response_time == LATER[1]
    assert made.current == ((made.answer,) if current else ())
    assert made.news == ((made.answer,) if news else ())
    assert made.gone == (frozenset({held.id}) if gone else frozenset())


@pytest.mark.parametrize(
    ("request_", "head"),
    [
        param(HEAD_BASIC, resp(200, "max-age=60", 'ETag: "2"'), id="HEAD: another"),
        param(HEAD_BASIC, resp(200, "private", TAG), id="HEAD: private"),
        param(HEAD_COOKIE, resp(200, "", TAG, "X-User: a"), id="HEAD: it is not said for whom"),
        param(HEAD_COOKIE, resp(200, "private", TAG), id="HEAD: private, by cookie"),
        param(HEAD_COOKIE, resp(200, "", 'ETag: "2"'), id="HEAD: another, by cookie"),
        param(BASIC, resp(200, "private"), id="GET: private"),
        param(BASIC, resp(404, "max-age=60"), id="GET: none"),
    ],
)
def test_what_credentials_get_says_nothing_of_what_others_have(
    request_: Request, head: ResponseHead
) -> None:
    held = stored("max-age=60", TAG)
    made = freshening.by_unstored((held,), request_, head, LATER, OPTIONS, validating=True)
    assert made is None


@pytest.mark.parametrize(("request_", "said"), [(HEAD_BASIC, "public, "), (HEAD_COOKIE, "")])
def test_what_credentials_get_is_for_all_where_it_says_so(request_: Request, said: str) -> None:
    held, head = stored("max-age=60", TAG), resp(200, f"{said}max-age=60", 'ETag: "2"')
    made = freshening.by_unstored((held,), request_, head, LATER, OPTIONS, validating=False)
    assert made is not None
    assert [one.invalid for one in made.news] == [True]


def test_what_is_as_it_was_is_no_news() -> None:
    held = stored("no-cache", TAG)
    made = freshening.by_not_modified((held,), GET, resp(304, "", TAG), (NOW, NOW), OPTIONS)
    assert made is not None
    assert (made.current, made.news, made.gone) == ((made.answer,), (), frozenset())


def test_a_304_about_nothing_that_is_stored() -> None:
    held = stored("max-age=60", TAG)
    about = resp(304, "", 'ETag: "9"')
    assert freshening.by_not_modified((held,), GET, about, LATER, OPTIONS) is None


def test_the_answer_is_what_the_request_selects_or_what_the_origin_chose() -> None:
    found = (variant("1", TAG), variant("2", TAG))
    for asked, answer in (("1", "1"), ("2", "2"), ("3", "1")):
        request = get(f"X: {asked}")
        made = freshening.by_not_modified(found, request, resp(304, "", TAG), LATER, OPTIONS)
        assert made is not None
        assert made.answer.id == answer


@pytest.mark.parametrize(
    ("head", "invalid", "gone"),
    [
        param(resp(200, "max-age=60", TAG), False, False, id="4.3.5 the same"),
        param(resp(200, "max-age=60", 'ETag: "2"'), True, False, id="4.3.5 another"),
        param(resp(200, "private", TAG), False, True, id="3 it may not stay"),
    ],
)
def test_by_the_answer_to_head(head: ResponseHead, invalid: bool, gone: bool) -> None:
    held = stored("max-age=60", TAG)
    made = freshening.by_unstored((held,), HEAD, head, LATER, OPTIONS, validating=False)
    assert made is not None
    assert [one.invalid for one in made.news] == ([] if gone else [invalid])
    assert bool(made.gone) is gone


@pytest.mark.parametrize(
    ("found", "head"),
    [
        param((), resp(200, "", TAG), id="nothing is stored"),
        param((variant("1", TAG),), resp(200, "", TAG), id="4.1 another variant"),
        param((stored("max-age=60", TAG),), resp(404, "", TAG), id="4.3.5 only a 200"),
        param((stored("max-age=60", TAG),), resp(200, "", TAG, "Content-Encoding: gzip"),
              id="another coding"),
    ],
)  # fmt: skip
def test_a_head_that_says_nothing_of_it(
    found: tuple[StoredResponse, ...], head: ResponseHead
) -> None:
    assert freshening.by_unstored(found, HEAD, head, LATER, OPTIONS, validating=True) is None


@pytest.mark.parametrize(
    ("request_", "status", "validating", "invalid"),
    [
        param(get("X: 2"), 200, True, True, id="4.3.3 another representation"),
        param(get("X: 2"), 410, True, True, id="4.3.3 none any more"),
        param(get("X: 3"), 200, True, False, id="4.1 of another variant"),
        param(get("X: 2"), 503, True, False, id="4.3.3 an error says nothing of it"),
        param(get("X: 2"), 200, False, False, id="it was not nominated"),
        param(req(f"POST {URL}", "X: 2"), 200, True, False, id="another method"),
    ],
)
def test_by_a_full_answer(request_: Request, status: int, validating: bool, invalid: bool) -> None:
    found = (variant("1"), variant("2"))
    made = freshening.by_unstored(
        found, request_, resp(status), LATER, OPTIONS, validating=validating
    )
    assert (made is not None) is invalid
    if made is not None:
        assert [(one.id, one.invalid) for one in made.news] == [("2", True)]
