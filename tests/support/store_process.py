"""A store in a process of its own, which does what it is told and can be killed at any time.

It is forked from a process that has everything imported, so that one takes some milliseconds.
What is stored is told by its id alone, as in ``tests.support.storing``.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from proxy.store import tiered, writer
from proxy.store.base import BodyLost, StoreFailed, TooLarge
from proxy.store.catalogue import Catalogue
from proxy.store.catalogue_queries import Glob, Host, Prefix
from tests.support.failing import WRITING, failing
from tests.support.stores import options, response
from tests.support.storing import body_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from proxy.policy.stored import StoredResponse
    from proxy.store.base import StoredBody
    from proxy.store.catalogue_queries import Selector
    from tests.support.failing import Disk

PATIENCE: Final = 30.0  # seconds that an order may take
# What a store may raise.
REFUSED: Final = (StoreFailed, BodyLost, TooLarge)

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])

SELECTORS: Final[dict[str, Any]] = {"prefix": Prefix, "glob": Glob, "host": Host}


@dataclass(frozen=True, slots=True)
class Seen:
    """A variant as it was handed out: ``state`` is "right", "wrong" or "lost"."""

    id: str
    vary: str
    time: float
    state: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The store said no, as it may."""

    kind: str
    why: str


class StoreProcess:
    """Orders and answers. ``faults`` are what nobody may see: tracebacks of the other side."""

    def __init__(self, folder: Path, size: int, memory: int) -> None:
        """``opened`` says whether it is open, when it is known."""
        self._pipe, theirs = _CONTEXT.Pipe()
        self._numbers = count()
        self._answers: dict[int, object] = {}
        self.faults: list[str] = []
        self._process = _CONTEXT.Process(
            target=_serve, args=(theirs, folder, size, memory), daemon=True
        )
        self._process.start()
        theirs.close()
        self.opened: Any = self.answer(next(self._numbers))

    def order(self, name: str, *args: object) -> int:
        """The number with which to ask for the answer."""
        number = next(self._numbers)
        self._pipe.send((number, name, args))
        return number

    def answer(self, number: int) -> Any:
        """Waits for it. A ``Refused`` is one, too."""
        until = time.monotonic() + PATIENCE
        while number not in self._answers:
            assert self._pipe.poll(max(0.0, until - time.monotonic())), "it does not answer"
            self._receive()
        return self._answers.pop(number)

    def _receive(self) -> None:
        try:
            number, what = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join(PATIENCE)
            raise AssertionError(f"it has ended with {self._process.exitcode}") from None
        if number is None:
            self.faults.append(what)
        else:
            self._answers[number] = what

    def ask(self, name: str, *args: object) -> Any:
        return self.answer(self.order(name, *args))

    def kill(self) -> None:
        """At once, whatever it is doing; it may have been closed."""
        if self._pipe.closed:
            return
        self._process.kill()
        self._process.join(PATIENCE)
        while self._pipe.poll():
            try:
                self._receive()
            except (AssertionError, OSError):
                break
        self._pipe.close()

    def answered(self, number: int) -> bool:
        """After ``kill``: whether it had said that it was done."""
        return number in self._answers

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def close(self) -> Any:
        """In order."""
        answer = self.ask("close")
        self._process.join(PATIENCE)
        assert self._process.exitcode == 0, f"it has ended with {self._process.exitcode}"
        self._pipe.close()
        return answer


class _Faults(logging.Handler):
    """What was logged with a traceback, but for what the search for orphans says."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__(logging.WARNING)
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.levelno >= logging.ERROR:
            self._pipe.send((None, f"logged: {self.format(record)}"))


def _serve(pipe: Connection, folder: Path, size: int, memory: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The disk is asked again at once.
    writer._DOWN_FOR = 0.0  # type: ignore[misc]
    tiered._RETRY_REMOVAL = 0.05  # type: ignore[misc]
    root = logging.getLogger()
    root.handlers[:] = [_Faults(pipe)]

    def hook(args: threading.ExceptHookArgs) -> None:
        told = traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback)
        pipe.send((None, "in a thread: " + "".join(told)))

    threading.excepthook = hook
    with failing(folder) as disk:
        asyncio.run(_Server(pipe, folder, disk).serve(size, memory))


class _Server:
    def __init__(self, pipe: Connection, folder: Path, disk: Disk) -> None:
        self._pipe = pipe
        self._folder = folder
        self._disk = disk
        self._held: list[tuple[StoredResponse, StoredBody]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()

    async def serve(self, size: int, memory: int) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _, what: self._pipe.send((None, f"on the loop: {_told(what)}"))
        )
        try:
            self._store = await tiered.open_store(options(self._folder, size, memory))
        except StoreFailed as error:
            self._pipe.send((0, Refused("StoreFailed", str(error))))
            return
        except BaseException:  # noqa: BLE001
            self._pipe.send((None, f"at opening: {traceback.format_exc()}"))
            self._pipe.send((0, None))
            return
        self._catalogue = Catalogue(self._folder)
        self._pipe.send((0, True))
        loop.add_reader(self._pipe.fileno(), self._receive)
        await self._over.wait()
        loop.remove_reader(self._pipe.fileno())

    def _receive(self) -> None:
        try:
            number, name, args = self._pipe.recv()
        except (EOFError, OSError):
            self._over.set()  # nobody is there any more
            return
        task = asyncio.create_task(self._do(number, getattr(self, name)(*args)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, number: int, work: Coroutine[Any, Any, object]) -> None:
        try:
            answer = await work
        except REFUSED as error:
            answer = Refused(type(error).__name__, str(error))
        except BaseException:  # noqa: BLE001
            self._pipe.send((None, traceback.format_exc()))
            answer = None
        self._pipe.send((number, answer))

    # The orders.

    async def put(
        self, key: str, name: str, vary: str, time: float, spooled: bool, since: int | None
    ) -> bool:
        since = self._store.removals(key) if since is None else since
        stored = response(name, vary=vary, time=time)
        body = body_of(stored.id)
        if not spooled:
            await self._store.put(key, stored, body, since)
            return True
        spool = self._store.spool()
        try:
            for start in range(0, len(body), 65536):
                await spool.append(body[start : start + 65536])
            await self._store.adopt(key, stored, spool, since)
        finally:
            spool.abandon()
        return True

    async def since(self, key: str) -> int:
        return self._store.removals(key)

    async def get(self, key: str, way: str) -> list[Seen]:
        """As the exchange does: from memory, at once, soon, or by a look-up."""
        found = None
        if way == "fast":
            found = self._store.peek(key) or self._store.at_once(key)
            if found is None:
                come = asyncio.get_running_loop().create_future()
                if self._store.soon(key, come.set_result):
                    found = await come
        if found is None:
            found = await self._store.lookup(key)
        self._store.touch(key)
        return [await self._seen(key, stored, way) for stored in found.variants]

    async def _seen(self, key: str, stored: StoredResponse, way: str) -> Seen:
        vary = stored.selecting[0][1] if stored.selecting else ""
        try:
            state = "right" if await self._is_right(key, stored, way) else "wrong"
        except BodyLost:
            state = "lost"
        return Seen(stored.id, vary or "", stored.response_time, state)

    async def _is_right(self, key: str, stored: StoredResponse, way: str) -> bool:
        wanted = body_of(stored.id)
        if stored.length != len(wanted):
            return False
        held = self._store.held(stored) if way == "fast" else None
        if held is not None:
            return held == wanted
        body = await self._store.open(key, stored)
        try:
            if way == "part":
                first = len(wanted) // 3
                return await _read(body, first, 2 * first) == wanted[first : 2 * first]
            return await _read(body, 0, len(wanted)) == wanted
        finally:
            body.close()

    async def hold(self, key: str) -> int:
        """Open all bodies and leave them open; how many."""
        for stored in (await self._store.lookup(key)).variants:
            try:
                self._held.append((stored, await self._store.open(key, stored)))
            except BodyLost:
                continue
        return len(self._held)

    async def let_go(self) -> list[Seen]:
        """What is read of them now."""
        seen = []
        for stored, body in self._held:
            try:
                octets = await _read(body, 0, body.length)
                state = "right" if octets == body_of(stored.id) else "wrong"
            except BodyLost:
                state = "lost"
            body.close()
            seen.append(Seen(stored.id, "", 0.0, state))
        self._held.clear()
        return seen

    async def update(self, key: str, time: float) -> list[str]:
        """As after a 304: the ids that were there."""
        found = await self._store.lookup(key)
        changed = [replace(stored, response_time=time) for stored in found.variants]
        await self._store.update(key, changed)
        return [stored.id for stored in changed]

    async def remove(self, key: str, ids: Sequence[str] | None) -> bool:
        """Whether the disk has done it."""
        await self._store.remove(key, None if ids is None else frozenset(ids))
        return not self._store._condemned

    async def purge(self, how: str, what: str) -> list[str] | None:
        """The keys that are removed; None if the disk has not done it."""
        selector: Selector = SELECTORS[how](what)
        while (await asyncio.to_thread(self._catalogue.catch_up, 1000)).left:
            pass
        keys = await asyncio.to_thread(self._catalogue.keys, selector, "", 1000)
        await asyncio.gather(*map(self._store.remove, keys))
        return None if self._store._condemned else keys

    async def orphans(self) -> None:
        await self._store.remove_orphans()

    async def forget(self) -> None:
        """What memory holds."""
        self._store._memory.clear()

    async def fault(self, first: int, error: int, times: int, writing: bool) -> None:
        self._disk.fail(first, error, times, WRITING if writing else None)

    async def mend(self) -> list[str]:
        self._disk.mend()
        return self._disk.told

    async def settled(self) -> bool:
        """When nothing that was refused is still to be removed."""
        while self._store._condemned:  # noqa: ASYNC110 - nobody says so
            await asyncio.sleep(0.02)
        return True

    async def close(self) -> bool:
        for _, body in self._held:
            body.close()
        await asyncio.to_thread(self._catalogue.close)
        await self._store.close()
        self._over.set()
        return True


async def _read(body: StoredBody, start: int, end: int) -> bytes:
    octets = b""
    while start < end and (piece := await body.read_at(start, min(100_000, end - start))):
        octets += piece
        start += len(piece)
    return octets


def _told(what: dict[str, Any]) -> str:
    error = what.get("exception")
    return f"{what.get('message')}\n{''.join(traceback.format_exception(error)) if error else ''}"
