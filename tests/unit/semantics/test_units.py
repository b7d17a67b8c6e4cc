"""Durations and sizes as people write them."""

import pytest

from proxy.semantics.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds", "back"),
    [
        pytest.param("0", 0, "0", id="nought needs no unit"),
        pytest.param("30s", 30, "30s", id="seconds"),
        pytest.param("90s", 90, "90s", id="no larger unit says it"),
        pytest.param("120s", 120, "2m", id="minutes"),
        pytest.param("1.5h", 5400, "90m", id="fractions"),
        pytest.param("24 h", 86400, "1d", id="space before the unit"),
        pytest.param("250ms", 0.25, "250ms", id="milliseconds"),
        pytest.param("0.5ms", 0.0005, "0.5ms", id="fraction of a millisecond"),
        pytest.param("1234567.5s", 1234567.5, "1234567500ms", id="exact beyond six digits"),
    ],
)
def test_duration(text: str, seconds: float, back: str) -> None:
    assert parse_duration(text) == pytest.approx(seconds)
    assert format_duration(parse_duration(text)) == back


@pytest.mark.parametrize(
    "text", ["", "30", "-1s", "s", "1 fortnight", "1S", "1s\n", "9" * 400 + "s"]
)
def test_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="write for example 30s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "octets", "back"),
    [
        pytest.param("0", 0, "0", id="nought needs no unit"),
        pytest.param("100B", 100, "100B", id="octets"),
        pytest.param("1024B", 1024, "1KiB", id="the largest unit that is exact"),
        pytest.param("1.5KiB", 1536, "1536B", id="fractions"),
        pytest.param("512 MiB", 512 * 2**20, "512MiB", id="space before the unit"),
        pytest.param("10GiB", 10 * 2**30, "10GiB", id="gibibytes"),
        pytest.param("2TiB", 2 * 2**40, "2TiB", id="tebibytes"),
    ],
)
def test_size(text: str, octets: int, back: str) -> None:
    assert parse_size(text) == octets
    assert format_size(parse_size(text)) == back


@pytest.mark.parametrize("text", ["", "10", "-1B", "10MB", "10gib", "1 KiB\n", "9" * 400 + "B"])
def test_not_a_size(text: str) -> None:
    with pytest.raises(ValueError, match="write for example 64KiB"):
        parse_size(text)
