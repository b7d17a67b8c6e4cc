"""Cancels a task of the program at the await that the test says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator


class Cancelling:
    """A task factory. The task that is aimed at is cancelled at one of its awaits.

    ``aim`` chooses it by the name of its function, and the number of those that come before it.
    ``late``: when what it waits for has just come, which it will not see; else before that.
    """

    def __init__(self) -> None:
        self.where = ""  # it was cancelled
        self._wanted, self._before, self._number, self._late = "", 0, 0, False
        self._factory: Any = None

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._factory = loop.get_task_factory()
        loop.set_task_factory(self._make)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().set_task_factory(self._factory)

    def aim(self, function: str, number: int, *, before: int, late: bool) -> None:
        self.where = ""
        self._wanted, self._before, self._number, self._late = function, before, number, late

    def _make(self, loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
        if work.__qualname__ == self._wanted:
            self._before -= 1
            if self._before < 0:
                self._wanted = ""
                work = self._watched(work)
        return asyncio.Task(work, loop=loop, **more)

    async def _watched(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await _Watched(self, work, self._number, late=self._late)


class _Watched:
    def __init__(
        self, cancelling: Cancelling, work: Coroutine[Any, Any, Any], number: int, *, late: bool
    ) -> None:
        self._cancelling = cancelling
        self._work = work
        self._number = number
        self._late = late

    def __await__(self) -> Generator[Any, Any, Any]:
        work, count = self._work, 0
        error: BaseException | None = None
        while True:
            try:
                awaited = work.send(None) if error is None else work.throw(error)
            except StopIteration as end:
                return end.value
            error, count = None, count + 1
            if count == self._number:
                self._cancel(awaited)
            try:
                yield awaited
            except asyncio.CancelledError as cancelled:
                error = cancelled
            except Exception as failure:  # noqa: BLE001 - it is the work's to deal with
                error = failure

    def _cancel(self, awaited: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._cancelling.where = _innermost(self._work)
        if self._late and awaited is not None:
            # Before the task's own callback: it is woken, and told that it is cancelled.
            awaited.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()


def _innermost(work: Any) -> str:
    """Where it waits, from the outside in."""
    places = []
    while (frame := getattr(work, "cr_frame", None)) is not None:
        places.append(f"{work.__qualname__}:{frame.f_lineno}")
        work = work.cr_await
    return " > ".join(places) or "at once"
