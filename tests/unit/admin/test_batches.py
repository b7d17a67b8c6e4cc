"""Records in batches of a second: each once, in order, the plain hits counted."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from proxy.admin.batches import batches
from proxy.exchange.record import ExchangeRecord, What
from proxy.policy.reasons import Reason

NOW = 1_700_000_000


def record(
    at: float, reason: Reason = Reason.HIT, target: str = "/", took: float = 0.0
) -> ExchangeRecord:
    """One that ended ``at`` seconds after ``NOW``."""
    return ExchangeRecord(
        NOW + at - took, took, "127.0.0.1", What("GET", target, 1, 200, 9, reason)
    )


def test_nothing_makes_no_batch() -> None:
    assert list(batches([])) == []


def test_a_batch_is_of_the_second_in_which_exchanges_ended() -> None:
    records = [record(0.25), record(0.75, took=3.0), record(1.0), record(1.5), record(7.0)]
    found = [(batch.second, batch.records) for batch in batches(records)]
    assert found == [(NOW, records[:2]), (NOW + 1, records[2:4]), (NOW + 7, records[4:])]


@pytest.mark.parametrize("seed", range(20))
def test_every_record_is_handed_on_once_whatever_the_clock_does(seed: int) -> None:
    dice = random.Random(seed)
    records = [record(dice.uniform(0, 5), target=str(n)) for n in range(50)]
    assert [each for batch in batches(records) for each in batch.records] == records


@pytest.mark.parametrize("others", [0, 3, 10])
def test_plain_hits_are_told_from_the_rest_and_counted(others: int) -> None:
    records = [
        record(n / 100, Reason.MISS if n < others else Reason.HIT, f"/{n % 4}") for n in range(10)
    ]
    (batch,) = batches(records)
    assert list(batch.others) == records[:others]
    assert list(batch.hits) == records[others:]
    assert batch.repeated == Counter(each.what for each in records[others:])


def test_a_stale_answer_is_no_plain_hit() -> None:
    (batch,) = batches([record(0, Reason.STALE_IF_ERROR)])
    assert (batch.hits, len(batch.others), batch.repeated) == ([], 1, Counter())
