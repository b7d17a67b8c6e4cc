"""Field syntax shared by many fields (RFC 9110 §5.6): the only place that scans it."""

from __future__ import annotations

import re
from typing import Final

# tchar, RFC 9110 §5.6.2
TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# A list member runs to the next comma outside a quoted-string (§5.6.1, §5.6.4). Possessive: each
# octet is looked at once. A quoted-string that is not closed runs to the end here.
_MEMBER: Final = re.compile(r'(?:[^,"]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))++', re.DOTALL)
_CLOSED: Final = re.compile(r'(?:[^"]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)


def list_members(value: str) -> list[str]:
    """Non-empty members of a comma-separated list (§5.6.1.2: empty members are ignored).

    A quote that is never closed hides nothing: what follows it is split at every comma, so that
    ``x="y, no-store`` still has a member ``no-store``.
    """
    if '"' not in value:
        return [m for part in value.split(",") if (m := part.strip(" \t"))]
    parts = _MEMBER.findall(value)
    if not _CLOSED.fullmatch(parts[-1]):
        parts[-1:] = parts[-1].split(",")
    return [m for part in parts if (m := part.strip(" \t"))]


def is_token(text: str) -> bool:
    """Whether the whole text is a token (§5.6.2)."""
    return TOKEN.fullmatch(text) is not None
