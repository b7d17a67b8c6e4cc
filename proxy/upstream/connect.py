"""Names and ports to transports: resolve, ask access about each address, connect, speak TLS.

What is connected to is what was judged: there is no second resolution. Foreign exceptions become
``NotReached`` here and nowhere else, by one table.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, TypeVar

from aiohappyeyeballs import start_connection

from proxy.access.rules import Denied, Verdict
from proxy.upstream.base import NotReached, Prohibited

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohappyeyeballs import AddrInfoType

    from proxy.upstream.connection import Connection
    from proxy.upstream.options import UpstreamOptions
    from proxy.upstream.resolve import Addresses, Resolver

# Asked with host, port and the address that is about to be connected to; None: not known here.
Admit = Callable[[str, int, str | None], Verdict]
P = TypeVar("P", bound=asyncio.Protocol)

# RFC 8305 §5: the next address is tried when this one has not answered for so long.
_NEXT_ADDRESS: Final = 0.25
_NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE})

# First match wins: exception, status, RFC 9209 §2.3 error type, sentence.
_BLAME: Final[tuple[tuple[type[OSError], int, str, str], ...]] = (
    (socket.gaierror, 502, "dns_error", "The name of {peer} cannot be resolved"),
    (ssl.SSLCertVerificationError, 502, "tls_certificate_error", "{peer} has a bad certificate"),
    (ssl.SSLError, 502, "tls_protocol_error", "TLS with {peer} failed"),
    (TimeoutError, 504, "connection_timeout", "{peer} did not take the connection in time"),
    (ConnectionRefusedError, 502, "connection_refused", "{peer} refused the connection"),
    (ConnectionError, 502, "connection_terminated", "{peer} closed the connection at once"),
    (OSError, 502, "destination_ip_unroutable", "There is no way to {peer}"),
)  # fmt: skip
# The rule by which access refuses: status, RFC 9209 §2.3 error type.
_REFUSALS: Final = {
    "own-listener": (502, "proxy_loop_detected"),
    "http_ports": (403, "http_request_denied"),
    "connect_ports": (403, "http_request_denied"),
}


@contextmanager
def blaming(peer: str) -> Iterator[None]:
    """Turn what goes wrong on the way to ``peer`` into NotReached."""
    try:
        yield
    except OSError as error:
        raise _blame(error, peer) from error


def _blame(error: OSError, peer: str) -> NotReached:
    if error.errno in _NO_DESCRIPTORS:
        return NotReached(503, "proxy_internal_error", "The proxy has no file descriptor left.")
    status, word, sentence = next(row[1:] for row in _BLAME if isinstance(error, row[0]))
    if isinstance(error, ssl.SSLCertVerificationError):
        sentence = f"{sentence}: {error.verify_message}"
    return NotReached(status, word, f"{sentence.format(peer=peer)}.")


def is_address(host: str) -> bool:
    """Whether the host is an address already."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class Connector:
    """``tls``: the context for origins; the system's trust if None."""

    def __init__(
        self,
        options: UpstreamOptions,
        resolver: Resolver,
        admit: Admit,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._options = options
        self._resolver = resolver
        self._admit = admit
        # Made now: to read the system's certificates takes tens of milliseconds.
        self._tls = tls or ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])

    async def connect(
        self, host: str, port: int, protocol: P, client: str = "", *, judge: bool = True
    ) -> P:
        """A TCP connection for ``protocol``; ``judge``: ask access first. Raises NotReached.

        ``client``: on whose behalf its name is looked up.
        Addresses that cannot be reached are forgotten; if they were remembered the name is looked
        up again, as it may have moved.
        """
        remembered = self._resolver.known(host) is not None
        addresses = await self._addresses(host, port, client, judge)
        with blaming(f"{host}:{port}"):
            try:
                await self._reach(addresses, port, protocol)
            except OSError as error:
                self._resolver.forget(host)
                if not remembered or isinstance(error, TimeoutError):
                    raise
                others = await self._addresses(host, port, client, judge)
                if set(others) <= set(addresses):
                    raise
                await self._reach(others, port, protocol)
        return protocol

    async def _addresses(self, host: str, port: int, client: str, judge: bool) -> Addresses:
        addresses = await self._resolve(host, client)
        return self._admitted(host, port, addresses) if judge else addresses

    async def _reach(self, addresses: Addresses, port: int, protocol: asyncio.Protocol) -> None:
        if len(addresses) == 1:
            await self._connect(addresses[0][1], port, protocol)
        else:
            await self._race([_info(family, at, port) for family, at in addresses], protocol)

    def _at_hand(self, host: str) -> Addresses | None:
        if is_address(host):
            return ((socket.AF_INET6 if ":" in host else socket.AF_INET, host),)
        return self._resolver.known(host)

    async def _resolve(self, host: str, client: str) -> Addresses:
        if (addresses := self._at_hand(host)) is not None:
            return addresses
        with blaming(host):
            try:
                async with asyncio.timeout(self._options.connect_timeout):
                    return await self._resolver.resolve(host, client)
            except TimeoutError:
                sentence = f"{host} was not resolved in time."
                raise NotReached(504, "dns_timeout", sentence) from None

    def admitted(self, host: str, port: int) -> Addresses | None:
        """Where it would be connected to; None: its name would have to be resolved for that.

        Raises NotReached if access says no.
        """
        addresses = self._at_hand(host)
        if addresses is None:
            self.judge(host, port, None)
            return None
        return self._admitted(host, port, addresses)

    def judge(self, host: str, port: int, address: str | None) -> None:
        """Raises Prohibited (403, or 502 for ourselves) if access says no."""
        if isinstance(verdict := self._admit(host, port, address), Denied):
            raise prohibited(verdict)

    def _admitted(self, host: str, port: int, addresses: Addresses) -> Addresses:
        verdicts = [(found, self._admit(host, port, found[1])) for found in addresses]
        allowed = tuple(found for found, verdict in verdicts if not isinstance(verdict, Denied))
        if not allowed:
            raise prohibited(next(v for _, v in verdicts if isinstance(v, Denied)))
        return allowed

    async def _connect(self, address: str, port: int, protocol: asyncio.Protocol) -> None:
        # The loop's own way takes half of what a socket of ours would; an address is not resolved.
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._options.connect_timeout):
            await loop.create_connection(lambda: protocol, address, port)

    async def _race(self, infos: list[AddrInfoType], protocol: asyncio.Protocol) -> None:
        # Attempts begin this much apart: then the last one too has had its time.
        staggered = _NEXT_ADDRESS * (len(infos) - 1)
        async with asyncio.timeout(self._options.connect_timeout + staggered):
            sock = await start_connection(infos, happy_eyeballs_delay=_NEXT_ADDRESS, interleave=1)
        await asyncio.get_running_loop().create_connection(lambda: protocol, sock=sock)

    async def secure(self, connection: Connection, host: str) -> None:
        """Speak TLS with ``host`` on this connection, or close it. Raises NotReached."""
        if connection.closed:
            raise _blame(ssl.SSLError("it spoke first, or went"), host)
        loop, plain = asyncio.get_running_loop(), connection.transport
        try:
            with blaming(host):
                async with asyncio.timeout(self._options.connect_timeout):
                    secured = await loop.start_tls(
                        plain, connection, self._tls, server_hostname=host
                    )
        except BaseException:
            plain.abort()
            raise
        if secured is None:
            raise _blame(ConnectionResetError(), host)
        connection.connection_made(secured)


def _info(family: int, address: str, port: int) -> AddrInfoType:
    sockaddr = (address, port, 0, 0) if family == socket.AF_INET6 else (address, port)
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", sockaddr)


def prohibited(denied: Denied) -> Prohibited:
    """What access said, as an error on the way to the origin."""
    status, word = _REFUSALS.get(denied.rule, (403, "destination_ip_prohibited"))
    return Prohibited(status, word, denied.sentence)
