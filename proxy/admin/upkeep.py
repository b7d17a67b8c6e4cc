"""Verifying and tidying the store while it serves, or with nobody there: a line at a time.

What reads the folder blocks, and runs in a thread of its own; what is taken out goes through the
writer of a store, as everything else that changes something.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from proxy.admin.shapes import DamageShape, TidyingLine, UselessShape, VerifyingLine
from proxy.store.checking import check
from proxy.store.operations import MakeRoom, Remove, RemoveDamaged
from proxy.store.tidying import Useless, look

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from proxy.store.checking import Damage
    from proxy.store.options import StoreOptions
    from proxy.store.waiting import Opened

_EVERY: Final = 0.2  # seconds between lines that have nothing new
_BEAT: Final = 1.0  # and while one operation is under way
_T = TypeVar("_T")


class Busy(Exception):
    """One at a time: one sentence."""


class Upkeep:
    """Of one folder. ``opened`` gives the store that takes out; it is not asked when all stays."""

    def __init__(
        self, options: StoreOptions, opened: Callable[[], AbstractAsyncContextManager[Opened]]
    ) -> None:
        self._options = options
        self._opened = opened
        self._busy = False

    async def verify(
        self, keys: Sequence[str] | None, *, remove: bool
    ) -> AsyncGenerator[VerifyingLine]:
        """All that is stored, or these keys. Raises Busy, StoreFailed."""
        async with AsyncExitStack() as stack:
            stack.enter_context(self._alone())
            store = await stack.enter_async_context(self._opened()) if remove else None
            checking = await stack.enter_async_context(
                aclosing(_in_a_thread(check(self._options.dir, keys)))
            )
            told = -_EVERY
            done = of = octets = 0
            async for done, of, octets, damaged, missing in checking:
                shapes = [await _removed(one, store) for one in damaged]
                if shapes or missing or time.monotonic() - told > _EVERY:
                    told = time.monotonic()
                    yield VerifyingLine(done, of, octets, shapes, list(missing))
            yield VerifyingLine(done, of, octets, ended=True)

    async def gc(self, *, dry_run: bool) -> AsyncGenerator[TidyingLine]:
        """Raises Busy, StoreFailed."""
        with self._alone():
            found: list[Useless] = []
            told = -_EVERY
            looking = _in_a_thread(look(self._options.dir, self._options.max_size))
            async with aclosing(looking):
                async for step in looking:
                    found += step.found
                    if time.monotonic() - told > _EVERY:
                        told = time.monotonic()
                        yield TidyingLine("looking", step.done, step.of)
            shapes = {shape.what: shape for shape in _together(found)}
            if not dry_run:
                async with self._opened() as store, aclosing(_giving_back(store, found)) as giving:
                    async for line in giving:
                        for shape in line.found:
                            shapes[shape.what] = shape
                        yield line
            yield TidyingLine("", found=list(shapes.values()), dry_run=dry_run, ended=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._busy:
            raise Busy("The store is being verified or tidied already; wait until that has ended.")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False


async def _removed(damage: Damage, store: Opened | None) -> DamageShape:
    count = 0
    if store is not None and damage.rowid:
        key, id_, _, rowid = damage
        body = Remove(key, frozenset((id_,)), on_purpose=False)
        count = await store.tidy(body if id_ else RemoveDamaged(key, rowid))
    return DamageShape(damage.key, damage.id, damage.why, bool(count))


def _together(found: Sequence[Useless]) -> list[UselessShape]:
    """One of each kind, in the order in which they were found."""
    sums: dict[str, tuple[int, int]] = {}
    for one in found:
        count, octets = sums.get(one.what, (0, 0))
        sums[one.what] = count + one.count, octets + one.octets
    return [UselessShape(str(what), *both) for what, both in sums.items() if any(both)]


async def _giving_back(store: Opened, found: Sequence[Useless]) -> AsyncGenerator[TidyingLine]:
    """A line now and then; those whose number was not known before say what it was."""
    work = [(one, operation) for one in found for operation in one.operations]
    told = -_EVERY
    for done, (one, operation) in enumerate(work):
        before = sum(store.evictions.values())
        task = asyncio.ensure_future(store.tidy(operation))
        while not task.done():
            if time.monotonic() - told > _EVERY:
                told = time.monotonic()
                yield TidyingLine("giving back", done, len(work))
            await asyncio.wait((task,), timeout=_BEAT)
        await task
        if isinstance(operation, MakeRoom):
            evicted = sum(store.evictions.values()) - before
            line = UselessShape(str(one.what), evicted, one.octets)
            yield TidyingLine("giving back", done, len(work), [line])


async def _in_a_thread(steps: Generator[_T, None, None]) -> AsyncGenerator[_T]:
    """One step after the other; closed in that thread, too, once the last has ended."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="upkeep")
    loop = asyncio.get_running_loop()
    try:
        while (step := await loop.run_in_executor(thread, next, steps, None)) is not None:
            yield step
    finally:
        await loop.run_in_executor(thread, steps.close)
        thread.shutdown(wait=False)
