"""What can be asked of the catalogue: pages of entries, and selections of keys, as SQL.

Host and prefix are ranges of keys, as a key begins with the one and the other. The rest are
conditions, each with a hash first that SQLite finds in the index of any order; what they mean is
compared in full.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple

import msgspec

from proxy.policy import tags
from proxy.store.catalogue_rows import (
    chain_of,
    hash_of,
    host_of,
    kind_of,
    kinds_of,
    storable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST: Final = 1000

# The column of each order, and whether it runs against it: the least age was stored last.
ORDERS: Final = {
    "used": ("used", False),
    "size": ("octets", False),
    "age": ("stored", True),
    "hits": ("hits", False),
    "expires": ("fresh_until", False),
    "url": ("key", False),
}


@dataclass(frozen=True, slots=True)
class Query:
    """Which entries, in which order, from where. Raises ValueError with a sentence.

    ``host`` is a name, for all of its ports, or one with a port. ``q`` is part of the URL, in
    whatever case. ``type`` is a media type or like ``text/*``, ``coding`` a Content-Encoding or
    "identity", ``tag`` one of ``policy.tags``. ``cursor`` is a page's, of a query that differs in
    ``limit`` alone.
    """

    host: str = ""
    q: str = ""
    prefix: str = ""
    state: Literal["", "fresh", "stale"] = ""
    type: str = ""
    coding: str = ""
    tag: str = ""
    sort: Literal["used", "size", "age", "hits", "expires", "url"] = "used"
    descending: bool = True
    limit: int = 100
    cursor: str = ""

    def __post_init__(self) -> None:
        if self.sort not in ORDERS:
            raise ValueError(f"sort is one of {', '.join(ORDERS)}")
        if self.state not in {"", "fresh", "stale"}:
            raise ValueError("state is fresh or stale")
        if not 1 <= self.limit <= MOST:
            raise ValueError(f"limit is from 1 to {MOST}")


@dataclass(frozen=True, slots=True)
class Url:
    url: str


@dataclass(frozen=True, slots=True)
class Prefix:
    prefix: str


@dataclass(frozen=True, slots=True)
class Host:
    """A name, for all of its ports, or one with a port."""

    host: str


@dataclass(frozen=True, slots=True)
class Glob:
    """As a rule's ``match``; whoever counts or asks for keys gets its ValueError."""

    glob: str


@dataclass(frozen=True, slots=True)
class Tag:
    """One of ``policy.tags``; a group only with the ``origin`` it is of, such as http://a.example"""

    tag: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Everything:
    pass


def only(key: str) -> Query:
    """The entry of that key is the first on the page, if there is one."""
    return Query(prefix=key, sort="url", descending=False, limit=1)


Selector = Url | Prefix | Host | Glob | Tag | Everything

_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Position = tuple[str | float | _Integer, _Integer]  # the value of the order's column, and the id
Range = tuple[str, str | None]  # from a key, to before another
EVERY_KEY: Final[Range] = ("", None)
_decode_cursor: Final = msgspec.json.Decoder(tuple[str, bool, Position]).decode


_GLOB_HOST: Final = re.compile(r"[a-z*]+://([^/?*:]+)(?::[0-9]+)?/", re.IGNORECASE)
# For a tag of few entries, and for one entry after the other.
_OF_TAG: Final = "e.id IN (SELECT entry FROM tags WHERE tag = ?)"
_HAS_TAG: Final = "EXISTS (SELECT 1 FROM tags t WHERE t.tag = ? AND t.entry = e.id)"


class Condition(NamedTuple):
    """Part of a WHERE clause and its parameters."""

    sql: str
    parameters: tuple[object, ...] = ()

    @property
    def where(self) -> str:
        return f"WHERE {self.sql}" if self.sql else ""


EVERYWHERE: Final = Condition("")


def all_of(*conditions: Condition) -> Condition:
    parts = [condition for condition in conditions if condition.sql]
    return Condition(
        " AND ".join(part.sql for part in parts),
        tuple(value for part in parts for value in part.parameters),
    )


def within(ranges: Sequence[Range]) -> Condition:
    """Keys that are in one of the ranges."""
    texts, values = [], []
    for first, end in ranges:
        texts.append("e.key >= ?" if end is None else "(e.key >= ? AND e.key < ?)")
        values += [first] if end is None else [first, end]
    if not texts:
        return Condition("0")
    if ("", None) in ranges:
        return EVERYWHERE
    return Condition(texts[0] if len(texts) == 1 else f"({' OR '.join(texts)})", tuple(values))


def state(query: Query, now: float) -> Condition:
    """That of freshness."""
    if not query.state:
        return EVERYWHERE
    return Condition(f"e.fresh_until {'>' if query.state == 'fresh' else '<='} ?", (now,))


def filters(query: Query, now: float) -> list[Condition]:
    """Hashes first: SQLite compares what is in the index before it looks at the row."""
    found = [state(query, now)]
    host = _named(query.host)[0] if query.host else host_of(query.prefix)[1]
    # Of a prefix that ends within the host, only the beginning of its name is known.
    if query.host or query.prefix.count("/") > 2:
        found.append(Condition("e.host = ?", (hash_of(host),)))
    if type_ := storable(query.type).lower():
        main, _, sub = type_.partition("/")
        if sub != "*":
            found.append(Condition("e.kind = ? AND e.type = ?", (kind_of(type_), type_)))
        elif main != "*":
            first, last = f"{main}/", f"{main}0"
            values = (*kinds_of(main), first, last)
            found.append(Condition("e.kind BETWEEN ? AND ? AND e.type >= ? AND e.type < ?", values))
    if query.coding:
        coding = "" if query.coding == "identity" else storable(query.coding).lower()
        found.append(Condition("e.chain = ? AND e.coding = ?", (chain_of(coding), coding)))
    if query.q:
        # An escape for itself and both wildcards; LIKE ignores the case of ASCII alone.
        text = re.sub(r"([\\%_])", r"\\\1", storable(query.q))
        found.append(Condition("e.key LIKE ? ESCAPE '\\'", (f"%{text}%",)))
    return found


def of_tag(query: Query) -> Condition:
    """That of a tag, found by its entries: for those that have few."""
    return Condition(_OF_TAG, (storable(query.tag),)) if query.tag else EVERYWHERE


def has_tag(query: Query) -> Condition:
    """The same, asked of each entry, which takes the index of tags."""
    return Condition(_HAS_TAG, (storable(query.tag),)) if query.tag else EVERYWHERE


def ranges(query: Query) -> list[Range]:
    """The keys that host and prefix leave, in order."""
    found = [EVERY_KEY]
    if query.host:
        found = _host_ranges(query.host)
    return intersection(found, [_prefix_range(query.prefix)])


def _named(host: str) -> tuple[str, str]:
    """The host as keys spell it, without and with a port that was given."""
    text = storable(host).lower()
    return host_of(f"http://{text}")[1], host_of(f"http://{text}")[0]


def _host_ranges(host: str) -> list[Range]:
    name, authority = _named(host)
    ends = ("/",) if authority != name else ("/", ":")
    return [_prefix_range(f"{s}://{authority}{end}") for s in ("http", "https") for end in ends]


def _prefix_range(prefix: str) -> Range:
    text = storable(prefix)
    return text, _next(text)


def _next(prefix: str) -> str | None:
    """The least text that is greater than all with that prefix."""
    while prefix:
        last = ord(prefix[-1]) + 1
        if last <= 0x10FFFF:
            return prefix[:-1] + chr(0xE000 if 0xD800 <= last < 0xE000 else last)
        prefix = prefix[:-1]
    return None


def intersection(some: Sequence[Range], others: Sequence[Range]) -> list[Range]:
    both = []
    for first, end in some:
        for other, other_end in others:
            ends = [one for one in (end, other_end) if one is not None]
            least = min(ends) if ends else None
            if least is None or max(first, other) < least:
                both.append((max(first, other), least))
    return sorted(both, key=lambda one: one[0])


def selection(selector: Selector) -> tuple[list[Range], Condition]:
    """Ranges of keys, and what else there is to it but for a glob's pattern."""
    match selector:
        case Url(url):
            return [(storable(url), storable(url) + "\0")], EVERYWHERE
        case Prefix(prefix):
            return [_prefix_range(prefix)], EVERYWHERE
        case Host(host):
            return _host_ranges(host), EVERYWHERE
        case Glob(glob):
            named = _GLOB_HOST.match(glob)
            return (_host_ranges(named[1]) if named else [EVERY_KEY]), EVERYWHERE
        case Tag(tag, origin):
            tagged = Condition(_OF_TAG, (storable(tag),))
            if tag.startswith(tags.GROUP):
                return [_prefix_range(f"{origin}/")], tagged
            return [EVERY_KEY], tagged
        case Everything():
            return [EVERY_KEY], EVERYWHERE


def encoded(query: Query, position: Position) -> str:
    octets = msgspec.json.encode((query.sort, query.descending, position))
    return urlsafe_b64encode(octets).decode().rstrip("=")


def decoded(query: Query) -> Position | None:
    if not query.cursor:
        return None
    try:
        octets = urlsafe_b64decode(query.cursor.encode() + b"===")
        sort, descending, position = _decode_cursor(octets)
    except ValueError as error:  # of msgspec, of base64, or for what is not ASCII
        raise ValueError("the cursor is not one of a page") from error
    of_text = isinstance(position[0], str)
    if (sort, descending) != (query.sort, query.descending) or of_text != (sort == "url"):
        raise ValueError("the cursor is of a page in another order")
    return position
