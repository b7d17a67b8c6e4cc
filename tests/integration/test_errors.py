"""The proxy's own errors: short, closed where they must be, and plainly its own (RFC 9209)."""

import asyncio

import pytest

from tests.conftest import StartHouse
from tests.support.house import House
from tests.support.origin import AWAIT_CLOSE, CLOSE, LEAVE_BODY, RESET, Gate, Origin, head, reply
from tests.support.wire import Response, request


def is_own_error(answer: Response, status: int, *words: str) -> None:
    assert answer.status == status
    assert (answer.get("proxy-status") or "").startswith("forecache")
    assert not words or answer.proxy_status["error"] in words, answer.get("proxy-status")
    assert 0 < len(answer.body) < 4096
    assert not answer.hit


async def test_400_closes(house: House) -> None:
    raw = await house.raw(
        b"GET http://a.test/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET / HTTP/1.1"
    )
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert raw.count(b"HTTP/1.1 ") == 1
    assert b"proxy-status: forecache" in raw.lower()
    assert b"connection: close" in raw.lower()


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://127.0.0.1:{p}/", id="loopback"),
        pytest.param("http://localhost:{p}/", id="a name that resolves to loopback"),
        pytest.param("http://[::ffff:127.0.0.1]:{p}/", id="mapped"),
        pytest.param("http://[::1]:{p}/", id="IPv6 loopback"),
        pytest.param("http://[::]:{p}/", id="IPv6 unspecified"),
        pytest.param("http://0.0.0.0:{p}/", id="unspecified"),
        pytest.param("http://169.254.169.254/", id="metadata"),
        pytest.param("http://10.0.0.1/", id="private"),
        pytest.param("http://100.100.100.200/", id="carrier-grade NAT"),
        pytest.param("http://[64:ff9b::7f00:1]:{p}/", id="NAT64"),
        pytest.param("http://[2002:7f00:1::]:{p}/", id="6to4"),
        pytest.param("http://224.0.0.1/", id="multicast"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_403_for_destinations(
    start_house: StartHouse, origin: Origin, url: str, method: str
) -> None:
    house = await start_house({"access": {"allow_destinations": []}})
    answer = await house.get(url.format(p=origin.port), method=method)
    is_own_error(answer, 403, "destination_ip_prohibited", "http_request_denied")
    assert b"allow_destinations" in answer.body
    assert origin.requests == []


async def test_403_for_clients(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house({"access": {"clients": ["192.0.2.0/24"]}})
    is_own_error(await house.get(origin.url("/a")), 403, "http_request_denied")
    assert origin.requests == []


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"GET http://a.test/" + b"a" * 20_000, 414, id="414 endless line"),
        pytest.param(
            b"GET http://a.test/" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a.test\r\n\r\n",
            414,
            id="414 long line",
        ),
        pytest.param(
            b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nX: " + b"a" * 70_000,
            431,
            id="431 endless field",
        ),
        pytest.param(
            b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n" + b"X: y\r\n" * 200 + b"\r\n",
            431,
            id="431 too many fields",
        ),
    ],
)
async def test_limits(house: House, data: bytes, status: int) -> None:
    raw = await house.raw(data)
    assert raw.startswith(b"HTTP/1.1 %d " % status)
    assert b"proxy-status: forecache" in raw.lower()


async def test_501_for_an_unknown_transfer_coding(house: House, origin: Origin) -> None:
    lines = ("Transfer-Encoding: gzip, chunked",)
    raw = await house.raw(request("POST", origin.url("/a"), lines) + b"0\r\n\r\n")
    assert raw.split(b" ", 2)[1] in (b"400", b"501")
    assert origin.requests == []


async def test_505_for_another_major_version(house: House) -> None:
    raw = await house.raw(b"GET http://a.test/ HTTP/2.0\r\nHost: a.test\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 505 ")


async def test_502_when_the_origin_refuses(house: House, origin: Origin) -> None:
    await origin.stop()
    answer = await house.get(origin.url("/a"))
    assert answer.status in (502, 503)
    is_own_error(answer, answer.status, "connection_refused")


async def test_502_for_a_name_that_does_not_resolve(house: House) -> None:
    answer = await house.get("http://nowhere.invalid/")
    assert answer.status in (502, 504)
    is_own_error(answer, answer.status, "dns_error", "dns_timeout")


@pytest.mark.parametrize("step", [CLOSE, RESET], ids=["closed", "reset"])
async def test_502_when_the_origin_says_nothing(house: House, origin: Origin, step: object) -> None:
    origin.serve("/a", step)  # type: ignore[arg-type]
    is_own_error(await house.get(origin.url("/a")), 502)


async def test_504_when_the_origin_is_silent(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house({"upstream": {"read_timeout": "200ms"}})
    origin.serve("/a", Gate())
    is_own_error(
        await house.get(origin.url("/a")), 504, "http_response_timeout", "connection_read_timeout"
    )


async def test_a_stall_within_the_body_cuts(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house({"upstream": {"read_timeout": "200ms"}})
    origin.serve("/a", head(200, "Content-Length: 10") + b"hello", Gate())
    incoming = await house.open(origin.url("/a"))
    assert await incoming.read(5) == b"hello"
    with pytest.raises(Exception, match=r"missing|reset|ended"):
        await incoming.rest()


async def test_408_or_nothing_for_a_head_that_never_ends(start_house: StartHouse) -> None:
    house = await start_house({"server.limits": {"header_timeout": "200ms"}})
    raw = await house.raw(b"GET http://a.test/ HTTP/1.1\r\nHost: a")
    assert raw == b"" or raw.startswith(b"HTTP/1.1 408 ")


async def test_408_for_a_body_that_pauses(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house({"server.limits": {"body_timeout": "200ms"}})
    origin.serve("/a", LEAVE_BODY, AWAIT_CLOSE)
    wire = await house.wire()
    await wire.send(request("POST", origin.url("/a"), ("Content-Length: 10",)) + b"hello")
    answer = await wire.response()
    is_own_error(answer, 408, "http_request_error")
    assert answer.cache_status["detail"] == "request-timeout"
    assert await wire.rest() == b""


async def test_an_idle_connection_is_closed(start_house: StartHouse) -> None:
    house = await start_house({"server.limits": {"idle_timeout": "200ms"}})
    wire = await house.wire()
    await wire.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await wire.response()).status == 200
    assert await wire.rest() == b""


async def test_508_for_a_loop(house: House) -> None:
    async with asyncio.timeout(1):
        answer = await house.get(f"{house.url}/a")
    assert answer.status in (502, 508)
    is_own_error(answer, answer.status, "proxy_loop_detected")


async def test_own_errors_are_not_stored(house: House, origin: Origin) -> None:
    await origin.stop()
    assert (await house.get(origin.url("/a"))).status >= 500
    await origin.start()
    origin.serve("/a", reply(200, body=b"back"))
    assert (await house.get(origin.url("/a"))).body == b"back"


async def test_an_error_of_the_origin_is_the_origins(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(502, "X-From: origin", body=b"mine"))
    answer = await house.get(origin.url("/a"))
    assert (answer.status, answer.body, answer.get("x-from")) == (502, b"mine", "origin")
    assert "error" not in answer.proxy_status


async def test_no_credentials_in_errors(house: House, origin: Origin) -> None:
    raw = await house.raw(b"GET http://user:secret@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert b"secret" not in raw


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS"])
async def test_max_forwards_zero_is_answered_here(
    house: House, origin: Origin, method: str
) -> None:
    # RFC 9110 §7.6.2
    answer = await house.get(origin.url("/a"), "Max-Forwards: 0", method=method)
    assert answer.status in (200, 204, 405)
    assert origin.requests == []


async def test_max_forwards_counts_down(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200))
    await house.get(origin.url("/a"), "Max-Forwards: 3", method="OPTIONS")
    assert origin.requests[0].get("max-forwards") == "2"


async def test_options_for_the_whole_origin(house: House, origin: Origin) -> None:
    # RFC 9112 §3.2.4: an absolute-form without path or query becomes an asterisk.
    origin.serve("*", reply(200, "Allow: GET"))
    answer = await house.get(f"http://{origin.authority}", method="OPTIONS")
    assert answer.get("allow") == "GET"
