"""Two values of a selecting field are equal only where its grammar says so (RFC 9111 §4.1).

The grammars are read here a second time, member by member and without a pattern.
"""

import string
from collections.abc import Iterator

from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.policy.keys import selecting
from proxy.semantics.fields import Fields

law = settings(max_examples=400, derandomize=True, deadline=None)

TCHARS = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~")
NAMES = ("accept", "accept-language", "accept-encoding", "accept-charset", "x-a")
PIECES = (
    *("en", "EN", "de", "a/b", "A/b", "*/*", "*", "gzip", "br", "e n", "", "1"),
    *(",", ", ", " ,", "\t,", ",,", ";", "; ", " ;", "=", '"', "\\", " "),
    *("q=1", "q=0.5", "q=0.50", "Q=0", "q=2", "c=d", "c=D", 'c="d"', 'c="d,e"', 'c="d, e"'),
)
MEMBERS = ("en", "EN ", "de;q=0.5", "de ;q=0.50", "a/b", "a/b;c=d", 'a/b;c="d,e"', "gzip", "br;q=1")
VALUES = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
    st.builds(str.join, st.sampled_from([",", ", ", " , "]), st.lists(st.sampled_from(MEMBERS))),
)
LINES = st.lists(VALUES, max_size=2)


def members(value: str) -> Iterator[str]:
    """Split at commas outside quotes."""
    start, quoted, escaped = 0, False, False
    for place, char in enumerate(value):
        if escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            yield value[start:place].strip(" \t")
            start = place + 1
    yield value[start:].strip(" \t")


def is_token(text: str) -> bool:
    return bool(text) and TCHARS.issuperset(text)


def weight(text: str) -> float | None:
    if text[:2].lower() != "q=" or text[2:3] not in {"0", "1"}:
        return None
    rest = text[3:]
    if rest and not (rest[0] == "." and len(rest) <= 4 and set(rest[1:]) <= set(string.digits)):
        return None
    number = float(text[2:])
    return number if number <= 1 else None


def weighted(name: str, member: str) -> tuple[str, float] | None:
    said, semicolon, rest = member.partition(";")
    said = said.rstrip(" \t").lower()
    if name == "accept-language":
        tags = said.split("-")
        first = tags[0].isascii() and tags[0].isalpha()
        rest_of = all(tag.isascii() and tag.isalnum() for tag in tags[1:])
        valid = said == "*" or (first and rest_of and all(1 <= len(tag) <= 8 for tag in tags))
    else:
        valid = is_token(said)
    number = weight(rest.lstrip(" \t")) if semicolon else 1.0
    return (said, number) if valid and number is not None else None


def is_media_range(member: str) -> bool:
    """One whose quotes all close, with none outside a parameter's value."""
    kind, *parameters = outside_quotes(member, ";")
    main, slash, sub = kind.rstrip(" \t").partition("/")
    if not (slash and is_token(main) and is_token(sub)):
        return False
    for each in parameters:
        text = each.strip(" \t")
        name, equals, value = text.partition("=")
        if not equals or not is_token(name):
            return False
        if name.lower() == "q":
            if weight(text) is None:
                return False
        elif not (is_token(value) or is_quoted(value)):
            return False
    return not member.endswith((" ", "\t"))


def outside_quotes(text: str, at: str) -> list[str]:
    found, quoted, escaped = [""], False, False
    for char in text:
        if char == at and not quoted:
            found.append("")
            continue
        found[-1] += char
        if escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
    return found


def is_quoted(value: str) -> bool:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return False
    inner, place = value[1:-1], 0
    while place < len(inner):
        if inner[place] == '"':
            return False
        place += 2 if inner[place] == "\\" else 1
    return place == len(inner)


def meant(name: str, lines: list[str]) -> object:
    """What a strict reader takes the field for; what it cannot read is only like itself."""
    if not lines:
        return None
    value = ", ".join(lines).strip(" \t")
    found = list(members(value))
    if name == "accept":
        return tuple(found) if all(map(is_media_range, found)) else value
    pairs = [pair for each in found if (pair := weighted(name, each)) is not None]
    if name == "x-a" or len(pairs) < len(found) or len(dict(pairs)) < len(pairs):
        return value
    return frozenset(pairs)


@law
@given(st.sampled_from(NAMES), LINES, LINES)
@example("accept", ["x/1,,y"], ["x/1,y"])
@example("accept-language", ["e n"], ["en"])
@example("accept-language", ["en, de"], ["de, en"])
@example("accept-encoding", ["gzip;q=0, gzip"], ["gzip, gzip;q=0"])
@example("x-a", ["id=1,"], ["id=1"])
@example("x-a", ["a", ""], ["a"])
@example("x-a", ["a", "b"], ["a, b"])
@example("accept", ['a/b;c="d , e', "f/g"], ['a/b;c="d , e,f/g'])
def test_equal_only_where_the_grammar_says_so(name: str, one: list[str], other: list[str]) -> None:
    first = selecting([name], Fields((name, value) for value in one))
    second = selecting([name], Fields((name, value) for value in other))
    if first == second:
        assert meant(name, one) == meant(name, other)


@law
@given(st.sampled_from(NAMES), st.lists(st.sampled_from(MEMBERS), min_size=1, max_size=3))
def test_whitespace_at_the_ends_never_matters(name: str, listed: list[str]) -> None:
    value = ", ".join(listed)
    plain, padded = (Fields([(name, text)]) for text in (value, f" \t{value}\t "))
    assert selecting([name], plain) == selecting([name], padded)
