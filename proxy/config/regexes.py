"""Whether a regular expression of a person's own may take long for a text made for that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_MANY: Final = 64  # times that a repeat may come to before it counts as open
_GIVES_BACK: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT"})
_KEEPS: Final = frozenset({"ATOMIC_GROUP", "POSSESSIVE_REPEAT"})
_DEAR: Final = 3  # the power of a text's length with which the steps grow


def takes_long(regex: str) -> bool:
    """Whether open quantifiers are nested, or so many follow one another that steps explode.

    A guess on the safe side: it does not look at what is repeated. The parser of ``re`` is no
    public interface: where it is not as expected nothing is said.
    """
    try:
        parsed = re._parser.parse(regex)
        anchored = bool(parsed) and str(parsed[0][0]) == "AT"
        return _nests(parsed, inside=False) or _power(parsed) + (not anchored) >= _DEAR
    except Exception:  # noqa: BLE001 - a private module: anything
        return False


def _nests(parsed: Any, *, inside: bool) -> bool:
    for operation, argument in parsed:
        opens = _is_open(operation, argument)
        if opens and inside:
            return True
        within = (inside or opens) and str(operation) not in _KEEPS
        if any(_nests(part, inside=within) for part in _parts(argument)):
            return True
    return False


def _power(parsed: Any) -> int:
    """How many open quantifiers there are in a row, at most."""
    power = 0
    for operation, argument in parsed:
        kept = str(operation) in _KEEPS
        inner = max((_power(part) for part in _parts(argument)), default=0)
        power += 0 if kept else inner + _is_open(operation, argument)
    return power


def _is_open(operation: Any, argument: Any) -> bool:
    return str(operation) in _GIVES_BACK and argument[1] - argument[0] > _MANY


def _parts(argument: Any) -> Iterator[Any]:
    """The patterns within what an operation is of."""
    if hasattr(argument, "getwidth"):
        yield argument
    elif isinstance(argument, tuple | list):
        for each in argument:
            yield from _parts(each)
