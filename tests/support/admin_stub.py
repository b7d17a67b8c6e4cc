"""A scripted admin endpoint: the dashboard's page, and an API with realistic and hostile answers.

``python -m tests.support.admin_stub 8099 --rate 1000 --token secret`` serves it for looking at.
"""

import argparse
import asyncio
import itertools
import json
import math
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

PAGES: Final = Path(__file__).parents[2] / "proxy" / "admin" / "dashboard"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILES: Final = {"/": "index.html", "/style.css": "style.css", "/app.js": "app.js"}

# Markup, a turned writing direction, controls, blanks, marks in heaps, and a lone surrogate.
HOSTILE: Final = (
    "http://evil.example/<img src=x onerror=\"document.title='owned'\">",
    "http://evil.example/<script>document.title='owned'</script>",
    "http://evil.example/invoice\u202efdp.exe",
    "http://evil.example/\x1b[2J\x00\x9b31m\r\nSet-Cookie: a=b",
    "http://evil.example/zero\u200bwidth\u00ad\ufeff\U000e0041\u3164end",
    "http://evil.example/z" + "\u0301" * 400,
    "http://evil.example/\ud800lone",
    "javascript:document.title='owned'//http://evil.example/",
    "http://evil.example/" + "long/" * 1500,
    "http://xn--e1afmkfd.example/\u05e9\u05dc\u05d5\u05dd/\u0645\u0631\u062d\u0628\u0627",
    "http://evil.example/..%2f..%2f?url=#/purge?all=1&\\\"'`${7*7}{{7*7}}",
)
WORDS: Final = {
    "hit": 1_804_211,
    "miss": 148_020,
    "expired": 60_113,
    "revalidated": 41_870,
    "not-stored-no-store": 30_202,
    "vary-miss": 9_314,
    "collapsed": 8_455,
    "request-no-cache": 6_120,
    "not-stored-set-cookie": 3_011,
    "not-stored-authorization": 2_440,
    "stale-while-revalidate": 1_922,
    "must-revalidate": 1_604,
    "not-stored-no-freshness": 960,
    "tunnel": 22_400,
    "origin-unreachable": 311,
    "denied-destination": 94,
    "origin-timeout": 41,
    "self": 1_003,
}
HOSTS: Final = ("deb.example", "pypi.example", "registry.example", "cdn.example", "git.example")
PATHS: Final = (
    "/debian/pool/main/l/linux/linux-image-6.1.0-28-amd64_6.1.119-1_amd64.deb",
    "/simple/aiohttp/",
    "/packages/d6/9f/numpy-2.3.5-cp311-cp311-manylinux_2_27_x86_64.whl",
    "/v2/library/python/blobs/sha256:9b1c4a1e2f7d",
    "/assets/site.css?v=20261122",
    "/fonts/text.woff2",
)
TYPES: Final = ("application/vnd.debian.binary-package", "text/html; charset=utf-8", "text/css")


@dataclass(slots=True)
class Stub:
    """What the endpoint says, and what it was asked. ``rate``: exchanges a second in the stream.

    Of several workers the last is silent.
    """

    rate: int = 40
    token: str = ""
    total: int = 1_000_000
    hostile: bool = True
    workers: int = 1
    purged: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    failing: bool = False
    started: float = field(default_factory=lambda: time.time() - 290_000)
    port: int = 0

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def entry(self, index: int) -> dict[str, Any]:
        """Entry ``index`` of the listing; the first ones are the hostile ones."""
        now = time.time()
        if self.hostile and index < len(HOSTILE):
            url = HOSTILE[index]
        else:
            url = f"https://{HOSTS[index % 5]}{PATHS[index % 6]}#{index}".replace("#", "?n=")
        stored = now - 30 - (index * 977) % 400_000
        return {
            "key": url,
            "url": url,
            "host": url.split("/")[2] if "//" in url else "",
            "status": 404 if index % 17 == 16 else 200,
            "type": "<b>bold</b>" if url in HOSTILE[:3] else TYPES[index % 3].partition(";")[0],
            "coding": ("identity", "zstd", "gzip")[index % 3],
            "variants": 3 if index % 11 == 4 else 1,
            "octets": (index * 7919 + 13) ** 2 % 90_000_000,
            "stored": stored,
            "fresh_until": stored + (86_400, 3_600, 604_800)[index % 3],
            "hits": max(0, 40_000 - index * 37),
            "used": now - index * 3.7,
            "tags": ["release-42"] if index % 7 == 3 else [],
        }


def series(now: float, step: int, number: int, seed: int) -> list[list[float]]:
    """Points ``[t, requests, hits, octets_cache, octets_origin]`` up to ``now``."""
    chance = random.Random(seed)
    last = int(now) // step * step - step
    points: list[list[float]] = []
    for index in range(number):
        at = last - (number - 1 - index) * step
        busy = 320 + 140 * math.sin(at / (step * 70)) + chance.gauss(0, 24)
        requests = 0 if index in range(180, 196) else max(0, int(busy)) * step
        hits = int(requests * min(1, 0.86 + 0.05 * math.sin(at / (step * 31))))
        points.append([at, requests, hits, hits * 21_000, (requests - hits) * 34_000])
    return points


def busiest(names: list[str]) -> dict[str, list[dict[str, Any]]]:
    """By each measure, as the endpoint ranks them."""
    reasons = ("miss", "expired", "not-stored-no-store", "vary-miss")
    counted = [
        {
            "name": name,
            "requests": 90_000 // (at + 1),
            "octets": 88_000_000_000 // (at * at + 1),
            "misses": 90_000 // (at + 1) * (at % 7) // 8,
            "reason": reasons[at % 4],
        }
        for at, name in enumerate(names)
    ]
    return {
        measure: sorted(
            (one for one in counted if one[measure]),
            key=lambda one: one[measure],
            reverse=True,
        )
        for measure in ("requests", "octets", "misses")
    }


def workers(number: int) -> list[dict[str, Any]]:
    """A line for each; of several the last does not answer."""
    lines: list[dict[str, Any]] = [
        {
            "worker": at,
            "pid": 4_194_300 - at,
            "requests": 1_071_045 // (at + 1),
            "hits": 928_229 // (at + 2),
            "connections": 812 // (at + 1),
            "tunnels": 16 - at,
        }
        for at in range(number)
    ]
    if number > 1:
        lines[-1] = {"worker": number - 1, "silent": True}
    return lines


async def file(request: web.Request) -> web.StreamResponse:
    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
    return web.FileResponse(PAGES / FILES[request.path], headers=headers)


async def stats(request: web.Request) -> web.Response:
    stub = request.app[STUB]
    now = time.time()
    urls = [*HOSTILE[:3], *(f"https://{host}{path}" for host in HOSTS for path in PATHS[:3])]
    hosts = [*HOSTS, "evil\u202e.example", *(f"mirror-{at}.example" for at in range(12))]
    body = {
        "version": "0.9.0",
        "started": stub.started,
        "now": now,
        "listening": ["127.0.0.1:3128", "[::1]:3128"],
        "store": {
            "octets": 7_634_112_000,
            "limit": 10_737_418_240,
            "keys": stub.total,
            "indexed": {"done": 812_000, "left": 188_000},
        },
        "requests": sum(WORDS.values()),
        "results": {**WORDS, "new-word<b>": 3},
        "hits": 1_856_458,
        "octets": {"cache": 41_512_880_122, "origin": 9_119_400_811, "own": 1_200_311},
        "saved": {"octets": 38_311_700_301, "seconds": 361_204.5},
        "evictions": 48_120,
        "tunnels": 22_400,
        "coding": {
            "decoded_in": 4_100_200_300,
            "decoded_out": 15_300_000_100,
            "encoded_in": 15_300_000_100,
            "encoded_out": 3_900_000_000,
            "seconds": 512.4,
            "kept": 90_112,
            "refused": 12,
        },
        "series": {"second": series(now, 1, 600, 1), "minute": series(now, 60, 1440, 2)},
        "top": {"hosts": busiest(hosts), "urls": busiest(urls)},
        "workers": workers(stub.workers),
    }
    return web.json_response(body)


async def fills(_: web.Request) -> web.Response:
    now = time.time()
    turn = now % 40 / 40
    lengths = (512_000_000, 88_120_000, None, 1_400_000_000)
    listed: list[dict[str, Any]] = [
        {
            "key": f"https://{HOSTS[at]}{PATHS[at]}",
            "received": int((length or 90_000_000) * min(1, turn * (at + 1) / 2)),
            "length": length,
            "started": now - turn * 40,
            "rate": 12_800_000 / (at + 1),
            "followers": (3, 0, 1, 17)[at],
        }
        for at, length in enumerate(lengths)
    ]
    listed.append({**listed[2], "key": HOSTILE[2], "followers": 0})
    return web.json_response({"fills": listed})


async def entries(request: web.Request) -> web.Response:
    stub = request.app[STUB]
    asked = request.query
    limit = int(asked.get("limit", "100"))
    start = int(asked.get("cursor") or 0)
    if asked.get("q") == "nothing":
        return web.json_response({"entries": [], "cursor": "", "total": 0})
    if asked.get("q") == "rare":
        # A bounded scan: nothing in this part of the store, go on from there.
        done = start >= 3_000_000
        found = [stub.entry(20)] if done else []
        cursor = "" if done else str(start + 100_000)
        return web.json_response({"entries": found, "cursor": cursor, "total": None})
    indexes: Iterator[int] = iter(range(start, stub.total))
    if host := asked.get("host"):
        indexes = (at for at in indexes if stub.entry(at)["host"] == host)
    if tag := asked.get("tag"):
        indexes = (at for at in indexes if tag in stub.entry(at)["tags"])
    page = list(itertools.islice(indexes, limit))
    cursor = str(page[-1] + 1) if page and page[-1] + 1 < stub.total else ""
    body = {"entries": [stub.entry(at) for at in page], "cursor": cursor, "total": stub.total}
    return web.json_response(body)


def variant(at: int, age: float, lifetime: float) -> dict[str, Any]:
    now = time.time()
    born = now - age
    selecting = [["accept-encoding", "gzip, br, zstd"], ["accept-language", None]]
    terms = [
        {"name": "lifetime", "value": lifetime, "section": "RFC 9111 §4.2.1"},
        {"name": "apparent_age", "value": 0.4, "section": "RFC 9111 §4.2.3"},
        {"name": "age_value", "value": 120, "section": "RFC 9111 §5.1"},
        {"name": "response_delay", "value": 0.0381, "section": "RFC 9111 §4.2.3"},
        {"name": "resident_time", "value": age - 120.4, "section": "RFC 9111 §4.2.3"},
        {"name": "current_age", "value": age, "section": "RFC 9111 §4.2.3"},
        {"name": "born", "value": born, "section": ""},
        {"name": "validate", "value": False, "section": "RFC 9111 §5.2.2.4"},
        {"name": "rule", "value": "[[rules]] 2, config.toml:41", "section": "[[rules]] 2"},
    ]
    return {
        "id": f"{at:02x}f0c1d2",
        "selecting": selecting if at else [],
        "status": 200,
        "fields": [
            ["Date", "Sun, 22 Nov 2026 11:04:12 GMT"],
            ["Content-Type", "text/html; charset=utf-8"],
            ["Cache-Control", f"public, max-age={lifetime:.0f}, stale-while-revalidate=3600"],
            ["ETag", '"33a64df551425fcc55e4d42a148795d9f25f89d4"'],
            ["Vary", "Accept-Encoding, Accept-Language"],
            ["X-Note", "<script>document.title='owned'</script>\x1b[31m\u202eright to left"],
            ["X-Long", "abcdefghij" * 600],
            ["Link", '</style.css>; rel="preload"; as="style"'],
        ],
        "validators": {"etag": '"33a64df551425fcc"', "last_modified": None},
        "octets": 184_211,
        "forms": [{"coding": "zstd", "octets": 52_114}, {"coding": "gzip", "octets": 58_990}],
        "request_time": born + 120.3,
        "response_time": born + 120.4,
        "freshness": {
            "lifetime": lifetime,
            "source": "max-age",
            "born": born,
            "age": age,
            "ttl": lifetime - age,
            "fresh_until": born + lifetime,
            "stale_while_revalidate": 3_600,
            "stale_if_error": 86_400 if at else 7_200,
            "terms": terms,
        },
    }


async def entry(request: web.Request) -> web.Response:
    url = request.query["url"]
    if "absent" in url:
        sentence = f"Nothing is stored for {url}: the last response had Cache-Control: no-store."
        error = {"reason": "not-stored-no-store", "sentence": sentence}
        return web.json_response({"error": error}, status=404)
    variants = [variant(0, 5_130.2, 14_400)]
    if "n=" not in url:
        variants += [variant(1, 3_700, 3_600), variant(2, 260_000, 60)]
    stub = request.app[STUB]
    gone = {
        order["variant"] for order in stub.purged if "variant" in order and not order["dry_run"]
    }
    body = {
        "url": url,
        "key": url,
        "hits": 40_112,
        "used": time.time() - 4,
        "tags": ["release-42", "<b>bold</b>\u202egat", "group, news"],
        "variants": [each for each in variants if each["id"] not in gone],
    }
    return web.json_response(body)


async def explain(request: web.Request) -> web.Response:
    fields = request.query.getall("header", [])
    if any(":" not in line for line in fields):
        sentence = f"{fields[0]} is not a field: a name, a colon, a value."
        return web.json_response({"error": {"reason": "", "sentence": sentence}}, status=400)
    rows = [
        ("access", "", "yes", "The client 127.0.0.1 may use the proxy, and the origin is public."),
        ("method", "RFC 9111 §4", "yes", "GET is answered from the cache."),
        ("request-directives", "RFC 9111 §5.2.1", "info", "The request has none."),
        ("rule", "[[rules]] 2", "info", "config.toml:41 sets freshness to 4 h."),
        ("key", "RFC 9111 §2", "info", f"The key is {request.query['url']}."),
        ("vary", "RFC 9111 §4.1", "yes", "Variant 1 of 3: Accept-Encoding is gzip, br in both."),
        ("vary", "RFC 9111 §4.1", "no", "Variant 2 of 3: Accept-Language was de, is absent."),
        ("lifetime", "RFC 9111 §4.2.1", "info", "14400 s, from max-age."),
        ("age", "RFC 9111 §4.2.3", "yes", "Its age is 5130 s: fresh for another 9270 s."),
        ("validators", "RFC 9110 §8.8", "info", 'ETag "33a6": \x1b[31m<b>not bold</b>\u202e.'),
    ]
    names = ("name", "section", "verdict", "text")
    body: dict[str, Any] = {
        "decision": "serve",
        "reason": "hit",
        "sentence": "A stored response is fresh for another 2 h 34 min, and is served.",
        "clauses": [dict(zip(names, row, strict=True)) for row in rows],
    }
    if "absent" in request.query["url"]:
        last = {"start": time.time() - 60, "status": 200, "reason": "not-stored-no-store"}
        body |= {"decision": "forward", "reason": "miss", "last": last}
    return web.json_response(body)


async def purge(request: web.Request) -> web.Response:
    asked = await request.json()
    stub = request.app[STUB]
    stub.purged.append(asked)
    keys = 0 if asked.get("host") == "nobody.example" else stub.total if "all" in asked else 3_214
    if "variant" in asked:
        keys = 1
    body = {"keys": keys, "octets": keys * 41_000, "dry_run": asked["dry_run"]}
    return web.json_response(body)


async def events(request: web.Request) -> web.StreamResponse:
    """Exchanges at ``rate``, in bursts of a twentieth of a second, and counters each second."""
    stub = request.app[STUB]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    words = random.Random(3).choices(list(WORDS), list(WORDS.values()), k=997)
    counters = {"requests": sum(WORDS.values()), "hits": 1_856_458}
    counters |= {"octets_cache": 41_512_880_122, "octets_origin": 9_119_400_811, "fills": 5}
    number = 0
    for turn in itertools.count(1):
        burst = []
        for _ in range(max(1, stub.rate // 20)):
            number += 1
            word = words[number % 997]
            url = stub.entry(number % 60)["url"]
            exchange = {
                "id": f"7f3a-{number}",
                "start": time.time(),
                "elapsed": 0.0002 if word == "hit" else 0.084,
                "method": "GET",
                "target": "git.example:443" if word == "tunnel" else url,
                "status": {"origin-unreachable": 502, "denied-destination": 403}.get(word, 200),
                "sent": number * 7919 % 900_000,
                "reason": word,
                "client": "192.0.2.17",
            }
            burst.append(f"event: exchange\ndata: {json.dumps(exchange)}\n\n")
        if turn % 20 == 0:
            counters["requests"] += max(388, stub.rate)
            counters["hits"] += max(388, stub.rate) * 7 // 8
            counters["octets_cache"] += 7_000_000
            counters["octets_origin"] += 1_800_000
            burst.append(f"event: counters\ndata: {json.dumps(counters)}\n\n")
        try:
            await response.write("".join(burst).encode())
        except ConnectionError:
            return response
        await asyncio.sleep(0.05)
    return response


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The token, and a failure on demand."""
    stub = request.app[STUB]
    stub.asked.append(request.path_qs)
    if request.path in FILES:
        return await handler(request)
    if stub.token and request.headers.get("Authorization") != f"Bearer {stub.token}":
        return web.json_response({"error": {"reason": "token", "sentence": "No."}}, status=401)
    if stub.failing:
        raise web.HTTPServiceUnavailable(text="not JSON")
    return await handler(request)


STUB: Final = web.AppKey("stub", Stub)


def application(stub: Stub) -> web.Application:
    app = web.Application(middlewares=[guard])
    app[STUB] = stub
    app.router.add_get("/api/stats", stats)
    app.router.add_get("/api/fills", fills)
    app.router.add_get("/api/entries", entries)
    app.router.add_get("/api/entry", entry)
    app.router.add_get("/api/explain", explain)
    app.router.add_get("/api/events", events)
    app.router.add_post("/api/purge", purge)
    for path in FILES:
        app.router.add_get(path, file)
    return app


@asynccontextmanager
async def running(stub: Stub) -> AsyncIterator[Stub]:
    """Serves on a free port of the loopback, or on ``stub.port``."""
    # A URL of 16 KiB is three times as long where it is percent-encoded.
    runner = web.AppRunner(
        application(stub), access_log=None, shutdown_timeout=0.1, max_line_size=65536
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", stub.port)
    await site.start()
    stub.port = runner.addresses[0][1]
    try:
        yield stub
    finally:
        await runner.cleanup()


async def _serve(stub: Stub) -> None:
    async with running(stub):
        print(stub.url())
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=int, default=40)
    parser.add_argument("--token", default="")
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    asyncio.run(_serve(Stub(**vars(given))))
