"""Two bodies as one, in the order of their octets."""

from __future__ import annotations

import pytest

from proxy.exchange.delivery import PIECE
from proxy.exchange.joined import Joined
from proxy.store.base import BodyLost
from tests.support.build import resp
from tests.support.fakes import FakeBody, FakeResponse


def coming(*chunks: bytes) -> FakeResponse:
    return FakeResponse(resp(206), chunks, None)


async def chunks_of(joined: Joined) -> list[bytes]:
    chunks = []
    while chunk := await joined.read():
        chunks.append(chunk)
    return chunks


@pytest.mark.parametrize(
    ("found_first", "chunks"),
    [
        pytest.param(True, [b"abc", b"d", b"e"], id="held first"),
        pytest.param(False, [b"d", b"e", b"abc"], id="held last"),
    ],
)
async def test_order(found_first: bool, chunks: list[bytes]) -> None:
    joined = Joined(FakeBody(b"abc"), coming(b"d", b"e"), 2, found_first=found_first)
    assert (joined.length, joined.at_hand()) == (5, None)
    assert await chunks_of(joined) == chunks


async def test_in_pieces() -> None:
    joined = Joined(FakeBody(bytes(PIECE + 1)), coming(b"d"), 1, found_first=True)
    assert [len(chunk) for chunk in await chunks_of(joined)] == [PIECE, 1, 1]


async def test_a_part_that_is_lost_cuts_it() -> None:
    held = FakeBody(b"abc")
    held.lost = True
    with pytest.raises(BodyLost):
        await Joined(held, coming(b"d"), 1, found_first=True).read()


def test_close() -> None:
    held, response = FakeBody(b"abc"), coming(b"d")
    Joined(held, response, 1, found_first=True).close()
    assert (held.closed, response.closed) == (1, 1)
