"""Request bodies stream to the origin, and 100-continue works end to end (RFC 9110 §10.1.1)."""

from tests.support.house import House
from tests.support.origin import (
    LEAVE_BODY,
    READ_BODY,
    Conversation,
    Gate,
    Origin,
    chunk,
    reply,
)
from tests.support.wire import Incoming, request

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_a_body_with_a_length(house: House, origin: Origin) -> None:
    body = bytes(range(256)) * 4096
    origin.serve("/up", reply(200, body=b"got it"))
    answer = await house.get(origin.url("/up"), method="POST", body=body)
    assert answer.body == b"got it"
    assert origin.requests[0].body == body
    assert origin.requests[0].get("content-length") == str(len(body))
    assert origin.requests[0].get("transfer-encoding") is None


async def test_a_chunked_body(house: House, origin: Origin) -> None:
    origin.serve("/up", reply(200))
    wire = await house.wire()
    await wire.send(request("PUT", origin.url("/up"), ("Transfer-Encoding: chunked",)))
    await wire.send(b"5;ext=1\r\nhello\r\n006\r\n world\r\n0\r\nX-Trailer: no\r\n\r\n")
    assert (await wire.response()).status == 200
    assert origin.requests[0].body == b"hello world"
    assert origin.requests[0].get("transfer-encoding") == "chunked"
    assert origin.requests[0].get("content-length") is None


async def test_an_empty_post_says_so(house: House, origin: Origin) -> None:
    # RFC 9110 §8.6: a method that anticipates content sends Content-Length: 0.
    origin.serve("/up", reply(200))
    await house.get(origin.url("/up"), method="POST", body=b"")
    assert origin.requests[0].get("content-length") == "0"


async def test_the_body_streams(house: House, origin: Origin) -> None:
    first = Gate()

    async def read(conversation: Conversation) -> None:
        pieces = conversation.body()
        conversation.received.body += await anext(pieces)
        await first.wait()
        async for piece in pieces:
            conversation.received.body += piece

    origin.serve("/up", LEAVE_BODY, read, reply(200, body=b"done"))
    wire = await house.wire()
    await wire.send(request("POST", origin.url("/up"), ("Transfer-Encoding: chunked",)))
    await wire.send(chunk(b"one"))
    await first.reached()
    assert origin.requests[0].body == b"one"
    first.open()
    await wire.send(chunk(b"two") + b"0\r\n\r\n")
    assert (await wire.response()).body == b"done"
    assert origin.requests[0].body == b"onetwo"


async def test_100_continue_comes_from_the_origin(house: House, origin: Origin) -> None:
    asked = Gate()
    origin.serve("/up", asked, CONTINUE, READ_BODY, reply(201))
    wire = await house.wire()
    fields = ("Expect: 100-continue", "Content-Length: 5")
    await wire.send(request("PUT", origin.url("/up"), fields))
    await asked.reached()
    assert origin.requests[0].get("expect") == "100-continue"
    asked.open()
    assert (await wire.head()).status == 100
    await wire.send(b"hello")
    assert (await wire.response()).status == 201
    assert origin.requests[0].body == b"hello"


async def test_a_final_answer_instead_of_100(house: House, origin: Origin) -> None:
    origin.serve("/up", LEAVE_BODY, reply(417, "Connection: close", body=b"no"))
    fields = ("Expect: 100-continue", "Content-Length: 5")
    incoming = await house.open(origin.url("/up"), *fields, method="PUT")
    assert (await incoming.head()).status == 417
    assert await incoming.rest() == b"no"
    assert incoming.interim == []


async def test_an_early_final_answer_reaches_the_client(house: House, origin: Origin) -> None:
    origin.serve("/up", LEAVE_BODY, reply(413, "Connection: close", body=b"too much"))
    wire = await house.wire()
    fields = ("Content-Length: 10000000",)
    await wire.send(request("POST", origin.url("/up"), fields) + b"x" * 1000)
    incoming = Incoming(wire, "POST")
    assert (await incoming.head()).status == 413
    assert await incoming.rest() == b"too much"


async def test_an_upload_cut_by_the_client_never_completes(house: House, origin: Origin) -> None:
    origin.serve("/up", reply(200))
    wire = await house.wire()
    await wire.send(request("POST", origin.url("/up"), ("Content-Length: 10",)) + b"hello")
    received = await origin.seen(1)
    await wire.reset()
    await received.closed.wait()
    assert not received.whole


async def test_a_connection_that_is_owed_a_body_is_not_reused(house: House, origin: Origin) -> None:
    # RFC 9112 §9.3: after an early answer the rest of the body is still due on that connection.
    origin.serve("/up", LEAVE_BODY, reply(200))
    origin.serve("/next", reply(200, body=b"clean"))
    wire = await house.wire()
    await wire.send(request("POST", origin.url("/up"), ("Content-Length: 100",)) + b"x")
    assert (await Incoming(wire, "POST").head()).status == 200
    assert (await house.get(origin.url("/next"))).body == b"clean"
    assert origin.requests[0].connection != origin.requests[1].connection


async def test_extension_methods_with_a_body(house: House, origin: Origin) -> None:
    origin.serve("/dav", reply(207, body=b"<ok/>"))
    answer = await house.get(origin.url("/dav"), "Depth: 1", method="PROPFIND", body=b"<all/>")
    assert (answer.status, answer.body) == (207, b"<ok/>")
    assert origin.requests[0].method == "PROPFIND"
    assert origin.requests[0].body == b"<all/>"


async def test_a_get_with_a_body_neither_reads_nor_writes_the_cache(
    house: House, origin: Origin
) -> None:
    origin.serve("/a", reply(200, "Cache-Control: max-age=60", body=b"for a body"))
    origin.serve("/a", reply(200, "Cache-Control: max-age=60", body=b"plain"))
    await house.get(origin.url("/a"), body=b"query")
    assert origin.requests[0].body == b"query"
    assert (await house.get(origin.url("/a"))).body == b"plain"
