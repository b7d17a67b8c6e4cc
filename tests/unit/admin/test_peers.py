"""Questions between workers: answered, or left out in time."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.admin import peers
from proxy.admin.peers import AskExchange, AskUses, Named, Peers, Question
from proxy.exchange.record import ExchangeRecord, What
from proxy.policy.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

WHAT = What("GET", "http://a.example/é", 1, 200, 9, Reason.HIT)
RECORD = ExchangeRecord(1.0, 0.5, "127.0.0.1", WHAT)


@pytest.fixture
def folder() -> Iterator[Path]:
    # The path of a socket is short, and those of pytest are not.
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


async def echo(question: Question) -> object:
    assert isinstance(question, AskExchange)
    return [Named(question.id, RECORD)]


@asynccontextmanager
async def three(folder: Path, answer: peers.Answer = echo) -> AsyncIterator[list[Peers]]:
    made = [Peers(folder, worker, 3) for worker in range(3)]
    for each in made:
        await each.listen(answer)
    try:
        yield made
    finally:
        for each in made:
            each.close()


async def test_all_others_are_asked(folder: Path) -> None:
    async with three(folder) as made:
        assert made[1].numbers == [0, 2]
        said = await made[1].ask(AskExchange("1-7"), list[Named])
    assert said == {0: [Named("1-7", RECORD)], 2: [Named("1-7", RECORD)]}
    assert type(said[0][0].record) is ExchangeRecord
    assert said[0][0].record.what.reason is Reason.HIT


async def test_who_is_not_there_is_left_out(folder: Path) -> None:
    async with three(folder) as made:
        made[2].close()
        assert set(await made[0].ask(AskExchange("1"), list[Named])) == {1}


async def test_who_does_not_answer_in_time_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "PATIENCE", 0.05)

    async def silent(_: Question) -> object:
        await asyncio.Event().wait()
        return None

    async with three(folder, silent) as made:
        assert await made[0].ask(AskUses(), dict[str, int]) == {}


async def test_a_question_is_not_endless(folder: Path) -> None:
    async with three(folder) as made:
        assert made
        reader, writer = await asyncio.open_unix_connection(f"{folder}/1")
        writer.write(b"\xff\xff\xff\xff")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_one_worker_asks_nobody() -> None:
    alone = Peers()
    await alone.listen(echo)
    assert alone.numbers == []
    assert await alone.ask(AskExchange("1"), list[Named]) == {}
    alone.close()
