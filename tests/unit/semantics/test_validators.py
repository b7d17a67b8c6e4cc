"""Entity tags and the strength of validators."""

import pytest

from proxy.semantics.validators import (
    ETag,
    entity_tag,
    is_strong_last_modified,
    parse_etag,
    parse_etags,
    strong_validator,
)
from tests.support.build import fields


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        pytest.param('"a"', ETag("a"), id="8.8.3 strong"),
        pytest.param('W/"a"', ETag("a", weak=True), id="8.8.3 weak"),
        pytest.param('""', ETag(""), id="8.8.3 empty"),
        pytest.param(f'"{"a" * 200}"', ETag("a" * 200), id="long: not remembered"),
        pytest.param('"a,b\\c\xfc!~"', ETag("a,b\\c\xfc!~"), id="8.8.3 comma, backslash, obs-text"),
    ],
)
def test_etag(text: str, tag: ETag) -> None:
    assert parse_etag(text) == tag
    assert str(tag) == text


@pytest.mark.parametrize(
    "text",
    ["", "a", '"a', 'a"', 'w/"a"', 'W\\"a"', 'W"a"', '"a b"', '"a"b"', '"a", "b"', "*", '"a"\n'],
)
def test_no_etag(text: str) -> None:
    assert parse_etag(text) is None
    assert entity_tag(fields(f"ETag: {text}")) is None


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        pytest.param('"a"', (ETag("a"),), id="13.1.2 one"),
        pytest.param(
            '"a",W/"b" , "c"', (ETag("a"), ETag("b", weak=True), ETag("c")), id="13.1.2 several"
        ),
        pytest.param(', "a",, "b" ,', (ETag("a"), ETag("b")), id="5.6.1.2 empty members"),
        pytest.param('"a\\", "b"', (ETag("a\\"), ETag("b")), id="8.8.3 backslash is no escape"),
        pytest.param('"a, b"', None, id="8.8.3 no space inside"),
        pytest.param("*", None, id="asterisk is not a list"),
        pytest.param("", None, id="empty"),
        pytest.param('"a" "b"', None, id="no comma"),
        pytest.param('"a", b', None, id="one of them unquoted"),
    ],
)
def test_list_of_etags(text: str, tags: tuple[ETag, ...] | None) -> None:
    assert parse_etags(text) == tags


@pytest.mark.parametrize(
    ("one", "other", "strong", "weak"),
    [
        pytest.param('W/"1"', 'W/"1"', False, True, id="8.8.3.2 both weak"),
        pytest.param('W/"1"', 'W/"2"', False, False, id="8.8.3.2 different"),
        pytest.param('W/"1"', '"1"', False, True, id="8.8.3.2 one weak"),
        pytest.param('"1"', '"1"', True, True, id="8.8.3.2 both strong"),
    ],
)
def test_comparison(one: str, other: str, *, strong: bool, weak: bool) -> None:
    a, b = parse_etag(one), parse_etag(other)
    assert a is not None
    assert b is not None
    assert (a.matches_strongly(b), b.matches_strongly(a)) == (strong, strong)
    assert (a.matches_weakly(b), b.matches_weakly(a)) == (weak, weak)


MODIFIED = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"
SAME_SECOND = "Date: Sun, 06 Nov 1994 08:49:37 GMT"
NEXT_SECOND = "Date: Sun, 06 Nov 1994 08:49:38 GMT"


@pytest.mark.parametrize(
    ("lines", "strong"),
    [
        pytest.param((MODIFIED, NEXT_SECOND), True, id="8.8.2.2 a second later"),
        pytest.param((MODIFIED, SAME_SECOND), False, id="8.8.2.2 the same second"),
        pytest.param((MODIFIED,), False, id="8.8.2.2 no Date"),
        pytest.param((NEXT_SECOND,), False, id="8.8.2.2 no Last-Modified"),
        pytest.param(("Last-Modified: yesterday", NEXT_SECOND), False, id="8.8.2.2 no date at all"),
    ],
)
def test_strong_last_modified(lines: tuple[str, ...], *, strong: bool) -> None:
    assert is_strong_last_modified(fields(*lines)) is strong


@pytest.mark.parametrize(
    ("lines", "validator"),
    [
        pytest.param(('ETag: "a"', MODIFIED, NEXT_SECOND), '"a"', id="13.1.5 strong tag"),
        pytest.param(
            ('ETag: W/"a"', MODIFIED, NEXT_SECOND), None, id="13.1.5 weak tag beside a date"
        ),
        pytest.param(("ETag: a", MODIFIED, NEXT_SECOND), None, id="13.1.5 no tag beside a date"),
        pytest.param(
            (MODIFIED, NEXT_SECOND), "Sun, 06 Nov 1994 08:49:37 GMT", id="13.1.5 strong date"
        ),
        pytest.param((MODIFIED, SAME_SECOND), None, id="13.1.5 weak date"),
        pytest.param((), None, id="13.1.5 nothing"),
    ],
)
def test_strong_validator(lines: tuple[str, ...], validator: str | None) -> None:
    assert strong_validator(fields(*lines)) == validator
