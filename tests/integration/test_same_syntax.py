"""What is sloppy but clear is understood, and fields go as they came.

Rows of the test ``test_same_as_direct``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.support.origin import chunk, head
from tests.support.resources import (
    FRESH,
    NOW,
    Echo,
    Scripted,
    Written,
    plain,
    said,
)
from tests.support.rows import (
    AGAIN,
    LENGTH,
    Row,
    chunked_head,
    get,
    gets,
)

if TYPE_CHECKING:
    from tests.support.origin import Conversation
    from tests.support.sides import Sides


def fields_of(*lines: str, body: bytes = b"hello", status: int = 200) -> Scripted:
    """An answer with these field lines as they are."""
    return said(head(status, NOW, *lines) + body)


MANY: Final = tuple(f"X-Field-{n}: {n}" for n in range(140))
SYNTAX: Final = [
    *gets("max-age = 750", plain("Cache-Control: max-age = 750"), *AGAIN, most=1),
    *gets('max-age=" 750"', plain('Cache-Control: max-age=" 750"'), *AGAIN, most=1),
    *gets("max-age=750 quoted", plain('Cache-Control: max-age="750"'), *AGAIN, most=1),
    *gets(
        "chunk sizes padded with blanks",
        said(chunked_head(FRESH) + b"b   \r\nhello world\r\n0  \r\n\r\n"),
        *AGAIN,
    ),
    *gets(
        "chunk sizes with zeros before",
        said(chunked_head(FRESH) + b"00005\r\nhello\r\n000\r\n\r\n"),
        *AGAIN,
    ),
    *gets(
        "chunk extensions", said(chunked_head(FRESH) + b'5;a="b;c"\r\nhello\r\n0;z\r\n\r\n'), *AGAIN
    ),
    *(
        row
        for status in (600, 700, 799, 999)
        for row in gets(f"status {status}", plain(FRESH, status=status), *AGAIN, most=2)
    ),
    *(
        row
        for status in (
            201,
            203,
            206,
            299,
            301,
            302,
            303,
            307,
            308,
            400,
            401,
            403,
            404,
            410,
            418,
            429,
            451,
            500,
            503,
            599,
        )
        for row in gets(
            f"status {status}", plain("Location: /b", "Retry-After: 1", status=status), *AGAIN
        )
    ),
    *gets("status 204", said(head(204, NOW, FRESH)), *AGAIN),
    *gets("status 205", said(head(205, NOW, FRESH, "Content-Length: 0")), *AGAIN),
    *gets("401 that is fresh", plain(FRESH, "WWW-Authenticate: Basic realm=a", status=401), *AGAIN),
    *gets("equal Content-Length lines", fields_of(FRESH, LENGTH, LENGTH), *AGAIN),
    *gets("Content-Length: 5, 5", fields_of(FRESH, f"{LENGTH}, 5"), *AGAIN),
    *gets("control octets in Set-Cookie", fields_of(LENGTH, "Set-Cookie: a=\x01b; path=/"), *AGAIN),
    *gets(
        "a field of Latin-1",
        fields_of(
            LENGTH, FRESH, "X-Name: Jos\xe9", 'Content-Disposition: inline; filename="\xfc.txt"'
        ),
        *AGAIN,
    ),
    *gets("a field of UTF-8", fields_of(LENGTH, FRESH, "X-Name: J\xc3\xb6rg"), *AGAIN),
    *gets("an empty field", fields_of(LENGTH, FRESH, "X-Empty:", "X-Blank:  "), *AGAIN),
    *gets(
        "several cookies",
        fields_of(LENGTH, "Set-Cookie: a=1", "Set-Cookie: b=2, c", "set-cookie: c=3"),
        *AGAIN,
    ),
    *gets("140 fields", fields_of(LENGTH, FRESH, *MANY), *AGAIN),
    *gets("140 cookies", fields_of(LENGTH, *(f"Set-Cookie: a{n}={n}" for n in range(140))), *AGAIN),
    *gets(
        "fields of 50 kB",
        fields_of(LENGTH, FRESH, *(f"X-Long-{n}: {'x' * 5000}" for n in range(10))),
        *AGAIN,
    ),
    *gets("no reason phrase", said(b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello"), *AGAIN),
    *gets("no Date", said(head(200, FRESH, LENGTH, date=False) + b"hello"), *AGAIN),
    *gets("a Date that is none", fields_of(FRESH, LENGTH, "Date: yesterday"), *AGAIN),
    *gets("Expires: 0", plain("Expires: 0"), *AGAIN),
    *gets("Age of its own", plain(FRESH, "Age: 5"), *AGAIN),
    *gets(
        "Via and Cache-Status of another",
        plain(FRESH, "Via: 1.1 other", "Cache-Status: other; hit"),
        *AGAIN,
    ),
    *gets("fields that Connection names", plain(FRESH, "Connection: X-Own", "X-Other: 1"), *AGAIN),
    *gets(
        "trailers for TE",
        said(chunked_head(FRESH) + chunk(b"hello") + b"0\r\nX-Sum: 1\r\nX-Time: 2\r\n\r\n"),
        get("TE: trailers", "Connection: TE"),
        get("TE: trailers", "Connection: TE"),
    ),
    *gets(
        "trailers for TE, not stored",
        said(
            chunked_head("Cache-Control: no-store", "Trailer: X-Sum")
            + chunk(b"hello")
            + b"0\r\nX-Sum: 1\r\n\r\n"
        ),
        get("TE: trailers", "Connection: TE"),
    ),
    *gets(
        "no trailers without TE", said(chunked_head(FRESH) + chunk(b"hello") + b"0\r\n\r\n"), *AGAIN
    ),
    *gets(
        "the request's fields go as they came",
        Echo(),
        get(
            "X-A: 1",
            "x-b:  2 ",
            "Cookie: a=1; b",
            "Accept: */*",
            "X-A: 3",
            "User-Agent: curl/8",
            "Referer: http://a.test/",
        ),
        get("Accept-Language: de", "DNT: 1", "Priority: u=1", "Range: bytes=0-1"),
        get('If-None-Match: W/"a", "b"', "Cache-Control: no-cache", "Pragma: no-cache"),
    ),
    *gets(
        "the target goes as it came",
        Echo(),
        *(
            get(path=path)
            for path in (
                "/%7Ea/%2F//b/../c?x=%20&y=[]|{}",
                "/?",
                "/a;b=c?d?e",
                "/%E4%zz",
                "/a'b\"c",
            )
        ),
    ),
    *gets(
        "a Vary key is of octets",
        Echo((FRESH, "Vary: X-Key")),
        *(
            get(f"X-Key: {value}")
            for value in ("2", ",2", "2,", "2, ", " 2", "2,2", "2, 2", "A", "a", '"a"', "")
        ),
    ),
    *gets(
        "a Vary key that is absent",
        Echo((FRESH, "Vary: X-Key")),
        get(),
        get("X-Key:"),
        get("X-Key: 1"),
        get(),
    ),
    *gets(
        "Access-Control-Allow-Origin of one",
        Written(lambda _: _allow_origin),
        get("Origin: http://a.test"),
        get("Origin: http://b.test"),
        get(),
        get("Origin: http://a.test"),
    ),
    *gets(
        "Access-Control-Allow-Origin: *",
        plain(FRESH, "Access-Control-Allow-Origin: *"),
        get("Origin: http://a.test"),
        get("Origin: http://b.test"),
        get(),
        most=1,
    ),
]


async def _allow_origin(conversation: Conversation) -> None:
    origin = conversation.received.get("origin")
    allowed = (f"Access-Control-Allow-Origin: {origin}",) if origin else ()
    conversation.writer.write(head(200, NOW, FRESH, LENGTH, *allowed) + b"hello")


@pytest.mark.parametrize("row", SYNTAX, ids=str)
def test_same_as_direct(sides: Sides, row: Row) -> None:
    sides.check(row)
