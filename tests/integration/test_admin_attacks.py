"""What is tried against the admin endpoint: by pages of other sites, by urls, by being slow."""

from __future__ import annotations

import asyncio
import gzip
import re
import time
from typing import TYPE_CHECKING, Final, cast

import pytest

from proxy.admin.api import Api
from tests.support.origin import Conversation, Origin, reply
from tests.support.wire import parse_head, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from proxy.admin.inside import Inside
    from proxy.admin.upkeep import Upkeep
    from tests.support.admin import Admin

param = pytest.param

FRESH: Final = "Cache-Control: max-age=600"
READING: Final = {"GET", "HEAD"}
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
CLIENTS: Final = 100
HITS: Final = 300
BOUND: Final = 0.25  # seconds


async def fresh(conversation: Conversation) -> None:
    conversation.writer.write(reply(200, FRESH, 'X-Note: \x9b31m"', body=b"hello"))
    await conversation.writer.drain()


@pytest.fixture
def origin(origin: Origin) -> Origin:
    """Whatever it is asked for may be stored."""
    origin.otherwise = fresh
    return origin


async def stored(admin: Admin, url: str) -> None:
    await admin.house.get(url)
    await admin.get("/api/entry", url=url)


async def raw(admin: Admin, octets: bytes) -> int:
    """The status of the answer to these octets."""
    host, _, port = admin.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(5):
            writer.write(octets.replace(b"HERE", f"{host}:{port}".encode()))
            return parse_head(await reader.readuntil(b"\r\n\r\n")).status
    finally:
        writer.close()
        await writer.wait_closed()


# Requests of pages.


@pytest.mark.parametrize(
    ("head", "status"),
    [
        param(b"GET /api/fills HTTP/1.1\r\nHost: HERE\r\n", 200, id="ours"),
        param(b"GET /api/fills HTTP/1.1\r\nHost: evil.example\r\n", 421, id="rebound"),
        param(b"GET /api/fills HTTP/1.1\r\nHost: localhost.\r\n", 421, id="a dot at the end"),
        param(b"GET /api/fills HTTP/1.0\r\n", 421, id="no Host"),
        param(b"GET /api/fills HTTP/1.1\r\nHost:\r\n", 421, id="an empty Host"),
        param(b"GET /api/fills HTTP/1.1\r\nHost: evil.example\r\nHost: HERE\r\n", 400, id="two"),
        param(b"GET http://HERE/api/fills HTTP/1.1\r\nHost: evil.example\r\n", 421, id="absolute"),
        param(b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n", 421, id="what needs no token"),
        param(b"CONNECT HERE HTTP/1.1\r\nHost: HERE\r\n", 404, id="CONNECT"),
        param(b"GET /api/purge HTTP/1.1\r\nHost: HERE\r\n", 405, id="changing by GET"),
        param(b"POST /api/fills HTTP/1.1\r\nHost: HERE\r\nOrigin: null\r\n", 403, id="a sandbox"),
    ],
)  # fmt: skip
async def test_heads_as_they_are(admin: Admin, head: bytes, status: int) -> None:
    assert await raw(admin, head + b"\r\n") == status


@pytest.mark.parametrize(
    "fields",
    [
        param({"Origin": "http://evil.example"}, id="another site"),
        param({"Origin": "null"}, id="a sandbox"),
        param({"Sec-Fetch-Site": "cross-site"}, id="cross-site"),
        param({"Sec-Fetch-Site": "same-site"}, id="same site"),
        param({"Host": "evil.example"}, id="rebound"),
    ],
)
async def test_a_page_of_another_site_reads_and_changes_nothing(
    admin: Admin, origin: Origin, fields: dict[str, str]
) -> None:
    url = origin.url("/a")
    await stored(admin, url)
    for path in ("/api/purge", "/api/warm", "/api/verify", "/api/gc"):
        order = {"url": url} if path == "/api/purge" else {}
        text = {**fields, "Content-Type": "text/plain"}
        async with admin.session.post(admin.url + path, json=order, headers=text) as answer:
            assert answer.status in {403, 421}
            assert "Access-Control-Allow-Origin" not in answer.headers
    async with admin.session.get(f"{admin.url}/api/entries", headers=fields) as answer:
        assert answer.status in {403, 421}
    assert (await admin.house.get(url)).hit
    assert len(origin.requests) == 1


def routes() -> dict[str, set[str]]:
    """The methods of each path."""
    listed = cast(
        "list[web.RouteDef]", list(Api(cast("Inside", None), cast("Upkeep", None)).routes)
    )
    return {route.path: {route.method} for route in listed}


async def test_a_path_is_for_its_methods_alone(admin: Admin, origin: Origin) -> None:
    """GET and HEAD change nothing, and what changes something is there for POST alone."""
    url = origin.url("/a")
    await stored(admin, url)
    streams = {"/api/events": {"GET"}}  # it has no end
    for path, methods in routes().items():
        allowed = streams.get(path, READING if methods == {"GET"} else methods)
        asked = f"{admin.url}{path}".replace("{id}", "x-1")
        for method in METHODS:
            if method in allowed and (method == "POST" or path in streams):
                continue
            query = {"url": url, "all": "true"}
            async with admin.session.request(method, asked, params=query) as answer:
                if method in allowed:
                    assert answer.status in {200, 404}, path
                    continue
                assert answer.status == 405, (method, path)
                assert set(answer.headers["Allow"].replace(" ", "").split(",")) == allowed
    assert (await admin.house.get(url)).hit
    assert len(origin.requests) == 1


async def test_every_head_protects_what_it_shows(admin: Admin, origin: Origin) -> None:
    """That of a stream, and of an error, too."""
    url = origin.url("/a")
    await stored(admin, url)
    for path in ("/", "/api/stats", "/api/events", f"/api/entry/body?url={url}", "/none"):
        async with admin.session.get(admin.url + path) as answer:
            assert answer.headers["X-Content-Type-Options"] == "nosniff", path
            assert answer.headers["Cache-Control"] == "no-store", path
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"], path


# What is asked for. HERE stands for the authority of the origin.

GOOD: Final = {
    "plain": "http://HERE/x",
    "the scheme in capitals": "HTTP://HERE/x",
    "ws": "ws://HERE/x",
    "no path": "http://HERE",
    "a query only": "http://HERE?x=1",
    "dot segments": "http://HERE/a/../b",
    "dots, encoded": "http://HERE/%2e%2e/%2E%2E/b",
    "empty segments": "http://HERE//a//b",
    "controls, encoded": "http://HERE/a%00b%0d%0ac%5c",
    "backslashes in the path": "http://HERE/a\\..\\b",
    "octets over 127": "http://HERE/a\x80\x9b\xff",
    "a url in the query": "http://HERE/?url=http://b.example/#".rstrip("#"),
    "an authority in the path": "http://HERE/@b.example:80/",
    "markup": "http://HERE/<script>'\"",
    "long": "http://HERE/" + "x" * 12_000,
}
BAD: Final = {
    "nothing": "",
    "a word": "x",
    "the asterisk": "*",
    "an authority": "HERE",
    "a path": "/x",
    "a path upwards": "/../../etc/passwd",
    "no scheme": "//HERE/x",
    "one slash": "http:/HERE/x",
    "backslashes": "http:\\\\HERE\\x",
    "no host": "http:///x",
    "a fragment": "http://HERE/#x",
    "userinfo": "http://u:p@HERE/",
    "a backslash in the authority": "http://b.example\\@HERE/",
    "a space": "http://HERE/a b",
    "a line break": "http://HERE/a\nb",
    "a head": "http://HERE/a\r\nHost: b.example",
    "a tab": "http://HERE/a\tb",
    "NUL": "http://HERE/a\x00b",
    "a terminal escape": "http://HERE/\x1b[2J",
    "from right to left": "\u202ehttp://HERE/",
    "a space before": " http://HERE/",
    "no octet": "http://HERE/\u20ac",
    "a short address": "http://127.1/",
    "an address as a number": "http://2130706433/",
    "hexadecimal": "http://0x7f.0.0.1/",
    "octal": "http://0177.0.0.1/",
    "an address with a dot": "http://127.0.0.1.:80/",
    "half a bracket": "http://[::1/",
    "a zone": "http://[::1%25lo]/",
    "a host, encoded": "http://%6c%6f/",
    "a host in latin-1": "http://b\xfccher.example/",
    "a host in Cyrillic": "http://b\u0443cher.example/",
    "digits of full width": "http://\uff11\uff12\uff17.0.0.1/",
    "another full stop": "http://a\u3002example/",
    "two ports": "http://HERE:1/",
    "port 0": "http://a.example:0/",
    "a port too many": "http://a.example:65536/",
    "a port below 0": "http://a.example:-1/",
    "a long host": "http://" + "a" * 300 + ".example/",
    "file": "file:///etc/passwd",
    "unix": "unix:/run/x.sock",
    "http+unix": "http+unix://%2Frun%2Fx.sock/",
    "javascript": "javascript:alert(1)",
    "ftp": "ftp://HERE/x",
    "gopher": "gopher://HERE/_x",
    "data": "data:text/html,x",
}


async def test_a_url_is_what_the_proxy_takes_it_for(admin: Admin, origin: Origin) -> None:
    for name, text in GOOD.items():
        url = text.replace("HERE", origin.authority)
        assert (await admin.house.get(url)).status == 200, name
        entry = await admin.get("/api/entry", url=url)
        (listed,) = (await admin.get("/api/entries"))["entries"]
        assert (entry["key"], entry["url"]) == (listed["key"], url), name
        assert (await admin.get("/api/explain", url=url))["reason"] == "hit", name
        async with admin.session.get(f"{admin.url}/api/entry/body", params={"url": url}) as answer:
            assert await answer.read() == b"hello", name
        assert (await admin.post("/api/purge", url=url))["keys"] == 1, name


async def test_what_is_no_url_is_said(admin: Admin, origin: Origin) -> None:
    for name, text in BAD.items():
        url = text.replace("HERE", origin.authority)
        paths = ("/api/entry", "/api/entry/body", "/api/explain")
        said = [await admin.get(path, 400, url=url) for path in paths]
        said.append(await admin.post("/api/purge", 400, url=url))
        said += [await admin.post(f"/api/{way}", 400, urls=[url]) for way in ("warm", "verify")]
        for answer in said:
            assert answer["error"]["reason"] == "unclear", name
            assert re.fullmatch(r"[A-Z][ -~…]+[.…]", answer["error"]["sentence"]), name
    assert origin.requests == []


async def test_nor_does_the_proxy_take_it(admin: Admin, origin: Origin) -> None:
    """But for what cannot be said in a request line, or means something else there."""
    for name, text in BAD.items():
        url = text.replace("HERE", origin.authority)
        if not url.isascii() or url[:1] in {"", "/"} or any(end in url for end in "\r\n "):
            continue
        wire = await admin.house.wire()
        await wire.send(request("GET", url))
        assert (await wire.head()).status == 400, name
    assert origin.requests == []


async def test_fields_of_a_warming_are_fields(admin: Admin, origin: Origin) -> None:
    for headers in ({"X\r\nY": "a"}, {"X": "a\r\nY: b"}, {"X:Y": "a"}, {"": "a"}, {"X": "\u20ac"}):
        wrong = await admin.post("/api/warm", 400, urls=[origin.url("/a")], headers=headers)
        assert wrong["error"]["reason"] == "unclear"
    assert origin.requests == []


async def test_what_is_stored_does_nothing_to_a_terminal(admin: Admin, origin: Origin) -> None:
    """C1 controls may stand in urls and fields; JSON has them as escapes."""
    url = origin.url("/\x9b31m\x85")
    await stored(admin, url)
    for path in ("/api/entries", "/api/entry", "/api/explain", "/api/exchanges"):
        async with admin.session.get(admin.url + path, params={"url": url}) as answer:
            text = (await answer.read()).decode()
            assert "31m" in text or path == "/api/exchanges"
            assert not [each for each in text if not each.isprintable()]
    entry = await admin.get("/api/entry", url=url)
    assert entry["url"] == url
    assert ["X-Note", '\x9b31m"'] in entry["variants"][0]["fields"]


# Being slow.


@pytest.fixture
async def slow(admin: Admin, origin: Origin) -> AsyncIterator[None]:
    """Clients who do not read what they ask for, or do not ask to the end."""
    origin.serve("/large", reply(200, FRESH, body=bytes(8 * 2**20)))
    await stored(admin, origin.url("/large"))
    host, _, port = admin.url.removeprefix("http://").rpartition(":")
    asking = [
        f"GET /api/entry/body?url={origin.url('/large')} HTTP/1.1\r\nHost: {host}\r\n\r\n",
        f"GET /api/events HTTP/1.1\r\nHost: {host}\r\n\r\n",
        f"GET /api/stats HTTP/1.1\r\nHost: {host}\r\n",
        f"POST /api/purge HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\n{{",
    ]
    writers = []
    for number in range(CLIENTS):
        _, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(asking[number % len(asking)].encode())
        writers.append(writer)
    yield
    for writer in writers:
        writer.transport.abort()


async def test_slow_clients_keep_no_hit_waiting(admin: Admin, origin: Origin, slow: None) -> None:
    await stored(admin, origin.url("/a"))
    wire, took = await admin.house.wire(), []
    for _ in range(HITS):
        began = time.perf_counter()
        await wire.send(request("GET", origin.url("/a")))
        assert (await wire.response()).hit
        took.append(time.perf_counter() - began)
    assert sorted(took)[HITS * 99 // 100] < BOUND
    assert (await admin.get("/healthz"))["status"] == "ok"


async def test_what_is_sent_in_a_coding_is_not_decoded(admin: Admin) -> None:
    order = gzip.compress(b'{"url": "http://a.example/"}')
    fields = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    async with admin.session.post(f"{admin.url}/api/purge", data=order, headers=fields) as answer:
        assert answer.status == 400
