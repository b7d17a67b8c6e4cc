"""What octets nearly right were found to do: each a row that failed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.origin import Origin, reply

if TYPE_CHECKING:
    from tests.support.house import House


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(b"Content-Length: 5\r\n\r\nhel", id="by its length"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", id="chunked"),
    ],
)
async def test_a_cut_request_behind_another_ends(house: House, origin: Origin, cut: bytes) -> None:
    """The client closed its side while the one before was answered: nothing more can come."""
    origin.serve("/a", reply(200, body=b"whole"))
    origin.serve("/b", reply(200, body=b"never"))
    named = origin.authority.encode()
    asked = b"GET http://%b/a HTTP/1.1\r\nHost: %b\r\n\r\n" % (named, named)
    wire = await house.wire()
    wire.writer.write(asked + b"POST http://%b/b HTTP/1.1\r\nHost: %b\r\n%b" % (named, named, cut))
    await wire.half_close()
    assert (await wire.response()).body == b"whole"
    with pytest.raises(ConnectionResetError):
        await wire.rest()
    assert not any(received.whole for received in origin.requests if received.target == "/b")
