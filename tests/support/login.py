"""An origin where people log in as NTLM and Negotiate do (RFC 4559): connections have users.

A login is two requests on one connection: ``first`` gets a challenge that is good on it alone,
``second`` answers it. From then on whatever is asked on that connection is asked by that user.
"""

from __future__ import annotations

import asyncio
import base64
import struct
from typing import TYPE_CHECKING, Final

from tests.support.origin import reply
from tests.support.wire import Head, parse_head, request

if TYPE_CHECKING:
    from tests.support.wire import Response, Wire

_NTLM: Final = b"NTLMSSP\0"
_TYPES: Final = {
    # scheme: begins with these octets, challenges with these, answers with these
    "NTLM": (_NTLM + b"\1\0\0\0", _NTLM + b"\2\0\0\0", _NTLM + b"\3\0\0\0"),
    "Negotiate": (b"\x60\x48", b"\xa1\x48", b"\xa1\x44"),  # RFC 4178: NegTokenInit, NegTokenResp
}


class LoginOrigin:
    """The play of a ``rawpeer.Peer``; ``targets`` are (connection, user, request-target).

    What it says is fresh for a minute, unless ``lines`` say something else. ``hang_up`` is the
    number of requests after which a connection ends: on reading the next, or ``at_once``.
    """

    def __init__(self, scheme: str = "NTLM", *lines: str) -> None:
        self.scheme = scheme
        self.lines = lines or ("Cache-Control: max-age=60",)
        self.hang_up = 1000
        self.at_once = False
        self.targets: list[tuple[int, str, str]] = []
        self.connections = 0
        self.asked = asyncio.Condition()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number, user, challenge = self.connections, "", b""
        for _ in range(self.hang_up):
            asked = parse_head(await reader.readuntil(b"\r\n\r\n"))
            body = await reader.readexactly(int(asked.get("content-length") or 0))
            token = self._token(asked)
            begins, _, answers = _TYPES[self.scheme]
            if token.startswith(begins):
                challenge, user = self.challenge(number), ""
                said = base64.b64encode(challenge).decode()
                answer = reply(401, f"WWW-Authenticate: {self.scheme} {said}")
            elif token.startswith(answers) and (found := self.user(token, challenge)):
                user, challenge = found, b""
                answer = self._page(user, body)
            elif user and not token:
                answer = self._page(user, body)
            elif asked.start.split(" ")[1].endswith("/open") and not token:
                answer = self._page("nobody", body)
            else:
                answer = reply(401, f"WWW-Authenticate: {self.scheme}", "WWW-Authenticate: Basic")
            async with self.asked:
                self.targets.append((number, user, asked.start.split(" ")[1]))
                self.asked.notify_all()
            writer.write(answer)
        if self.at_once:
            writer.close()
        await reader.readuntil(b"\r\n\r\n")

    def challenge(self, number: int) -> bytes:
        """The second message of a login, on the connection of that number."""
        return _TYPES[self.scheme][1] + b"challenge %d " % number

    def user(self, answer: bytes, challenge: bytes) -> str:
        """Who sent the third; "" if that challenge is not what it answers."""
        said = challenge.removeprefix(_TYPES[self.scheme][1])
        return answer.partition(said)[2].decode() if said else ""

    def _token(self, asked: Head) -> bytes:
        scheme, _, token = (asked.get("authorization") or "").partition(" ")
        return base64.b64decode(token) if scheme == self.scheme else b""

    def _page(self, user: str, body: bytes) -> bytes:
        return reply(200, *self.lines, body=user.encode() + (b" sent " + body if body else b""))


class NtlmOrigin(LoginOrigin):
    """For real clients: with messages as they are, but any password will do."""

    def challenge(self, number: int) -> bytes:
        """CHALLENGE_MESSAGE (MS-NLMP §2.2.1.2): no target, OEM text and NTLM, eight octets."""
        nothing = struct.pack("<HHI", 0, 0, 48)
        text = struct.pack("<I", 0x0202)
        return _TYPES["NTLM"][1] + nothing + text + number.to_bytes(8, "big") + bytes(8) + nothing

    def user(self, answer: bytes, challenge: bytes) -> str:
        """Of an AUTHENTICATE_MESSAGE (§2.2.1.3)."""
        length, _, offset = struct.unpack_from("<HHI", answer, 36)
        return answer[offset : offset + length].decode() if challenge else ""


def first(scheme: str = "NTLM") -> str:
    """The field that begins a login."""
    return f"Authorization: {scheme} {base64.b64encode(_TYPES[scheme][0] + b'hello').decode()}"


def second(answer: Head, user: str, scheme: str = "NTLM") -> str:
    """The field that answers the challenge."""
    said = base64.b64decode((answer.get("www-authenticate") or "").partition(" ")[2])
    challenge = said.removeprefix(_TYPES[scheme][1])
    token = base64.b64encode(_TYPES[scheme][2] + challenge + user.encode())
    return f"Authorization: {scheme} {token.decode()}"


async def ask(
    wire: Wire, url: str, *lines: str, method: str = "GET", body: bytes = b""
) -> Response:
    """One exchange on a connection that stays."""
    await wire.send(request(method, url, lines, body or None))
    return await wire.response(method)


async def log_in(
    wire: Wire, url: str, user: str, scheme: str = "NTLM", method: str = "GET", body: bytes = b""
) -> Response:
    """Both requests; the answer to the second."""
    challenged = await ask(wire, url, first(scheme), method=method)
    assert challenged.status == 401
    return await ask(wire, url, second(challenged, user, scheme), method=method, body=body)
