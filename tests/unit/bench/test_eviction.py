"""The caches that the store's eviction is put beside, and the trace."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product

import pytest

from tests.bench.eviction import least_recently_used, optimum, sieve, trace_of


def numbers(letters: str) -> list[int]:
    return [ord(letter) for letter in letters]


@pytest.mark.parametrize(
    ("trace", "capacity", "lru", "best"),
    [
        pytest.param("aaaa", 1, 3, 3, id="one URL"),
        pytest.param("abcabcabc", 2, 0, 4, id="a loop larger than the cache"),
        pytest.param("abacad", 1, 0, 2, id="once-only URLs are not kept"),
        pytest.param("abab", 2, 2, 2, id="all fit"),
        # Textbooks count 12 faults, and 9 at best: there, what has come must be kept.
        pytest.param("70120304230321201701", 3, 8, 12, id="textbook"),
    ],
)
def test_hits(trace: str, capacity: int, lru: int, best: int) -> None:
    assert least_recently_used(numbers(trace), capacity) == lru
    assert optimum(numbers(trace), capacity) == best


def most_hits(trace: tuple[int, ...], capacity: int) -> int:
    """By trying everything."""
    states = {frozenset[int](): 0}
    for url in trace:
        after: dict[frozenset[int], int] = {}
        for held, hits in states.items():
            now = hits + (url in held)
            wanted = held | {url}
            for size in range(min(capacity, len(wanted)) + 1):
                for kept in map(frozenset, combinations(wanted, size)):
                    after[kept] = max(after.get(kept, 0), now)
        states = after
    return max(states.values())


@pytest.mark.parametrize("capacity", [1, 2])
def test_nothing_beats_the_optimum(capacity: int) -> None:
    for trace in product(range(3), repeat=6):
        assert optimum(trace, capacity) == most_hits(trace, capacity), trace


def test_the_sieve_spares_what_was_asked_again() -> None:
    # It keeps a little less than it may: of 100 less than one.
    often, once = list(range(50)), range(1000, 1200)
    trace = often + often
    for url in once:
        trace += [url, often[url % 50]]
    assert sieve(trace, 100) == 50 + len(once)
    assert least_recently_used(trace, 60) < 50 + len(once)


def test_the_trace_is_the_same_each_time() -> None:
    trace = trace_of(10_000, 100, 0.9, 0.25)
    assert trace == trace_of(10_000, 100, 0.9, 0.25)
    asked = Counter(trace)
    assert sum(url >= 100 for url in trace) == pytest.approx(2500, rel=0.1)
    assert all(asked[url] == 1 for url in asked if url >= 100)
    # Zipf: the tenth is asked for 10 ** 0.9 times less than the first.
    assert asked[0] / asked[9] == pytest.approx(10**0.9, rel=0.35)
