"""HTTP-date (RFC 9110 §5.6.7): the three formats in, IMF-fixdate out.

Strict in all but letter case: what looks almost like a date is no date, so that ``Expires`` of
such a kind means stale everywhere. Times are seconds since the epoch. No locale, no clock.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

from proxy.bounded import Memo

_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)
_MONTH_NUMBERS: Final = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}

_DAY_NAME: Final = "(?:mon|tue|wed|thu|fri|sat|sun)"
_DAY_NAME_L: Final = "(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_MONTH: Final = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
# second = 60 is a leap second.
_TIME: Final = "([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)"
_FLAGS: Final = re.ASCII | re.IGNORECASE
_IMF_FIXDATE: Final = re.compile(
    rf"{_DAY_NAME}, ([0-9]{{2}}) {_MONTH} ([0-9]{{4}}) {_TIME} GMT", _FLAGS
)
_RFC850: Final = re.compile(
    rf"{_DAY_NAME_L}, ([0-9]{{2}})-{_MONTH}-([0-9]{{2}}) {_TIME} GMT", _FLAGS
)
_ASCTIME: Final = re.compile(
    rf"{_DAY_NAME} {_MONTH} ([0-9]{{2}}| [0-9]) {_TIME} ([0-9]{{4}})", _FLAGS
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_IMF_LENGTH: Final = len("Sun, 06 Nov 1994 08:49:37 GMT")

_Time = tuple[str, str, str]


def parse_date(text: str, now: float | None = None) -> float | None:
    """Seconds since the epoch, None if ``text`` is not an HTTP-date. The weekday is not checked.

    ``now`` places the two-digit year of the RFC 850 format: at most 50 years ahead of it. Without
    ``now``, 70-99 are 1970-1999 and 00-69 are 2000-2069.
    """
    if len(text) == _IMF_LENGTH and (seconds := _imf_fixdate(text)) is not None:
        return seconds
    if match := _RFC850.fullmatch(text):
        day, month, digits, hour, minute, second = match.groups()
        return _rfc850(int(digits), month, day, (hour, minute, second), now)
    if match := _ASCTIME.fullmatch(text):
        month, day, hour, minute, second, year = match.groups()
        return _seconds(int(year), month, day, (hour, minute, second))
    return None


def format_date(seconds: float) -> str:
    """IMF-fixdate, fractions of a second dropped. Raises OverflowError outside years 1 to 9999."""
    return _format(int(seconds // 1))


def _parsed(text: str) -> float | None:
    match = _IMF_FIXDATE.fullmatch(text)
    if not match:
        return None
    day, month, year, hour, minute, second = match.groups()
    return _seconds(int(year), month, day, (hour, minute, second))


# An origin's Date, and a file's Last-Modified, come again and again.
_imf_fixdate: Final = Memo("dates", _parsed, 2**18, longest=29).__getitem__


def _rfc850(digits: int, month: str, day: str, clock: _Time, now: float | None) -> float | None:
    if now is None:
        return _seconds(digits + (1900 if digits >= 70 else 2000), month, day, clock)
    # RFC 9110 §5.6.7: more than 50 years in the future means the most recent past year.
    moment = _EPOCH + timedelta(seconds=now)
    latest = moment.year + 50
    year = latest - (latest - digits) % 100
    ahead = (year - 50, _MONTH_NUMBERS[month.lower()], int(day), *map(int, clock))
    return _seconds(year - 100 if ahead > moment.timetuple()[:6] else year, month, day, clock)


def _seconds(year: int, month: str, day: str, clock: _Time) -> float | None:
    try:
        days = date(year, _MONTH_NUMBERS[month.lower()], int(day)).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    hour, minute, second = clock
    return float(days * 86400 + int(hour) * 3600 + int(minute) * 60 + int(second))


@lru_cache(maxsize=256)
def _format(seconds: int) -> str:
    at = _EPOCH + timedelta(seconds=seconds)
    return (
        f"{_WEEKDAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04}"
        f" {at.hour:02}:{at.minute:02}:{at.second:02} GMT"
    )
