"""HTTP-date: three formats, strict but for letter case."""

from datetime import UTC, datetime

import pytest

from proxy.semantics.dates import format_date, parse_date

NOV_1994 = 784111777.0


def at(year: int, month: int = 1, day: int = 1, hour: int = 0) -> float:
    return datetime(year, month, day, hour, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT", NOV_1994, id="5.6.7 IMF-fixdate"),
        pytest.param("sUN, 06 nOV 1994 08:49:37 gmt", NOV_1994, id="5.6.7 letter case"),
        pytest.param("Sunday, 06-Nov-94 08:49:37 GMT", NOV_1994, id="5.6.7 RFC 850"),
        pytest.param("SUNDAY, 06-NOV-94 08:49:37 gmt", NOV_1994, id="5.6.7 RFC 850, letter case"),
        pytest.param("Sun Nov  6 08:49:37 1994", NOV_1994, id="5.6.7 asctime"),
        pytest.param("sun NOV  6 08:49:37 1994", NOV_1994, id="5.6.7 asctime, letter case"),
        pytest.param(
            "Sun Nov 16 08:49:37 1994", NOV_1994 + 864000, id="5.6.7 asctime, two-digit day"
        ),
        pytest.param("Sun Nov 06 08:49:37 1994", NOV_1994, id="5.6.7 asctime, day with a zero"),
        pytest.param(
            "Mon, 06 Nov 1994 08:49:37 GMT", NOV_1994, id="5.6.7 the weekday is not checked"
        ),
        pytest.param("Thu, 01 Jan 1970 00:00:00 GMT", 0.0, id="the epoch"),
        pytest.param("Wed, 31 Dec 1969 23:59:59 GMT", -1.0, id="before the epoch"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799.0, id="the last second"),
        pytest.param("Mon, 01 Jan 0001 00:00:00 GMT", -62135596800.0, id="the first second"),
        pytest.param("Thu, 29 Feb 2024 12:00:00 GMT", at(2024, 2, 29, 12), id="leap day"),
        pytest.param("Sat, 31 Dec 2016 23:59:60 GMT", at(2017), id="5.6.7 leap second"),
    ],
)
def test_date(text: str, seconds: float) -> None:
    assert parse_date(text) == seconds
    assert parse_date(text, at(2024)) == seconds


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("0", id="nought"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 UTC", id="UTC"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 AEST", id="other zone"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 +0000", id="offset"),
        pytest.param("Sun, 06 Nov 1994 08:49:37", id="no zone"),
        pytest.param("Sun, 06 Nov 94 08:49:37 GMT", id="two-digit year in IMF-fixdate"),
        pytest.param("Sun 06 Nov 1994 08:49:37 GMT", id="no comma"),
        pytest.param("06 Nov 1994 08:49:37 GMT", id="no weekday"),
        pytest.param("Sunday, 06 Nov 1994 08:49:37 GMT", id="long weekday in IMF-fixdate"),
        pytest.param("Sun, 06-Nov-94 08:49:37 GMT", id="short weekday in RFC 850"),
        pytest.param("Sunday, 06-Nov-1994 08:49:37 GMT", id="four-digit year in RFC 850"),
        pytest.param("Sun,  06 Nov 1994 08:49:37 GMT", id="two spaces after the comma"),
        pytest.param("Sun, 06  Nov 1994 08:49:37 GMT", id="two spaces before the month"),
        pytest.param("Sun, 06 Nov 1994  08:49:37 GMT", id="two spaces before the time"),
        pytest.param("Sun, 06-Nov-1994 08:49:37 GMT", id="dashes in IMF-fixdate"),
        pytest.param("Sun, 06 Nov 1994 08.49.37 GMT", id="dots in the time"),
        pytest.param("Sun, 06 Nov 1994 8:49:37 GMT", id="one-digit hour"),
        pytest.param("Sun, 6 Nov 1994 08:49:37 GMT", id="one-digit day"),
        pytest.param("Sun Nov 6 08:49:37 1994", id="one-digit day in asctime"),
        pytest.param("Sun Nov  6 08:49:37 94", id="two-digit year in asctime"),
        pytest.param("Sun Nov  6 08:49:37 1994 GMT", id="zone in asctime"),
        pytest.param("Sun, 06 Nov 1994 24:00:00 GMT", id="hour 24"),
        pytest.param("Sun, 06 Nov 1994 08:60:00 GMT", id="minute 60"),
        pytest.param("Sun, 06 Nov 1994 08:49:61 GMT", id="second 61"),
        pytest.param("Wed, 31 Feb 2024 08:49:37 GMT", id="31 February"),
        pytest.param("Wed, 29 Feb 2023 08:49:37 GMT", id="29 February of another year"),
        pytest.param("Wed, 00 Feb 2024 08:49:37 GMT", id="day 0"),
        pytest.param("Sun, 06 Nov 0000 08:49:37 GMT", id="year 0"),
        pytest.param("Sun, 06 Now 1994 08:49:37 GMT", id="month that is none"),
        pytest.param("San, 06 Nov 1994 08:49:37 GMT", id="weekday that is none"),
        pytest.param(" Sun, 06 Nov 1994 08:49:37 GMT", id="space before"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT\n", id="line end after"),
        pytest.param(
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", id="two lines"
        ),
        pytest.param("Sun, \u0660\u0666 Nov 1994 08:49:37 GMT", id="other digits"),
        pytest.param("Wednesday, 31-Feb-24 08:49:37 GMT", id="31 February in RFC 850"),
    ],
)
def test_no_date(text: str) -> None:
    assert parse_date(text) is None
    assert parse_date(text, at(2024)) is None


@pytest.mark.parametrize(
    ("digits", "now", "year"),
    [
        pytest.param("24", at(2024), 2024, id="this year"),
        pytest.param("74", at(2024), 2074, id="50 years ahead to the second"),
        pytest.param("74", at(2024) - 1, 1974, id="a second more than 50 years ahead"),
        pytest.param("75", at(2024), 1975, id="51 years ahead"),
        pytest.param("00", at(2024), 2000, id="this century"),
        pytest.param("10", at(2095), 2110, id="the next century is less than 50 years ahead"),
        pytest.param("60", at(2095), 2060, id="the same century"),
        pytest.param("69", None, 2069, id="without now: up to 69"),
        pytest.param("70", None, 1970, id="without now: from 70"),
    ],
)
def test_two_digit_year(digits: str, now: float | None, year: int) -> None:
    assert parse_date(f"Monday, 01-Jan-{digits} 00:00:00 GMT", now) == at(year)


def test_fifty_years_from_a_leap_day() -> None:
    assert parse_date("Friday, 01-Mar-74 00:00:00 GMT", at(2024, 2, 29)) == at(1974, 3, 1)
    assert parse_date("Friday, 28-Feb-74 00:00:00 GMT", at(2024, 2, 29)) == at(2074, 2, 28)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(NOV_1994, "Sun, 06 Nov 1994 08:49:37 GMT", id="5.6.7 IMF-fixdate"),
        pytest.param(NOV_1994 + 0.999, "Sun, 06 Nov 1994 08:49:37 GMT", id="fractions dropped"),
        pytest.param(-0.5, "Wed, 31 Dec 1969 23:59:59 GMT", id="downwards before the epoch"),
        pytest.param(-62135596800.0, "Mon, 01 Jan 0001 00:00:00 GMT", id="four digits of year"),
    ],
)
def test_format(seconds: float, text: str) -> None:
    assert format_date(seconds) == text


def test_format_refuses_other_years() -> None:
    with pytest.raises(OverflowError):
        format_date(253402300800.0)


@pytest.mark.parametrize(
    "text",
    [
        "Mon, 01 Jan 2024 00:00:00 GMT",
        "Tue, 06 Feb 2024 01:02:03 GMT",
        "Wed, 06 Mar 2024 10:20:30 GMT",
        "Thu, 04 Apr 2024 23:59:59 GMT",
        "Fri, 31 May 2024 00:00:00 GMT",
        "Sat, 01 Jun 2024 00:00:00 GMT",
        "Sun, 07 Jul 2024 00:00:00 GMT",
        "Thu, 01 Aug 2024 00:00:00 GMT",
        "Sun, 01 Sep 2024 00:00:00 GMT",
        "Tue, 01 Oct 2024 00:00:00 GMT",
        "Fri, 01 Nov 2024 00:00:00 GMT",
        "Sun, 01 Dec 2024 00:00:00 GMT",
    ],
)
def test_every_weekday_and_month(text: str) -> None:
    seconds = parse_date(text)
    assert seconds is not None
    assert format_date(seconds) == text
