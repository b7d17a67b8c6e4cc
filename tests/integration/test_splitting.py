"""What the proxy itself writes from what it was given never begins another line or message.

Each row asks with hostile octets, of an origin that says hostile ones, along every way on which
the proxy composes fields, heads of parts, or text; three readers find what is theirs, and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.support import readers
from tests.support.origin import Origin, chunk, head, reply
from tests.support.wire import Wire, request

if TYPE_CHECKING:
    from tests.conftest import StartHouse
    from tests.support.house import House

pytestmark = pytest.mark.slow

PLANTED: Final = "X-Planted: 1"
# As they would be decoded, unquoted or cut by somebody who did so.
BREAKS: Final = (
    *("%0d%0a", "%0D%0A", "\\r\\n", "\u560a\u560d".encode().decode("latin-1"), "\x85", "%E5%98%8A"),
    *("&#13;&#10;", '"', "\\", '";', ";", ",", "<", "'", "\xff"),
)
HOSTILE: Final = [f"{octets}{PLANTED.replace(' ', '')}" for octets in BREAKS]


async def talk(door: House, *asked: bytes) -> bytes:
    """All octets of the answers to requests on one connection."""
    wire = await Wire.connect(door.port)
    try:
        await wire.send(b"".join(asked))
        await wire.half_close()
        return await wire.rest()
    finally:
        await wire.close()


def have_one_reading(origin: Origin, octets: bytes, *methods: str) -> None:
    """What came back, and what the origin got; nowhere is what was planted a field, or a start."""
    read = readers.responses(octets, [method.encode() for method in methods], closed=True)
    assert readers.differences(read) == []
    assert [each.status >= 200 for each in read["auditor"].messages].count(True) == len(methods)
    asked = b"".join(received.raw + bytes(received.body) for received in origin.requests)
    sent = readers.requests(asked)
    assert readers.differences(sent) == []
    assert len(sent["auditor"].messages) == len(origin.requests)
    for message in (*read["auditor"].messages, *sent["auditor"].messages):
        assert b"x-planted" not in {name for name, _ in (*message.fields, *message.trailers)}


@pytest.mark.parametrize("text", HOSTILE)
async def test_in_targets(house: House, origin: Origin, text: str) -> None:
    """Keys, Cache-Status, error pages, and the target of the origin's request."""
    target = origin.url(f"/a?{text}".replace("#", ""))
    origin.otherwise = (reply(200, "Cache-Control: max-age=60", body=b"hello"),)
    asked = [request(method, target, ["Host: a"]) for method in ("GET", "GET", "HEAD", "OPTIONS")]
    have_one_reading(origin, await talk(house, *asked), "GET", "GET", "HEAD", "OPTIONS")


@pytest.mark.parametrize("text", HOSTILE)
async def test_in_what_cannot_be_reached(house: House, origin: Origin, text: str) -> None:
    """Pages about hosts, ports, methods and targets that are refused, and their Proxy-Status."""
    for asked, method in (
        (request("GET", f"http://{text}/", ["Host: a"]), "GET"),
        (request("GET", f"http://a.{text}.test/", ["Host: a"]), "GET"),
        (request("GET", f"http://192.0.2.1:{text}/", ["Host: a"]), "GET"),
        (request("CONNECT", f"{text}:443", ["Host: a"]), "CONNECT"),
        (request("CONNECT", f"192.0.2.1:{text}", ["Host: a"]), "CONNECT"),
        (request("GET", f"/{text}", ["Host: a"]), "GET"),
        (request("GET", "/", [f"Host: a{text}"]), "GET"),
        (request("M-X", f"/{text}", ["Host: a"]), "M-X"),
        (request("TRACE", origin.url(f"/{text}"), ["Max-Forwards: 0", f"X: {text}"]), "TRACE"),
    ):
        have_one_reading(origin, await talk(house, asked), method)


FIELDS: Final = (
    *(
        "Via: {}",
        "Forwarded: {}",
        "Upgrade: {}",
        "Max-Forwards: {}",
        "TE: trailers;{}",
        "Range: {}",
    ),
    *("If-None-Match: {}", "If-Match: {}", "If-Modified-Since: {}", "If-Range: {}", "Expect: {}"),
    *("Accept-Encoding: {}", "Cache-Control: {}", "Connection: {}", "Host: {}", "Trailer: {}"),
)


@pytest.mark.parametrize("line", FIELDS)
async def test_in_fields_of_requests(house: House, origin: Origin, line: str) -> None:
    """Passed on, counted down, negotiated, merged with ours, or nominated."""
    lines = ("Cache-Control: max-age=0", 'ETag: "1"')
    origin.otherwise = (reply(200, *lines, body=b"hello"),)
    for text in HOSTILE:
        fields = [line.format(text), "Connection: upgrade, te"]
        fields += [] if line.startswith("Host") else ["Host: a"]
        for method in ("GET", "POST"):
            have_one_reading(
                origin, await talk(house, request(method, origin.url("/a"), fields)), method
            )


SAID: Final = (
    *("ETag: {}", 'ETag: "{}"', "Last-Modified: {}", "Date: {}", "Age: {}", "Expires: {}"),
    *("Vary: {}", "Content-Type: {}", "Content-Encoding: {}", "Content-Range: {}", "Via: {}"),
    *("Location: {}", "Content-Location: {}", "Link: {}", "Warning: {}", "Retry-After: {}"),
    *("Cache-Control: {}", "Cache-Status: {}", "Proxy-Status: {}", "Trailer: {}", "Upgrade: {}"),
    *("Connection: {}", "Keep-Alive: {}", "WWW-Authenticate: {}", "Cache-Groups: {}"),
)


@pytest.mark.parametrize("line", SAID)
async def test_in_fields_of_responses(house: House, origin: Origin, line: str) -> None:
    """Stored, validated, merged, cut into parts, coded anew, and in trailers."""
    ranges = ["Range: bytes=0-1,3-4"]
    coded = ["Accept-Encoding: gzip", "TE: trailers", "Connection: te"]
    text_type = "Content-Type: text/plain"
    for number, text in enumerate((*HOSTILE, f"a\x01{PLANTED}", f"a\x0b{PLANTED}")):
        said = line.format(text)
        fresh = () if line.startswith("Cache-Control") else ("Cache-Control: max-age=0",)
        origin.serve(f"/{number}", reply(200, text_type, *fresh, said, body=b"hello" * 200))
        origin.serve(f"/{number}", reply(304, *fresh, said))
        url = origin.url(f"/{number}")
        asked = [request("GET", url, extra) for extra in ([], ranges, coded, [])]
        have_one_reading(origin, await talk(house, *asked), *["GET"] * 4)
        body = chunk(b"hello") + f"0\r\n{said}\r\n\r\n".encode("latin-1")
        origin.serve(f"/t{number}", head(200, "Transfer-Encoding: chunked") + body)
        trailing = request("GET", origin.url(f"/t{number}"), coded)
        have_one_reading(origin, await talk(house, trailing), "GET")


@pytest.mark.parametrize("text", HOSTILE)
async def test_in_a_host_inside_connect(house: House, origin: Origin, text: str) -> None:
    """The only Host that goes on as it was written."""
    origin.otherwise = (reply(200, body=b"hello"),)
    wire = await house.tunnel(origin.authority)
    await wire.send(request("GET", "/a", [f"Host: a.test{text}"]))
    await wire.half_close()
    have_one_reading(origin, await wire.rest(), "GET")


@pytest.mark.parametrize("text", HOSTILE)
async def test_in_what_a_parent_is_told(start_house: StartHouse, origin: Origin, text: str) -> None:
    """The CONNECT of the proxy itself, and the whole target of what is relayed."""
    parent = {"upstream": {"parent": f"http://{origin.authority}"}}
    house = await start_house({**parent, "access": {"connect_ports": ["any"]}})
    origin.otherwise = (reply(200, body=b"hello"),)
    relayed = request("GET", f"http://192.0.2.1/{text}", [f"Via: 1.1 {text}", "Host: a"])
    have_one_reading(origin, await talk(house, relayed), "GET")
    origin.otherwise = (reply(502),)
    tunnelled = request("CONNECT", "192.0.2.1:443", [f"Via: 1.1 {text}", "Host: a"])
    have_one_reading(origin, await talk(house, tunnelled), "CONNECT")
