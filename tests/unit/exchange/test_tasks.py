"""Tasks that nobody awaits: kept, logged when they fail, waited for at the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.exchange import tasks
from tests.support.origin import Gate

if TYPE_CHECKING:
    import pytest


async def test_finish_waits_for_those_of_a_name() -> None:
    gate, never = Gate(), Gate()
    wanted, other = tasks.spawn(gate.wait(), "fill a"), tasks.spawn(never.wait(), "exchange")
    gate.open()
    await tasks.finish("fill ", 5.0)
    assert (wanted.done(), other.done()) == (True, False)
    await tasks.finish("", 0)
    assert other.cancelled()


async def test_finish_with_nothing_to_wait_for() -> None:
    await tasks.finish("fill ", 5.0)


async def test_a_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("why")

    tasks.launch(fail(), "fill a")
    await tasks.finish("fill ", 5.0)
    await asyncio.sleep(0)
    assert [(record.getMessage(), record.levelname) for record in caplog.records] == [
        ("fill a failed", "ERROR")
    ]


async def test_a_cancellation_is_not(caplog: pytest.LogCaptureFixture) -> None:
    tasks.launch(Gate().wait(), "fill a")
    await tasks.finish("fill ", 0)
    await asyncio.sleep(0)
    assert not caplog.records
