"""The wall clock is set, forward and back: answers stay right, and freshness comes back."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.clock import http_date
from tests.support.origin import Gate, Origin, head, reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import StartHouse
    from tests.support.house import House

MINUTES: Final = 600.0
YEARS: Final = 10 * 365 * 86400.0
EPOCH: Final = -time.time()
YEAR_9999: Final = 253_370_764_800.0 - time.time()
STEPS: Final = {
    "ten minutes on": MINUTES,
    "ten minutes back": -MINUTES,
    "ten years on": YEARS,
    "ten years back": -YEARS,
    "to the beginning of time": EPOCH,
    "to the year 9999": YEAR_9999,
}
FRESH: Final = "Cache-Control: max-age=3600"
LARGE: Final = bytes(range(256)) * 4000


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """By so many seconds from what it really is."""
    wall, ahead = time.time, 0.0

    def to(seconds: float) -> None:
        nonlocal ahead
        ahead = seconds

    monkeypatch.setattr(time, "time", lambda: wall() + ahead)
    return to


async def asked(house: House, origin: Origin, path: str, body: bytes = b"hello") -> bool:
    """Whether it was a hit; whatever the clock says, it is the right answer."""
    response = await house.get(origin.url(path))
    assert (response.status, response.body) == (200, body)
    age = response.get("age")
    assert age is None or (age.isdecimal() and int(age) <= 2**31), age
    return response.hit


def undated(body: bytes) -> bytes:
    return head(200, FRESH, f"Content-Length: {len(body)}", date=False) + body


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
async def test_what_is_stored_when_the_clock_is_set(
    start_house: StartHouse,
    origin: Origin,
    set_clock: Callable[[float], None],
    step: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """There and back again: stored before, while, and after."""
    origin.serve("/a", undated(b"hello"))
    origin.serve("/large", undated(LARGE))
    origin.serve("/dated", reply(200, FRESH, f"Date: {http_date()}", body=b"hello"))
    origin.serve("/expires", reply(200, f"Expires: {http_date(3600)}", 'ETag: "a"', body=b"hello"))
    house = await start_house()
    paths = {"/a": b"hello", "/large": LARGE, "/dated": b"hello", "/expires": b"hello"}
    for ahead in (0.0, step, 0.0):
        set_clock(ahead)
        for path, body in paths.items():
            await asked(house, origin, path, body)
            await asked(house, origin, path, body)
        # Where nobody gives a date, how long a response is fresh does not depend on the clock.
        assert await asked(house, origin, "/a")
        assert await asked(house, origin, "/large", LARGE)
    assert await asked(house, origin, "/dated")
    assert await asked(house, origin, "/expires")
    errors = [line for line in caplog.records if line.levelno >= logging.ERROR]
    assert not errors


@pytest.mark.parametrize("ahead", [-YEARS, -MINUTES, MINUTES, YEARS])
async def test_an_origin_whose_clock_is_wrong(house: House, origin: Origin, ahead: float) -> None:
    """RFC 9111 §4.2.3: Age is never negative."""
    origin.serve("/a", reply(200, FRESH, f"Date: {http_date(ahead)}", body=b"hello"))
    await asked(house, origin, "/a")
    hit = await asked(house, origin, "/a")
    assert hit == (ahead > -3600)


@pytest.mark.parametrize("step", [YEARS, -YEARS])
async def test_a_download_goes_on_when_the_clock_is_set(
    house: House, origin: Origin, set_clock: Callable[[float], None], step: float
) -> None:
    gate = Gate()
    line = f"Content-Length: {len(LARGE)}"
    origin.serve("/slow", head(200, FRESH, line) + LARGE[:500_000], gate, LARGE[500_000:])
    incoming = await house.open(origin.url("/slow"))
    first = await incoming.read(400_000)
    set_clock(step)
    house.running.door._sweep()
    gate.open()
    assert first + await incoming.rest() == LARGE
    set_clock(0.0)
    await asked(house, origin, "/slow", LARGE)
    assert await asked(house, origin, "/slow", LARGE)


async def test_files_with_dates_of_the_future(
    start_house: StartHouse, origin: Origin, set_clock: Callable[[float], None]
) -> None:
    """Another process has used the folder while the clock was ahead."""
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    set_clock(YEARS)
    house = await start_house()
    folder = house.running.settings.store.dir
    await asked(house, origin, "/a")
    set_clock(0)
    again = await start_house({"cache": {"dir": str(folder)}})
    await asked(again, origin, "/a")
    assert await asked(again, origin, "/a")
