"""The program's own log: one line for each record, and nothing in it that a terminal obeys."""

from __future__ import annotations

import io
import logging
import subprocess
import sys

import pytest

from proxy.admin.programlog import Plain
from tests.support.admin_stub import HOSTILE

TEXTS = [text for text in (*HOSTILE, "a\nb\r\x9b31m\x7f\u2028c") if "\ud800" not in text]


def written(*arguments: object, error: BaseException | None = None) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Plain("%(levelname)s %(message)s"))
    exc_info = (type(error), error, None) if error is not None else None
    handler.handle(
        logging.LogRecord("a", logging.INFO, "a.py", 1, "%s is not stored", arguments, exc_info)
    )
    return stream.getvalue()


def obeyed(text: str) -> list[str]:
    return [
        each
        for each in text
        if ord(each) < 32 or 127 <= ord(each) < 160 or "\u2028" <= each <= "\u202e"
    ]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_hostile_texts_stay_in_their_line(text: str) -> None:
    line = written(text)
    assert line.endswith(" is not stored\n")
    assert obeyed(line[:-1]) == []


def test_escapes_show_what_it_was() -> None:
    assert written("/\x9b31m\nx") == "INFO /\\x9b31m\\x0ax is not stored\n"


def test_a_trace_keeps_its_lines() -> None:
    said = written("x", error=ValueError("a\x1b[2J\nb"))
    assert said == "INFO x is not stored\nValueError: a\\x1b[2J\nb\n"


def test_messages_go_to_standard_error() -> None:
    program = (
        "import logging; from proxy.admin.programlog import write_log; write_log('warning');"
        "logging.info('unheard'); logging.warning('a\\x1bb')"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == ""
    assert run.stderr.endswith(" WARNING a\\x1bb\n")
    assert run.stderr.count("\n") == 1
