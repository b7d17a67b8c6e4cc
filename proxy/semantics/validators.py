"""Validators (RFC 9110 §8.8): entity tags, their two comparisons, and when a date is strong.

An entity tag has no escapes (a backslash in it is a plain character), so lists of them are read
here and not with ``grammar.list_members``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.bounded import Memo
from proxy.semantics.dates import parse_date

if TYPE_CHECKING:
    from proxy.semantics.fields import Fields

# RFC 9110 §8.8.3: etagc is visible ASCII but the quote, or obs-text; "W/" has that very case.
_TAG: Final = r'(W/)?"([!#-~\x80-\xff]*+)"'
_ENTITY_TAG: Final = re.compile(_TAG)
_LIST_OF_TAGS: Final = re.compile(rf"[ \t,]*+{_TAG}(?:[ \t]*+,[ \t,]*+{_TAG})*+[ \t,]*+")


@dataclass(frozen=True, slots=True)
class ETag:
    """An entity tag; ``opaque`` without its quotes. ``str`` is the field value."""

    opaque: str
    weak: bool = False

    def __str__(self) -> str:
        return f'W/"{self.opaque}"' if self.weak else f'"{self.opaque}"'

    def matches_strongly(self, other: ETag) -> bool:
        """Strong comparison (§8.8.3.2): the same octets."""
        return self.opaque == other.opaque and not self.weak and not other.weak

    def matches_weakly(self, other: ETag) -> bool:
        """Weak comparison (§8.8.3.2): good enough in place of each other."""
        return self.opaque == other.opaque


def parse_etag(text: str) -> ETag | None:
    """The one entity tag that ``text`` is, None if it is none (unquoted, a list, ``*``)."""
    return _tags[text]


def _parsed(text: str) -> ETag | None:
    match = _ENTITY_TAG.fullmatch(text)
    return ETag(match[2], bool(match[1])) if match else None


# One validation reads the tag of what is stored and that of the answer several times.
_tags: Final = Memo("entity tags", _parsed, 2**18)


def parse_etags(text: str) -> tuple[ETag, ...] | None:
    """A list of entity tags as in If-Match and If-None-Match, None if it is none. ``*`` is none."""
    if not _LIST_OF_TAGS.fullmatch(text):
        return None
    return tuple(ETag(tag, bool(weak)) for weak, tag in _ENTITY_TAG.findall(text))


def entity_tag(fields: Fields) -> ETag | None:
    """The entity tag of a response, None without a valid ETag."""
    value = fields.get("etag")
    return None if value is None else parse_etag(value)


def is_strong_last_modified(fields: Fields) -> bool:
    """Whether Last-Modified can be used as a strong validator (§8.8.2.2).

    That is so if the Date of the response is at least one second later: then a change within the
    same second as the last one would have been seen.
    """
    modified = parse_date(fields.get("last-modified") or "")
    date = parse_date(fields.get("date") or "")
    return modified is not None and date is not None and date - modified >= 1


def strong_validator(fields: Fields) -> str | None:
    """The field value that may go into If-Range for this response (§13.1.5), None without any.

    Equal values mean the same octets: what RFC 9111 §3.4 asks of parts that are combined. A date
    serves only without an entity tag: a weak tag says that octets may differ within one date.
    """
    if "etag" in fields:
        tag = entity_tag(fields)
        return str(tag) if tag and not tag.weak else None
    return fields.get("last-modified") if is_strong_last_modified(fields) else None
