"""Who may speak to the admin listener: not what a browser was tricked into sending.

Pure decisions about a request, for a middleware to ask. A page on another site can make a browser
send requests here, by an address or by a name that it has pointed here (DNS rebinding); what gives
it away is ``Host``, ``Origin`` or ``Sec-Fetch-Site``. State changes by POST and DELETE alone.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# What holds no secret: health, and the page that asks for the token.
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/", "/style.css", "/app.js"})
CHANGING: Final = frozenset({"POST", "DELETE"})
READING: Final = frozenset({"GET", "HEAD"})
# A page of ours and what it needs; none of it may be put into a frame or sniffed at.
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_OURS: Final = frozenset({"same-origin", "none"})
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="forecache"'}


@dataclass(frozen=True, slots=True)
class Refusal:
    """``status``, ``reason`` (one word), one sentence that says what to do, more fields."""

    status: int
    reason: str
    sentence: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Guard:
    """``host`` is the name or address that was configured to listen on; ``token`` "" for none."""

    host: str
    token: str

    def refuses(self, method: str, path: str, fields: Mapping[str, str]) -> Refusal | None:
        """Why this request is not answered; None: it is. ``fields``: case-insensitive."""
        host = fields.get("Host", "")
        if not self._is_ours(host):
            sentence = (
                "The Host field names something else than this listener. Use its address, as in"
                " http://127.0.0.1:3129/."
            )
            return Refusal(421, "wrong-host", sentence, {})
        if method not in READING | CHANGING:
            return Refusal(
                405,
                "method",
                "Only GET, HEAD, POST and DELETE.",
                {"Allow": "GET, HEAD, POST, DELETE"},
            )
        if _is_from_elsewhere(host, fields):
            sentence = "The request comes from a page of another site, which may not ask here."
            return Refusal(403, "cross-site", sentence, {})
        if path in OPEN_PATHS or not self.token:
            return None
        scheme, _, shown = fields.get("Authorization", "").partition(" ")
        # The whole comparison takes as long for every token of a length.
        if scheme.lower() == "bearer" and hmac.compare_digest(
            shown.strip().encode("utf-8", "surrogateescape"), self.token.encode()
        ):
            return None
        sentence = "Show the token of [admin] token or token_file: Authorization: Bearer …"
        return Refusal(401, "token", sentence, _CHALLENGE)

    def _is_ours(self, host: str) -> bool:
        """A literal address cannot be rebound; of names only localhost and the configured one."""
        name = _name(host)
        if name in ("localhost", self.host.lower()):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


def _name(host: str) -> str:
    """``Host`` without its port and brackets, in lower case."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return name.strip("[]").lower()


def _is_from_elsewhere(host: str, fields: Mapping[str, str]) -> bool:
    origin, site = fields.get("Origin"), fields.get("Sec-Fetch-Site")
    if site is not None and site not in _OURS:
        return True
    return origin is not None and origin.partition("://")[2] != host
