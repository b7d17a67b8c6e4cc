"""Composition: builds the floors from settings, starts them, stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from proxy.access.rules import Rules
from proxy.admin.accesslog import AccessLog, open_log
from proxy.admin.api import Api
from proxy.admin.everywhere import Everywhere
from proxy.admin.explaining import Explaining
from proxy.admin.inside import Inside
from proxy.admin.looking import Looking
from proxy.admin.peers import Peers
from proxy.admin.programlog import write_log
from proxy.admin.upkeep import Upkeep
from proxy.admin.watching import Watching
from proxy.config import banner
from proxy.exchange import tasks
from proxy.exchange.exchange import Exchange
from proxy.exchange.hot import Hot
from proxy.exchange.keeping import PUMP
from proxy.exchange.voice import Voice
from proxy.frontend.connection import Connection
from proxy.frontend.descriptors import Descriptors
from proxy.frontend.door import Door
from proxy.frontend.listening import BACKLOG
from proxy.frontend.options import Listener, parse_listener
from proxy.posts import DRAIN, REOPEN, STOP, Post, posts
from proxy.store.catalogue import Catalogue
from proxy.store.leases import Leases
from proxy.store.waiting import Opened, open_or_wait
from proxy.upstream.fetch import Upstream

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from proxy.admin.server import Server
    from proxy.config import Settings
    from proxy.exchange.record import ExchangeRecord

log = logging.getLogger("forecache")
STOPPING: Final = "stopping: finishing what is under way; a second signal stops at once"
_COLLECT_AFTER: Final = (20_000, 5, 100)  # allocations, young and middle collections
_LOOK: Final = 0.05  # seconds between looks at who is still there, while draining
_FILES_BESIDE: Final = 1024  # connections: packs that are open, the database, listeners


class Running:
    """A proxy that serves. ``drain`` once, or ``stop``; both end with everything closed."""

    def __init__(
        self,
        settings: Settings,
        door: Door,
        store: Opened,
        fetcher: Upstream,
        access_log: AccessLog | None,
    ) -> None:
        self.settings = settings
        self.door = door
        self.store = store
        self.fetcher = fetcher
        self.access_log = access_log
        self.admin: Server | None = None
        self.looking: Looking | None = None
        self.peers: Peers | None = None
        self.servers: list[asyncio.Server] = []
        self.addresses: list[str] = []

    @property
    def ports(self) -> list[int]:
        """The ports that it listens on."""
        return [parse_listener(address).port for address in self.addresses]

    async def join(self, post: Post, everywhere: Everywhere) -> None:
        """Work together with the other workers. Raises OSError."""
        exchange, self.peers = self.door.exchange, Peers(post.folder, post.worker, post.workers)
        everywhere.peers, everywhere.worker = self.peers, post.worker
        exchange.removing.elsewhere = everywhere.under_way
        try:
            exchange.flights.leases = Leases(self.settings.store.dir / "leases")
            await self.peers.listen(everywhere.answer)
        except OSError as error:
            log.warning("workers know less of one another than they should: %s", error)

    def reopen(self) -> None:
        """Open the access log again."""
        if self.access_log is None:
            unheard()
        else:
            self.access_log.reopen()

    async def drain(self) -> None:
        """Accept no more, finish what is under way up to ``shutdown_timeout``, then stop."""
        for server in self.servers:
            server.close()
        self.door.drain()
        # By the clock: a loop that is busy sleeps longer than it was told to.
        end = time.monotonic() + self.settings.server.shutdown_timeout
        while (self.door.connections or self.door.tunnels) and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK)
        await tasks.finish(PUMP, max(end - time.monotonic(), _LOOK))
        await self.stop()

    async def stop(self) -> None:
        """Now."""
        for server in self.servers:
            server.close()
        if self.admin is not None:
            await self.admin.close()
        if self.looking is not None:
            self.looking.close()
        if self.peers is not None:
            self.peers.close()
        self.door.shut()
        await tasks.finish("", 0)
        self.fetcher.close()
        if (leases := self.door.exchange.flights.leases) is not None:
            leases.close()
        shop = self.door.exchange.shop
        shop.close()
        log.info("coding: %s", shop.counts)
        await self.store.close()
        if self.access_log is not None:
            self.access_log.close()


async def start(settings: Settings, post: Post | None = None) -> Running:
    """Build and serve; without a post, alone. Raises OSError as ``posts`` does."""
    post = post or posts(settings)[0]
    admin, addresses = post.admin, post.addresses
    watching = Watching(time.time(), post.token)
    store, access_log = await _opened(settings, post, watching)
    ours = addresses if admin is None or not admin.port else [*addresses, (admin.host, admin.port)]
    rules = Rules(settings.access, ours)
    fetcher = Upstream(settings.upstream, rules.destination)
    voice = Voice(post.pseudonym, settings.server.x_cache)
    exchange = Exchange(store, fetcher, settings.cache, settings.exchange, voice, settings.coding)
    hot = Hot(store, settings.cache, exchange.forms, x_cache=settings.server.x_cache)
    observe = access_log.observe if access_log is not None else _unobserved
    door = Door(settings.server, rules, exchange, hot, fetcher, observe)
    door.descriptors = Descriptors(_files(), door.make_room)
    running = Running(settings, door, store, fetcher, access_log)
    everywhere = Everywhere(watching, door, store, access_log)
    if post.workers > 1:
        await running.join(post, everywhere)
    catalogue = Catalogue(settings.store.dir, settings.cache)
    looking = running.looking = Looking(catalogue, everywhere.uses)
    exchange.removing.tagged, door.stored = looking.tagged, partial(_stored, exchange, looking)
    loop = asyncio.get_running_loop()
    for sock, (host, port) in zip(post.listeners, addresses, strict=True):
        server = await loop.create_server(lambda: Connection(door), sock=sock, backlog=BACKLOG)
        running.servers.append(server)
        running.addresses.append(str(Listener(host, port)))
    if admin is not None and post.worker == 0:
        running.admin = admin
        explaining = Explaining(settings.cache, exchange, rules, fetcher)
        listening = tuple(running.addresses)
        inside = Inside(
            settings.cache, store, exchange, door, explaining, everywhere, looking, listening
        )
        upkeep = Upkeep(settings.store, lambda: contextlib.nullcontext(store))
        await admin.start(Api(inside, upkeep).routes)
    door.watch()
    return running


async def _stored(exchange: Exchange, looking: Looking, prefix: str) -> bool:
    """Whether anything is stored whose key begins so, or is about to be."""
    return exchange.keeping.begins(prefix) or await looking.stored(prefix)


async def _opened(
    settings: Settings, post: Post, watching: Watching
) -> tuple[Opened, AccessLog | None]:
    """Store and log. Raises OSError; then the sockets of the post are closed, too."""
    async with contextlib.AsyncExitStack() as opened:
        for sock in post.listeners:
            opened.enter_context(sock)
        if post.admin is not None:
            opened.callback(post.admin.leave)
        store = await open_or_wait(settings.store)
        opened.push_async_callback(store.close)
        consumers = () if post.admin is None else watching.consumers
        turns = None if post.folder is None else post.folder / "log"
        access_log = open_log(settings.log, consumers, turns)
        opened.pop_all()
    return store, access_log


def _unobserved(_: ExchangeRecord) -> None:
    """The access log is off."""


def say(settings: Settings) -> None:
    """Messages go to standard error."""
    write_log(settings.log.level)


def run(settings: Settings, post: Post | None = None) -> int:
    """Serve until SIGTERM or SIGINT, or an order to end; a second one stops at once.

    Returns the exit code.
    """
    _allow_files(settings.server.max_connections)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(_serve(settings, post))
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


async def _serve(settings: Settings, post: Post | None) -> int:
    running, ending = await start(settings, post), _Ending()
    _tune_collector()
    used, _, _ = running.store.usage()
    if post is None or post.orders is None:
        _on_signals(running, ending)
        announce(settings, used, running.addresses)
    else:
        _on_orders(post.orders, running, ending)
        post.orders.send(b"%d\n" % used)
    await ending.asked.wait()
    drained = tasks.spawn(running.drain(), "drain")
    hurried = tasks.spawn(_wait(ending.at_once), "hurry")
    await asyncio.wait((drained, hurried), return_when=asyncio.FIRST_COMPLETED)
    if not drained.done():
        drained.cancel()
        await asyncio.wait((drained,))
        await running.stop()
    hurried.cancel()
    return 0


def announce(settings: Settings, used: int, addresses: Sequence[str]) -> None:
    """That it serves; ``used`` are octets of the cache."""
    if sys.stdout.isatty():
        sys.stdout.write(banner.banner(settings, used, addresses))
        sys.stdout.flush()
    log.info("%s", banner.line(settings, used, addresses))


def _tune_collector() -> None:
    """What was made at the start stays: full collections need not walk it, nor come so often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


class _Ending:
    """Somebody asked for the end, and then for it to come at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()

    def ask(self) -> None:
        if self.asked.is_set():
            self.at_once.set()
        else:
            log.info(STOPPING)
            self.asked.set()


def _on_signals(running: Running, ending: _Ending) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.ask)
    loop.add_signal_handler(signal.SIGUSR1, running.reopen)
    loop.add_signal_handler(signal.SIGHUP, unheard)


def _on_orders(orders: socket.socket, running: Running, ending: _Ending) -> None:
    def hear() -> None:
        try:
            said = orders.recv(64)
        except ConnectionError:
            said = b""  # the supervisor is gone
        if REOPEN in said:
            running.reopen()
        if DRAIN in said:
            ending.asked.set()
        if STOP in said or not said:
            ending.asked.set()
            ending.at_once.set()
            loop.remove_reader(orders)

    loop = asyncio.get_running_loop()
    loop.add_reader(orders, hear)


def unheard() -> None:
    """A signal for which there is nothing to do."""
    log.info("nothing to do for this signal; restart to change the configuration")


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def _files() -> int:
    """How many this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def _allow_files(connections: int) -> None:
    """Raise the soft limit of open files to what the connections need, as far as it may go."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections * 3 + _FILES_BESIDE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
