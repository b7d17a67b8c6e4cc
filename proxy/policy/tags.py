"""Tags and groups: the names that an origin gives to sets of responses, to be rid of them at once.

Cache-Tag, Surrogate-Key and xkey are conventions of CDNs and Varnish and hold for all origins;
Cache-Groups (RFC 9875) are each origin's own. A group begins with what no tag can have.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxy.semantics.fields import Fields

# A tag has either no comma (Cache-Tag) or no space (the others).
GROUP: Final = "group, "

_MOST: Final = 100
_LONGEST: Final = 256  # octets

_NAMES: Final = frozenset({"cache-tag", "surrogate-key", "xkey", "cache-groups"})

# RFC 9651 §4.2: a String, then parameters of any kind, which RFC 9875 §2 has ignored.
_STRING: Final = r'"((?:[ !#-\[\]-~]|\\["\\])*+)"'
_BARE: Final = (
    r"(?:\?[01]|-?[0-9]{1,12}\.[0-9]{1,3}|@?-?[0-9]{1,15}|:[A-Za-z0-9+/=]*:|"
    r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*|\"(?:[ !#-\[\]-~]|\\[\"\\])*+\")"
)
_MEMBER: Final = re.compile(rf"{_STRING}(?:; *[a-z*][a-z0-9_\-.*]*+(?:={_BARE})?)*+")
_SEPARATOR: Final = re.compile(r"[ \t]*+,[ \t]*+(?!\Z)")
_QUOTED_PAIR: Final = re.compile(r"\\(.)")


def tags(fields: Fields) -> frozenset[str]:
    """The tags of a response, and its groups with ``GROUP`` before each: the first 100.

    What is longer than 256 octets is left out.
    """
    return frozenset() if _NAMES.isdisjoint(fields.names()) else _bounded(_tags(fields))


def invalidated_groups(fields: Fields) -> frozenset[str]:
    """The groups, as ``tags`` names them, that a response makes invalid (RFC 9875 §3).

    Only of its own origin, and only if the request's method is unsafe.
    """
    return _bounded(_groups(fields, "cache-group-invalidation"))


def _tags(fields: Fields) -> Iterator[str]:
    for value in fields.all("cache-tag"):
        yield from (tag for part in value.split(",") if (tag := part.strip(" \t")))
    for name in ("surrogate-key", "xkey"):
        for value in fields.all(name):
            yield from value.split()
    yield from _groups(fields, "cache-groups")


def _groups(fields: Fields, name: str) -> list[str]:
    """The members of a List of Strings; none if anything in it is something else."""
    text = (fields.get(name) or "").strip(" ")
    found: list[str] = []
    position = 0
    while position < len(text):
        if not (member := _MEMBER.match(text, position)):
            return []
        found.append(GROUP + _QUOTED_PAIR.sub(r"\1", member[1]))
        position = member.end()
        if position < len(text):
            if not (separator := _SEPARATOR.match(text, position)):
                return []
            position = separator.end()
    return found


def _bounded(found: Iterable[str]) -> frozenset[str]:
    limit = {True: _LONGEST + len(GROUP), False: _LONGEST}
    short = (tag for tag in found if len(tag) <= limit[tag.startswith(GROUP)])
    return frozenset(islice(dict.fromkeys(short), _MOST))
