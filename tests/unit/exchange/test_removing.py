"""Keys that are removed together."""

from collections.abc import AsyncIterator

import pytest

from proxy.exchange.removing import batches


async def some(count: int) -> AsyncIterator[str]:
    for number in range(count):
        yield f"{number}"


@pytest.mark.parametrize(
    ("count", "lengths"),
    [(0, []), (1, [1]), (100, [100]), (250, [100, 100, 50])],
)
async def test_a_hundred_at_a_time(count: int, lengths: list[int]) -> None:
    made = [batch async for batch in batches(some(count))]
    assert [len(batch) for batch in made] == lengths
    assert [key for batch in made for key in batch] == [f"{n}" for n in range(count)]
