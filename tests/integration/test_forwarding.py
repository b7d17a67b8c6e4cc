"""What crosses the proxy and what does not (RFC 9110 §7.6)."""

from tests.support.house import House
from tests.support.origin import Origin, chunk, head, reply

HOP = (
    "Connection: X-Nominated, close",
    "X-Nominated: 1",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "Proxy-Authorization: Basic c2VjcmV0",
    "TE: gzip",
    "Trailer: X",
    "Upgrade: h2c",
)


async def test_hop_by_hop_fields_of_a_request_stay_here(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200))
    await house.get(origin.url("/a"), *HOP, "X-Kept: yes")
    received = origin.requests[0]
    for line in HOP[1:]:
        assert received.get(line.partition(":")[0]) is None, line
    assert "nominated" not in (received.get("connection") or "").lower()
    assert received.get("x-kept") == "yes"


async def test_hop_by_hop_fields_of_a_response_stay_here(house: House, origin: Origin) -> None:
    lines = ("Connection: X-Nominated", "X-Nominated: 1", "Keep-Alive: timeout=5", "X-Kept: yes")
    origin.serve("/a", reply(200, "Cache-Control: max-age=60", *lines, "Proxy-Connection: x"))
    for _ in range(2):
        answer = await house.get(origin.url("/a"))
        for name in ("x-nominated", "keep-alive", "proxy-connection"):
            assert answer.get(name) is None, name
        assert answer.get("x-kept") == "yes"


async def test_via_both_ways(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, "Via: 1.0 inner"))
    answer = await house.get(origin.url("/a"), "Via: 1.0 outer", minor=1)
    asked = (origin.requests[0].get("via") or "").split(", ")
    assert asked[0] == "1.0 outer"
    assert asked[1].startswith("1.1 ")
    said = (answer.get("via") or "").split(", ")
    assert said[0] == "1.0 inner"
    assert said[1].startswith("1.1 ")


async def test_fields_keep_their_order_case_and_octets(house: House, origin: Origin) -> None:
    lines = ("X-One: a", "x-two: b\xe9\x80", "X-One: c", 'X-Three: "q, r"')
    origin.serve("/a", reply(200, *lines))
    answer = await house.get(origin.url("/a"), *lines)
    for seen in (origin.requests[0].lines, answer.lines):
        own = [f"{name}: {value}" for name, value in seen if name.lower().startswith("x-")]
        assert own == list(lines)


async def test_nothing_is_added_for_the_client(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200))
    await house.get(origin.url("/a"))
    names = {name.lower() for name, _ in origin.requests[0].lines}
    # Accept-Encoding is our own: what comes is decoded for who takes no coding.
    assert names <= {"accept-encoding", "host", "via", "connection"}


async def test_trailers_only_for_those_who_ask(house: House, origin: Origin) -> None:
    body = chunk(b"hello") + b"0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n"
    lines = ("Cache-Control: no-store", "Trailer: X-Sum", "Transfer-Encoding: chunked")
    origin.serve("/a", head(200, *lines) + body)
    plain = await house.get(origin.url("/a"))
    assert (plain.body, plain.get("x-sum")) == (b"hello", None)
    asked = await house.get(origin.url("/a"), "TE: trailers", "Connection: TE")
    assert asked.body == b"hello"
    assert (asked.get("x-sum"), asked.get("content-length")) == ("1", None)
    assert [received.get("te") for received in origin.requests] == [None, "trailers"]


async def test_a_response_without_date_gets_one(house: House, origin: Origin) -> None:
    # RFC 9110 §6.6.1
    origin.serve("/a", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert (await house.get(origin.url("/a"))).get("date")


async def test_unknown_statuses_and_reasons_pass(house: House, origin: Origin) -> None:
    origin.serve("/a", b"HTTP/1.1 299 Fairly Well\r\nContent-Length: 2\r\n\r\nok")
    answer = await house.get(origin.url("/a"))
    assert (answer.status, answer.body) == (299, b"ok")
