"""Field syntax: lists and tokens."""

import pytest

from proxy.semantics.grammar import is_token, list_members


@pytest.mark.parametrize(
    ("value", "members"),
    [
        pytest.param("", [], id="5.6.1 empty"),
        pytest.param("a, b,c", ["a", "b", "c"], id="5.6.1 spaces optional"),
        pytest.param(",, a ,\t, b,", ["a", "b"], id="5.6.1.2 empty members"),
        pytest.param('a="x, y", b', ['a="x, y"', "b"], id="5.6.4 comma in quotes"),
        pytest.param('a="", b', ['a=""', "b"], id="5.6.4 empty string"),
        pytest.param(r'a="x\", y", b', [r'a="x\", y"', "b"], id="5.6.4 escaped quote"),
        pytest.param(r'a="x\\", b', [r'a="x\\"', "b"], id="5.6.4 escaped backslash"),
        pytest.param(r'a\, "b"', ["a\\", '"b"'], id="5.6.4 backslash outside quotes is plain"),
        pytest.param(
            '"a, b"c"d, e", f', ['"a, b"c"d, e"', "f"], id="5.6.4 two strings in one member"
        ),
        pytest.param(', "a" ,, "b,"', ['"a"', '"b,"'], id="5.6.1.2 empty members beside quotes"),
        pytest.param('x="y, no-store', ['x="y', "no-store"], id="unclosed quote hides nothing"),
        pytest.param(
            '"a,b", x="y, z', ['"a,b"', 'x="y', "z"], id="unclosed quote after a closed one"
        ),
        pytest.param('a, "b, c\\', ["a", '"b', "c\\"], id="unclosed quote with a last backslash"),
        pytest.param('"', ['"'], id="quote alone"),
        pytest.param('"\\"', ['"\\"'], id="quote closed by an escape is unclosed"),
    ],
)
def test_list_members(value: str, members: list[str]) -> None:
    assert list_members(value) == members


@pytest.mark.parametrize("text", ['"' + '\\"' * 200_000 + "\\", '"' * 400_001, 'a"' * 200_001])
def test_list_members_in_linear_time(text: str) -> None:
    # Of quadratic time this would be minutes: the test's own time limit is the assertion.
    assert list_members(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("!#$%&'*+-.^_`|~09azAZ", True, id="5.6.2 every kind of tchar"),
        pytest.param("", False, id="5.6.2 empty"),
        pytest.param("a b", False, id="5.6.2 space"),
        pytest.param('a"', False, id="5.6.2 quote"),
        pytest.param("a\n", False, id="5.6.2 line end"),
        pytest.param("\xe9", False, id="5.6.2 obs-text"),
        pytest.param("\u212a", False, id="5.6.2 Kelvin sign"),
    ],
)
def test_token(text: str, *, expected: bool) -> None:
    assert is_token(text) is expected
