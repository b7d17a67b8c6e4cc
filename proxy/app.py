"""Composition: builds the floors from settings, starts them, stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import secrets
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final

from proxy.access.rules import Rules
from proxy.admin.accesslog import AccessLog, open_log
from proxy.config import banner
from proxy.exchange import tasks
from proxy.exchange.exchange import Exchange
from proxy.exchange.hot import Hot
from proxy.exchange.keeping import PUMP
from proxy.exchange.voice import Voice
from proxy.frontend.connection import Connection
from proxy.frontend.door import Door
from proxy.frontend.options import Listener, parse_listener
from proxy.store.tiered import TieredStore, open_store
from proxy.upstream.fetch import Upstream

try:
    import uvloop
except ImportError:  # not made for this platform
    uvloop = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config import Settings
    from proxy.exchange.record import ExchangeRecord

log = logging.getLogger("forecache")
BACKLOG: Final = 1024
_LOOK: Final = 0.05  # seconds between looks at who is still there, while draining


class Running:
    """A proxy that serves. ``drain`` once, or ``stop``; both end with everything closed."""

    def __init__(
        self,
        settings: Settings,
        door: Door,
        store: TieredStore,
        fetcher: Upstream,
        access_log: AccessLog | None,
    ) -> None:
        self.settings = settings
        self.door = door
        self.store = store
        self.fetcher = fetcher
        self.access_log = access_log
        self.servers: list[asyncio.Server] = []
        self.addresses: list[str] = []

    @property
    def ports(self) -> list[int]:
        """The ports that it listens on."""
        return [parse_listener(address).port for address in self.addresses]

    async def drain(self) -> None:
        """Accept no more, finish what is under way up to ``shutdown_timeout``, then stop."""
        for server in self.servers:
            server.close()
        self.door.drain()
        left = self.settings.server.shutdown_timeout
        while left > 0 and (self.door.connections or self.door.tunnels):
            await asyncio.sleep(_LOOK)
            left -= _LOOK
        await tasks.finish(PUMP, max(left, _LOOK))
        await self.stop()

    async def stop(self) -> None:
        """Now."""
        for server in self.servers:
            server.close()
        self.door.shut()
        await tasks.finish("", 0)
        self.fetcher.close()
        await self.store.close()
        if self.access_log is not None:
            self.access_log.close()


async def start(settings: Settings) -> Running:
    """Build and serve. Raises OSError with what to do when an address cannot be listened on."""
    sockets = [_bound(parse_listener(text)) for text in settings.server.listen]
    try:
        listening = [sock.getsockname()[:2] for sock in sockets]
        store = await open_store(settings.store)
        access_log = open_log(settings.log)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    rules = Rules(settings.access, listening)
    fetcher = Upstream(settings.upstream, rules.destination)
    voice = Voice(f"forecache-{secrets.token_hex(4)}", settings.server.x_cache)
    exchange = Exchange(store, fetcher, settings.cache, settings.exchange, voice)
    hot = Hot(store, settings.cache, x_cache=settings.server.x_cache)
    observe = access_log if access_log is not None else _unobserved
    door = Door(settings.server, rules, exchange, hot, fetcher, observe)
    running = Running(settings, door, store, fetcher, access_log)
    loop = asyncio.get_running_loop()
    for sock, (host, port) in zip(sockets, listening, strict=True):
        server = await loop.create_server(lambda: Connection(door), sock=sock, backlog=BACKLOG)
        running.servers.append(server)
        running.addresses.append(str(Listener(host, port)))
    door.watch()
    return running


def _unobserved(_: ExchangeRecord) -> None:
    """The access log is off."""


def _bound(listener: Listener) -> socket.socket:
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    try:
        sock = socket.create_server((listener.host, listener.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot listen on {listener}: {error.strerror}. Is another proxy running there?"
            " Choose an address with --listen or [server] listen",
        ) from error
    sock.setblocking(False)
    return sock


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; a second one stops at once. Returns the exit code."""
    logging.basicConfig(
        level=settings.log.level.upper(),
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    _allow_files(settings.server.max_connections)
    factory = None if uvloop is None else uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        try:
            return runner.run(_serve(settings))
        except OSError as error:
            log.error("%s", error.strerror or error)  # noqa: TRY400 - it says what to do
            return 1


async def _serve(settings: Settings) -> int:
    running = await start(settings)
    used, _, _ = running.store.usage()
    if sys.stdout.isatty():
        sys.stdout.write(banner.banner(settings, used, running.addresses))
        sys.stdout.flush()
    log.info("%s", banner.line(settings, used, running.addresses))
    await _asked_to_stop(running)
    return 0


async def _asked_to_stop(running: Running) -> None:
    loop, asked, again = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (again if asked.is_set() else asked).set()

    handlers: dict[signal.Signals, Callable[[], object]] = {
        signal.SIGTERM: stop,
        signal.SIGINT: stop,
    }
    if running.access_log is not None:
        handlers[signal.SIGUSR1] = running.access_log.reopen
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    await asked.wait()
    log.info("stopping: finishing what is under way; a second signal stops at once")
    drained = tasks.spawn(running.drain(), "drain")
    hurried = tasks.spawn(_wait(again), "hurry")
    await asyncio.wait((drained, hurried), return_when=asyncio.FIRST_COMPLETED)
    if not drained.done():
        drained.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await drained
        await running.stop()
    hurried.cancel()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def _allow_files(connections: int) -> None:
    """Raise the soft limit of open files to what the connections need, as far as it may go."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections * 3 + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
