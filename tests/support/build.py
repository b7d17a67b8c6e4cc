"""One-liners for the values that tests speak of; text is what would stand on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.semantics import targets
from proxy.semantics.fields import Fields
from proxy.semantics.messages import PHRASES, Request, ResponseHead

if TYPE_CHECKING:
    from proxy.semantics.targets import TargetURI


def fields(*lines: str) -> Fields:
    """``fields("A: b", "C: d")``: each text is one field line."""
    split = (line.partition(":") for line in lines)
    return Fields((name, value.strip(" \t")) for name, _, value in split)


def uri(text: str) -> TargetURI:
    """``uri("http://a.example/x")``"""
    target = targets.parse("GET", text)
    assert isinstance(target, targets.Absolute), text
    return target.uri


def req(line: str, *lines: str, minor: int = 1) -> Request:
    """``req("GET http://a.example/x", "Vary: x")``: method and absolute URI, then field lines."""
    method, _, target = line.partition(" ")
    return Request(method, uri(target), fields(*lines), minor)


def resp(status: int, *lines: str, minor: int = 1) -> ResponseHead:
    """``resp(200, "max-age=60", 'ETag: "a"')``: field lines after the status.

    The first one is a Cache-Control value if it has no colon; "" there stands for none.
    """
    if lines and ":" not in lines[0]:
        first = [f"Cache-Control: {lines[0]}"] if lines[0] else []
        lines = (*first, *lines[1:])
    return ResponseHead(status, PHRASES.get(status, ""), fields(*lines), minor)
