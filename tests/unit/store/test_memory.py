import pytest

from proxy.store.base import Found
from proxy.store.memory import LARGEST_BODY, MemoryTier
from tests.support.stores import KEY, response


def found(*names: str, generation: int = 2) -> Found:
    return Found(tuple(response(name, vary=name) for name in names), generation)


def fill(memory: MemoryTier, *keys: str) -> None:
    for key in keys:
        memory.keep(key, found(key), {f"body-{key}": b"x" * 10_000}, 100)


def present(memory: MemoryTier, keys: str) -> str:
    return "".join(key for key in keys if memory.peek(key, 2) is not None)


def test_found_and_bodies() -> None:
    memory = MemoryTier(2**26)
    memory.keep(KEY, found("a", "b"), {"body-a": b"A"}, 300)
    assert memory.peek(KEY, 2) == found("a", "b")
    assert memory.body("body-a") == b"A"
    assert memory.body("body-b") is None


def test_a_passed_generation_is_not_answered_but_its_bodies_serve_the_next() -> None:
    memory = MemoryTier(2**26)
    memory.keep(KEY, found("a"), {"body-a": b"A"}, 300)
    assert memory.peek(KEY, 4) is None
    memory.keep(KEY, found("a", generation=4), {}, 300)
    assert memory.peek(KEY, 4) is not None
    assert memory.body("body-a") == b"A"


def test_bodies_leave_with_their_variant() -> None:
    memory = MemoryTier(2**26)
    memory.keep(KEY, found("a"), {"body-a": b"A"}, 300)
    memory.keep(KEY, found("b"), {"body-b": b"B"}, 300)
    assert (memory.body("body-a"), memory.body("body-b")) == (None, b"B")


def test_too_large_bodies_are_not_kept() -> None:
    memory = MemoryTier(2**26)
    memory.keep(KEY, found("a"), {"body-a": b"x" * (LARGEST_BODY + 1)}, 300)
    assert memory.peek(KEY, 2) is not None
    assert memory.body("body-a") is None


def test_a_body_is_added_once_and_weighed() -> None:
    memory = MemoryTier(2**26)
    memory.keep(KEY, found("a"), {}, 300)
    before = memory.weight
    for _ in range(2):
        memory.keep_body(KEY, "body-a", b"A" * 1000)
    memory.keep_body(KEY, "body-of-another", b"A" * 1000)
    memory.keep_body("http://unknown.example/", "body-u", b"A" * 1000)
    assert memory.weight == before + 1000
    assert memory.body("body-a") == b"A" * 1000
    assert memory.body("body-of-another") is None


def test_the_oldest_leave_first() -> None:
    memory = MemoryTier(36_000)
    fill(memory, *"abcde")
    assert present(memory, "abcde") == "cde"


def test_sieve_spares_what_was_touched_once() -> None:
    memory = MemoryTier(36_000)
    fill(memory, *"abc")
    memory.touch("a")
    fill(memory, *"de")
    assert present(memory, "abcde") == "ade"
    fill(memory, *"fg")  # the hand went on from c; a is met again only after the newest
    assert present(memory, "abcdefg") == "afg"


def test_all_touched_one_has_to_leave() -> None:
    memory = MemoryTier(36_000)
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
        memory.keep(key, found(key), {f"body-{key}": b"x" * (number * 13 % 9000)}, number)
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
    memory = MemoryTier(36_000)
    fill(memory, *"abc")
    memory.touch("a")
    fill(memory, "d")  # the hand now stands after b
    memory.drop("c")
    fill(memory, *"ef")
    assert present(memory, "abcdef") == "aef"
