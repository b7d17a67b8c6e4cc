"""Requests that two parsers could read differently are refused, and nothing goes further.

Each row is one request as it comes on the wire, ``{a}`` standing for the origin's authority.
"""

import re

import pytest

from tests.support.house import House
from tests.support.origin import Origin, reply

POST = "POST http://{a}/a HTTP/1.1\r\nHost: {a}\r\n"
GET = "GET http://{a}/a HTTP/1.1\r\nHost: {a}\r\n"
BOTH = ("400", "501")


def row(text: str, rule: str, *statuses: str) -> object:
    return pytest.param(text, statuses or ("400",), id=rule)


REFUSED = [
    row(POST + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "6.1 CL and TE"),
    row(POST + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", "6.1 TE and CL"),
    row(POST + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", "6.3 differing CLs"),
    row(POST + "Content-Length: 4, 5\r\n\r\nabcde", "6.3 differing CLs in a list"),
    row(POST + "Content-Length: 4\r\nContent-Length:\r\n\r\nabcd", "6.3 a CL and an empty one"),
    row(POST + "Content-Length: 4, 04\r\n\r\nabcd", "6.3 equal, but not spelled alike"),
    row(POST + "Content-Length: 4,\r\n\r\nabcd", "6.3 an empty member"),
    *(
        row(POST + f"Content-Length: {value}\r\n\r\nabcd", f"8.6 Content-Length: {value!r}")
        for value in ("+4", "-4", "4a", "0x4", "4.0", "4_0", "", "4 4", "\u00b2", "9" * 40)
    ),
    *(
        row(POST + f"Transfer-Encoding: {value}\r\n\r\n0\r\n\r\n", f"6.1 TE: {value!r}", *BOTH)
        for value in (
            *("gzip", "chunked, chunked", "gzip, chunked", "chunked, gzip", "identity", "xchunked"),
            *("chunked;q=1", '"chunked"', "chunked, identity", "\x0bchunked", "", ", chunked"),
            "chun\xe2\x84\xaaed",
        )
    ),
    row(
        POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        "6.1 TE twice",
        *BOTH,
    ),
    row(
        "POST http://{a}/a HTTP/1.0\r\nHost: {a}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "6.1 TE in HTTP/1.0",
    ),
    row(POST + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "5.1 space before the colon"),
    row(POST + "Content-Length\t: 4\r\n\r\nabcd", "5.1 tab before the colon"),
    row(GET + "X: a\r\n b\r\n\r\n", "5.2 obs-fold"),
    row(GET + "X: a\r\n\tb\r\n\r\n", "5.2 obs-fold by tab"),
    row("GET http://{a}/a HTTP/1.1\r\n X: a\r\nHost: {a}\r\n\r\n", "2.2 space first"),
    row(GET + "X: a\rb\r\n\r\n", "2.2 bare CR"),
    row(GET + "X: a\x00b\r\n\r\n", "5.5 NUL"),
    row(GET + "X: a\x01b\r\n\r\n", "5.5 a control character"),
    row(GET + "X: a\nY: b\r\n\r\n", "2.2 bare LF in the head"),
    row("GET http://{a}/a HTTP/1.1\nHost: {a}\n\n", "2.2 bare LF everywhere"),
    row(GET + "X(y): 1\r\n\r\n", "5.1 a name that is no token"),
    row(GET + "X y: 1\r\n\r\n", "5.1 a space within a name"),
    row(GET + ": 1\r\n\r\n", "5.1 an empty name"),
    row(GET + "nothing\r\n\r\n", "5 a line without a colon"),
    row(GET + "Host: {a}\r\n\r\n", "3.2 Host twice, the same"),
    row(GET + "Host: other.test\r\n\r\n", "3.2 Host twice"),
    row(GET + "Host : {a}\r\n\r\n", "3.2 Host twice by a space"),
    row("GET http://{a}/a HTTP/1.1\r\n\r\n", "3.2 no Host"),
    row("GET http://{a}/a HTTP/1.1\r\nHost: a b\r\n\r\n", "3.2 an invalid Host"),
    row("GET  http://{a}/a HTTP/1.1\r\nHost: {a}\r\n\r\n", "3 two spaces"),
    row("GET\thttp://{a}/a\tHTTP/1.1\r\nHost: {a}\r\n\r\n", "3 tabs"),
    row("GET http://{a}/a b HTTP/1.1\r\nHost: {a}\r\n\r\n", "3.2 a space in the target"),
    row("GET http://{a}/a HTTP/1.1 \r\nHost: {a}\r\n\r\n", "3 a space at the end"),
    row("GET http://{a}/a\r\n\r\n", "promise 5: HTTP/0.9"),
    row("GET http://{a}/a http/1.1\r\nHost: {a}\r\n\r\n", "2.3 the version in lower case"),
    row("GET http://{a}/a HTTP/1.1x\r\nHost: {a}\r\n\r\n", "2.3 the version and more"),
    row("GET http://{a}/a HTTP/01.1\r\nHost: {a}\r\n\r\n", "2.3 one digit"),
    row("G(T http://{a}/a HTTP/1.1\r\nHost: {a}\r\n\r\n", "9.1 a method that is no token"),
    row("\x16\x03\x01\x02\x00\x01", "TLS on a plain port"),
    *(
        row(f"GET {target} HTTP/1.1\r\nHost: {{a}}\r\n\r\n", f"promise 5: {target!r}")
        for target in (
            *("http://{a}/a#f", "http://user@{a}/a", "http://u:p@{a}/a", "http:///a", "http://"),
            *("http://127.0.0.1:0/", "http://127.0.0.1:65536/", "http://127.0.0.1:x/", "http:/a"),
            *("ftp://{a}/a", "file:///etc/passwd", "gopher://{a}/", "a", "http:{a}/a"),
            *("http://[::1/", "http://[::1]x/", "http://::1/", "http://{a}\\a", "http://a b/"),
            *("http://a\u00e9.test/", "http://a%2eb/", "http://[v1.x]/", "http://a,b/"),
        )
    ),
    *(
        row(f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n", f"promise 24: {host}")
        for host in (
            *("127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "127.0.0.01", "0x7f000001"),
            *("127.0.0.1.", "%6cocalhost", "a" * 254, f"{'a' * 64}.test", "256.256.256.256"),
        )
    ),
]


@pytest.mark.parametrize(("text", "statuses"), REFUSED)
async def test_refused(house: House, origin: Origin, text: str, statuses: tuple[str, ...]) -> None:
    origin.serve("/a", reply(200, body=b"reached"))
    smuggled = "GET http://{a}/smuggled HTTP/1.1\r\nHost: {a}\r\n\r\n"
    data = (text + smuggled).replace("{a}", origin.authority).encode("latin-1")
    raw = await house.raw(data)
    assert raw.split(b" ", 2)[1].decode() in statuses, raw[:200]
    assert len(re.findall(rb"HTTP/1\.1 [0-9]{3} ", raw)) == 1, "answered more than once"
    assert origin.connections == 0


BAD_CHUNKS = [
    pytest.param(b"0x5\r\nhello\r\n", id="0x"),
    pytest.param(b"+5\r\nhello\r\n", id="sign"),
    pytest.param(b"-5\r\nhello\r\n", id="minus"),
    pytest.param(b" 5\r\nhello\r\n", id="space before"),
    pytest.param(b"5 \r\nhello\r\n", id="space after"),
    pytest.param(b"5g\r\nhello\r\n", id="no hex digit"),
    pytest.param(b"\r\nhello\r\n", id="no size"),
    pytest.param(b"5\nhello\r\n", id="bare LF"),
    pytest.param(b"5\rhello\r\n", id="bare CR"),
    pytest.param(b"5\r\nhello\n", id="bare LF behind the octets"),
    pytest.param(b"5\r\nhelloX\r\n", id="longer than it says"),
    pytest.param(b"00000000000000005\r\nhello\r\n", id="17 digits"),
    pytest.param(b"ffffffffffffffffff\r\nhello\r\n", id="overflow"),
    pytest.param(b"5;a=\n\r\nhello\r\n", id="LF in an extension"),
    pytest.param(b"5;" + b"a" * 100_000 + b"\r\nhello\r\n", id="endless extension"),
    pytest.param(b"5\r\nhello\r\n0\r\nX: a\nY: b\r\n", id="bare LF in a trailer"),
    pytest.param(b"5\r\nhello\r\n0\r\nX : a\r\n", id="space in a trailer"),
    pytest.param(b"5\r\nhello\r\n0\r\n" + b"X: a\r\n" * 5000, id="endless trailers"),
]


@pytest.mark.parametrize("body", BAD_CHUNKS)
async def test_a_bad_chunk_never_completes(house: House, origin: Origin, body: bytes) -> None:
    origin.serve("/a", reply(200, body=b"completed"))
    smuggled = f"GET {origin.url('/smuggled')} HTTP/1.1\r\nHost: {origin.authority}\r\n\r\n"
    head = (POST + "Transfer-Encoding: chunked\r\n\r\n").replace("{a}", origin.authority)
    raw = await house.raw(head.encode() + body + b"0\r\n\r\n" + smuggled.encode())
    assert b"completed" not in raw
    assert raw == b"" or raw.split(b" ", 2)[1] == b"400"
    assert not any(received.whole for received in origin.requests)
    assert origin.count("/smuggled") == 0


FORWARDED = [
    pytest.param("Content-Length: 5\r\n\r\nhello", b"hello", id="a length"),
    pytest.param("Content-Length: 005\r\n\r\nhello", b"hello", id="a length with zeros"),
    pytest.param("Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", b"hello", id="twice"),
    pytest.param("Content-Length: 5, 5\r\n\r\nhello", b"hello", id="a list of equal lengths"),
    pytest.param("Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello", id="case"),
    pytest.param(
        'Transfer-Encoding: chunked\r\n\r\n5;x="\\"y"\r\nhello\r\n0\r\n\r\n',
        b"hello",
        id="extension",
    ),
    pytest.param(
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 9\r\nX: y\r\n\r\n",
        b"hello",
        id="promise 4: trailers dropped",
    ),
    pytest.param(
        "Connection: Content-Length, Host\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
        id="promise 6: framing cannot be nominated",
    ),
    pytest.param(
        "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n0\r\n\r\n",
        b"hello",
        id="promise 6: nor the coding",
    ),
]


@pytest.mark.parametrize(("text", "body"), FORWARDED)
async def test_forwarded_with_one_framing(
    house: House, origin: Origin, text: str, body: bytes
) -> None:
    origin.serve("/a", reply(200))
    wire = await house.wire()
    await wire.send((POST + text).replace("{a}", origin.authority).encode())
    assert (await wire.response()).status == 200
    received = origin.requests[0]
    assert received.body == body
    assert len(received.all("content-length") + received.all("transfer-encoding")) == 1
    assert received.all("host") == [origin.authority]
    assert received.get("x") is None


async def test_host_follows_the_target(house: House, origin: Origin) -> None:
    # RFC 9112 §3.2.2: an absolute-form target replaces the Host received.
    origin.serve("/a", reply(200))
    await house.get(origin.url("/a"), "Host: elsewhere.test")
    assert origin.requests[0].all("host") == [origin.authority]
    assert origin.requests[0].lines[0][0].lower() == "host"


async def test_the_head_byte_by_byte(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, body=b"hello"))
    wire = await house.wire()
    head = (POST + "Content-Length: 2\r\n\r\nok").replace("{a}", origin.authority)
    for octet in head.encode():
        await wire.send(bytes([octet]))
    assert (await wire.response()).body == b"hello"
    assert origin.requests[0].body == b"ok"


async def test_empty_lines_before_a_request(house: House, origin: Origin) -> None:
    # RFC 9112 §2.2: a server should ignore at least one empty line before the request line.
    origin.serve("/a", reply(200, body=b"hello"))
    wire = await house.wire()
    await wire.send(b"\r\n" + (GET + "\r\n").replace("{a}", origin.authority).encode())
    assert (await wire.response()).body == b"hello"
