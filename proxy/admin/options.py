"""The section ``[admin]``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.frontend.options import parse_listener

OFF: Final = "off"
UNIX: Final = "unix:"


@dataclass(frozen=True, slots=True)
class AdminOptions:
    """Where the proxy can be looked into.

    ``listen``: an address, ``unix:`` and the path of a socket, or "off". ``token``: what clients
    must show as a bearer token; empty: none is asked for, which only this machine is trusted with.
    ``token_file``: a file that has it in its first line, instead.
    """

    listen: str = "127.0.0.1:3129"
    token: str = ""
    token_file: str = ""

    @property
    def is_reachable(self) -> bool:
        """Whether other machines can get there. Raises ValueError for no address."""
        if self.listen == OFF or self.listen.startswith(UNIX):
            return False
        return not parse_listener(self.listen).is_loopback

    def read_token(self) -> str:
        """The token, wherever it is. Raises OSError, ValueError."""
        if not self.token_file:
            return self.token
        text = Path(self.token_file).expanduser().read_text(encoding="utf-8")
        token = text.partition("\n")[0].strip()
        if not token:
            raise ValueError(f"{self.token_file} has no token in its first line")
        return token
