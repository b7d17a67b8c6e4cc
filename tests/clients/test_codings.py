"""One URL, asked for by everybody in their own words: the origin sees one request.

The origin compresses as it is asked to, and says ``Vary: Accept-Encoding``. What it serves is a
wheel, so that pip can be among the clients; the others compare octets.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sys
import tempfile
import urllib.request
import zlib
from importlib.util import find_spec
from typing import TYPE_CHECKING

import aiohttp
import httplib2
import pytest
import requests

from tests.clients.test_chromium import QUIET
from tests.clients.test_pip import WHEEL, wheel
from tests.support.origin import Conversation, Origin, Play, reply

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.conftest import Run
    from tests.support.house import ProcessHouse

pytestmark = pytest.mark.clients

PAGE = b"""<!doctype html><link rel="icon" href="data:,"><p id="p">before</p><script>
fetch('/%b').then(answer => answer.arrayBuffer()).then(octets => {
  let sum = 0
  for (const octet of new Uint8Array(octets)) sum = (sum * 31 + octet) %% 4294967291
  document.getElementById('p').textContent = 'sum ' + sum
})</script>"""
SCRIPT = """
const http = require('node:http'), zlib = require('node:zlib')
const [proxy, url] = process.argv.slice(2)
const headers = { Host: new URL(url).host, 'Accept-Encoding': 'gzip, deflate, br' }
http.get(proxy, { path: url, headers }, answer => {
  const how = { br: zlib.createBrotliDecompress, gzip: zlib.createGunzip }
  const make = how[answer.headers['content-encoding']]
  const body = make ? answer.pipe(make()) : answer
  const hash = require('node:crypto').createHash('sha256')
  body.on('data', chunk => hash.update(chunk)).on('end', () => console.log(hash.digest('hex')))
})
"""


def compressing(body: bytes) -> Play:
    """Compresses by the first coding that is asked for."""
    ways = {
        "zstd": zstd.compress,
        "gzip": lambda octets: zlib.compress(octets, wbits=31),
        "identity": bytes,
    }

    async def play(conversation: Conversation) -> None:
        asked = conversation.received.get("accept-encoding") or "identity"
        members = [member.partition(";")[0].strip() for member in asked.split(",")]
        coding = next((member for member in members if member in ways), "identity")
        said = () if coding == "identity" else (f"Content-Encoding: {coding}",)
        fields = ("Cache-Control: max-age=600", "Vary: Accept-Encoding", 'ETag: "1"', *said)
        conversation.writer.write(reply(200, *fields, body=ways[coding](body)))

    return play


@pytest.mark.slow
async def test_everybody_in_turn(
    run: Run, process: ProcessHouse, origin: Origin, tmp_path: Path
) -> None:
    body, path = wheel(), f"/{WHEEL}"
    origin.serve(path, compressing(body))
    url, digest = origin.url(path), hashlib.sha256(body).hexdigest()
    if find_spec("pip") is not None:
        options = ("--no-deps", "--no-cache-dir", "--disable-pip-version-check", "-d", "wheels")
        await run(sys.executable, "-m", "pip", "download", *options, url)
        assert (tmp_path / "wheels" / WHEEL).read_bytes() == body
    for ask in (_httplib2, _urllib, _requests):
        assert await asyncio.to_thread(ask, process.url, url) == body, ask.__name__
    async with aiohttp.ClientSession() as session, session.get(url, proxy=process.url) as answer:
        assert await answer.read() == body
    if curl := shutil.which("curl"):
        for option in ("--silent", "--compressed"):
            await run(curl, "-s", "-o", "curl", option, url)
            assert (tmp_path / "curl").read_bytes() == body
    if wget := shutil.which("wget"):
        for option in ("--compression=none", "--compression=auto"):
            await run(wget, "-q", "-O", "wget", option, url)
            assert (tmp_path / "wget").read_bytes() == body
    if node := shutil.which("node"):
        (tmp_path / "get.cjs").write_text(SCRIPT)
        assert (await run(node, "get.cjs", process.url, url)).strip() == digest
    if browser := shutil.which("chromium"):
        origin.serve("/", reply(200, "Content-Type: text/html", body=PAGE % WHEEL.encode()))
        proxy, profile = f"--proxy-server={process.url}", f"--user-data-dir={tmp_path / 'profile'}"
        wait = "--virtual-time-budget=5000"
        command = (browser, *QUIET, proxy, profile, wait, "--dump-dom", origin.url("/"))
        # A socket in it may not have a long path.
        page = await run(*command, TMPDIR=tempfile.gettempdir())
        assert f"sum {_sum(body)}<" in page
    assert origin.count(path) == 1


def _sum(body: bytes) -> int:
    total = 0
    for octet in body:
        total = (total * 31 + octet) % 4294967291
    return total


def _httplib2(proxy: str, url: str) -> bytes:
    http = httplib2.Http(proxy_info=httplib2.proxy_info_from_url(proxy))
    _, content = http.request(url)
    http.close()
    octets: bytes = content
    return octets


def _urllib(proxy: str, url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy}))
    with opener.open(url) as answer:
        octets: bytes = answer.read()
    return octets


def _requests(proxy: str, url: str) -> bytes:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, proxies={"http": proxy}).content
