"""Fields: order, case and combination."""

import pytest

from proxy.semantics.fields import NO_FIELDS, Fields
from tests.support.build import fields

HELD = fields("Vary: a", "ETag: x", "VARY: b , c", "X:")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("etag", "x", id="5.1 names in any case"),
        pytest.param("vary", "a, b , c", id="5.3 lines combined in order"),
        pytest.param("x", "", id="5.5 empty value is present"),
        pytest.param("date", None, id="absent"),
    ],
)
def test_get(name: str, value: str | None) -> None:
    assert HELD.get(name) == value
    assert (name in HELD) is (value is not None)


def test_lines_stay_apart() -> None:
    assert HELD.all("vary") == ("a", "b , c")
    assert HELD.all("date") == ()


def test_members_of_all_lines() -> None:
    assert HELD.members("vary") == ["a", "b", "c"]
    assert HELD.members("date") == []


def test_a_quote_ends_with_its_line() -> None:
    assert fields('A: x="y', "A: z").members("a") == ['x="y', "z"]


def test_names_once_in_lower_case() -> None:
    assert list(HELD.names()) == ["vary", "etag", "x"]


def test_without() -> None:
    assert HELD.without({"vary"}) == fields("ETag: x", "X:")


def test_without_what_is_not_there_nothing_changes() -> None:
    assert HELD.without({"date"}) is HELD


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("etag", "x", id="any case"),
        pytest.param("vary", "a", id="the first line of several"),
        pytest.param("date", None, id="absent"),
    ],
)
def test_first(name: str, value: str | None) -> None:
    assert HELD.first(name) == value


@pytest.mark.parametrize(
    ("other", "names"),
    [
        pytest.param(HELD, set(), id="the same"),
        pytest.param(Fields(reversed(HELD.lines)), {"vary"}, id="5.3 order counts within a name"),
        pytest.param(fields("etag: x", "vary: a", "vary: b , c", "x:"), set(), id="case of names"),
        pytest.param(HELD.adding(("A", "b")), set(), id="what the other has more"),
        pytest.param(fields("ETag: X", "Vary: a", "X:"), {"etag", "vary"}, id="other values"),
        pytest.param(NO_FIELDS, {"etag", "vary", "x"}, id="none there"),
    ],
)
def test_differing(other: Fields, names: set[str]) -> None:
    assert Fields(HELD.lines).differing(other) == names


def test_replacing() -> None:
    assert HELD.replacing("vary", "d") == fields("ETag: x", "X:", "vary: d")


def test_adding_leaves_the_old_value_alone() -> None:
    assert HELD.adding(("A", "b")) == fields("Vary: a", "ETag: x", "VARY: b , c", "X:", "A: b")
    assert len(HELD) == 4


def test_value_semantics() -> None:
    same = Fields(iter(HELD))
    assert same == HELD
    assert hash(same) == hash(HELD)
    assert same != NO_FIELDS
    assert same != "Vary: a"
    assert repr(fields("A: b")) == "Fields([('A', 'b')])"
