"""Units of settings: durations and sizes, as people write them and as code counts them."""

from __future__ import annotations

import re
from typing import Final, NewType

Seconds = NewType("Seconds", float)
Octets = NewType("Octets", int)

_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_DURATION: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) *(ms|s|m|h|d)")
_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) *(B|KiB|MiB|GiB|TiB)")


def parse_duration(text: str) -> Seconds:
    """``30s 10m 2h 7d 250ms``; ``0`` needs no unit. Raises ValueError with what was expected."""
    if text == "0":
        return Seconds(0.0)
    if not (match := _DURATION.fullmatch(text)):
        raise ValueError(f"{text!r} is not a duration: write for example 30s, 10m, 2h or 7d")
    return Seconds(float(match[1]) * _UNITS[match[2]])


def parse_size(text: str) -> Octets:
    """``512MiB 10GiB 64KiB 100B``; ``0`` needs no unit. Raises ValueError as above."""
    if text == "0":
        return Octets(0)
    if not (match := _SIZE.fullmatch(text)):
        raise ValueError(f"{text!r} is not a size: write for example 64KiB, 512MiB or 10GiB")
    return Octets(int(float(match[1]) * _SIZES[match[2]]))


def format_duration(seconds: float) -> str:
    """The shortest of the units that says it exactly: 90 -> ``90s``, 3600 -> ``1h``."""
    if not seconds:
        return "0"
    for unit in ("d", "h", "m", "s"):
        if seconds % _UNITS[unit] == 0:
            return f"{int(seconds / _UNITS[unit])}{unit}"
    return f"{seconds * 1000:.6f}".rstrip("0").rstrip(".") + "ms"


def format_size(octets: int) -> str:
    """The largest unit that says it exactly: 10737418240 -> ``10GiB``."""
    if not octets:
        return "0"
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if octets % _SIZES[unit] == 0:
            return f"{octets // _SIZES[unit]}{unit}"
    return f"{octets}B"
