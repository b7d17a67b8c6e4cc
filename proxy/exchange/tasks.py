"""The one place that starts tasks: it keeps a reference and logs what nobody awaited."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

log = logging.getLogger("forecache")
_running: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Start ``work``; an exception that ends it is logged, cancellation is not."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_ended)
    return task


def launch(work: Coroutine[Any, Any, None], name: str) -> None:
    """Start ``work`` that nobody waits for."""
    _ = spawn(work, name)


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s failed", task.get_name(), exc_info=error)


async def finish(names: str, seconds: float) -> None:
    """Wait so long for the tasks whose name starts with ``names``, then cancel them."""
    own = asyncio.current_task()
    waited = [t for t in _running if t is not own and t.get_name().startswith(names)]
    if not waited:
        return
    _, late = await asyncio.wait(waited, timeout=seconds)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)
