import asyncio
import logging
import threading

import pytest

from proxy.store.threads import Handover, Threads


async def test_results_and_errors_reach_the_caller() -> None:
    threads = Threads(Handover(asyncio.get_running_loop()), 2, "test")
    assert await threads.run(divmod, 7, 3) == (2, 1)
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 7, 0)
    await threads.close()


async def test_every_result_is_delivered_whatever_the_order() -> None:
    threads = Threads(Handover(asyncio.get_running_loop()), 4, "test")
    results = await asyncio.gather(*(threads.run(abs, -number) for number in range(2000)))
    assert results == list(range(2000))
    await threads.close()


async def test_a_caller_that_left_is_not_missed() -> None:
    handover = Handover(asyncio.get_running_loop())
    threads = Threads(handover, 1, "test")
    gate = threading.Event()
    made: list[int] = []
    held = threads.run(gate.wait)
    queued = threads.run(made.append, 1)
    held.cancel()
    queued.cancel()
    gate.set()
    assert await threads.run(abs, -1) == 1
    assert made == []
    await threads.close()


async def test_leaving_threads_say_good_bye() -> None:
    left: list[str] = []
    handover = Handover(asyncio.get_running_loop())
    threads = Threads(handover, 3, "test", lambda: left.append(threading.current_thread().name))
    await threads.close()
    assert sorted(left) == ["test-0", "test-1", "test-2"]


async def test_what_fails_in_the_background_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    threads = Threads(Handover(asyncio.get_running_loop()), 1, "test")
    with caplog.at_level(logging.ERROR):
        threads.start(divmod, 1, 0)
        await threads.close()
    assert "a call in the background failed" in caplog.text
