"""What to ask the origin with, and what its answer changes (RFC 9111 §4.3, §3.2)."""

from dataclasses import replace

import pytest

from proxy.policy import revalidation
from proxy.policy.options import Options, SetCookie
from proxy.policy.stored import StoredResponse
from proxy.semantics.messages import Request, ResponseHead
from tests.support.build import fields, req, resp
from tests.support.stored import GET, NOW, OPTIONS, URL, at, get, stored

param = pytest.param

LATER = NOW + 100
TAG, HAS = 'ETag: "1"', 'If-None-Match: "1"'
OLD = at(-86400)


def held(*lines: str, body_id: str = "1") -> StoredResponse:
    return stored("max-age=60", *lines, body_id=body_id)


@pytest.mark.parametrize(
    ("candidate", "others", "asked"),
    [
        param([], [], [], id="4.3.1 no validator"),
        param(['ETag: "a"'], [], ['If-None-Match: "a"'], id="4.3.1 entity tag"),
        param(['ETag: W/"a"'], [], ['If-None-Match: W/"a"'], id="4.3.1 weak"),
        param(["ETag: a"], [], [], id="no entity tag"),
        param([f"Last-Modified: {OLD}"], [], [f"If-Modified-Since: {OLD}"], id="4.3.1 date"),
        param(["Last-Modified: x"], [], [], id="no date"),
        param(['ETag: "a"', f"Last-Modified: {OLD}"], [],
              ['If-None-Match: "a"', f"If-Modified-Since: {OLD}"], id="4.3.1 both"),
        param(['ETag: "a"'], ['ETag: "b"', 'ETag: "a"', "ETag: c"], ['If-None-Match: "a", "b"'],
              id="4.3.1 of all that is stored"),
        param([], ['ETag: "b"', f"Last-Modified: {OLD}"], ['If-None-Match: "b"'],
              id="4.3.1 the date is the candidate's own"),
    ],
)  # fmt: skip
def test_conditional(candidate: list[str], others: list[str], asked: list[str]) -> None:
    chosen = held(*candidate)
    found = [*(held(line) for line in others), chosen]
    assert revalidation.conditional(found, chosen) == fields(*asked)


GZIP = get("Accept-Encoding: gzip")
BROTLI = get("Accept-Encoding: br")


@pytest.mark.parametrize(
    ("variants", "request_", "tags"),
    [
        pytest.param([("X-A", '"a"', get("X-A: 1"))], get("X-A: 2"), '"a"', id="4.1 another"),
        pytest.param(
            [("X-A", 'W/"a"', get("X-A: 1"))], get("X-A: 2"), None, id="weak tags are not"
        ),
        pytest.param(
            [("Accept-Encoding", '"a"', GZIP)], BROTLI, None, id="another coding is not offered"
        ),
        pytest.param(
            [("Accept-Encoding, X-A", '"a"', get("X-A: 1", "Accept-Encoding: gzip"))],
            GZIP,
            '"a"',
            id="the same coding is",
        ),
    ],
)
def test_conditional_for_a_variant_that_is_missing(
    variants: list[tuple[str, str, Request]], request_: Request, tags: str | None
) -> None:
    found = [stored("max-age=60", f"Vary: {v}", f"ETag: {t}", to=to) for v, t, to in variants]
    assert revalidation.conditional_for_variant(found, request_).get("if-none-match") == tags


def test_tags_of_another_coding_are_not_offered() -> None:
    lines = ("max-age=60", "Vary: Accept-Encoding")
    chosen = stored(*lines, 'ETag: "br"', to=BROTLI)
    other = stored(*lines, 'ETag: "gz"', to=GZIP)
    assert revalidation.conditional([other, chosen], chosen).get("if-none-match") == '"br"'


def test_the_question_about_one_is_remembered() -> None:
    one, other = stored("", 'ETag: "a"'), stored("", 'ETag: "b"', body_id="2")
    asked = revalidation.conditional([one], one)
    assert revalidation.conditional([one], one) is asked
    assert revalidation.conditional([one, other], one).get("if-none-match") == '"a", "b"'
    assert revalidation.conditional([one], one) is asked


def test_of_other_parts_no_tag_is_sent() -> None:
    chosen = held('ETag: "a"')
    part = stored("max-age=60", 'ETag: "p"', "Content-Range: bytes 0-1/9", status=206)
    assert revalidation.conditional([part, chosen], chosen).get("if-none-match") == '"a"'


def test_tags_are_bounded() -> None:
    many = [held(f'ETag: "{n}"') for n in range(99)]
    sent = revalidation.conditional(many, many[50]).members("if-none-match")
    assert (len(sent), sent[0]) == (revalidation.MOST_TAGS, '"50"')


STRONG = held('ETag: "a"', f"Last-Modified: {OLD}", body_id="strong")
TWIN = held('ETag: "a"', f"Date: {at(-5)}", body_id="twin")
WEAK = held('ETag: W/"w"', body_id="weak")
WEAK_TWIN = held('ETag: W/"w"', f"Date: {at(-5)}", body_id="weak twin")
DATED = held(f"Last-Modified: {at(-9)}", body_id="dated")
DATED_TWIN = held(f"Last-Modified: {at(-9)}", f"Date: {at(-5)}", body_id="dated twin")
ALL = (WEAK_TWIN, TWIN, DATED_TWIN, STRONG, WEAK, DATED)


@pytest.mark.parametrize(
    ("found", "lines", "ids"),
    [
        param(ALL, ['ETag: "a"'], ["strong", "twin"], id="4.3.4 each with the strong tag"),
        param(ALL, ['ETag: W/"w"'], ["weak"], id="4.3.4 weak: the most recent"),
        param(ALL, ['ETag: "w"'], ["weak"], id="a tag that was weakened on its way"),
        param(ALL, ['ETag: "z"'], [], id="4.3.4 another representation"),
        param(ALL, ['ETag: "z"', f"Last-Modified: {OLD}"], [], id="the tag decides"),
        param(ALL, [f"Last-Modified: {at(-9)}", f"Date: {at(0)}"], ["dated", "dated twin"],
              id="4.3.4 each with the strong date"),
        param(ALL, [f"Last-Modified: {at(-9)}"], ["dated"], id="4.3.4 weak date"),
        param(ALL, [], [], id="4.3.4 no validator, several stored"),
        param((STRONG,), [], ["strong"], id="no validator, one stored"),
    ],
)  # fmt: skip
def test_selected(found: tuple[StoredResponse, ...], lines: list[str], ids: list[str]) -> None:
    chosen = revalidation.selected(found, GET, resp(304, "", *lines))
    assert [one.id for one in chosen] == ids


@pytest.mark.parametrize("tag", ['ETag: W/"w"', f"Last-Modified: {at(-9)}"])
def test_a_weak_validator_of_all_variants_is_about_the_one_that_is_selected(tag: str) -> None:
    lines = ("max-age=60", "Vary: Accept-Encoding", tag)
    mine = stored(*lines, f"Date: {at(-5)}", to=BROTLI, body_id="mine")
    other = stored(*lines, to=GZIP, body_id="other")
    chosen = revalidation.selected((other, mine), BROTLI, resp(304, "", tag))
    assert [one.id for one in chosen] == ["mine"]


def freshened(before: StoredResponse, *lines: str, options: Options = OPTIONS) -> StoredResponse:
    head = resp(304, *lines)
    return revalidation.freshened(before, head, GET, options, LATER - 1, LATER)


@pytest.mark.parametrize(
    ("before", "update", "after"),
    [
        param(["A: 1", "B: 1"], ["B: 2"], ["A: 1", "B: 2"], id="3.2 replaced, others kept"),
        param(["B: 1", "B: 2"], ["B: 3", "B: 4"], ["B: 3", "B: 4"], id="3.2 every line"),
        param(["Content-Length: 9"], ["Content-Length: 8"], ["Content-Length: 9"],
              id="3.2 never the length"),
        param(["Content-Encoding: br"], ["Content-Encoding: x"], ["Content-Encoding: br"],
              id="3.2 never the coding"),
        param([], ["Content-Range: bytes 0-1/2"], [], id="3.2 never the range"),
        param(["A: 1", "B: 1"], ["B: 1"], ["A: 1", "B: 1"], id="3.2 nothing new but the date"),
        param(["A: 1"], ["Date: x"], ["A: 1", "Date: x"], id="3.2 every line, of Date too"),
        param(["Age: 9", "A: 1"], ["A: 1"], ["A: 1"], id="5.1 the old age goes, nothing is new"),
        param(["Age: 9"], ["Age: 9"], ["Age: 9"], id="5.1 the same age comes again"),
        param(["Content-Type: a/b"], ["Content-Type: c/d"], ["Content-Type: c/d"], id="3.2 type"),
        param(["Age: 9"], [], [], id="5.1 the old age goes"),
        param(["Age: 9"], ["Age: 1"], ["Age: 1"], id="5.1 the new age comes"),
        param(['ETag: W/"a"'], ['ETag: "a"'], ['ETag: W/"a"'], id="no tag becomes stronger"),
        param(['ETag: "a"'], ['ETag: "b"'], ['ETag: "b"'], id="a new tag"),
        param(["A: 1"], ['Cache-Control: no-cache="A"'], ['Cache-Control: no-cache="A"'],
              id="5.2.2.4 withheld from now on"),
    ],
)  # fmt: skip
def test_freshened_fields(before: list[str], update: list[str], after: list[str]) -> None:
    date = f"Date: {at(100)}"
    was = stored("", *before)
    assert freshened(was, "", *update, date).head.fields == fields(
        *(line for line in after if line not in update),
        *(line for line in update if line in after),
        date,
    )


def test_freshened_is_fresh_from_now_on() -> None:
    was = replace(held("Age: 50"), invalid=True)
    now = freshened(was, "max-age=5")
    assert (now.request_time, now.response_time, now.invalid) == (LATER - 1, LATER, False)
    assert now.head.fields.get("date") == at(100)
    assert (now.id, now.length, now.head.status) == (was.id, was.length, 200)


def test_freshened_twice_is_freshened_once() -> None:
    once = freshened(held("A: 1"), "max-age=5", "A: 2", "B: 1", f"Date: {at(100)}")
    assert freshened(once, "max-age=5", "A: 2", "B: 1", f"Date: {at(100)}") == once


@pytest.mark.parametrize(
    ("setting", "control", "cookie"),
    [
        param(SetCookie.RFC, "max-age=5", "new", id="rfc"),
        param(SetCookie.EXPLICIT, "max-age=5", "old", id="explicit: silent"),
        param(SetCookie.EXPLICIT, "s-maxage=5", "new", id="explicit: s-maxage"),
        param(SetCookie.NEVER, "public", "old", id="never"),
    ],
)
def test_cookies_do_not_come_in_by_the_back_door(
    setting: SetCookie, control: str, cookie: str
) -> None:
    options = Options(set_cookie=setting)
    now = freshened(held("Set-Cookie: old"), control, "Set-Cookie: new", options=options)
    assert now.head.fields.all("set-cookie") == (cookie,)


@pytest.mark.parametrize(
    ("vary", "selecting"),
    [
        param("", (("foo", "1"),), id="not said: as before"),
        param("Foo", (("foo", "1"),), id="as before: stored for the same"),
        param("foo", (("foo", "1"),), id="in another case"),
        param("Bar", (("bar", "2"), ("foo", "9")), id="more: for the request that asked"),
        param("*", (), id="*: may_store ends it"),
    ],
)
def test_vary_grows_and_never_shrinks(vary: str, selecting: tuple[tuple[str, str], ...]) -> None:
    was = stored("max-age=60", "Vary: Foo", to=get("Foo: 1"))
    head = resp(304, "", *([f"Vary: {vary}"] if vary else []))
    now = revalidation.freshened(was, head, get("Foo: 9", "Bar: 2"), OPTIONS, LATER, LATER)
    assert now.selecting == selecting


@pytest.mark.parametrize(
    ("held_vary", "vary", "kept"),
    [
        param("Foo, Bar", "Bar", "Foo, Bar", id="narrower"),
        param("Foo", "foo, Baz", "Foo, Baz", id="another one"),
        param("*", "Foo", "*, Foo", id="* stays"),
        param("Foo", "*", "Foo, *", id="* comes"),
        param("", "Foo", "Foo", id="none before"),
    ],
)
def test_the_vary_that_is_kept(held_vary: str, vary: str, kept: str) -> None:
    held_fields = fields(*([f"Vary: {held_vary}"] if held_vary else []), "Date: x")
    now = revalidation.updated_fields(held_fields, fields(f"Vary: {vary}"), OPTIONS, LATER)
    assert now.members("vary") == kept.split(", ")


def test_an_answer_to_another_origin_is_no_longer_for_the_first() -> None:
    allowed, tag = "Access-Control-Allow-Origin: http://{}.test", 'ETag: "a"'
    was = stored("max-age=60", allowed.format("a"), tag, to=get("Origin: http://a.test"))
    head = resp(304, "", allowed.format("b"), tag)
    now = revalidation.freshened(was, head, get("Origin: http://b.test"), OPTIONS, LATER, LATER)
    assert now.selecting == (("origin", "http://b.test"),)


@pytest.mark.parametrize(
    ("head", "invalid"),
    [
        param(resp(200, "max-age=5"), False, id="4.3.5 nothing speaks against it"),
        param(resp(200, "", 'ETag: "a"', f"Last-Modified: {OLD}", "Content-Length: 10"), False,
              id="4.3.5 all the same"),
        param(resp(200, "", 'ETag: "b"'), True, id="4.3.5 another tag"),
        param(resp(200, "", f"Last-Modified: {at(-1)}"), True, id="4.3.5 another date"),
        param(resp(200, "", "Content-Length: 11"), True, id="4.3.5 another length"),
        param(resp(200, "", "Content-Encoding: br"), True, id="another coding"),
        param(resp(404, ""), True, id="another status"),
    ],
)  # fmt: skip
def test_head_update(head: ResponseHead, invalid: bool) -> None:
    was = held('ETag: "a"', f"Last-Modified: {OLD}")
    now = revalidation.head_update(was, head, req(f"HEAD {URL}"), OPTIONS, LATER, LATER)
    assert now.invalid is invalid
    assert now.response_time == (NOW if invalid else LATER)


def test_head_speaks_of_the_complete_length() -> None:
    part = stored("max-age=60", 'ETag: "a"', "Content-Range: bytes 0-1/9", status=206, length=2)
    head = resp(200, "", "Content-Length: 9")
    now = revalidation.head_update(part, head, req(f"HEAD {URL}"), OPTIONS, LATER, LATER)
    assert not now.invalid


@pytest.mark.parametrize(
    ("lines", "update", "later", "news"),
    [
        param("max-age=60", [], 1, True, id="fresh again"),
        param("max-age=0", [], 1, False, id="stale again at once"),
        param("max-age=0", ["Date: " + at(1)], 1, False, id="but for the time"),
        param("max-age=0", [], 60, True, id="times, after a while"),
        param("max-age=0", ["X: 2"], 1, True, id="another value"),
        param("max-age=0", ["Y: 1"], 1, True, id="a field more"),
        param("max-age=0, stale-while-revalidate=9", [], 1, True, id="a window of its own"),
    ],
)
def test_what_is_worth_writing_down(
    lines: str, update: list[str], later: float, news: bool
) -> None:
    before = stored(lines, 'ETag: "a"', "X: 1")
    head, now = resp(304, "", *update), NOW + later
    after = revalidation.freshened(before, head, GET, OPTIONS, now, now)
    assert revalidation.is_news(before, after, OPTIONS, None, now) is news


def test_a_field_less_is_worth_writing_down() -> None:
    before, after = stored("max-age=0", "X: 1"), stored("max-age=0")
    assert revalidation.is_news(before, after, OPTIONS, None, NOW)


def test_what_was_invalid_is_worth_writing_down() -> None:
    before = replace(stored("max-age=0", 'ETag: "a"'), invalid=True)
    after = revalidation.freshened(before, resp(304), GET, OPTIONS, NOW + 1, NOW + 1)
    assert revalidation.is_news(before, after, OPTIONS, None, NOW + 1)


@pytest.mark.parametrize(
    ("head", "asked", "may"),
    [
        param(resp(304, "", TAG), [HAS], True, id="3 it has a validator"),
        param(resp(304), [HAS], True, id="15.4.5 the validator is left out"),
        param(resp(304), [f"If-Modified-Since: {OLD}"], True, id="15.4.5 the date is left out"),
        param(resp(304), ["If-None-Match: *"], False, id="13.1.2 no validator at all"),
        param(resp(304, "max-age=60"), ["If-None-Match: *"], True, id="3 a lifetime"),
        param(resp(304, "private", TAG), [HAS], False, id="5.2.2.7 private"),
        param(resp(304, "no-store", TAG), [HAS], False, id="5.2.2.5 no-store"),
        param(resp(304, "", TAG, "Vary: *"), [HAS], False, id="4.1 Vary"),
        param(resp(304, "", TAG), [HAS, "Cookie: a"], False, id="personal"),
        param(resp(304, "", TAG), [HAS, "Authorization: a"], False, id="3.5 Authorization"),
        param(resp(304, "public", TAG), [HAS, "Authorization: a"], True, id="3.5 public"),
        param(resp(304, "", TAG), [HAS, "Range: bytes=0-1"], False, id="for a part alone"),
    ],
)
def test_whether_what_the_client_has_may_be_stored(
    head: ResponseHead, asked: list[str], may: bool
) -> None:
    assert revalidation.whole_may_be_stored(get(*asked), head, OPTIONS, NOW) is may
    assert not revalidation.whole_may_be_stored(req(f"HEAD {URL}", *asked), head, OPTIONS, NOW)
