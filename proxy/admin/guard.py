"""Who may speak to the admin listener: not what a browser was tricked into sending.

Pure decisions about a request, for a middleware to ask. A page on another site can make a browser
send requests here, by an address or by a name that it has pointed here (DNS rebinding); what gives
it away is ``Host``, ``Origin`` or ``Sec-Fetch-Site``.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# What holds no secret: health, and the page that asks for the token.
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/", "/style.css", "/app.js"})
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
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::[0-9]*)?")
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

    def refuses(self, path: str, fields: Mapping[str, str]) -> Refusal | None:
        """Why this request is not answered; None: it is. ``fields``: case-insensitive."""
        host = fields.get("Host", "")
        if not self._is_ours(host):
            sentence = (
                "The Host field names something else than this listener. Use its address, as in"
                " http://127.0.0.1:3129/."
            )
            return Refusal(421, "wrong-host", sentence, {})
        if _is_from_elsewhere(host, fields):
            sentence = "The request comes from a page of another site, which may not ask here."
            return Refusal(403, "cross-site", sentence, {})
        if path in OPEN_PATHS or not self.token:
            return None
        scheme, _, shown = fields.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(shown.strip()):
            return None
        sentence = "Show the token of [admin] token or token_file: Authorization: Bearer …"
        return Refusal(401, "token", sentence, _CHALLENGE)

    def _is_token(self, shown: str) -> bool:
        # Of digests, which are as long for every token: time tells neither length nor beginning.
        return secrets.compare_digest(_digest(shown), _digest(self.token))

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


def _digest(text: str) -> bytes:
    # Octets of a field that are no UTF-8 have been decoded to surrogates.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _name(host: str) -> str:
    """``Host`` without its port and brackets, in lower case; "" for what is none."""
    match = _HOST.fullmatch(host)
    return match[1].strip("[]").lower() if match else ""


def _is_from_elsewhere(host: str, fields: Mapping[str, str]) -> bool:
    origin, site = fields.get("Origin"), fields.get("Sec-Fetch-Site")
    if site is not None and site not in _OURS:
        return True
    return origin is not None and origin not in (f"http://{host}", f"https://{host}")
