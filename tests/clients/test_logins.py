"""NTLM by curl: whoever logs in is the one who is served, and nobody else is served as them."""

from __future__ import annotations

import asyncio
import struct
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Final

import pytest

from tests.clients.conftest import Run, program
from tests.support.origin import Conversation, Origin, head

if TYPE_CHECKING:
    from tests.support.house import ProcessHouse

pytestmark = pytest.mark.clients

_UNICODE: Final = 0x1
# MS-NLMP §2.2.1.2, what a server challenges with: no names, eight octets of challenge.
_FLAGS: Final = 0x0000_8205
_CHALLENGE: Final = (
    b"NTLMSSP\0"
    + struct.pack("<IHHII", 2, 0, 0, 48, _FLAGS)
    + b"12345678"
    + bytes(8)
    + struct.pack("<HHI", 0, 0, 48)
)


class Ntlm:
    """Each connection is the user's who logged in on it, as servers of this scheme have it."""

    def __init__(self) -> None:
        self._challenged: set[int] = set()
        self._users: dict[int, str] = {}

    async def __call__(self, conversation: Conversation) -> None:
        received = conversation.received
        number = received.connection
        scheme, _, token = (received.get("authorization") or "").partition(" ")
        wanted = "NTLM"
        if scheme == "NTLM":
            message = b64decode(token)
            if message[8] == 1:
                self._challenged.add(number)
                self._users.pop(number, None)
                wanted = f"NTLM {b64encode(_CHALLENGE).decode()}"
            elif number in self._challenged:
                self._users[number] = _user(message)
        user = self._users.get(number)
        body = (user or "nobody").encode()
        fields = ["Cache-Control: no-cache", f"Content-Length: {len(body)}"]
        if user is None:
            fields.append(f"WWW-Authenticate: {wanted}")
        conversation.writer.write(head(200 if user else 401, *fields) + body)


def _user(message: bytes) -> str:
    """The user of an authenticate message (MS-NLMP §2.2.1.3)."""
    length, _, offset = struct.unpack_from("<HHI", message, 36)
    (flags,) = struct.unpack_from("<I", message, 60)
    name = message[offset : offset + length]
    return name.decode("utf-16-le" if flags & _UNICODE else "latin-1")


@pytest.fixture
def curl(origin: Origin) -> str:
    origin.otherwise = Ntlm()
    return program("curl")


@pytest.fixture(params=["absolute-form", "in CONNECT"])
def way(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return ("-p",) if request.param == "in CONNECT" else ()


async def test_two_users_and_then_nobody(
    curl: str, run: Run, origin: Origin, way: tuple[str, ...]
) -> None:
    for user in ("one", "two"):
        login = ("--ntlm", "-u", f"{user}:secret")
        assert await run(curl, "-sS", *way, *login, origin.url("/a")) == user
    code = ("-o", "other", "-w", "%{http_code}")
    for _ in range(3):
        assert await run(curl, "-sS", *way, *code, origin.url("/other")) == "401"


async def test_four_users_at_once(
    curl: str, run: Run, origin: Origin, way: tuple[str, ...]
) -> None:
    async def asks(user: str) -> str:
        login = ("--ntlm", "-u", f"{user}:secret")
        urls = [origin.url(f"/{number}") for number in range(4)]
        return await run(curl, "-sS", *way, *login, *urls)

    users = ["one", "two", "three", "four"]
    assert await asyncio.gather(*map(asks, users)) == [user * 4 for user in users]


async def test_without_the_proxy(
    curl: str, run: Run, origin: Origin, process: ProcessHouse
) -> None:
    """The origin of these tests is one that curl can log in to."""
    login = ("--ntlm", "-u", "one:secret", "--noproxy", "*")
    assert await run(curl, "-sS", *login, origin.url("/a")) == "one"
