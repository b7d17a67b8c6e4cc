import gc

import pytest

from proxy.store import records
from proxy.store.base import Found
from proxy.store.memory import LARGEST_BODY, MOST_VALUES, MemoryTier
from tests.support.stores import KEY, response


def found(*names: str, generation: int = 2) -> Found:
    return Found(tuple(response(name, vary=name) for name in names), generation)


def keep(memory: MemoryTier, key: str, what: Found, bodies: dict[str, bytes]) -> None:
    memory.keep(key, what, bodies, records.encode(key, what.variants))


def fill(memory: MemoryTier, *keys: str) -> None:
    for key in keys:
        keep(memory, key, found(key), {f"body-{key}": b"x" * 10_000})


def present(memory: MemoryTier, keys: str) -> str:
    return "".join(key for key in keys if memory.peek(key, 2) is not None)


def test_found_and_bodies() -> None:
    memory = MemoryTier(2**26)
    keep(memory, KEY, found("a", "b"), {"body-a": b"A"})
    assert memory.peek(KEY, 2) == found("a", "b")
    assert memory.body("body-a") == b"A"
    assert memory.body("body-b") is None


def test_a_passed_generation_is_not_answered_but_its_bodies_serve_the_next() -> None:
    memory = MemoryTier(2**26)
    keep(memory, KEY, found("a"), {"body-a": b"A"})
    assert memory.peek(KEY, 4) is None
    keep(memory, KEY, found("a", generation=4), {})
    assert memory.peek(KEY, 4) is not None
    assert memory.body("body-a") == b"A"


def test_bodies_leave_with_their_variant() -> None:
    memory = MemoryTier(2**26)
    keep(memory, KEY, found("a"), {"body-a": b"A"})
    keep(memory, KEY, found("b"), {"body-b": b"B"})
    assert (memory.body("body-a"), memory.body("body-b")) == (None, b"B")


def test_too_large_bodies_are_not_kept() -> None:
    memory = MemoryTier(2**26)
    keep(memory, KEY, found("a"), {"body-a": b"x" * (LARGEST_BODY + 1)})
    assert memory.peek(KEY, 2) is not None
    assert memory.body("body-a") is None


def test_a_body_is_added_once_and_weighed() -> None:
    memory = MemoryTier(2**26)
    keep(memory, KEY, found("a"), {})
    before = memory.weight
    for _ in range(2):
        memory.keep_body(KEY, "body-a", b"A" * 1000)
    memory.keep_body(KEY, "body-of-another", b"A" * 1000)
    memory.keep_body("http://unknown.example/", "body-u", b"A" * 1000)
    assert memory.weight == before + 1000
    assert memory.body("body-a") == b"A" * 1000
    assert memory.body("body-of-another") is None


def test_the_oldest_leave_first() -> None:
    memory = MemoryTier(40_000)
    fill(memory, *"abcde")
    assert present(memory, "abcde") == "cde"


def test_sieve_spares_what_was_touched_once() -> None:
    memory = MemoryTier(40_000)
    fill(memory, *"abc")
    memory.touch("a")
    fill(memory, *"de")
    assert present(memory, "abcde") == "ade"
    fill(memory, *"fg")  # the hand went on from c; a is met again only after the newest
    assert present(memory, "abcdefg") == "afg"


def test_all_touched_one_has_to_leave() -> None:
    memory = MemoryTier(40_000)
    fill(memory, *"abc")
    for key in "abc":
        memory.touch(key)
    fill(memory, "d")
    assert present(memory, "abcd") == "bcd"


@pytest.mark.parametrize("budget", [0, 1000])
def test_what_is_larger_than_the_budget_is_not_kept(budget: int) -> None:
    memory = MemoryTier(budget)
    fill(memory, "a")
    assert (memory.peek("a", 2), memory.weight) == (None, 0)


def test_the_budget_holds_whatever_happens() -> None:
    memory = MemoryTier(100_000)
    for number in range(500):
        key = f"{number % 37}"
        keep(memory, key, found(key), {f"body-{key}": b"x" * (number * 13 % 9000)})
        if number % 3 == 0:
            memory.touch(key)
        if number % 11 == 0:
            memory.drop(f"{number % 5}")
        assert 0 <= memory.weight <= 100_000
    for number in range(37):
        memory.drop(f"{number}")
    assert memory.weight == 0
    assert not memory._bodies
    assert memory._oldest is memory._newest is memory._hand is None


def test_drop_of_the_entry_under_the_hand() -> None:
    memory = MemoryTier(40_000)
    fill(memory, *"abc")
    memory.touch("a")
    fill(memory, "d")  # the hand now stands after b
    memory.drop("c")
    fill(memory, *"ef")
    assert present(memory, "abcdef") == "aef"


def test_what_is_held_is_little_to_walk_for_the_collector() -> None:
    memory = MemoryTier(2**26)
    gc.collect()
    before = len(gc.get_objects())
    for number in range(500):
        keep(memory, f"{number}", found(f"{number}"), {})
    gc.collect()
    assert len(gc.get_objects()) - before < 50


def test_values_are_held_of_so_many_keys_and_for_so_many_octets() -> None:
    memory = MemoryTier(2**26)
    for number in range(MOST_VALUES + 10):
        key = f"{number}"
        keep(memory, key, found(key), {})
        assert memory.peek(key, 2) is memory.peek(key, 2)
    assert len(memory._values) == MOST_VALUES
    small = MemoryTier(200_000)
    for number in range(100):
        keep(small, f"{number}", found(f"{number}"), {})
        assert small.peek(f"{number}", 2) == found(f"{number}")
        assert 0 < small._values.octets <= 25_000


def test_values_leave_with_their_key() -> None:
    memory = MemoryTier(2**26)
    for what in (found("a"), found("b")):
        keep(memory, KEY, what, {})
        assert memory.peek(KEY, 2) == what
    memory.drop(KEY)
    assert memory.peek(KEY, 2) is None
    assert (memory._values.octets, len(memory._values)) == (0, 0)
