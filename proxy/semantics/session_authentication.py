"""Schemes that authenticate a connection instead of each request on it (RFC 4559 §6): pure.

They break what HTTP promises, that requests can be understood apart from each other (RFC 9110
§3.3). So a connection on which one of them is used is for one client, as long as it lasts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.semantics.fields import Fields

# MS-N2HT has Nego2; Kerberos is what Negotiate was called before.
_SCHEME: Final = re.compile(
    r"(?:\A|,)[ \t]*(?:ntlm|negotiate|nego2|kerberos)(?=[ \t,]|\Z)", re.IGNORECASE
)
# The second message of a client in base64: NTLM's AUTHENTICATE_MESSAGE (MS-NLMP §2.2.1.3), or a
# NegTokenResp (RFC 4178 §4.2).
_ANSWER: Final = re.compile(r"[A-Za-z0-9]+[ \t]+(?:TlRMTVNTUAAD|o)")

# RFC 4559 §6: without it a client must not use these schemes through a proxy. It is for the next
# hop alone: another proxy may not be able to do it.
SUPPORTED: Final = (
    ("Proxy-Support", "Session-Based-Authentication"),
    ("Connection", "Proxy-Support"),
)


def is_used(fields: Fields) -> bool:
    """Whether a request with these fields authenticates its connection, or begins to.

    On any line, after anything: it is the origin that chooses which credentials it takes.
    """
    return any(_SCHEME.search(line) for line in fields.all("authorization"))


def is_answer(fields: Fields) -> bool:
    """Whether it answers a challenge, which is good on the connection where it came alone."""
    return is_used(fields) and any(map(_ANSWER.match, fields.all("authorization")))


def is_offered(fields: Fields) -> bool:
    """Whether a response with these fields asks for it, or goes on with it."""
    return any(_SCHEME.search(line) for line in fields.all("www-authenticate"))


def may_pass(fields: Fields) -> bool:
    """Whether it is offered, and no other proxy on the way would share the connection (§6)."""
    return is_offered(fields) and ("via" not in fields or "proxy-support" in fields)
