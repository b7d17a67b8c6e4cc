"""One line per exchange: ``squid``, ``combined`` or ``json``. Pure: records in, text out.

Every format carries the reason word that ``Cache-Status`` carries. In ``squid`` and ``combined`` it
is one more field at the end of the line, after all that log analysers know: Squid itself appends
there (``log_mime_hdrs``), and analysers count fields from the left.
"""

from __future__ import annotations

import re
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from proxy.bounded import Bounded, Memo
from proxy.policy.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.exchange.record import ExchangeRecord, What

# Squid's result codes, which log analysers know; what is not here is TCP_MISS.
_RESULTS: Final = {
    Reason.HIT: "TCP_HIT",
    Reason.REVALIDATED: "TCP_REFRESH_UNMODIFIED",
    Reason.COLLAPSED: "TCP_CF_HIT",
    Reason.STALE_ALLOWED: "TCP_STALE_HIT",
    Reason.STALE_WHILE_REVALIDATE: "TCP_STALE_HIT",
    Reason.STALE_IF_ERROR: "TCP_REFRESH_FAIL_OLD",
    Reason.EXPIRED: "TCP_REFRESH_MODIFIED",
    Reason.MUST_REVALIDATE: "TCP_REFRESH_MODIFIED",
    Reason.REQUEST_NO_CACHE: "TCP_CLIENT_REFRESH_MISS",
    Reason.REQUEST_MAX_AGE: "TCP_CLIENT_REFRESH_MISS",
    Reason.REQUEST_MIN_FRESH: "TCP_CLIENT_REFRESH_MISS",
    Reason.DAMAGED: "TCP_SWAPFAIL_MISS",
    Reason.DENIED_CLIENT: "TCP_DENIED",
    Reason.DENIED_DESTINATION: "TCP_DENIED",
    Reason.DENIED_PORT: "TCP_DENIED",
    Reason.DENIED_PURGE: "TCP_DENIED",
    Reason.TOO_MANY_CONNECTIONS: "TCP_DENIED",
    Reason.TOO_MANY_REQUESTS: "TCP_DENIED",
    Reason.ORIGIN_TIMEOUT: "TCP_MISS_TIMEDOUT",
    Reason.CLIENT_GONE: "TCP_MISS_ABORTED",
    Reason.TUNNEL: "TCP_TUNNEL",
    Reason.SELF: "NONE",
    Reason.LOOP: "NONE",
    Reason.MAX_FORWARDS: "NONE",
    Reason.PURGED: "NONE",
    Reason.BAD_REQUEST: "NONE",
    Reason.REQUEST_TIMEOUT: "NONE",
    Reason.INTERNAL: "NONE",
}
_WORTH_REMEMBERING: Final = 2048  # octets of a record, or of a value
_UNSAFE: Final = re.compile(r"[^!#-\[\]-~]")
_SAFE: Final = re.compile(r"[!#-\[\]-~]+")
_UNSAFE_QUOTED: Final = re.compile(r"[^ !#-\[\]-~]")
# DEL and C1, which JSON may leave as they are and a terminal may obey.
_CONTROLS: Final = re.compile("[\x7f-\x9f]")
# Not strftime's %b, which follows the locale.
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


def _percent(match: re.Match[str]) -> str:
    # A character is an octet: heads are decoded as latin-1.
    return f"%{ord(match[0]):02X}"


def _backslash(match: re.Match[str]) -> str:
    return "\\" + match[0] if match[0] in '"\\' else f"\\x{ord(match[0]):02x}"


def _escaped_field(text: str) -> str:
    """A value as one unquoted field: nothing that splits or ends a line."""
    return text if _SAFE.fullmatch(text) else _UNSAFE.sub(_percent, text) or "-"


def _escaped_quoted(text: str) -> str:
    """A value between quotes."""
    return _UNSAFE_QUOTED.sub(_backslash, text) or "-"


_fields: Final = Memo("fields of lines", _escaped_field, 2**18, longest=512, per_octet=5)
_quotes: Final = Memo("quotes of lines", _escaped_quoted, 2**18, longest=512, per_octet=5)
_field, _quoted = _fields.__getitem__, _quotes.__getitem__


@lru_cache(maxsize=1024)
def result(reason: Reason, status: int, aborted: bool) -> str:
    """Squid's result code."""
    if reason is Reason.HIT and status == 304:
        return "TCP_IMS_HIT"
    code = _RESULTS.get(reason, "TCP_MISS")
    return f"{code}_ABORTED" if aborted and not code.endswith("ABORTED") else code


def _squid_time(milliseconds: int) -> str:
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"


def _squid_what(r: What) -> str:
    """All that follows the client."""
    hierarchy = "HIER_NONE/-" if r.peer == "-" else f"HIER_DIRECT/{_field(r.peer)}"
    media_type = _field(r.content_type.partition(";")[0].rstrip())
    return (
        f"{result(r.reason, r.status, r.aborted)}/{r.status:03d} {r.sent}"
        f" {_field(r.method)} {_escaped_field(r.target)} - {hierarchy} {media_type} {r.reason}\n"
    )


class _Ready(Bounded["What", str]):
    """Lines of what was answered at once, by what they say: most of it comes again."""

    def __missing__(self, what: What) -> str:
        line = _squid_what(what)
        if what.octets <= _WORTH_REMEMBERING:
            self.keep(what, line)
        return line


_squid_times: Final = Memo("times of log lines", _squid_time, 2**18, longest=8)
_squid_ready: Final = _Ready("log lines", 3 * 2**20, lambda what, line: what.octets + len(line))


def squid(records: Iterable[ExchangeRecord]) -> str:
    """Squid's native format, and the reason word."""
    times, ready = _squid_times, _squid_ready
    # What was ready took no time, and most of it comes again to the letter.
    return "".join([
        f"{times[int(start * 1000)]}      0 {client} {ready[what]}"
        if not elapsed
        else f"{times[int((start + elapsed) * 1000)]} {int(elapsed * 1000):6d} {client} "
        f"{_squid_what(what)}"
        for start, elapsed, client, what in records
    ])  # fmt: skip


@lru_cache(maxsize=2)
def _common_time(second: int) -> str:
    at = time.gmtime(second)
    return time.strftime(f"%d/{_MONTHS[at.tm_mon - 1]}/%Y:%H:%M:%S +0000", at)


def combined(records: Iterable[ExchangeRecord]) -> str:
    """The combined format of NCSA and Apache, and the reason word."""
    return "".join(map(_combined, records))


def _combined(record: ExchangeRecord) -> str:
    r = record.what
    target, referer = _escaped_field(r.target), _quoted(r.referer)
    return (
        f"{record.client} - - [{_common_time(int(record.start))}]"
        f' "{_field(r.method)} {target} HTTP/1.{r.minor}" {r.status} {r.sent}'
        f' "{referer}" "{_quoted(r.user_agent)}" {r.reason}\n'
    )


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


class _Line(msgspec.Struct):
    """What a JSON line says, in this order; absent values are null."""

    time: str
    elapsed_ms: float
    client: str
    method: str
    target: str
    version: str
    status: int
    sent: int
    reason: str
    result: str
    content_type: str | None
    forward_status: int | None
    peer: str | None
    referer: str | None
    user_agent: str | None
    aborted: bool
    id: str | None


_encode: Final = msgspec.json.Encoder().encode


def _present(text: str) -> str | None:
    return None if text == "-" else text


def json(records: Iterable[ExchangeRecord]) -> str:
    """One object a line."""
    return "".join(map(_json, records))


def _json(record: ExchangeRecord) -> str:
    second, millisecond = divmod(int(record.start * 1000), 1000)
    r = record.what
    line = _Line(
        time=f"{_second(second)}.{millisecond:03d}Z",
        elapsed_ms=round(record.elapsed * 1000, 3),
        client=record.client,
        method=r.method,
        target=r.target,
        version=f"HTTP/1.{r.minor}",
        status=r.status,
        sent=r.sent,
        reason=r.reason,
        result=result(r.reason, r.status, r.aborted),
        content_type=_present(r.content_type),
        forward_status=r.forward_status or None,
        peer=_present(r.peer),
        referer=_present(r.referer),
        user_agent=_present(r.user_agent),
        aborted=r.aborted,
        id=r.id or None,
    )
    return _CONTROLS.sub(_unicode_escape, _encode(line).decode()) + "\n"


def _unicode_escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
