"""Cache directives: Cache-Control (RFC 9111 §5.2), Pragma (§5.4), targeted fields (RFC 9213).

What is malformed never makes a response more reusable: an age that is no number is 0, a
restriction counts in whatever form it came. Blanks around the number of an age leave it that one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.bounded import Memo
from proxy.semantics.grammar import list_members

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxy.semantics.fields import Fields

# RFC 9111 §1.2.2: what does not fit is 2^31.
MAX_DELTA: Final = 2**31

Value = str | int | bool | None
Directive = tuple[str, Value]

_TCHARS: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_DIRECTIVE: Final = re.compile(rf'({_TCHARS})(?:=(?:({_TCHARS})|"((?:[^"\\]|\\.)*)"))?', re.DOTALL)
# Some clients and origins write ``max-age = 750``. Not so for names of fields: what is forgiven
# there would be a restriction less.
_SPACED_AGE: Final = re.compile(
    r"(max-age|s-maxage|max-stale|min-fresh|stale-while-revalidate|stale-if-error)"
    r'[ \t]*=[ \t]*(?:([0-9]+)|"([0-9 \t]*)")',
    re.ASCII | re.IGNORECASE,
)
_NAME: Final = re.compile(_TCHARS)
_DIGITS: Final = re.compile(r"[0-9]+")
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)

# Structured Fields (RFC 9651 §3): one member of a Dictionary, its value and its parameters.
_KEY: Final = r"[a-z*][a-z0-9_\-.*]*"
_INTEGER: Final = r"-?[0-9]{1,15}"
_STRING: Final = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
_OTHER: Final = (
    r"-?[0-9]{1,12}\.[0-9]{1,3}|@-?[0-9]{1,15}|:[A-Za-z0-9+/=]*:|"
    r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*"
)
_BARE: Final = rf"(?:\?[01]|{_OTHER}|{_INTEGER}|{_STRING})"
_PARAMETERS: Final = rf"(?:; *{_KEY}(?:={_BARE})?)*"
_INNER: Final = rf"\( *(?:{_BARE}{_PARAMETERS}(?: +{_BARE}{_PARAMETERS})*)? *\)"
_MEMBER: Final = re.compile(
    rf"({_KEY})(?:=(?:\?([01])|({_OTHER}|{_INNER})|({_INTEGER})|({_STRING})))?{_PARAMETERS}"
)
_SEPARATOR: Final = re.compile(r"[ \t]*,[ \t]*")

_AGES: Final = frozenset({"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"})
_LISTS: Final = frozenset({"no-cache", "private"})
_FLAGS: Final = frozenset(
    {"no-store", "public", "must-revalidate", "proxy-revalidate", "must-understand"}
)
# Without these a stored response is not what it was: to withhold one is to withhold all (§5.2.2.4
# and §5.2.2.7 let a cache take the qualified form for the unqualified one).
_GOVERNING: Final = frozenset(
    {"age", "cache-control", "content-encoding", "content-range", "content-type"}
    | {"date", "expires", "vary"}
)


@dataclass(frozen=True, slots=True)
class RequestDirectives:
    """What a request asks of caches (§5.2.1). Seconds; ``max_stale`` is 2^31 for any staleness."""

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    max_stale: int = 0
    min_fresh: int = 0
    stale_if_error: int | None = None


@dataclass(frozen=True, slots=True)
class ResponseDirectives:
    """What a response says to a shared cache (§5.2.2; RFC 5861). Ages are seconds.

    ``no_cache`` and ``private`` are the unqualified forms; ``withheld`` holds, in lower case, the
    fields that the qualified forms name. ``targeted``: they come from a targeted field, so that
    Expires does not count (RFC 9213 §2.2). ``extensions`` are the names that are unknown here.
    """

    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
    no_cache: bool = False
    private: bool = False
    no_store: bool = False
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    withheld: frozenset[str] = frozenset()
    targeted: bool = False
    extensions: frozenset[str] = frozenset()


NO_REQUEST_DIRECTIVES: Final = RequestDirectives()


def delta_seconds(text: str) -> int | None:
    """§1.2.2: at most 2^31; None for what is no row of digits."""
    if not _DIGITS.fullmatch(text):
        return None
    digits = text.lstrip("0") or "0"
    return min(int(digits), MAX_DELTA) if len(digits) <= 10 else MAX_DELTA


def parse_request_directives(fields: Fields) -> RequestDirectives:
    """The directives of a request; a smaller age, and a larger min-fresh, wins a repetition."""
    if "cache-control" not in fields:
        return _pragma(fields) if "pragma" in fields else NO_REQUEST_DIRECTIVES
    ages: dict[str, int] = {}
    flags: set[str] = set()
    for name, value in _directives(fields.all("cache-control")):
        flags.add(name)
        seconds = _seconds(value)
        if name == "max-stale" and value is None:
            seconds = MAX_DELTA
        pick = max if name == "min-fresh" else min
        ages[name] = pick(seconds, ages.get(name, seconds))
    return RequestDirectives(
        no_cache="no-cache" in flags,
        no_store="no-store" in flags,
        only_if_cached="only-if-cached" in flags,
        max_age=ages.get("max-age"),
        max_stale=ages.get("max-stale", 0),
        min_fresh=ages.get("min-fresh", 0),
        stale_if_error=ages.get("stale-if-error"),
    )


def _pragma(fields: Fields) -> RequestDirectives:
    # §5.4: it counts only where there is no Cache-Control.
    no_cache = any(member.lower() == "no-cache" for member in fields.members("pragma"))
    return RequestDirectives(no_cache=True) if no_cache else NO_REQUEST_DIRECTIVES


def parse_response_directives(fields: Fields, targeted: tuple[str, ...] = ()) -> ResponseDirectives:
    """The directives of a response, of the first of the ``targeted`` fields that is usable."""
    for name in targeted:
        members = _dictionary(fields.get(name.lower()) or "")
        if members:
            return _response_directives(members, targeted=True)
    lines = fields.all("cache-control")
    return _remembered[lines]


def _of_lines(lines: tuple[str, ...]) -> ResponseDirectives:
    return _response_directives(_directives(lines), targeted=False)


# Origins say the same few things again and again.
_remembered: Final = Memo(
    "response directives", _of_lines, 2**19, longest=256, each=300, per_octet=22
)


def _response_directives(found: Iterable[Directive], *, targeted: bool) -> ResponseDirectives:
    ages: dict[str, int] = {}
    flags: set[str] = set()
    withheld: set[str] = set()
    extensions: set[str] = set()
    for name, value in found:
        if name in _AGES:
            # §4.2.1: of conflicting ages the smaller; an invalid one makes the response stale.
            seconds = _seconds(value)
            ages[name] = min(seconds, ages.get(name, seconds))
        elif name in _LISTS and (names := _field_names(value)) and not names & _GOVERNING:
            withheld |= names
        elif name in _FLAGS or name in _LISTS:
            flags.add(name)
        else:
            extensions.add(name)
    return ResponseDirectives(
        max_age=ages.get("max-age"),
        s_maxage=ages.get("s-maxage"),
        stale_while_revalidate=ages.get("stale-while-revalidate"),
        stale_if_error=ages.get("stale-if-error"),
        no_cache="no-cache" in flags,
        private="private" in flags,
        no_store="no-store" in flags,
        public="public" in flags,
        must_revalidate="must-revalidate" in flags,
        proxy_revalidate="proxy-revalidate" in flags,
        must_understand="must-understand" in flags,
        withheld=frozenset(withheld),
        targeted=targeted,
        extensions=frozenset(extensions),
    )


def _directives(lines: Iterable[str]) -> Iterator[Directive]:
    """Lower-case names and values; a value is None without ``=`` and "" when malformed."""
    for line in lines:
        for member in list_members(line):
            if match := _DIRECTIVE.fullmatch(member) or _SPACED_AGE.fullmatch(member):
                name, token, quoted = match.groups()
                value = token if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
                yield name.lower(), value
            else:
                yield from _malformed(member)


def _malformed(member: str) -> Iterator[Directive]:
    # A quote that is never closed must not swallow a no-store that stands after it, nor a control
    # octet one that it stands before.
    for piece in member.split(","):
        if match := _NAME.search(piece):
            yield match[0].lower(), ""


def _seconds(value: Value) -> int:
    """An age; 0 for what is none."""
    if isinstance(value, str):
        return delta_seconds(value.strip(" \t")) or 0
    return min(max(0, value or 0), MAX_DELTA)


def _field_names(value: Value) -> frozenset[str]:
    """The fields that ``no-cache="a, b"`` names, in lower case; none when it is unqualified."""
    names = list_members(value) if isinstance(value, str) else []
    lower = frozenset(name.lower() for name in names)
    return lower if all(_NAME.fullmatch(name) for name in lower) else frozenset()


def _dictionary(text: str) -> list[Directive]:
    """The members of a Dictionary (RFC 9651 §4.2.2), none when any is invalid or of a wrong type.

    A member that is false is left out: it says that the directive is not there.
    """
    members: dict[str, Value] = {}
    text = text.strip(" ")
    position = 0
    while position < len(text):
        if not (match := _MEMBER.match(text, position)):
            return []
        name = match[1]
        position = match.end()
        if position < len(text):
            separator = _SEPARATOR.match(text, position)
            if separator is None or separator.end() == len(text):
                return []
            position = separator.end()
        value = _structured(match)
        if not _well_typed(name, value):
            return []
        members[name] = value
    return [(name, value) for name, value in members.items() if value is not False]


def _structured(member: re.Match[str]) -> Value:
    _, boolean, other, integer, string = member.groups()
    if integer is not None:
        return int(integer)
    if string is not None:
        return _QUOTED_PAIR.sub(r"\1", string[1:-1])
    return boolean != "0" if other is None else other


def _well_typed(name: str, value: Value) -> bool:
    # RFC 9213 §2.1: delta-seconds are Integers, directives without arguments are Booleans.
    return type(value) is int if name in _AGES else name not in _FLAGS or type(value) is bool
