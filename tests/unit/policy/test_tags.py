"""Tags and groups of responses (RFC 9875; Cache-Tag, Surrogate-Key, xkey by convention)."""

import pytest

from proxy.policy.tags import GROUP, invalidated_groups, tags
from tests.support.build import fields

param = pytest.param


def group(*names: str) -> set[str]:
    return {GROUP + name for name in names}


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        param(["Content-Type: a/b"], set(), id="none"),
        param(["Cache-Tag: a, b,,c d ,"], {"a", "b", "c d"}, id="Cache-Tag: commas"),
        param(["cache-tag: a", "Cache-Tag: b"], {"a", "b"}, id="several lines"),
        param(["Surrogate-Key: a  b,c\td"], {"a", "b,c", "d"}, id="Surrogate-Key: spaces"),
        param(["xkey: a b", "xkey: b c"], {"a", "b", "c"}, id="xkey: spaces, each once"),
        param(["Cache-Tag: A, a"], {"A", "a"}, id="case matters"),
        param(['Cache-Groups: "a", "b c"'], group("a", "b c"), id="9875 2 a List of Strings"),
        param(['Cache-Groups: "a"', 'Cache-Groups: "b"'], group("a", "b"), id="over two lines"),
        param(['Cache-Groups: "a" ,\t"b"'], group("a", "b"), id="9651 4.2.1 OWS"),
        param([r'Cache-Groups: "a\"\\b,"'], group('a"\\b,'), id="9651 4.2.5 escapes"),
        param(['Cache-Groups: "a";x=1;y;z="q,";t=t/o:k;u=?1;v=:Zg==:;w=1.5;d=@-1, "b"'],
              group("a", "b"), id="9875 2 parameters are ignored"),
        param(['Cache-Groups: ""'], group(""), id="an empty name"),
        param(["Cache-Groups:"], set(), id="an empty List"),
        param(['Cache-Groups: "a", b'], set(), id="9651 4.2 a Token spoils all"),
        param(['Cache-Groups: "a", 1'], set(), id="an Integer"),
        param(['Cache-Groups: ("a")'], set(), id="an Inner List"),
        param(['Cache-Groups: "a",'], set(), id="9651 4.2.1 a comma at the end"),
        param(['Cache-Groups: "a" "b"'], set(), id="no comma"),
        param(['Cache-Groups: "a'], set(), id="not closed"),
        param(['Cache-Groups: "a\xe9"'], set(), id="9651 4.2.5 beyond ASCII"),
        param([r'Cache-Groups: "a\b"'], set(), id="a foreign escape"),
        param(['Cache-Groups: "x"', "Cache-Tag: x", "xkey: y"], {"x", "y", GROUP + "x"},
              id="groups and tags do not mix"),
        param([f"Cache-Tag: {GROUP}x", f"xkey: {GROUP}x"], {"group", "x", "group,"},
              id="no tag is a group"),
        param([f"Cache-Tag: {'a' * 256}, {'b' * 257}"], {"a" * 256}, id="256 octets"),
        param([f'Cache-Groups: "{"a" * 256}", "{"b" * 257}"'], group("a" * 256),
              id="256 octets of a group"),
    ],
)  # fmt: skip
def test_tags(lines: list[str], found: set[str]) -> None:
    assert tags(fields(*lines)) == found


def test_the_first_hundred() -> None:
    many = " ".join(f"t{number}" for number in range(300))
    assert tags(fields(f"xkey: t0 t0 {many}")) == {f"t{number}" for number in range(100)}


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        param(['Cache-Groups: "a"'], set(), id="9875 3 another field"),
        param(['Cache-Group-Invalidation: "a", "b";x'], group("a", "b"), id="9875 3"),
        param(["Cache-Group-Invalidation: a"], set(), id="no String"),
    ],
)
def test_invalidated_groups(lines: list[str], found: set[str]) -> None:
    assert invalidated_groups(fields(*lines)) == found
