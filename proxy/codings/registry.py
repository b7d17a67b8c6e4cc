"""The content codings that are known here, and what we ask origins for (RFC 9110 §8.4.1)."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from proxy.bounded import Memo
from proxy.semantics.grammar import list_members
from proxy.semantics.negotiation import canonical

if TYPE_CHECKING:
    from proxy.codings.options import CodingOptions
    from proxy.semantics.fields import Fields


class Coding(StrEnum):
    """A content coding by its registered name. Deflate is decoded only: it is two formats."""

    ZSTD = "zstd"
    BR = "br"
    GZIP = "gzip"
    DEFLATE = "deflate"
    IDENTITY = "identity"


# In the order in which they were applied, as in Content-Encoding; never identity.
Chain = tuple[Coding, ...]

# Nobody applies more in earnest, and each one more may stand for a thousand times the octets.
MOST_CODINGS: Final = 2
NAMES: Final[frozenset[str]] = frozenset(Coding)


def chain(fields: Fields) -> Chain | None:
    """The codings of a response, () for none; None if one is unknown, or they are too many."""
    value = fields.get("content-encoding")
    if value is None:
        return ()
    return _chains[value]


def _parsed(value: str) -> Chain | None:
    names = [canonical(member) for member in list_members(value)]
    applied = [name for name in names if name != Coding.IDENTITY]
    if len(applied) > MOST_CODINGS or not NAMES.issuperset(applied):
        return None
    return tuple(map(Coding, applied))


_chains: Final = Memo("chains of codings", _parsed, 2**16, longest=64)


@lru_cache(maxsize=16)
def accept_encoding(options: CodingOptions) -> str:
    """The Accept-Encoding of a request in our own words; weights make its order mean something."""
    if not options.prefer:
        return Coding.IDENTITY
    first, *rest = options.prefer
    return ", ".join([first, *(f"{each};q=0.{9 - i}" for i, each in enumerate(rest))])
