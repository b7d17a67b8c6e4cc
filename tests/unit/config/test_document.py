"""The line of each key, whatever stands between."""

from pathlib import Path

import pytest

from proxy.config.document import Document, parse, read
from proxy.config.problems import ConfigError

param = pytest.param

TEXT = '''# [not.a.table]
[server]
listen = [
    "a]",  # it's ] and "
    'b[',
]
after = 1
"quoted key" = 2
[cache]  # comment = [
dir = """
[x]
y = 1 \\"""
z"""
next.'dotted' . bare = { a = [1, 2], b = "}" }
literal = \'\'\'
[z]\'\'\'
last = 'it''s' # '''

TEXT = TEXT.replace("'it''s' # ", "'its' # done")


@pytest.mark.parametrize(
    ("place", "line"),
    [
        param(("server",), 2, id="table"),
        param(("server", "listen"), 3, id="array over lines"),
        param(("server", "after"), 7, id="after brackets in strings and comments"),
        param(("server", "quoted key"), 8, id="quoted key"),
        param(("cache",), 9, id="table with a comment"),
        param(("cache", "dir"), 10, id="string over lines"),
        param(("cache", "next", "dotted", "bare"), 14, id="dotted key"),
        param(("cache", "next", "dotted", "bare", "a"), 14, id="inside an inline table"),
        param(("cache", "literal"), 15, id="literal string over lines"),
        param(("cache", "last"), 17, id="last line"),
        param(("cache", "absent"), 9, id="absent: its table"),
    ],
)
def test_lines(place: tuple[str, ...], line: int) -> None:
    assert parse(TEXT, "c.toml").where(*place) == f"c.toml:{line}"


def test_arrays_of_tables_have_a_line_each() -> None:
    document = parse('[[rules]]\nmatch = "a"\n\n[[rules]]\nmatch = "b"\n[other]\n', "c.toml")
    assert document.where("rules", 0) == "c.toml:1"
    assert document.where("rules", 0, "match") == "c.toml:2"
    assert document.where("rules", 1) == "c.toml:4"
    assert document.where("rules", 1, "match") == "c.toml:5"
    assert document.where("other") == "c.toml:6"


def test_an_unknown_place_is_the_file() -> None:
    assert Document("c.toml", {}, {}).where("x") == "c.toml"


def test_windows_line_ends_and_a_byte_order_mark() -> None:
    document = parse("\ufeff[server]\r\nx = 1\r\ny = 2\r\n", "c.toml")
    assert document.values == {"server": {"x": 1, "y": 2}}
    assert document.where("server", "y") == "c.toml:3"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        param("[server]\nlisten = \n", "c.toml:2", id="no value"),
        param("[server\n", "c.toml:1", id="no bracket"),
        param("a = 1\na = 2\n", "c.toml:2", id="twice"),
        param('a = 1\nb = """', "c.toml:2", id="end of document"),
    ],
)
def test_what_is_not_toml_is_told_with_its_line(text: str, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "c.toml")
    (problem,) = caught.value.problems
    assert problem.where == where
    assert problem.text.startswith("this is not TOML: ")
    assert "at line" not in problem.text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        param(None, "cannot be read: No such file or directory", id="absent"),
        param(b"\xff", "cannot be read: it is not UTF-8", id="not UTF-8"),
    ],
)
def test_what_cannot_be_read(content: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        read(path)
