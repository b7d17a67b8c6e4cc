"""Message heads as octets (RFC 9112 §2-§5): find the end of one, parse it, render it.

Strict for clients and origins alike: token names, no space before a colon, no folded lines, no
bare CR or LF, no NUL, HTTP/1.x only; from clients no control characters either. What is sent is
rendered anew, never copied. One compiled pattern takes all field lines; only a head that it
refuses is looked at again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.bounded import Memo
from proxy.semantics.fields import Fields
from proxy.semantics.grammar import is_token
from proxy.semantics.messages import RequestHead, ResponseHead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.semantics.fields import Line


class BadMessage(Exception):
    """Not an HTTP/1 message, or one that two readers could read differently.

    ``status`` is 400, 414, 431, 501 or 505; ``detail`` one sentence that quotes nothing received.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Limits:
    """Octets in a head and in its first line; number of field lines (0: any)."""

    head: int = 65536
    line: int = 16384
    fields: int = 128


# RFC 9110 §5.6.2 tchar; §5.5 field-content: visible octets, SP and HTAB.
_T: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_V: Final = r"[\t\x20-\x7e\x80-\xff]"
# §5.5: a recipient may retain other control characters; clients have always got them from origins.
_LOOSE: Final = r"[^\r\n\0]"
# RFC 9112 §2.2: one empty line before a request is skipped; §3: single spaces.
_REQUEST_LINE: Final = re.compile(rf"(?:\r\n)?({_T}++) ([!-~\x80-\xff]++) HTTP/1\.([0-9])\r\n")
# RFC 9112 §4; the space before an absent reason-phrase is forgiven, as nothing hangs on it.
# RFC 9110 §15: a status above 599 is invalid, but has one reading.
_STATUS_LINE: Final = re.compile(rf"HTTP/1\.([0-9]) ([1-9][0-9]{{2}})(?: ({_V}*+))?\r\n")

_FIELD_LINES: Final = re.compile(rf"((?:{_T}++:{_V}*+\r\n)*+)\r\n")
_LOOSE_LINES: Final = re.compile(rf"((?:{_T}++:{_LOOSE}*+\r\n)*+)\r\n")
# A field line without whitespace after its value, as (name, value); see ``_lines``.
_NAME_AND_VALUE: Final = re.compile(rf"(?<=\n)({_T}++):[ \t]*+({_V}*+)(?<![ \t])\r\n")
_PROPER_LINE: Final = re.compile(r"([^:\r]++):[ \t]*+([^\r]*+)\r\n")
_FIELD_LINE: Final = re.compile(rf"{_T}++:{_V}*+")
_LOOSE_LINE: Final = re.compile(rf"{_T}++:{_LOOSE}*+")
_START_OF_REQUEST: Final = re.compile(rf"(?:\r\n)?{_T}*+(?: |\r?\Z)".encode("latin-1"))
_START_OF_RESPONSE: Final = re.compile(rb"HTTP/|(?:H(?:T(?:T(?:P)?)?)?)?\Z")
_OPENING: Final = 64  # octets within which the first word ends
_OTHER_VERSION: Final = re.compile(r"HTTP/(?!1\.)[0-9](?:\.[0-9])?")
# RFC 9110 §7.2: uri-host [":" port]; a comma would let two hosts pass as one.
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9\-._~!$&'()*+;=%]*+)(?::[0-9]*+)?")


def head_end(buffer: bytes | bytearray, start: int = 0) -> int:
    """The index just past the blank line that ends the head, -1 if that has not come.

    ``start`` is how far an earlier call has looked.
    """
    at = buffer.find(b"\r\n\r\n", start - 3 if start > 3 else 0)
    return at + 4 if at >= 0 else -1


def check_partial(buffer: bytes | bytearray, limits: Limits, searched: int = 0) -> None:
    """Refuse an unfinished request head as soon as no continuation could make it good.

    ``searched`` is how far an earlier call has looked, so that what comes in small pieces is not
    looked at again with each of them.
    """
    faults = _START_OF_REQUEST, _REQUEST_LINE, _request_line_fault
    _check_partial(buffer, limits, faults, searched)


def check_partial_response(buffer: bytes | bytearray, limits: Limits, searched: int = 0) -> None:
    """The same for an unfinished response head."""
    faults = _START_OF_RESPONSE, _STATUS_LINE, _status_line_fault
    _check_partial(buffer, limits, faults, searched)


def _check_partial(
    buffer: bytes | bytearray,
    limits: Limits,
    faults: tuple[re.Pattern[bytes], re.Pattern[str], Callable[[str], BadMessage]],
    searched: int,
) -> None:
    opening, first, fault = faults
    if searched <= _OPENING and opening.match(buffer) is None:
        raise BadMessage(400, "these are not the first octets of an HTTP/1 message")
    start = searched - buffer.endswith(b"\r", 0, searched)
    ends = buffer.count(b"\r\n", start)
    told = (
        ends or len(buffer) > limits.line
    )  # whether the first line may have ended, or be too long
    line_end = buffer.find(b"\r\n", 2) if told else -1
    _check_size(len(buffer), len(buffer) if line_end < 0 else line_end, limits)
    lone = buffer.count(b"\n", start) != ends
    if lone or buffer.count(b"\r", start) - buffer.endswith(b"\r") != ends:
        raise BadMessage(400, "a line is ended by something else than CRLF")
    if line_end >= start:
        line = buffer[:line_end].decode("latin-1")
        if first.fullmatch(line + "\r\n") is None:
            raise fault(line)
    if limits.fields and ends and buffer.count(b"\r\n") > limits.fields + 2:
        raise BadMessage(431, f"the head has more than {limits.fields} field lines")


def _check_size(head: int, line: int, limits: Limits) -> None:
    if line > limits.line:
        raise BadMessage(414, f"the first line is longer than {limits.line} octets")
    if head > limits.head:
        raise BadMessage(431, f"the head is larger than {limits.head} octets")


def parse_request(head: bytes | bytearray, limits: Limits) -> RequestHead:
    """A whole request head, blank line included. Raises BadMessage."""
    text = head.decode("latin-1")
    match = _REQUEST_LINE.match(text)
    if match is None:
        _check_size(len(text), text.find("\r\n", 2), limits)
        raise _request_line_fault(text.removeprefix("\r\n").partition("\r\n")[0])
    end = match.end()
    _check_size(len(text), end - 2, limits)
    method, target, digit = match.groups()
    minor = int(digit)
    section = text[end - 2 :]
    fields = _remembered[section, limits.fields]
    if minor and "host" not in fields:
        raise BadMessage(400, "an HTTP/1.1 request needs a Host field")
    return RequestHead(method, target, minor, fields)


def _request_fields(read: tuple[str, int]) -> Fields:
    section, most = read
    fields = Fields(_lines(section, 2, most))
    _check_host(fields)
    return fields


def _weight(read: tuple[str, int], fields: Fields) -> int:
    """As they came, as they go on, and by name."""
    return 500 + 2 * len(read[0]) + 350 * len(fields)


# What a client says beside the target is the same with most of its requests.
_remembered: Final = Memo("field sections", _request_fields, 3 * 2**20, longest=1024, weigh=_weight)


def parse_response(head: bytes | bytearray, limits: Limits) -> ResponseHead:
    """A whole response head, blank line included. Raises BadMessage."""
    text = head.decode("latin-1")
    end = text.find("\r\n")
    _check_size(len(text), end, limits)
    status, reason, minor = _status_line(text[:end])
    lines = _lines(text, end + 2, limits.fields, _LOOSE_LINES)
    return ResponseHead(status, reason, Fields(lines), minor)


def _read_status_line(line: str) -> tuple[int, str, int]:
    """Status code, reason phrase, minor version."""
    match = _STATUS_LINE.fullmatch(line + "\r\n")
    if match is None:
        raise _status_line_fault(line)
    return int(match[2]), match[3] or "", int(match[1])


# Few come again and again.
_status_line: Final = Memo("status lines", _read_status_line, 2**16, each=200).__getitem__


def parse_fields(section: bytes | bytearray, limits: Limits, *, origin: bool = False) -> Fields:
    """Field lines alone, blank line included (a trailer section, RFC 9112 §7.1.2)."""
    proper = _LOOSE_LINES if origin else _FIELD_LINES
    return Fields(_lines("\r\n" + section.decode("latin-1"), 2, limits.fields, proper))


def _lines(text: str, start: int, most: int, section: re.Pattern[str] = _FIELD_LINES) -> list[Line]:
    """The field lines from ``start``, just past a CRLF, to the blank line that ends ``text``."""
    lines: list[Line] = _NAME_AND_VALUE.findall(text, start)
    # A match begins after an LF, ends with one and has no other in it. So if there are as many
    # as LFs before the last, which is the blank line's, nothing lies between two of them.
    if text.count("\n", start) != len(lines) + 1 or not text.endswith("\r\n\r\n"):
        match = section.fullmatch(text, start)
        if match is None:
            line = _FIELD_LINE if section is _FIELD_LINES else _LOOSE_LINE
            raise BadMessage(400, _field_lines_fault(text[start:], line))
        proper = _PROPER_LINE.findall(match[1])
        lines = [(name, value.rstrip(" \t")) for name, value in proper]
    if most and len(lines) > most:
        raise BadMessage(431, f"there are more than {most} field lines")
    return lines


def _check_host(fields: Fields) -> None:
    # RFC 9112 §3.2: repeated or invalid is answered with 400, and absent in HTTP/1.1.
    host = fields.get("host")
    if host is not None and _HOST.fullmatch(host) is None:
        # Of several lines the combined value has a comma in it.
        if len(fields.all("host")) > 1:
            raise BadMessage(400, "there is more than one Host field")
        raise BadMessage(400, "the Host field is not a host with an optional port")


def _request_line_fault(line: str) -> BadMessage:
    if _OTHER_VERSION.fullmatch(line.rpartition(" ")[2]):
        return BadMessage(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    return BadMessage(400, "the request line is not: method, target, HTTP version")


def _status_line_fault(line: str) -> BadMessage:
    if _OTHER_VERSION.fullmatch(line.partition(" ")[0]):
        return BadMessage(505, "the response is of another HTTP version than 1.0 or 1.1")
    return BadMessage(400, "the status line is not: HTTP version, status code, reason phrase")


def _field_lines_fault(text: str, proper: re.Pattern[str]) -> str:
    lines = text.removesuffix("\r\n\r\n").split("\r\n")
    bad = next((line for line in lines if proper.fullmatch(line) is None), None)
    if bad is None:
        return "the field lines do not end with an empty line"
    if "\r" in bad or "\n" in bad:
        return "a line is ended by something else than CRLF"
    if bad.startswith((" ", "\t")):
        return "a field line is folded"
    name, colon, _ = bad.partition(":")
    if not colon:
        return "a field line has no colon"
    if name.endswith((" ", "\t")):
        return "there is whitespace before the colon of a field line"
    if not is_token(name):
        return "a field name is not a token"
    return "a field value has a control character in it"


def render_request(method: str, target: str, fields: Iterable[Line]) -> bytes:
    """A complete HTTP/1.1 request head. Raises ValueError for what would not parse back."""
    return request_head(method, target, field_section(fields))


def request_head(method: str, target: str, section: bytes) -> bytes:
    """The same of a ``field_section``."""
    line = f"{method} {target} HTTP/1.1"
    if line.count(" ") != 2 or "\r" in line or "\n" in line or "\0" in line:
        raise ValueError("a space, CR, LF or NUL inside a request line")
    return line.encode("latin-1") + section


def field_section(fields: Iterable[Line]) -> bytes:
    """From the CRLF before the first field line to the blank line. Raises ValueError likewise."""
    return _render("", fields)


def render_response(status: int, reason: str, fields: Iterable[Line]) -> bytes:
    """A complete HTTP/1.1 response head. Raises ValueError for CR, LF or NUL in any part."""
    return _render(f"HTTP/1.1 {status} {reason}", fields)


def _render(first: str, fields: Iterable[Line]) -> bytes:
    lines = [first, *map(": ".join, fields), "", ""]
    text = "\r\n".join(lines)
    ends = len(lines) - 1
    # Counting is the cheapest check for all: a CR or LF inside a part is one too many.
    if text.count("\r") != ends or text.count("\n") != ends or "\0" in text:
        raise ValueError("CR, LF or NUL inside a head")
    return text.encode("latin-1")
