"""The program's own log, in which clients and origins are quoted: they do nothing to a terminal."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

# Controls of C0 and C1, DEL, separators of lines, and what turns the direction of text around.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_UNSAFE_IN_TRACES: Final = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))
_FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"


def _escape(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"


class Plain(logging.Formatter):
    """A line for each record, and whole traces after it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return _UNSAFE.sub(_escape, super().formatMessage(record))

    def formatException(  # noqa: N802 - logging's name
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        return _UNSAFE_IN_TRACES.sub(_escape, super().formatException(ei))


def write_log(level: str) -> None:
    """From now on to stderr, from that level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Plain(_FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler])
