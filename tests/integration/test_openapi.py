"""The endpoint does what its description says: schemathesis reads the one and asks the other."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec
import pytest

from proxy.admin import schemas
from proxy.admin.shapes import TidyingLine, VerifyingLine
from tests.support.house import ROOT
from tests.support.origin import Gate, Origin, head, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import StartHouse
    from tests.support.house import House

FRESH: Final = "Cache-Control: max-age=600"
EXAMPLES: Final = os.environ.get("FORECACHE_OPENAPI_EXAMPLES", "8")
PATHS: Final = ("/variants", "/private", "/note?q=%3Cb%3E", "/part", "/none")
CHECKS: Final = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "response_schema_conformance", "negative_data_rejection",
    "positive_data_acceptance", "unsupported_method", "allow_header_conformance", "ignored_auth",
)  # fmt: skip


@pytest.fixture
async def house(start_house: StartHouse, origin: Origin) -> House:
    """It has seen some traffic. Whatever is not for the origin goes there, too, as to a parent."""
    tables: dict[str, Any] = {
        "admin": {"listen": "127.0.0.1:0"},
        "upstream": {"parent": f"http://{origin.authority}", "no_proxy": ["127.0.0.1"]},
    }
    house = await start_house(tables)
    coded = ("Content-Encoding: gzip", "Vary: Accept-Language", "Cache-Tag: news, other")
    hello = gzip.compress(b"hello")
    origin.serve("/variants", reply(200, FRESH, 'ETag: "1"', *coded, body=hello))
    origin.serve("/private", reply(200, "Cache-Control: private", body=b"hello"))
    origin.serve("/note?q=%3Cb%3E", reply(200, FRESH, "X-Note: \x1b[31m<b>", body=b"<b>"))
    origin.serve("/part", reply(206, FRESH, 'ETag: "1"', "Content-Range: bytes 0-1/5", body=b"he"))
    for language in ("de", "de", "fr"):
        await house.get(origin.url("/variants"), f"Accept-Language: {language}")
    for path in PATHS:
        await house.get(origin.url(path), "Range: bytes=0-1")
    return house


def address(house: House) -> str:
    assert house.running.admin is not None
    return f"http://{house.running.admin.address}"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


async def test_schemathesis_finds_nothing(house: House, origin: Origin, tmp_path: Path) -> None:
    """``FORECACHE_OPENAPI_EXAMPLES`` says how many requests it makes up for each operation."""
    gate = Gate()
    origin.serve("/slow", head(200, FRESH, "Content-Length: 6") + b"one", gate, b"two")
    reader = await house.open(origin.url("/slow"))
    assert await reader.read(3) == b"one"  # so that there is a fill
    command = ["-m", "schemathesis.cli", "run", f"{address(house)}/api/openapi.json"]
    # A stream without end is not for it.
    command += ["--exclude-path", "/api/events", "--phases", "coverage,fuzzing"]
    command += ["--max-examples", EXAMPLES, "--seed", "1", "--no-shrink", "--no-color"]
    command += ["--checks", ",".join(CHECKS), "--request-timeout", "20", "--continue-on-failure"]
    urls = "\n".join(map(origin.url, PATHS))
    hooks = {"SCHEMATHESIS_HOOKS": "tests.support.openapi_hooks", "ORIGIN_URLS": urls}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command),
        cwd=tmp_path,
        env={**os.environ, **hooks, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    gate.open()
    text = said.decode()
    assert process.returncode == 0, text
    assert "No issues found" in text
    assert all(asked.target.startswith("/") or ".test" in asked.target or "[::1]" in asked.target
               for asked in origin.requests)  # fmt: skip


async def lines(session: aiohttp.ClientSession, url: str, order: object) -> list[bytes]:
    async with session.post(url, json=order) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "application/x-ndjson"
        return (await answer.read()).splitlines()


@pytest.mark.parametrize(
    ("path", "order", "shape"),
    [
        pytest.param("/api/warm", {"urls": ["/note?q=%3Cb%3E", "/none"]}, schemas.WarmingLine),
        pytest.param("/api/verify", {}, VerifyingLine),
        pytest.param("/api/gc", {"dry_run": True}, TidyingLine),
    ],
)
async def test_streams_are_of_the_lines_that_are_described(
    house: House,
    origin: Origin,
    session: aiohttp.ClientSession,
    path: str,
    order: dict[str, Any],
    shape: type[msgspec.Struct],
) -> None:
    if "urls" in order:
        order = {"urls": [origin.url(each) for each in order["urls"]]}
    said = await lines(session, address(house) + path, order)
    assert said
    for line in said:
        assert set(json.loads(line)) == set(shape.__struct_fields__)
        msgspec.json.decode(line, type=shape)


async def test_events_are_what_is_described(
    house: House, origin: Origin, session: aiohttp.ClientSession
) -> None:
    async with session.get(f"{address(house)}/api/events") as answer:
        await house.get(origin.url("/none"))
        names, kinds = [], set[str]()
        async for line in answer.content:
            name, _, value = line.rstrip(b"\n").partition(b": ")
            if name == b"event":
                names.append(value.decode())
            elif name == b"data":
                kinds.add(names[-1])
                if names[-1] == "exchange":
                    msgspec.json.decode(value, type=schemas.Exchange)
                    break
                assert all(type(count) is int for count in json.loads(value).values())
    assert kinds == {"counters", "exchange"}
