"""What the command line says to the endpoint, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from proxy.admin.client import Client, Failed, Unreachable
from proxy.admin.options import AdminOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

RECORDED = web.AppKey("recorded", list[tuple[str, str, str | None, bytes]])
GARBLED = b"HTTP/1.1 2oo OK\r\n\r\n"


async def echo(request: web.Request) -> web.StreamResponse:
    shown = request.headers.get("Authorization")
    request.app[RECORDED].append((request.method, request.path_qs, shown, await request.read()))
    match request.path:
        case "/lines":
            response = web.StreamResponse()
            await response.prepare(request)
            for number in range(3):
                await response.write(b'{"done": %d}\n' % number)
            return response
        case "/error":
            said = {"error": {"reason": "not-stored", "sentence": "Nothing is stored."}}
            return web.json_response(said, status=404)
        case "/other":
            return web.Response(status=502, text="<h1>Bad gateway</h1>")
        case "/page":
            return web.Response(text="<h1>Another program</h1>")
        case "/octets":
            return web.Response(body=b'"\xff\xfe"')
        case "/list":
            return web.Response(text="[1, 2]")
        case "/garbled":
            assert request.transport is not None
            request.transport.write(GARBLED)
            request.transport.close()
        case _:
            pass
    return web.json_response({"path": request.path})


class Place:
    """An endpoint on a port, and on a socket of the file system; ``asked`` is what came."""

    def __init__(self, port: int, socket: Path, asked: list[tuple[str, str, str | None, bytes]]):
        self.port = port
        self.socket = socket
        self.asked = asked

    def client(self, listen: str = "", token: str = "") -> Client:
        return Client(AdminOptions(listen or f"127.0.0.1:{self.port}", token))


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    application = web.Application()
    application[RECORDED] = []
    application.router.add_route("*", "/{any:.*}", echo)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await web.UnixSite(runner, tmp_path / "admin.sock").start()
    yield Place(runner.addresses[0][1], tmp_path / "admin.sock", application[RECORDED])
    await runner.cleanup()


@pytest.mark.parametrize(
    ("query", "target"),
    [
        pytest.param(None, "/x", id="none"),
        pytest.param({"q": "", "header": ()}, "/x", id="empty values are left out"),
        pytest.param({"q": "ä&b=c", "limit": "5"}, "/x?q=%C3%A4%26b%3Dc&limit=5", id="encoded"),
        pytest.param({"header": ("A: 1", "B: 2")}, "/x?header=A:+1&header=B:+2", id="repeated"),
    ],
)
async def test_questions(place: Place, query: dict[str, Any] | None, target: str) -> None:
    assert await asyncio.to_thread(place.client().get, "/x", query) == {"path": "/x"}
    (asked,) = place.asked
    # The server spells the colon as it likes.
    assert (asked[0], asked[1].replace("%3A", ":"), asked[2:]) == ("GET", target, (None, b""))


async def test_orders(place: Place) -> None:
    order = {"url": "http://a.example/ä", "soft": True}
    assert await asyncio.to_thread(place.client(token="t").post, "/x", order) == {"path": "/x"}
    ((method, path, shown, body),) = place.asked
    assert (method, path, shown, json.loads(body)) == ("POST", "/x", "Bearer t", order)


async def test_an_answer_line_by_line(place: Place) -> None:
    def collect() -> list[object]:
        return list(place.client().lines("/lines", {"urls": []}))

    assert await asyncio.to_thread(collect) == [{"done": 0}, {"done": 1}, {"done": 2}]


@pytest.mark.parametrize(
    ("path", "status", "reason", "sentence"),
    [
        pytest.param("/error", 404, "not-stored", "Nothing is stored.", id="ours"),
        pytest.param(
            "/other", 502, "unknown", "It answered 502, which says nothing more.", id="another's"
        ),
    ],
)
@pytest.mark.parametrize("ask", [Client.get, Client.post])
async def test_errors(
    place: Place, ask: Callable[..., object], path: str, status: int, reason: str, sentence: str
) -> None:
    with pytest.raises(Failed) as caught:
        await asyncio.to_thread(ask, place.client(), path, {})
    failed = caught.value
    assert (failed.status, failed.reason, failed.sentence) == (status, reason, sentence)


async def test_a_socket_of_the_file_system(place: Place) -> None:
    client = place.client(f"unix:{place.socket}")
    assert await asyncio.to_thread(client.get, "/x") == {"path": "/x"}


async def test_what_listens_everywhere_is_asked_here(place: Place) -> None:
    client = place.client(f"0.0.0.0:{place.port}", "token")
    assert await asyncio.to_thread(client.get, "/x") == {"path": "/x"}


@pytest.mark.parametrize(
    ("listen", "word"),
    [
        pytest.param("127.0.0.1:1", "refused", id="nobody listens"),
        pytest.param("unix:/nonexistent/admin.sock", "No such file", id="no socket"),
        pytest.param("off", "is off", id="off"),
    ],
)
def test_nobody_answers(listen: str, word: str) -> None:
    with pytest.raises(Unreachable, match=word):
        Client(AdminOptions(listen)).get("/x")


async def test_what_is_no_answer(place: Place) -> None:
    with pytest.raises(Unreachable, match="No proxy answers"):
        await asyncio.to_thread(place.client().get, "/garbled")


@pytest.mark.parametrize("path", ["/page", "/octets", "/list"])
@pytest.mark.parametrize("ask", [Client.get, Client.post, Client.lines])
async def test_what_another_program_answers(
    place: Place, ask: Callable[..., Iterable[object]], path: str
) -> None:
    with pytest.raises(Unreachable, match="No proxy answers"):
        await asyncio.to_thread(lambda: list(ask(place.client(), path, {})))


@pytest.mark.parametrize(
    "lines", [pytest.param(None, id="missing"), pytest.param("\n", id="empty")]
)
def test_a_token_that_cannot_be_read(tmp_path: Path, lines: str | None) -> None:
    file = tmp_path / "token"
    if lines is not None:
        file.write_text(lines)
    with pytest.raises(Unreachable, match=r"\[admin\] token_file"):
        Client(AdminOptions("127.0.0.1:1", token_file=str(file))).get("/x")
