"""Hypothesis strategies: requests and responses as octets, nearly right.

``AUTHORITY`` stands for the origin's, and is put in at last, so that no mutation leads elsewhere.
"""

from __future__ import annotations

from functools import cache
from itertools import chain, pairwise
from typing import Final

from hypothesis import strategies as st

AUTHORITY: Final = b"\x1a"
CANARY: Final = b"GET http://\x1a/canary HTTP/1.1\r\nHost: \x1a\r\n\r\n"
CONTENTS: Final = (b"hello", b"", b"x" * 40, CANARY, b"0\r\n\r\n" + CANARY, b"\r\n" + CANARY)
ENDS: Final = (
    b"\n",
    b"\r",
    b"\r\r\n",
    b"\n\r",
    b" \r\n",
    b"\t\r\n",
    b"\0\r\n",
    b"\x0b\r\n",
    b"\r\n ",
)
# Octets at which readers differ.
_SINGLE: Final = b'\0\t\n\x0b\x0c\r\x1f !"#%(),/:;=?@[\\]\x7f\x80\x85\xa0\xff0aZ-_'
ODD: Final = (
    *(bytes([octet]) for octet in _SINGLE),
    *(b"\r\n", b"\r\n\r\n", b"\r\n\t", b"\n\n", b"\xc2\xa0", b"\xe2\x84\xaa"),
)

METHODS: Final = (b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"PROPFIND")
ODD_METHODS: Final = (
    b"get",
    b"M-X",
    b"",
    b"G ET",
    b"GET\t",
    b"CONNECT",
    b"PRI",
    b"G\x00T",
    b"POST:",
)
TARGETS: Final = (
    b"http://\x1a/a", b"http://\x1a/a?b=c", b"http://\x1a", b"http://\x1a?q", b"HTTP://\x1a/A",
    b"ws://\x1a/a", b"http://\x1a/a%20b", b"http://\x1a//a", b"http://\x1a/a;b=c",
)  # fmt: skip
ODD_TARGETS: Final = (
    b"/a", b"*", b"\x1a", b"http://u:p@\x1a/a", b"http://\x1a/a#f", b"http://\x1a/a b",
    b"//\x1a/a", b"http:///a", b"http:/\x1a/a", b"https://\x1a/a", b"ftp://\x1a/a",
    b"http://\x1a@other.test/a", b"http://other.test@\x1a/a", b"http://\x1a\\@other.test/a",
    b"http://\x1a/\xe9", b"http://\x1a/\x85", b"http://\x1a/a\x0bHTTP/1.1", b"http://\x1a/../a",
    b"http://\x1a/a\tb", b"", b"http://\x1a/a HTTP/1.1", b'http://\x1a/"a"', b"http://\x1a/a|b",
    b"http://\x1a/<a>", b"http://\x1a\x00/a", b"http://\x1a,x/a",
)  # fmt: skip
VERSIONS: Final = (
    b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/1.10", b"http/1.1", b"HTTP/1.1 ", b"HTTP/1,1",
    b"", b"HTTP/0.9", b"HTTP/1.", b"HTTP/ 1.1", b"HTTP/01.1", b"HTTP/1.1\x00", b"HTTP/9.9",
)  # fmt: skip
CODINGS: Final = (
    b"chunked", b"Chunked", b"CHUNKED", b" chunked", b"chunked ", b"\tchunked", b"chunked\t",
    b"chunked, chunked", b"gzip, chunked", b"chunked, gzip", b"identity", b"chunked;q=1",
    b'"chunked"', b"", b",chunked", b"chunked,", b"xchunked", b"chunkedx", b"\x0bchunked",
    b"chunked\x00", b"chun\xe2\x84\xaaed", b"c\r\n hunked", b"x-own", b"gzip",
    b"identity, chunked", b"chunked\x0c", b"x-own, chunked", b"chunked, identity", b"\xa0chunked",
    b"cow",
)  # fmt: skip
LENGTHS: Final = (
    b"0", b"5", b"05", b"5, 5", b"5,5", b"5, 6", b"+5", b"-5", b"5 ", b"\t5", b"5a", b"0x5",
    b"5.0", b"", b"5_0", b"5 5", b"\xb2", b"99999999999999999999", b"18446744073709551621", b"5,",
    b",5", b"5;q=1", b"1", b"2", b"40", b"4", b"000000000000000000005", b"5\x00", b"5\x0b",
    b'"5"', b"1e1",
)  # fmt: skip
NAMES: Final = (
    b"Content-Length ", b"Content-Length\t", b" Content-Length", b"Content_Length",
    b"Content-Length\x00", b"Transfer-Encoding ", b" Transfer-Encoding", b"Transfer_Encoding",
    b"Transfer-Encoding\x0b", b"Transfer-Encoding\xa0", b"content-length", b"TRANSFER-ENCODING",
    b"Host ", b" Host", b"hOST", b"X", b"X(y)", b"X y", b"", b"X\x80", b"!#$%&'*+-.^_`|~",
    b"X\x7f", b"X/y", b"\xefX", b"X\r", b"X@",
)  # fmt: skip
HOSTS: Final = (
    b"\x1a", b"other.test", b"", b"a b", b"a, b", b"\x1a, other.test", b"\x1a@other.test",
    b"[::1]", b"u:p@\x1a", b"\x1a/a", b"\x1a\x00", b"a\xe9", b"\x1a#x", b"http://\x1a",
    b"\x1a\tx", b"a_b", b":80",
)  # fmt: skip
CONNECTIONS: Final = (
    b"close", b"keep-alive", b"Content-Length", b"Transfer-Encoding", b"Host",
    b"Content-Length, close", b"close, X-Hop, Host", b"TE", b"upgrade",
    b"Via, Cache-Control, Authorization", b"X-Hop", b"Trailer", b'"close"', b"close;x",
    b"Keep-Alive, TE, Transfer-Encoding", b"\xffclose", b"closed", b",,close",
)  # fmt: skip
OTHERS: Final = (
    b"Expect: 100-continue", b"Expect: 200-ok", b"Trailer: X-Sum", b"TE: trailers",
    b"TE: chunked, trailers", b"Upgrade: h2c", b"Upgrade: websocket", b"HTTP2-Settings: AAMAAABk",
    b"X-Hop: 1", b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive",
    b"Proxy-Authorization: Basic YTpi", b"Range: bytes=0-1", b"Via: 1.0 a", b"Max-Forwards: 0",
    b"Max-Forwards: 7", b"X-Own: a\tb", b"X-Own:", b"X-Own:a", b"X-Own: \xe9\xff", b"Cookie: a=b",
    b"Authorization: Basic YTpi", b"Cache-Control: no-cache", b'If-None-Match: "a"',
    b"X: a\r\n b", b"X: a\r\n\tb", b"nothing", b": empty", b"X: a\x01b", b"X: a\x7fb",
    b"Sec-WebSocket-Key: x", b"X-Own: a\r\n", b"X-Forwarded-Host: other.test",
    b"Accept-Encoding: gzip", b"Date: now", b"X: a\0b",
)  # fmt: skip
SIZES: Final = (
    b"5", b"005", b"5;a=b", b'5;a="b\\"c"', b"5 ;a", b"5 ", b"5\t", b" 5", b"+5", b"-5", b"0x5",
    b"5g", b"", b"5;\x00", b"5;\n", b"5;a\rb", b"00000000000000005", b"0000000000000005",
    b"ffffffffffffffff", b"5 0", b"5_", b"5,", b"5\x0b", b"10000000000000005", b"5;\xff", b"6",
    b"4", b"A", b"5;a\x01b", b"05\r", b"\xb2",
)  # fmt: skip
TRAILERS: Final = (
    b"", b"", b"X-Sum: 1\r\n", b"Content-Length: 9\r\n", b"Host: other.test\r\n", b"X : 1\r\n",
    b"X: a\nY: b\r\n", b"Transfer-Encoding: chunked\r\n", b"X: a\r\n b\r\n", b"nothing\r\n",
    b"X: 1\r\nX-Sum: 2\r\n", b"X: \x00\r\n", b"Connection: X\r\nX: 1\r\n", b"Set-Cookie: a=b\r\n",
    b"Grpc-Status: 0\r\n", b"X: \xe9\x01\r\n",
)  # fmt: skip
STATUSES: Final = (
    b"200 OK", b"200 OK", b"200 OK", b"200 OK", b"204 None", b"304 Not", b"206 Part", b"404 No",
    b"500 Oh", b"200", b"200 ", b"200  OK", b"200\tOK", b"200 O\x00K", b"200 O\rK", b"200 O\nK",
    b"200 O\x01K", b"200 \xe9", b"600 X", b"999 X", b"099 X", b"000 X", b"20 X", b"2000 X",
    b"-200 X", b"2x0 X", b"+20 X", b"100 Go", b"101 X", b"103 Early", b"199 X", b"301 Moved",
    b"401 No", b"407 No", b"416 No", b"\xb200 X", b"200 OK ", b"200 OK\t",
)  # fmt: skip
SAID: Final = (
    b"Cache-Control: max-age=600", b"Cache-Control: max-age=600", b"Cache-Control: no-store",
    b'ETag: "a"', b"Cache-Control: max-age=0", b"Content-Range: bytes 0-1/5",
    b"Content-Range: bytes 1-2/5", b"Vary: X", b"Content-Encoding: gzip", b"Content-Encoding: x",
    b"Set-Cookie: a=b", b"Content-Type: text/plain", b"Connection: close",
    b"Connection: keep-alive", b"Keep-Alive: timeout=5", b"Proxy-Connection: x",
    b"Connection: Content-Length", b"Connection: Transfer-Encoding", b"Connection: X-Hop",
    b"X-Hop: 1", b"Trailer: X-Sum", b"Upgrade: h2c", b"Upgrade: websocket",
    b"Proxy-Authenticate: Basic", b"Location: /b\xff", b"X: a\x01b", b"X: a\x7fb", b"X: a\x0bb",
    b"X: a\x0cb", b"X: a\x80b", b"X: a\0b", b"X: a\r\n b", b"nothing", b"X : a", b": a",
    b"X(y): a", b"X\x80: a", b"Date: now", b"Age: 5", b"Via: 1.1 a", b"Link: </a>", b"X:",
    b"Content-Location: http://other.test/", b"Accept-Ranges: bytes", b"Warning: 199 - a",
    b"X: \t a \t", b"WWW-Authenticate: Negotiate",
    b"Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT", b"Alt-Svc: h2=a",
)  # fmt: skip
FRESHENING: Final = (
    b'ETag: "a"', b'ETag: "b"', b'W/ETag: "a"', b"Content-Length: 3000", b"Content-Length: 5",
    b"Content-Length: 3000, 3000", b"Transfer-Encoding: chunked", b"Vary: *", b"Vary: Accept",
    b'ETag: "a\x01"', b'ETag: "a", "b"', b"ETag: *", b"Last-Modified: now\x01",
    b"Date: Sun, 06 Nov 1994 08:49:38 GMT", b"Content-Encoding: gzip", b"Age: 3",
)  # fmt: skip
BEHIND: Final = (
    b"\r\n", b"junk", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"\0",
)  # fmt: skip
INTERIM: Final = (
    b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n",
    b"HTTP/1.1 102 P\r\n\r\n", b"HTTP/1.1 103 E\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 103 E\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 103 E\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nUpgrade: h2c\r\n\r\n",
    b"HTTP/1.1 199 \r\nVia: 1.1 a\r\n\r\n", b"HTTP/1.0 103 E\r\nX: a\x01b\r\n\r\n",
    b"HTTP/1.1 104\r\n\r\n", b"HTTP/1.1 103 E\r\nX: a\r\n b\r\n\r\n",
    b"HTTP/1.1 103 E\nX: a\r\n\r\n", b"HTTP/1.1 101 X\r\n\r\n",
)  # fmt: skip


@cache
def _below(number: int) -> st.SearchStrategy[int]:
    """A strategy is dear to make."""
    return st.integers(0, number - 1)


@cache
def _one_of(octets: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    return st.sampled_from(octets)


def _rarely(draw: st.DrawFn, of: int = 4) -> bool:
    return draw(_below(of)) == of - 1


def _pick(draw: st.DrawFn, octets: tuple[bytes, ...]) -> bytes:
    return draw(_one_of(octets))


def _shuffled(draw: st.DrawFn, lines: list[bytes]) -> list[bytes]:
    """The lines from another one on."""
    at = draw(_below(len(lines))) if lines else 0
    return lines[at:] + lines[:at]


def _chunks(draw: st.DrawFn, content: bytes) -> bytes:
    pieces = [content[:2], content[2:]] if _rarely(draw) else [content]
    coded = b""
    for piece in pieces:
        size = b"%x" % len(piece) if not _rarely(draw, 3) else _pick(draw, SIZES)
        coded += size + b"\r\n" + piece + (b"\r\n" if not _rarely(draw, 12) else _pick(draw, ENDS))
    last = (
        b"0"
        if not _rarely(draw, 10)
        else _pick(draw, (b"00", b"0;a", b"0 ", b"000000", b"", b"0\x00"))
    )
    return coded + last + b"\r\n" + _pick(draw, TRAILERS) + b"\r\n"


def _framed(draw: st.DrawFn, content: bytes) -> tuple[list[bytes], bytes]:
    """Framing fields, and the body."""
    how = draw(_below(10))
    if how < 4:
        return [b"Content-Length: %d" % len(content)], content
    if how < 7:
        return [b"Transfer-Encoding: chunked"], _chunks(draw, content)
    fields = []
    if _rarely(draw, 2):
        fields += [b"Content-Length: " + _pick(draw, LENGTHS) for _ in range(1 + _rarely(draw))]
    if _rarely(draw, 2):
        fields += [b"Transfer-Encoding: " + _pick(draw, CODINGS) for _ in range(1 + _rarely(draw))]
    return fields, _chunks(draw, content) if _rarely(draw, 2) else content


def _fields(draw: st.DrawFn, others: tuple[bytes, ...], most: int) -> list[bytes]:
    lines = [_pick(draw, others) for _ in range(draw(_below(most + 1)))]
    if _rarely(draw, 6):
        lines.append(_pick(draw, NAMES) + b": " + _pick(draw, (*LENGTHS, *CODINGS)))
    if _rarely(draw, 5):
        lines.append(b"Connection: " + _pick(draw, CONNECTIONS))
    return lines


def _lined(draw: st.DrawFn, first: bytes, lines: list[bytes]) -> bytes:
    ends = [b"\r\n"] * (len(lines) + 2)
    if (odd := draw(_below(60))) < len(ends):
        ends[odd] = _pick(draw, ENDS)
    return b"".join(chain.from_iterable(zip((first, *lines, b""), ends, strict=True)))


def _request(draw: st.DrawFn, inside: bool) -> bytes:
    method = _pick(draw, METHODS if not _rarely(draw, 12) else ODD_METHODS)
    target = _pick(draw, TARGETS if not _rarely(draw, 6) else ODD_TARGETS)
    if inside and not _rarely(draw, 4):
        target = target.partition(b"\x1a")[2] or b"/"
    version = b"HTTP/1.1" if not _rarely(draw, 8) else _pick(draw, VERSIONS)
    host = b"\x1a" if not _rarely(draw, 8) else _pick(draw, HOSTS)
    lines = [b"Host: " + host] if not _rarely(draw, 20) else []
    lines += [b"Host: " + _pick(draw, HOSTS)] if _rarely(draw, 20) else []
    lines += _fields(draw, OTHERS, 2)
    framing: list[bytes] = []
    body = b""
    if _rarely(draw, 2):
        framing, body = _framed(draw, _pick(draw, CONTENTS))
    lines = _shuffled(draw, [*lines, *framing])
    return _lined(draw, b" ".join([method, target, version]), lines) + body


@st.composite
def requests(draw: st.DrawFn, *, inside: bool) -> list[bytes]:
    """Up to three requests one after the other, whole or nearly, in the pieces they come in."""
    octets = b"".join(_request(draw, inside) for _ in range(1 + draw(_below(3))))
    octets += CANARY if _rarely(draw, 2) else b""
    return _cut(draw, _damaged(draw, octets))


def _damaged(draw: st.DrawFn, octets: bytes) -> bytes:
    """The octets with something put in, taken out or twice, or cut."""
    for _ in range(max(0, draw(_below(5)) - 2)):
        at = draw(_below(len(octets) + 1))
        to = min(len(octets), at + draw(_below(13)))
        how = draw(_below(5))
        if how == 0:
            octets = octets[:at] + _pick(draw, ODD) + octets[at:]
        elif how == 1:
            octets = octets[:at] + _pick(draw, ODD) + octets[at + 1 :]
        elif how == 2:
            octets = octets[:at] + octets[to:]
        elif how == 3:
            octets = octets[:to] + octets[at:]
        elif _rarely(draw, 3):
            octets = octets[:at]
    return octets


def _cut(draw: st.DrawFn, octets: bytes) -> list[bytes]:
    cuts = sorted(draw(_below(len(octets) + 1)) for _ in range(max(0, draw(_below(4)) - 1)))
    edges = [0, *cuts, len(octets)]
    return [octets[a:b] for a, b in pairwise(edges) if a < b]


# What an origin has said before: to be validated, not to be stored, and long enough to be coded.
BEFORE: Final = (
    b'HTTP/1.1 200 OK\r\nCache-Control: max-age=0\r\nETag: "a"\r\nContent-Type: text/plain\r\n'
    b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 3000\r\n\r\n" + b"hello " * 500,
    b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\n"
    b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nhello",
)
NEWS: Final = (b"200 OK", b"304 Not Modified", b"304 Not Modified", b"304 Not Modified")


@st.composite
def news(draw: st.DrawFn) -> tuple[list[bytes], bytes, int]:
    """What an origin says after ``BEFORE``, what that was, and to how many requests."""
    before = _pick(draw, BEFORE)
    status = _pick(draw, NEWS)
    lines = _shuffled(draw, [*_fields(draw, SAID, 3), *_fields(draw, FRESHENING, 2)])
    framing, body = _framed(draw, _pick(draw, CONTENTS[:3])) if status[:3] == b"200" else ([], b"")
    octets = _lined(draw, b"HTTP/1.1 " + status, [*lines, *framing]) + body
    if _rarely(draw, 3):
        octets = before  # the same again, or nearly
    octets = _damaged(draw, octets) + (_pick(draw, BEHIND) if _rarely(draw, 6) else b"")
    return _cut(draw, octets), before, 1 + draw(_below(3))


@st.composite
def responses(draw: st.DrawFn) -> list[bytes]:
    """One response, with others around it, whole or nearly, in the pieces it comes in."""
    octets = b"".join(_pick(draw, INTERIM) for _ in range(max(0, draw(_below(5)) - 2)))
    version = b"HTTP/1.1" if not _rarely(draw, 8) else _pick(draw, VERSIONS)
    framing, body = _framed(draw, _pick(draw, CONTENTS[:3]))
    lines = _shuffled(draw, [*_fields(draw, SAID, 4), *framing])
    status = _pick(draw, STATUSES if _rarely(draw, 3) else (b"200 OK",))
    octets += _lined(draw, version + b" " + status, lines) + body
    if _rarely(draw, 8):
        octets = octets[: -1 - draw(_below(8))]
    if _rarely(draw, 6):
        octets += _pick(draw, BEHIND)
    return _cut(draw, _damaged(draw, octets))
