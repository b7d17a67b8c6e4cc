"""Speaks to the admin endpoint of a running proxy, for the command line. Blocks."""

from __future__ import annotations

import http.client
import json
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from proxy.admin.options import OFF, UNIX
from proxy.frontend.options import parse_listener

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from proxy.admin.options import AdminOptions

TIMEOUT: Final = 30.0  # seconds without an octet


class Unreachable(Exception):
    """No proxy answers there: one sentence that says what to try."""


class Nobody(Unreachable):
    """Nobody listens there, or is meant to."""


class Failed(Exception):
    """It answered with an error: ``status``, its reason word and its sentence."""

    def __init__(self, status: int, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.reason = reason
        self.sentence = sentence


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """Each call raises Unreachable, or Failed."""

    def __init__(self, options: AdminOptions) -> None:
        self._options = options

    def get(self, path: str, query: Mapping[str, str | Sequence[str]] | None = None) -> Any:
        """What the endpoint answers, from JSON. Empty values are left out."""
        given = {name: value for name, value in (query or {}).items() if value}
        target = f"{path}?{urlencode(given, doseq=True)}" if given else path
        return self._read(b"".join(self._ask("GET", target, b"")))

    def post(self, path: str, order: Mapping[str, object]) -> Any:
        """The same for an order."""
        return self._read(b"".join(self._ask("POST", path, json.dumps(order).encode())))

    def lines(self, path: str, order: Mapping[str, object]) -> Iterator[Any]:
        """The answer to an order line by line, as it is made."""
        for line in self._ask("POST", path, json.dumps(order).encode()):
            said = self._read(line)
            if "error" in said:
                raise _failed(500, line)
            yield said

    def _ask(self, method: str, target: str, body: bytes) -> Iterator[bytes]:
        fields, connection = self._fields(), self._connection()
        try:
            connection.request(method, target, body or None, fields)
            answer = connection.getresponse()
            if answer.status >= 400:
                raise _failed(answer.status, answer.read())
            yield from answer
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
            nobody = isinstance(error, ConnectionRefusedError | FileNotFoundError)
            raise (Nobody if nobody else Unreachable)(self._unanswered(why)) from error
        finally:
            connection.close()

    def _read(self, octets: bytes) -> Any:
        """Each answer of a proxy is an object."""
        try:
            said = json.loads(octets)
        except ValueError as error:
            raise Unreachable(
                self._unanswered(f"what answers is cut, or no JSON: {error}")
            ) from None
        if not isinstance(said, dict):
            raise Unreachable(self._unanswered("what answers is another program"))
        return said

    def _unanswered(self, why: str) -> str:
        return (
            f"No proxy answers at {self._options.listen} ({why})."
            " Is one running, with this configuration? --config names another."
        )

    def _fields(self) -> dict[str, str]:
        try:
            token = self._options.read_token()
        except (OSError, ValueError) as error:
            raise Unreachable(f"[admin] token_file cannot be used: {error}.") from error
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _connection(self) -> http.client.HTTPConnection:
        listen = self._options.listen
        if listen == OFF:
            raise Nobody('The admin endpoint is off: [admin] listen = "127.0.0.1:3129".')
        if listen.startswith(UNIX):
            return _UnixConnection(listen.removeprefix(UNIX))
        listener = parse_listener(listen)
        # What listens on every address is reached by the one of this machine for itself.
        host = "localhost" if ip_address(listener.host).is_unspecified else listener.host
        return http.client.HTTPConnection(host, listener.port, timeout=TIMEOUT)


def _failed(status: int, body: bytes) -> Failed:
    try:
        said = json.loads(body)["error"]
        return Failed(status, str(said["reason"]), str(said["sentence"]))
    except (ValueError, KeyError, TypeError):
        return Failed(status, "unknown", f"It answered {status}, which says nothing more.")
