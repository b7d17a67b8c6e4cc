"""The admin listener: an ``aiohttp.web`` application behind the guard."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import http_parser, web

from proxy.admin.accepting import Accepting
from proxy.admin.entries import Unclear
from proxy.admin.guard import HEADERS, Guard
from proxy.admin.options import UNIX
from proxy.frontend.listening import listening
from proxy.frontend.options import Listener, parse_listener
from proxy.store.base import StoreFailed

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from proxy.admin.options import AdminOptions

log = logging.getLogger("forecache")

# What is wrong with a request is told to whoever sent it; he could fill the log.
_unsaid: Final = logging.getLogger("forecache.admin.unsaid")
_unsaid.disabled = True

# An admin client that does not read is dropped, and so is a body that nobody would write.
_MOST_BODY: Final = 4 * 2**20
_MOST_LINE: Final = 64 * 1024  # a URL of 16 KiB, percent-encoded
_SHUTDOWN: Final = 0.5
_IDLE: Final = 75.0  # seconds between requests
_PAGES: Final = Path(__file__).parent / "dashboard"
_TYPES: Final = {
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/app.js": ("app.js", "text/javascript"),
}
_OTHERWISE: Final = 'Choose another address for the admin endpoint, or "off", with [admin] listen'
_NO_PARSER: Final = (
    "aiohttp has no C parser here, and known holes without it: unset AIOHTTP_NO_EXTENSIONS, or"
    ' install an aiohttp with extensions, or switch the admin endpoint "off" with [admin] listen'
)
_NO_PAGE: Final = "There is no such page here; /api/openapi.json lists what there is."
_encode: Final = msgspec.json.Encoder().encode
# DEL and C1, which JSON may leave as they are and a terminal may obey.
_CONTROLS: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]")


def encoded(value: object) -> bytes:
    """A value in JSON, of which nothing does anything to a terminal."""
    return _CONTROLS.sub(lambda match: b"\\u00%02x" % match[0][-1], _encode(value))


def answer(value: object, status: int = 200) -> web.Response:
    """A value as JSON."""
    return web.Response(body=encoded(value), status=status, content_type="application/json")


def error(status: int, reason: str, sentence: str) -> web.Response:
    """An error that a program reads by its reason, and a person by its sentence."""
    return answer({"error": {"reason": reason, "sentence": sentence}}, status)


class Server:
    """Listens from the beginning, and serves from ``start`` until ``close``.

    ``address`` is where it listens; ``host`` and ``port`` as the proxy must not be led there, for a
    socket of the file system "" and 0. Raises OSError with what to do.
    """

    def __init__(self, options: AdminOptions) -> None:
        if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
            raise OSError(errno.ENOTSUP, _NO_PARSER)
        self._listen = options.listen
        self._path = options.listen.removeprefix(UNIX) if options.listen.startswith(UNIX) else ""
        host = "" if self._path else parse_listener(options.listen).host
        self._guard = Guard(host, _token(options))
        self._pages = {path: (_PAGES / name).read_bytes() for path, (name, _) in _TYPES.items()}
        self._runner: web.AppRunner | None = None
        self._accepting: Accepting | None = None
        self._socket = self._bound()
        self.host: str = "" if self._path else self._socket.getsockname()[0]
        self.port: int = 0 if self._path else self._socket.getsockname()[1]
        self.address = self._listen if self._path else str(Listener(self.host, self.port))

    async def start(self, routes: web.RouteTableDef) -> None:
        """Serve."""
        application = web.Application(middlewares=[self._watch], client_max_size=_MOST_BODY)
        application.on_response_prepare.append(_protect)
        application.add_routes(routes)
        application.add_routes([web.get(path, self._page) for path in _TYPES])
        self._runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,  # who watches events and leaves is not written to any more
            shutdown_timeout=_SHUTDOWN,
            keepalive_timeout=_IDLE,
            logger=_unsaid,
            max_line_size=_MOST_LINE,
            auto_decompress=False,  # nobody writes an order that would need it
        )
        await self._runner.setup()
        assert self._runner.server is not None
        self._accepting = Accepting(self._runner.server)
        await self._accepting.start(self._socket)

    def _bound(self) -> socket.socket:
        try:
            if self._path:
                return _unix(self._path)
        except OSError as failure:
            raise OSError(
                failure.errno,
                f"cannot listen on {self._listen}: {failure.strerror}. {_OTHERWISE}",
            ) from failure
        return listening(parse_listener(self._listen), _OTHERWISE)

    async def close(self) -> None:
        if self._accepting is not None:
            self._accepting.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self.release()

    def leave(self) -> None:
        """Another process serves."""
        self._socket.close()

    def release(self) -> None:
        """Nobody serves any more."""
        self._socket.close()
        if self._path:
            Path(self._path).unlink(missing_ok=True)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        body, content_type = self._pages[request.path], _TYPES[request.path][1]
        return web.Response(body=body, content_type=content_type, charset="utf-8")

    @web.middleware
    async def _watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        assert self._accepting is not None
        self._accepting.heard(request.protocol)
        refusal = self._guard.refuses(request.path, request.headers)
        if refusal is None:
            return await _handled(request, handler)
        response = error(refusal.status, refusal.reason, refusal.sentence)
        response.headers.update(refusal.fields)
        return response


async def _protect(_: web.Request, response: web.StreamResponse) -> None:
    """Every head on its way out, those of streams too."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "Forecache"


async def _handled(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Unclear as unclear:
        return error(400, "unclear", str(unclear))
    except web.HTTPException as raised:
        allowed = raised.headers.get("Allow", "")
        words = {404: _NO_PAGE, 405: f"This is for {allowed} alone."}
        response = error(raised.status, "http", words.get(raised.status, raised.reason))
        if allowed:
            response.headers["Allow"] = allowed
        return response
    except StoreFailed as failure:
        return error(503, "store", str(failure))
    except ConnectionError:
        raise
    except Exception:
        log.exception("%s %s on the admin endpoint failed", request.method, request.path)
        return error(500, "internal-error", "The proxy failed on this; its log says how.")


def _token(options: AdminOptions) -> str:
    try:
        return options.read_token()
    except ValueError as wrong:
        raise OSError(errno.EINVAL, f"[admin] token_file: {wrong}") from wrong


def _unix(path: str) -> socket.socket:
    """For this user alone; what an earlier process left is in the way."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108
    sock = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        sock.bind(path)
        sock.listen()
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(mask)
    return sock
