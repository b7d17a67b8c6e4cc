"""Methods, framings and ends of messages are what they are without the proxy.

Rows of the test ``test_same_as_direct``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.origin import CLOSE, LEAVE_BODY, READ_BODY, RESET, chunk, chunked, head
from tests.support.resources import (
    FRESH,
    GZIPPED,
    LINE,
    NOW,
    PLAIN,
    TEXT,
    Echo,
    Pause,
    Resource,
    Steady,
    Written,
    live,
    paused,
    plain,
    said,
)
from tests.support.rows import (
    AGAIN,
    ALL,
    BARE,
    GETS,
    GZIP,
    IDENTITY,
    LENGTH,
    Row,
    chunked_head,
    everything,
    get,
    gets,
    put,
)

if TYPE_CHECKING:
    from tests.support.asking import Ask
    from tests.support.origin import Conversation
    from tests.support.sides import Sides


GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
WORKING: Final = b"HTTP/1.1 102 Processing\r\n\r\n"
OLD: Final = b"HTTP/1.0 200 OK\r\nCache-Control: max-age=600\r\n"
SHORT: Final = head(200, NOW, FRESH, "Content-Length: 500") + LINE
HALF_CHUNKED: Final = chunked_head(FRESH) + chunk(LINE)
HALF_GZIP: Final = (FRESH, PLAIN, "Content-Encoding: gzip")
ABOUT_PART: Final = "Content-Range: bytes 5-9/100"


def cut(id: str, start: bytes, *asks: Ask) -> list[Row]:  # noqa: A002
    """The body ends before its end, in either way."""
    return [
        Row(f"{id}, closed", said(start, CLOSE), asks or BARE),
        Row(f"{id}, seen and closed", said(start, Pause(), CLOSE), asks or BARE),
        Row(
            f"{id}, reset",
            said(start, Pause(start.partition(b"\r\n\r\n")[2][6:40]), RESET),
            asks or BARE,
        ),
    ]


def in_connect(*rows: Row) -> list[Row]:
    return [replace(row, id=f"in CONNECT: {row.id}", tunnel=True) for row in rows]


MESSAGES: Final = [
    *(
        row
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT", "PROPFIND", "QUERY")
        for row in gets(
            f"{method} with content",
            Echo(),
            put(method=method, body=b"a=1"),
            put("", "Content-Type: text/plain", method=method, body=b"x" * 5000),
        )
    ),
    *(
        row
        for method in ("DELETE", "OPTIONS", "POST", "PURGE", "SEARCH")
        for row in gets(f"{method} without content", Echo(), put(method=method, body=None))
    ),
    *gets("POST of no octets", Echo(), put(method="POST", body=b"")),
    *gets("GET with content", Echo(), put(method="GET", body=b"query")),
    *gets(
        "POST that is answered in pieces",
        live("gzip", PLAIN),
        put("", ALL, method="POST"),
        put(method="POST"),
    ),
    *gets(
        "POST answered in a coding",
        Resource(coding="gzip", ranges=False, modified=False, tag=None),
        put("", ALL, method="POST"),
        put(method="POST"),
    ),
    *gets(
        "HEAD",
        Resource(coding="identity"),
        get(method="HEAD"),
        get(),
        get(method="HEAD"),
        get(ALL, method="HEAD"),
        get(IDENTITY, method="HEAD"),
    ),
    *gets(
        "HEAD of what is coded",
        Resource(),
        get(IDENTITY, method="HEAD"),
        get(ALL),
        get(IDENTITY, method="HEAD"),
        get(ALL, method="HEAD"),
        get(method="HEAD"),
    ),
    *gets(
        "HEAD without a length", said(head(200, NOW, FRESH)), get(method="HEAD"), get(method="HEAD")
    ),
    *gets(
        "redirects", plain(FRESH, "Location: http://elsewhere.test/b", status=301), *AGAIN, most=1
    ),
    *gets(
        "100 that was asked for",
        Steady((GO_ON, READ_BODY, head(200, NOW, LENGTH) + b"hello")),
        put("", "Expect: 100-continue"),
    ),
    *gets(
        "417 instead of 100",
        Steady((LEAVE_BODY, head(417, NOW, LENGTH) + b"hello")),
        put("", "Expect: 100-continue"),
    ),
    *gets(
        "103 before the answer",
        said(HINTS + HINTS + head(200, NOW, FRESH, LENGTH) + b"hello"),
        get(),
    ),
    *gets("102 many times", said(WORKING * 12 + head(200, NOW, LENGTH) + b"hello"), get()),
    *gets("HTTP/1.0 with a length", said(OLD + b"Content-Length: 5\r\n\r\nhello", CLOSE), *AGAIN),
    *gets("HTTP/1.0 to the close", said(OLD + b"\r\nhello", CLOSE), *AGAIN),
    *gets("HTTP/1.0 clients", Resource(), get(minor=0), get(GZIP, minor=0), get(minor=0)),
    *gets(
        "HTTP/1.0 clients of a body to the close",
        Resource(framing="close"),
        get(minor=0),
        get(minor=0),
    ),
    *gets("to the close", Resource(framing="close", coding="identity"), *everything()),
    *gets(
        "one octet at a time",
        said(*(bytes([octet]) for octet in chunked_head(FRESH) + chunked(b"a", b"b" * 17))),
        *AGAIN,
    ),
    *gets("a head, then a pause", said(head(200, NOW, FRESH, LENGTH), Pause(), b"hello"), *AGAIN),
    *gets("half of it, then a pause", paused(FRESH, body=TEXT, at=300), *AGAIN),
    *gets(
        "a large body",
        Resource(text=TEXT * 300, coding="identity"),
        *everything(),
        *everything(ALL),
    ),
    *gets("a large coded body", Resource(text=TEXT * 300), *everything(ALL), *everything()),
    *cut("a body with a length", SHORT),
    *cut("a chunked body", HALF_CHUNKED),
    *cut("a whole for a range", SHORT, get("Range: bytes=0-"), get("Range: bytes=0-"), get()),
    *cut("a whole for a range far in it", SHORT, get("Range: bytes=-5"), get("Range: bytes=30-")),
    *in_connect(*cut("a body with a length", SHORT), *cut("a chunked body", HALF_CHUNKED)),
    *cut("in a chunk", chunked_head(FRESH) + b"100\r\n" + LINE),
    *cut("without its last chunk", chunked_head("Cache-Control: no-store") + chunk(LINE)),
    *cut(
        "a coded body",
        head(200, NOW, *HALF_GZIP, f"Content-Length: {len(GZIPPED)}") + GZIPPED[:150],
        *GETS,
    ),
    *cut("a coded chunked body", chunked_head(*HALF_GZIP) + chunk(GZIPPED[:150]), *GETS),
    *gets(
        "a coded body to the close that ends early",
        said(head(200, NOW, *HALF_GZIP) + GZIPPED[:150], CLOSE),
    ),
    *gets("no answer at all", said(CLOSE), *AGAIN),
    *gets("half a head", said(b"HTTP/1.1 200 OK\r\nX-A", CLOSE), *AGAIN),
    *gets("a part of its own accord", plain(ABOUT_PART, status=206), *AGAIN),
    *gets(
        "a part",
        plain(FRESH, ABOUT_PART, 'ETag: "v1"', status=206),
        get("Range: bytes=5-9"),
        get("Range: bytes=5-9"),
    ),
    *gets(
        "416",
        Resource(coding="identity"),
        get("Range: bytes=99999-"),
        get(),
        get("Range: bytes=99999-"),
    ),
    *gets(
        "an unknown range unit",
        Resource(coding="identity"),
        get("Range: pages=1-2"),
        get("Range: pages=1-2"),
    ),
    *gets(
        "a POST makes what is stored old",
        Written(lambda _: Changing()),
        get(),
        put(method="POST"),
        get(),
        get(),
    ),
    *gets(
        "a PUT and a DELETE",
        Written(lambda _: Changing()),
        get(),
        put(),
        get(),
        put(method="DELETE", body=None),
        get(),
    ),
    *(
        row
        for method in ("MOVE", "COPY")
        for row in gets(
            f"{method} to a stored Destination",
            Written(lambda _: Changing()),
            get(path="/b"),
            put("/a", "Destination: http://{authority}{folder}/b", method=method, body=None),
            get(path="/b"),
        )
    ),
]


class Changing:
    """Answers GET with how many requests of other methods there have been."""

    def __init__(self) -> None:
        self._changes = 0

    async def __call__(self, conversation: Conversation) -> None:
        self._changes += conversation.received.method not in ("GET", "HEAD")
        fields = (NOW, FRESH, f'ETag: "{self._changes}"', "Content-Length: 1")
        conversation.writer.write(head(200, *fields) + b"%d" % self._changes)


@pytest.mark.parametrize("row", MESSAGES, ids=str)
def test_same_as_direct(sides: Sides, row: Row) -> None:
    sides.check(row)
