"""What a client gets through the proxy it would have got without it, only sooner.

Each row is an origin and what its clients ask. All of it is asked twice, of one origin directly
and of another through the proxy, and what is seen may differ only by ``differences.ALLOWED``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.coding import ENCODE
from tests.support.origin import CLOSE, LEAVE_BODY, READ_BODY, RESET, Origin, chunk, chunked, head
from tests.support.resources import (
    FRESH, LINE, MODIFIED, NOW, PLAIN, TEXT, Echo, Pause, Resource, Scripted, Steady, Written, live, paused,
    plain, said,
)  # fmt: skip
from tests.support.rows import (
    ALL, BARE, BR, CODED_FIRST, GETS, GZIP, HELD, IDENTITY, PLAIN_FIRST, SINCE, Row, both, compared,
    everything, get, gets, played, put,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import StartHouse
    from tests.support.asking import Ask
    from tests.support.origin import Conversation

# Codings -----------------------------------------------------------------------------------------

ACCEPTS: Final = (
    "", "gzip", "identity", "*", "gzip;q=0", "gzip;q=0, *;q=0.5", "br;q=0.3,gzip ; q=0.5",
    "zstd, br;q=0.9, gzip;q=0.8", "GZIP", "x-gzip", "unknown", "gzip,,deflate", "identity;q=0, *",
)  # fmt: skip
DIGESTS: Final = (
    "Content-Digest: sha-256=:AAAA:", "Repr-Digest: sha-256=:AAAA:", "Digest: sha-256=AAAA",
    "Content-MD5: AAAA", "x-amz-checksum-sha256: AAAA", "x-amz-checksum-crc32: AAAA",
    "x-amz-checksum-crc64nvme: AAAA", "x-amz-meta-md5: AAAA", "x-amz-meta-content-md5: AAAA",
    "x-goog-hash: crc32c=AAAA", "x-ms-blob-content-md5: AAAA",
)  # fmt: skip
OCTETS: Final = "Content-Type: application/octet-stream"
OWN: Final = {
    "application/gzip": ("Content-Type: application/gzip", "/a"),
    "application/x-gzip": ("Content-Type: application/x-gzip", "/a"),
    "application/x-tar": ("Content-Type: application/x-tar", "/a"),
    "application/zip": ("Content-Type: application/zip", "/a"),
    "application/octet-stream": (OCTETS, "/a"),
    "a type with a parameter": ("Content-Type: application/octet-stream; charset=binary", "/a"),
    ".tar.gz": (PLAIN, "/a.tar.gz"),
    ".tgz in capitals": (PLAIN, "/A.TGZ"),
    ".gz with a query": (PLAIN, "/a.gz?token=1"),
    ".svgz": ("Content-Type: image/svg+xml", "/a.svgz"),
    "a name with .gz": ('Content-Disposition: attachment; filename="a.tar.gz"', "/a"),
    "a token with .gz": ("Content-Disposition: attachment; filename=a.csv.gz", "/a"),
    "an extended name with .gz": (
        "Content-Disposition: attachment; filename*=UTF-8''a%20b.tar.gz", "/a"
    ),
}  # fmt: skip
NOISE: Final = bytes((n * 151 + n // 7) % 256 for n in range(3000))
GZIPPED: Final = ENCODE["gzip"](TEXT)
BROKEN: Final = {
    "plain text labelled gzip": ("gzip", TEXT),
    "plain text labelled br": ("br", TEXT),
    "plain text labelled zstd": ("zstd", TEXT),
    "plain text labelled deflate": ("deflate", TEXT),
    "octets after the last member": ("gzip", GZIPPED + b"more\n"),
    "zeros after the last member": ("gzip", GZIPPED + bytes(512)),
    "octets after the frame": ("zstd", ENCODE["zstd"](TEXT) + b"more\n"),
    "octets after the brotli stream": ("br", ENCODE["br"](TEXT) + b"more\n"),
    "octets after the deflate stream": ("deflate", ENCODE["deflate"](TEXT) + b"more\n"),
    "no gzip trailer": ("gzip", GZIPPED[:-8]),
    "half a gzip trailer": ("gzip", GZIPPED[:-4]),
    "a wrong gzip checksum": ("gzip", GZIPPED[:-8] + b"\0\0\0\0" + GZIPPED[-4:]),
    "raw deflate": ("deflate", ENCODE["deflate"](TEXT)[2:-4]),
    "random octets labelled br": ("br", NOISE),
    "random octets labelled gzip": ("gzip", NOISE),
    "no octets labelled gzip": ("gzip", b""),
    "gzip labelled gzip twice": ("gzip, gzip", GZIPPED),
    "an unknown coding": ("x-own", TEXT),
}
FEEDS: Final = {
    "NDJSON": ("Content-Type: application/x-ndjson",),
    "NDJSON that is fresh": ("Content-Type: application/x-ndjson", FRESH),
    "event stream": ("Content-Type: text/event-stream", "Cache-Control: no-cache"),
    "unbuffered": (PLAIN, "X-Accel-Buffering: no", "Cache-Control: no-cache"),
    "a log that pauses": (PLAIN, "Cache-Control: no-store"),
    "a page that pauses": ("Content-Type: text/html", FRESH, 'ETag: "v1"'),
}


def broken(name: str) -> list[Row]:
    """Whole at once, and with a pause in it behind which nobody may wait for its end."""
    coding, octets = BROKEN[name]
    fields = (FRESH, PLAIN, 'ETag: "v1"', f"Content-Encoding: {coding}")
    half = len(octets) // 2
    over = said(head(200, NOW, *fields, "Connection: close") + octets, CLOSE)
    rows = gets(f"{name}, with a length", plain(*fields, body=octets))
    rows += gets(f"{name}, chunked", said(_chunked_head(*fields) + (chunked(octets) if octets else chunked())))
    rows += gets(f"{name}, to the close", over)
    if half:
        rows += gets(f"{name}, with a pause", paused(*fields, body=octets, at=half), get(ALL))
    return rows


def _chunked_head(*fields: str) -> bytes:
    return head(200, NOW, *fields, "Transfer-Encoding: chunked")


def coded(*fields: str, coding: str = "gzip") -> Resource:
    return Resource((FRESH, *fields), coding=coding, vary=None)


NO_TRANSFORM: Final = Resource((f"{FRESH}, no-transform", PLAIN))
REFUSING: Final = "Accept-Encoding: gzip;q=0, *;q=0.5"

CODINGS: Final = [
    *gets("Accept-Encoding goes as it came", Echo(), get(), *(get(f"Accept-Encoding: {value}") for value in ACCEPTS)),
    *gets("two lines of Accept-Encoding", Echo(), get(GZIP, BR), get(GZIP, BR, method="HEAD")),
    *gets("a response that is fresh says what was asked", Echo((FRESH, "Vary: Accept-Encoding")), get(), get(GZIP), get(BR)),
    *both("compresses as it is asked", Resource(), most=2),
    *both("compresses, with one tag", Resource(tag="W/v1"), most=2),
    *both("compresses without Vary", Resource(vary=None), most=2),
    *both("compresses without tags", Resource(tag=None), most=2),
    *both("compresses without validators", Resource(tag=None, modified=False), most=2),
    *both("compresses in chunks", Resource(framing="chunked")),
    *both("compresses, to the close", Resource(framing="close")),
    *both("compresses, no-store", Resource(("Cache-Control: no-store", PLAIN))),
    *both("compresses, no-cache", Resource(("Cache-Control: no-cache", PLAIN))),
    *both("compresses, private", Resource(("Cache-Control: private, max-age=600", PLAIN))),
    *both("never compresses", Resource(coding="identity"), most=1),
    *both("never compresses, no ranges", Resource(coding="identity", ranges=False), most=1),
    *both("an empty body", Resource(text=b"", coding="identity")),
    *both("no-transform", NO_TRANSFORM),
    *gets("no-transform for who refuses the coding", NO_TRANSFORM, get(GZIP), get(REFUSING), get(REFUSING), get(GZIP)),
    *(row for coding in ENCODE if coding != "identity" for row in both(f"{coding} though not asked", coded(PLAIN, coding=coding))),
    *(row for line in DIGESTS for row in both(f"{line.partition(':')[0]}, coded", coded(PLAIN, line))),
    *(row for line in DIGESTS for row in both(f"{line.partition(':')[0]}, plain", coded(PLAIN, line, coding="identity"))),
    *(row for name, (line, path) in OWN.items() for row in both(f"archive: {name}", coded(line), path)),
    *(row for name in BROKEN for row in broken(name)),
    *(
        row
        for coding in ENCODE
        for name, fields in FEEDS.items()
        for row in gets(f"{name} in {coding}", live(coding, *fields), get(ALL), get(ALL), get(), get(BR))
    ),
    *gets("a feed to the close", live("gzip", PLAIN, framing="close"), get(ALL), get()),
]  # fmt: skip


# Syntax ------------------------------------------------------------------------------------------


def fields_of(*lines: str, body: bytes = b"hello", status: int = 200) -> Scripted:
    """An answer with these field lines as they are."""
    return said(head(status, NOW, *lines) + body)


LENGTH: Final = "Content-Length: 5"
MANY: Final = tuple(f"X-Field-{n}: {n}" for n in range(140))
AGAIN: Final = (get(), get())
SYNTAX: Final = [
    *gets("max-age = 750", plain("Cache-Control: max-age = 750"), *AGAIN, most=1),
    *gets('max-age=" 750"', plain('Cache-Control: max-age=" 750"'), *AGAIN, most=1),
    *gets("max-age=750 quoted", plain('Cache-Control: max-age="750"'), *AGAIN, most=1),
    *gets("chunk sizes padded with blanks", said(_chunked_head(FRESH) + b"b   \r\nhello world\r\n0  \r\n\r\n"), *AGAIN),
    *gets("chunk sizes with zeros before", said(_chunked_head(FRESH) + b"00005\r\nhello\r\n000\r\n\r\n"), *AGAIN),
    *gets("chunk extensions", said(_chunked_head(FRESH) + b'5;a="b;c"\r\nhello\r\n0;z\r\n\r\n'), *AGAIN),
    *(row for status in (600, 700, 799, 999) for row in gets(f"status {status}", plain(FRESH, status=status), *AGAIN, most=2)),
    *(row for status in (201, 203, 206, 299, 301, 302, 303, 307, 308, 400, 401, 403, 404, 410, 418, 429, 451, 500, 503, 599) for row in gets(f"status {status}", plain("Location: /b", "Retry-After: 1", status=status), *AGAIN)),
    *gets("status 204", said(head(204, NOW, FRESH)), *AGAIN),
    *gets("status 205", said(head(205, NOW, FRESH, "Content-Length: 0")), *AGAIN),
    *gets("401 that is fresh", plain(FRESH, "WWW-Authenticate: Basic realm=a", status=401), *AGAIN),
    *gets("407 of an origin", plain(FRESH, "Proxy-Authenticate: Basic realm=a", status=407), *AGAIN),
    *gets("equal Content-Length lines", fields_of(FRESH, LENGTH, LENGTH), *AGAIN),
    *gets("Content-Length: 5, 5", fields_of(FRESH, f"{LENGTH}, 5"), *AGAIN),
    *gets("control octets in Set-Cookie", fields_of(LENGTH, "Set-Cookie: a=\x01b; path=/"), *AGAIN),
    *gets("a field of Latin-1", fields_of(LENGTH, FRESH, "X-Name: Jos\xe9", 'Content-Disposition: inline; filename="\xfc.txt"'), *AGAIN),
    *gets("a field of UTF-8", fields_of(LENGTH, FRESH, "X-Name: J\xc3\xb6rg"), *AGAIN),
    *gets("an empty field", fields_of(LENGTH, FRESH, "X-Empty:", "X-Blank:  "), *AGAIN),
    *gets("several cookies", fields_of(LENGTH, "Set-Cookie: a=1", "Set-Cookie: b=2, c", "set-cookie: c=3"), *AGAIN),
    *gets("140 fields", fields_of(LENGTH, FRESH, *MANY), *AGAIN),
    *gets("140 cookies", fields_of(LENGTH, *(f"Set-Cookie: a{n}={n}" for n in range(140))), *AGAIN),
    *gets("fields of 50 kB", fields_of(LENGTH, FRESH, *(f"X-Long-{n}: {'x' * 5000}" for n in range(10))), *AGAIN),
    *gets("no reason phrase", said(b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello"), *AGAIN),
    *gets("no Date", said(head(200, FRESH, LENGTH, date=False) + b"hello"), *AGAIN),
    *gets("a Date that is none", fields_of(FRESH, LENGTH, "Date: yesterday"), *AGAIN),
    *gets("Expires: 0", plain("Expires: 0"), *AGAIN),
    *gets("Age of its own", plain(FRESH, "Age: 5"), *AGAIN),
    *gets("Via and Cache-Status of another", plain(FRESH, "Via: 1.1 other", "Cache-Status: other; hit"), *AGAIN),
    *gets("fields that Connection names", plain(FRESH, "Connection: X-Own", "X-Other: 1"), *AGAIN),
    *gets("trailers for TE", said(_chunked_head(FRESH) + chunk(b"hello") + b"0\r\nX-Sum: 1\r\nX-Time: 2\r\n\r\n"), get("TE: trailers", "Connection: TE"), get("TE: trailers", "Connection: TE")),
    *gets("trailers for TE, not stored", said(_chunked_head("Cache-Control: no-store", "Trailer: X-Sum") + chunk(b"hello") + b"0\r\nX-Sum: 1\r\n\r\n"), get("TE: trailers", "Connection: TE")),
    *gets("no trailers without TE", said(_chunked_head(FRESH) + chunk(b"hello") + b"0\r\n\r\n"), *AGAIN),
    *gets("the request's fields go as they came", Echo(), get("X-A: 1", "x-b:  2 ", "Cookie: a=1; b", "Accept: */*", "X-A: 3", "User-Agent: curl/8", "Referer: http://a.test/"), get("Accept-Language: de", "DNT: 1", "Priority: u=1", "Range: bytes=0-1"), get("If-None-Match: W/\"a\", \"b\"", "Cache-Control: no-cache", "Pragma: no-cache")),
    *gets("the target goes as it came", Echo(), *(get(path=path) for path in ("/%7Ea/%2F//b/../c?x=%20&y=[]|{}", "/?", "/a;b=c?d?e", "/%E4%zz", "/a'b\"c"))),
    *gets("a Vary key is of octets", Echo((FRESH, "Vary: X-Key")), *(get(f"X-Key: {value}") for value in ("2", ",2", "2,", "2, ", " 2", "2,2", "2, 2", "A", "a", '"a"', ""))),
    *gets("a Vary key that is absent", Echo((FRESH, "Vary: X-Key")), get(), get("X-Key:"), get("X-Key: 1"), get()),
    *gets("Access-Control-Allow-Origin of one", Written(lambda _: _allow_origin), get("Origin: http://a.test"), get("Origin: http://b.test"), get(), get("Origin: http://a.test")),
    *gets("Access-Control-Allow-Origin: *", plain(FRESH, "Access-Control-Allow-Origin: *"), get("Origin: http://a.test"), get("Origin: http://b.test"), get(), most=1),
]  # fmt: skip


async def _allow_origin(conversation: Conversation) -> None:
    origin = conversation.received.get("origin")
    allowed = (f"Access-Control-Allow-Origin: {origin}",) if origin else ()
    conversation.writer.write(head(200, NOW, FRESH, LENGTH, *allowed) + b"hello")


# Methods, framing, ends ---------------------------------------------------------------------------

GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
WORKING: Final = b"HTTP/1.1 102 Processing\r\n\r\n"
OLD: Final = b"HTTP/1.0 200 OK\r\nCache-Control: max-age=600\r\n"
SHORT: Final = head(200, NOW, FRESH, "Content-Length: 500") + LINE
HALF_CHUNKED: Final = _chunked_head(FRESH) + chunk(LINE)
HALF_GZIP: Final = (FRESH, PLAIN, "Content-Encoding: gzip")
ABOUT_PART: Final = "Content-Range: bytes 5-9/100"


def cut(id: str, start: bytes, *asks: Ask) -> list[Row]:  # noqa: A002
    """The body ends before its end, in either way."""
    return [
        Row(f"{id}, closed", said(start, CLOSE), asks or BARE),
        Row(f"{id}, seen and closed", said(start, Pause(), CLOSE), asks or BARE),
        Row(f"{id}, reset", said(start, Pause(start.partition(b"\r\n\r\n")[2][6:40]), RESET), asks or BARE),
    ]  # fmt: skip


MESSAGES: Final = [
    *(row for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT", "PROPFIND", "QUERY") for row in gets(f"{method} with content", Echo(), put(method=method, body=b"a=1"), put("", "Content-Type: text/plain", method=method, body=b"x" * 5000))),
    *(row for method in ("DELETE", "OPTIONS", "POST", "PURGE", "SEARCH") for row in gets(f"{method} without content", Echo(), put(method=method, body=None))),
    *gets("POST of no octets", Echo(), put(method="POST", body=b"")),
    *gets("GET with content", Echo(), put(method="GET", body=b"query")),
    *gets("POST that is answered in pieces", live("gzip", PLAIN), put("", ALL, method="POST"), put(method="POST")),
    *gets("POST answered in a coding", Resource(coding="gzip", ranges=False, modified=False, tag=None), put("", ALL, method="POST"), put(method="POST")),
    *gets("HEAD", Resource(coding="identity"), get(method="HEAD"), get(), get(method="HEAD"), get(ALL, method="HEAD"), get(IDENTITY, method="HEAD")),
    *gets("HEAD of what is coded", Resource(), get(IDENTITY, method="HEAD"), get(ALL), get(IDENTITY, method="HEAD"), get(ALL, method="HEAD"), get(method="HEAD")),
    *gets("HEAD without a length", said(head(200, NOW, FRESH)), get(method="HEAD"), get(method="HEAD")),
    *gets("redirects", plain(FRESH, "Location: http://elsewhere.test/b", status=301), *AGAIN, most=1),
    *gets("100 that was asked for", Steady((GO_ON, READ_BODY, head(200, NOW, LENGTH) + b"hello")), put("", "Expect: 100-continue")),
    *gets("417 instead of 100", Steady((LEAVE_BODY, head(417, NOW, LENGTH) + b"hello")), put("", "Expect: 100-continue")),
    *gets("103 before the answer", said(HINTS + HINTS + head(200, NOW, FRESH, LENGTH) + b"hello"), get()),
    *gets("102 many times", said(WORKING * 40 + head(200, NOW, LENGTH) + b"hello"), get()),
    *gets("HTTP/1.0 with a length", said(OLD + b"Content-Length: 5\r\n\r\nhello", CLOSE), *AGAIN),
    *gets("HTTP/1.0 to the close", said(OLD + b"\r\nhello", CLOSE), *AGAIN),
    *gets("HTTP/1.0 clients", Resource(), get(minor=0), get(GZIP, minor=0), get(minor=0)),
    *gets("HTTP/1.0 clients of a body to the close", Resource(framing="close"), get(minor=0), get(minor=0)),
    *gets("to the close", Resource(framing="close", coding="identity"), *everything()),
    *gets("one octet at a time", said(*(bytes([octet]) for octet in _chunked_head(FRESH) + chunked(b"a", b"b" * 17))), *AGAIN),
    *gets("a head, then a pause", said(head(200, NOW, FRESH, LENGTH), Pause(), b"hello"), *AGAIN),
    *gets("half of it, then a pause", paused(FRESH, body=TEXT, at=300), *AGAIN),
    *gets("a large body", Resource(text=TEXT * 300, coding="identity"), *everything(), *everything(ALL)),
    *gets("a large coded body", Resource(text=TEXT * 300), *everything(ALL), *everything()),
    *cut("a body with a length", SHORT),
    *cut("a chunked body", HALF_CHUNKED),
    *cut("in a chunk", _chunked_head(FRESH) + b"100\r\n" + LINE),
    *cut("without its last chunk", _chunked_head("Cache-Control: no-store") + chunk(LINE)),
    *cut("a coded body", head(200, NOW, *HALF_GZIP, f"Content-Length: {len(GZIPPED)}") + GZIPPED[:150], *GETS),
    *cut("a coded chunked body", _chunked_head(*HALF_GZIP) + chunk(GZIPPED[:150]), *GETS),
    *gets("a coded body to the close that ends early", said(head(200, NOW, *HALF_GZIP) + GZIPPED[:150], CLOSE)),
    *gets("no answer at all", said(CLOSE), *AGAIN),
    *gets("half a head", said(b"HTTP/1.1 200 OK\r\nX-A", CLOSE), *AGAIN),
    *gets("a part of its own accord", plain(ABOUT_PART, status=206), *AGAIN),
    *gets("a part", plain(FRESH, ABOUT_PART, 'ETag: "v1"', status=206), get("Range: bytes=5-9"), get("Range: bytes=5-9")),
    *gets("416", Resource(coding="identity"), get("Range: bytes=99999-"), get(), get("Range: bytes=99999-")),
    *gets("an unknown range unit", Resource(coding="identity"), get("Range: pages=1-2"), get("Range: pages=1-2")),
    *gets("a POST makes what is stored old", Written(lambda _: Changing()), get(), put(method="POST"), get(), get()),
    *gets("a PUT and a DELETE", Written(lambda _: Changing()), get(), put(), get(), put(method="DELETE", body=None), get()),
    *(
        row
        for method in ("MOVE", "COPY")
        for row in gets(f"{method} to a stored Destination", Written(lambda _: Changing()), get(path="/b"), put("/a", "Destination: http://{authority}/b", method=method, body=None), get(path="/b"))
    ),
]  # fmt: skip


class Changing:
    """Answers GET with how many requests of other methods there have been."""

    def __init__(self) -> None:
        self._changes = 0

    async def __call__(self, conversation: Conversation) -> None:
        self._changes += conversation.received.method not in ("GET", "HEAD")
        fields = (NOW, FRESH, f'ETag: "{self._changes}"', "Content-Length: 1")
        conversation.writer.write(head(200, *fields) + b"%d" % self._changes)


# Reuse -------------------------------------------------------------------------------------------

PRIVATE: Final = ("Cache-Control: private, max-age=0", PLAIN)
BASIC: Final = "Authorization: Basic YTpi"


def polls(*fields: str) -> tuple[Ask, ...]:
    """One program that keeps asking whether there is something new."""
    since = get(*fields, SINCE)
    return (get(*fields), *(get(*fields, HELD) for _ in range(4)), since, since)


REUSE: Final = [
    *(
        row
        for name, control in {
            "private": "private", "private, max-age": "private, max-age=60", "no-cache": "no-cache",
            "no-store": "no-store", "max-age=0": "max-age=0", "must-revalidate": "max-age=0, must-revalidate",
            "fresh": "max-age=600",
        }.items()
        for accept in ("identity", "gzip")
        for row in gets(f"polls of {name}, {accept}", Resource((f"Cache-Control: {control}", PLAIN)), *polls(f"Accept-Encoding: {accept}"))
    ),
    *gets("polls with Authorization", Resource(("Cache-Control: max-age=0", PLAIN)), *polls(BASIC), *polls(BASIC, ALL)),
    *gets("polls of the fresh with Authorization", Resource(), *polls(BASIC), *polls(BASIC, ALL)),
    Row("polls of what is too large", Resource(("Cache-Control: max-age=0", PLAIN), text=TEXT * 20, coding="identity"), polls(), config={"cache": {"max_object_size": "16KiB"}}),
    Row("too large to store", Resource(text=TEXT * 20, coding="identity"), (*everything(), *everything(ALL)), config={"cache": {"max_object_size": "16KiB"}}),
    *gets("polls of a cookie", Resource(("Set-Cookie: a=1", "Cache-Control: max-age=0")), *polls()),
    *gets("polls by a tag that changed elsewhere", Resource(), get('If-None-Match: "old"'), get('If-None-Match: "old"'), get("If-None-Match: *")),
    *gets("If-Match is the origin's to judge", Resource(coding="identity"), get(), get("If-Match: {etag}"), get('If-Match: "other"'), get('If-Match: W/"v1"'), get("If-Match: *")),
    *gets("If-Match that the origin does not know", plain(FRESH, 'ETag: "v1"'), get(), get('If-Match: "other"')),
    *gets("If-Unmodified-Since that the origin does not know", plain(FRESH, f"Last-Modified: {MODIFIED}"), get(), get("If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT")),
    *gets("If-Range with another tag", Resource(coding="identity"), get(), get("Range: bytes=5-9", 'If-Range: "other"'), get("Range: bytes=5-9", f"If-Range: {MODIFIED}")),
    *gets("parts before the whole", Resource(coding="identity"), get("Range: bytes=5-9"), get("Range: bytes=10-19"), get("Range: bytes=0-"), get()),
    *gets("parts of what is coded", Resource(), get(ALL, "Range: bytes=5-9"), get("Range: bytes=5-9"), get(ALL, "Range: bytes=10-"), get("Range: bytes=10-"), get(), get(ALL)),
    *gets("several parts", Resource(coding="identity", ranges=False), get("Range: bytes=5-9"), get()),
    *gets("no-cache of the client", Written(lambda _: Counting()), get("Cache-Control: no-cache"), get("Cache-Control: no-cache"), get("Pragma: no-cache"), get("Cache-Control: max-age=0")),
    *gets("an error after a stored one", Written(lambda _: Failing(404, 500)), get(), get("Cache-Control: no-cache")),
    *gets("max-age=0 sees the error", Written(lambda _: Failing(200, 500)), get(), get("Cache-Control: max-age=0")),
    *gets("no-cache sees the error", Written(lambda _: Failing(200, 500)), get(), get("Cache-Control: no-cache")),
    *gets("must-revalidate sees the error", Written(lambda _: Failing(200, 503, "max-age=0, must-revalidate")), get(), get()),
]  # fmt: skip


class Counting:
    """Each answer is another, and fresh."""

    def __init__(self) -> None:
        self._answers = 0

    async def __call__(self, conversation: Conversation) -> None:
        self._answers += 1
        fields = (NOW, FRESH, f'ETag: "{self._answers}"', "Content-Length: 1")
        conversation.writer.write(head(200, *fields) + b"%d" % self._answers)


class Failing:
    """One answer with the first status, all others with the second."""

    def __init__(self, first: int, then: int, control: str = "max-age=600") -> None:
        self._statuses = [then, first]
        self._control = control

    async def __call__(self, conversation: Conversation) -> None:
        status = self._statuses.pop() if len(self._statuses) > 1 else self._statuses[0]
        body = b"%d" % status
        fields = (NOW, f"Cache-Control: {self._control}", "Content-Length: 3")
        conversation.writer.write(head(status, *fields) + body)


TUNNELLED: Final = [
    *gets("in CONNECT: compresses", Resource(), *CODED_FIRST),
    *gets("in CONNECT: never compresses", Resource(coding="identity"), *PLAIN_FIRST),
    *gets("in CONNECT: Host of another name", Echo((FRESH,)), get("Host: other.test"), get("Host: other.test")),
    *gets("in CONNECT: a feed", live("gzip", PLAIN), get(ALL), get()),
    *gets("in CONNECT: HTTP/1.0", Resource(), get(minor=0), get(minor=0)),
    *gets("in CONNECT: POST", Echo(), put(method="POST"), put(method="POST")),
]  # fmt: skip

ROWS: Final = [*CODINGS, *SYNTAX, *MESSAGES, *REUSE, *(replace(row, tunnel=True) for row in TUNNELLED)]


@pytest.fixture
async def direct(no_leaks: None) -> AsyncIterator[Origin]:
    """The origin that is asked directly."""
    server = Origin()
    await server.start()
    yield server
    await server.stop()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_same_as_direct(
    start_house: StartHouse, origin: Origin, direct: Origin, row: Row
) -> None:
    one = await played(row, direct, None)
    house = await start_house(row.config)
    other = await played(row, origin, house)
    if found := compared(row, one, other):
        pytest.fail("\n".join(found), pytrace=False)
    assert len(origin.requests) <= row.most, [received.raw for received in origin.requests]
