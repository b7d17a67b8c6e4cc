"""Preconditions in the order of RFC 9110 §13.2.2."""

import pytest

from proxy.semantics.preconditions import Evaluation, NotModified, Proceed, evaluate
from tests.support.build import req, resp

BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"
NOW = 784200000.0

HELD = ("", 'ETag: "a"', f"Last-Modified: {MODIFIED}", f"Date: {AFTER}")
WEAK = ("", 'ETag: W/"a"')
DATED = ("", f"Date: {MODIFIED}")
BARE = ("",)

PROCEED, NOT_MODIFIED = Proceed(), NotModified()


@pytest.mark.parametrize(
    ("held", "asked", "expected"),
    [
        pytest.param(HELD, (), PROCEED, id="none"),
        pytest.param(HELD, ('If-Match: "b"',), PROCEED, id="9111-4.3.2 If-Match is the origin's"),
        pytest.param(
            HELD, (f"If-Unmodified-Since: {BEFORE}",), PROCEED, id="9111-4.3.2 and so is this"
        ),
        pytest.param(HELD, ('If-None-Match: "a"',), NOT_MODIFIED, id="13.1.2 If-None-Match"),
        pytest.param(HELD, ('If-None-Match: "b" ,"a"',), NOT_MODIFIED, id="13.1.2 one of several"),
        pytest.param(
            HELD, ('If-None-Match: "b"', 'If-None-Match: "a"'), NOT_MODIFIED, id="13.1.2 lines"
        ),
        pytest.param(
            HELD, ('If-None-Match: W/"a"',), NOT_MODIFIED, id="13.1.2 weak comparison, theirs"
        ),
        pytest.param(
            WEAK, ('If-None-Match: "a"',), NOT_MODIFIED, id="13.1.2 weak comparison, ours"
        ),
        pytest.param(HELD, ("If-None-Match: *",), NOT_MODIFIED, id="13.1.2 anything"),
        pytest.param(
            BARE, ("If-None-Match: *",), NOT_MODIFIED, id="13.1.2 anything, without a tag"
        ),
        pytest.param(HELD, ('If-None-Match: "b"',), PROCEED, id="13.1.2 another"),
        pytest.param(HELD, ('If-None-Match: "b", a',), PROCEED, id="13.1.2 no list of tags"),
        pytest.param(BARE, ('If-None-Match: "a"',), PROCEED, id="13.1.2 no tag to match"),
        pytest.param(
            HELD, (f"If-Modified-Since: {MODIFIED}",), NOT_MODIFIED, id="13.1.3 same time"
        ),
        pytest.param(HELD, (f"If-Modified-Since: {AFTER}",), NOT_MODIFIED, id="13.1.3 later"),
        pytest.param(HELD, (f"If-Modified-Since: {BEFORE}",), PROCEED, id="13.1.3 earlier"),
        pytest.param(HELD, ("If-Modified-Since: never",), PROCEED, id="13.1.3 no date"),
        pytest.param(
            HELD,
            (f"If-Modified-Since: {AFTER}", f"If-Modified-Since: {AFTER}"),
            PROCEED,
            id="13.1.3 two members",
        ),
        pytest.param(
            HELD,
            ("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT",),
            NOT_MODIFIED,
            id="13.1.3 RFC 850",
        ),
        pytest.param(
            DATED, (f"If-Modified-Since: {AFTER}",), NOT_MODIFIED, id="9111-4.3.2 Date instead"
        ),
        pytest.param(
            DATED, (f"If-Modified-Since: {BEFORE}",), PROCEED, id="9111-4.3.2 earlier than Date"
        ),
        pytest.param(BARE, (f"If-Modified-Since: {AFTER}",), PROCEED, id="9111-4.3.2 neither date"),
        pytest.param(
            ("", "Last-Modified: never", f"Date: {MODIFIED}"),
            (f"If-Modified-Since: {AFTER}",),
            PROCEED,
            id="9111-4.3.2 Date is not for a bad Last-Modified",
        ),
        pytest.param(
            HELD,
            ('If-None-Match: "b"', f"If-Modified-Since: {AFTER}"),
            PROCEED,
            id="13.2.2 If-None-Match beats a later date",
        ),
        pytest.param(
            HELD,
            ('If-None-Match: "a"', f"If-Modified-Since: {BEFORE}"),
            NOT_MODIFIED,
            id="13.2.2 If-None-Match beats an earlier date",
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_evaluate(
    method: str, held: tuple[str, ...], asked: tuple[str, ...], expected: Evaluation
) -> None:
    request = req(f"{method} http://a.example/", *asked)
    assert evaluate(request, resp(200, *held), NOW) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param('If-None-Match: "a"', PROCEED, id="13.1.2 the origin has done it"),
        pytest.param(f"If-Modified-Since: {AFTER}", PROCEED, id="13.1.3 is for GET and HEAD"),
    ],
)
def test_other_methods(asked: str, expected: Evaluation) -> None:
    assert evaluate(req("PUT http://a.example/", asked), resp(200, *HELD), NOW) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(203, NOT_MODIFIED, id="13.2.1 any success"),
        pytest.param(299, NOT_MODIFIED, id="13.2.1 an unknown success too"),
        pytest.param(300, PROCEED, id="13.2.1 redirection"),
        pytest.param(404, PROCEED, id="13.2.1 error"),
    ],
)
def test_only_of_successes(status: int, expected: Evaluation) -> None:
    request = req("GET http://a.example/", 'If-None-Match: "a"')
    assert evaluate(request, resp(status, *HELD), NOW) == expected
