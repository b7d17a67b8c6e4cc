"""Cache-Status (RFC 9211) and Proxy-Status (RFC 9209): one list member each, as text.

Both are structured fields (RFC 9651): tokens and strings are ASCII, whatever goes into them.
"""

from __future__ import annotations

import re
from typing import Final, Literal
from urllib.parse import quote

from proxy.bounded import Memo

IDENTITY: Final = "forecache"

# RFC 9651 §3.3.4
_TOKEN: Final = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*")
_PLAIN: Final = re.compile(r"[ !#-\[\]-~]*")
_NOT_PRINTABLE: Final = re.compile(r"[^ -~]")


# Why a request went forward (RFC 9211 §2.2).
Fwd = Literal["bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"]


def cache_status(  # noqa: PLR0913 -- one argument per parameter of the field
    *,
    hit: bool = False,
    forward: Fwd | None = None,
    forward_status: int | None = None,
    ttl: float | None = None,
    stored: bool = False,
    collapsed: bool = False,
    key: str | None = None,
    detail: str | None = None,
) -> str:
    """Our member of Cache-Status (RFC 9211 §2). What is left at its default is left out.

    ``ttl`` is the remaining freshness lifetime in seconds, rounded down, negative when stale.
    """
    text = f"{IDENTITY}; hit" if hit else IDENTITY
    if forward is not None:
        text += f"; fwd={forward}"
    if forward_status is not None:
        text += f"; fwd-status={forward_status}"
    if ttl is not None:
        text += f"; ttl={int(ttl // 1)}"
    if stored:
        text += "; stored"
    if collapsed:
        text += "; collapsed"
    if key is not None:
        text += f"; key={_string(key)}"
    if detail is not None:
        text += f"; detail={_token_or_string(detail)}"
    return text


def proxy_status(error: str, detail: str = "") -> str:
    """Our member of Proxy-Status; ``error`` is one of the types of RFC 9209 §2.3."""
    text = f"{IDENTITY}; error={error}"
    return f"{text}; details={_string(detail)}" if detail else text


def _parsed(text: str) -> str:
    return text if _TOKEN.fullmatch(text) else _string(text)


# The same few words.
_token_or_string: Final = Memo("words", _parsed, 2**16, per_octet=4).__getitem__


def _string(text: str) -> str:
    """An sf-string (RFC 9651 §3.3.3); what it cannot hold is percent-encoded, octet by octet."""
    if not _PLAIN.fullmatch(text):
        text = _NOT_PRINTABLE.sub(_percent, text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _percent(match: re.Match[str]) -> str:
    char = match[0]
    return quote(char, encoding="latin-1" if char <= "\xff" else "utf-8", errors="replace")
