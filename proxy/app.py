"""Composition: builds the floors from settings, starts them, stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import secrets
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Final

from proxy.access.rules import Rules
from proxy.admin.accesslog import AccessLog, open_log
from proxy.admin.api import Api
from proxy.admin.inside import Inside
from proxy.admin.looking import Looking
from proxy.admin.options import OFF
from proxy.admin.server import Server
from proxy.admin.watching import Watching
from proxy.config import banner
from proxy.exchange import tasks
from proxy.exchange.exchange import Exchange
from proxy.exchange.hot import Hot
from proxy.exchange.keeping import PUMP
from proxy.exchange.voice import Voice
from proxy.frontend.connection import Connection
from proxy.frontend.door import Door
from proxy.frontend.options import Listener, parse_listener
from proxy.store.catalogue import Catalogue
from proxy.store.waiting import Opened, open_or_wait
from proxy.upstream.fetch import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config import Settings
    from proxy.exchange.record import ExchangeRecord

log = logging.getLogger("forecache")
BACKLOG: Final = 1024
_COLLECT_AFTER: Final = (2_000, 10, 100)  # allocations, young and middle collections
_LOOK: Final = 0.05  # seconds between looks at who is still there, while draining


class Running:
    """A proxy that serves. ``drain`` once, or ``stop``; both end with everything closed."""

    def __init__(
        self,
        settings: Settings,
        door: Door,
        store: Opened,
        fetcher: Upstream,
        access_log: AccessLog | None,
        admin: Server | None,
    ) -> None:
        self.settings = settings
        self.door = door
        self.store = store
        self.fetcher = fetcher
        self.access_log = access_log
        self.admin = admin
        self.looking: Looking | None = None
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
        left = float(self.settings.server.shutdown_timeout)
        while left > 0 and (self.door.connections or self.door.tunnels):
            await asyncio.sleep(_LOOK)
            left -= _LOOK
        await tasks.finish(PUMP, max(left, _LOOK))
        await self.stop()

    async def stop(self) -> None:
        """Now."""
        for server in self.servers:
            server.close()
        if self.admin is not None:
            await self.admin.close()
        if self.looking is not None:
            self.looking.close()
        self.door.shut()
        await tasks.finish("", 0)
        self.fetcher.close()
        shop = self.door.exchange.shop
        shop.close()
        log.info("coding: %s", shop.counts)
        await self.store.close()
        if self.access_log is not None:
            self.access_log.close()


async def start(settings: Settings) -> Running:
    """Build and serve. Raises OSError with what to do when an address cannot be listened on."""
    async with contextlib.AsyncExitStack() as opened:
        listeners = map(parse_listener, settings.server.listen)
        sockets = [opened.enter_context(_bound(listener)) for listener in listeners]
        store = await open_or_wait(settings.store)
        opened.push_async_callback(store.close)
        admin = _admin(settings)
        watching = Watching(time.time())
        access_log = open_log(settings.log, [] if admin is None else [watching.take])
        opened.pop_all()
    listening = [sock.getsockname()[:2] for sock in sockets]
    ours = listening if admin is None or not admin.port else [*listening, (admin.host, admin.port)]
    rules = Rules(settings.access, ours)
    fetcher = Upstream(settings.upstream, rules.destination)
    voice = Voice(f"forecache-{secrets.token_hex(4)}", settings.server.x_cache)
    exchange = Exchange(store, fetcher, settings.cache, settings.exchange, voice, settings.coding)
    hot = Hot(store, settings.cache, exchange.forms, x_cache=settings.server.x_cache)
    observe = access_log if access_log is not None else _unobserved
    door = Door(settings.server, rules, exchange, hot, fetcher, observe)
    running = Running(settings, door, store, fetcher, access_log, admin)
    looking = running.looking = Looking(Catalogue(settings.store.dir, settings.cache), watching)
    exchange.removing.tagged = looking.tagged
    loop = asyncio.get_running_loop()
    for sock, (host, port) in zip(sockets, listening, strict=True):
        server = await loop.create_server(lambda: Connection(door), sock=sock, backlog=BACKLOG)
        running.servers.append(server)
        running.addresses.append(str(Listener(host, port)))
    if admin is not None:
        addresses = tuple(running.addresses)
        inside = Inside(settings.cache, store, exchange, door, watching, looking, addresses)
        await admin.start(Api(inside).routes)
    door.watch()
    return running


def _admin(settings: Settings) -> Server | None:
    """The admin listener, bound. Raises OSError with what to do, if it was put there on purpose."""
    if settings.admin.listen == OFF:
        return None
    try:
        return Server(settings.admin)
    except OSError as error:
        if any(given.key == "admin.listen" for given in settings.given):
            raise
        # A second proxy on this machine: that it serves matters more.
        log.warning("nobody can look inside: %s", error.strerror)
        return None


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
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(_serve(settings))
        except OSError as error:
            log.error("%s", error.strerror or error)  # noqa: TRY400 - it says what to do
            return 1


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where there is one for the platform, else asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings) -> int:
    running = await start(settings)
    asked, again = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (again if asked.is_set() else asked).set()

    _on_signals(running, stop)
    _tune_collector()
    used, _, _ = running.store.usage()
    if sys.stdout.isatty():
        sys.stdout.write(banner.banner(settings, used, running.addresses))
        sys.stdout.flush()
    log.info("%s", banner.line(settings, used, running.addresses))
    await asked.wait()
    log.info("stopping: finishing what is under way; a second signal stops at once")
    drained = tasks.spawn(running.drain(), "drain")
    hurried = tasks.spawn(_wait(again), "hurry")
    await asyncio.wait((drained, hurried), return_when=asyncio.FIRST_COMPLETED)
    if not drained.done():
        drained.cancel()
        await asyncio.wait((drained,))
        await running.stop()
    hurried.cancel()
    return 0


def _tune_collector() -> None:
    """What was made at the start stays: full collections need not walk it, nor come so often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _on_signals(running: Running, stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    reopen = _unheard if running.access_log is None else running.access_log.reopen
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGUSR1, reopen)
    loop.add_signal_handler(signal.SIGHUP, _unheard)


def _unheard() -> None:
    log.info("nothing to do for this signal; restart to change the configuration")


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def _allow_files(connections: int) -> None:
    """Raise the soft limit of open files to what the connections need, as far as it may go."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections * 3 + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
