"""Memories: at most so many octets, the oldest goes first, what is too long never comes in."""

from __future__ import annotations

import gc
from threading import Thread

from proxy import bounded
from proxy.bounded import ENTRY, Bounded, Memo, Ring


def memory(most: int = 10 * (ENTRY + 10), entries: int = 100) -> Bounded[str, bytes]:
    return Bounded("some", most, lambda key, value: len(key) + len(value), entries)


def test_the_oldest_goes() -> None:
    under_test = memory()
    for number in range(30):
        under_test.keep(f"{number:05}", b"12345")
        assert under_test.octets <= under_test.most
    assert list(under_test) == [f"{number:05}" for number in range(20, 30)]
    assert under_test.octets == under_test.most


def test_entries_are_bounded_too() -> None:
    under_test = memory(entries=2)
    for key in ("a", "b", "a", "c"):
        under_test.keep(key, b"")
    assert list(under_test) == ["a", "c"]


def test_what_would_take_much_of_it_is_not_kept_and_what_it_replaces_is_gone() -> None:
    under_test = memory()
    under_test.keep("a", b"")
    under_test.keep("b", b"")
    under_test.keep("a", bytes(under_test.most // 8))
    assert list(under_test) == ["b"]
    assert under_test.octets == ENTRY + 1


def test_what_is_dropped_gives_its_room_back() -> None:
    under_test = memory()
    under_test.keep("a", b"1")
    under_test.drop("a")
    under_test.drop("never kept")
    assert (under_test.octets, len(under_test)) == (0, 0)
    under_test.keep("a", b"1")
    under_test.forget()
    assert (under_test.octets, len(under_test)) == (0, 0)


def test_a_memo_makes_once() -> None:
    made: list[str] = []

    def make(key: str) -> int:
        made.append(key)
        return len(key)

    memo = Memo("some", make, 10_000, longest=10)
    for key in ("a", "b" * 10, "c" * 11):
        assert [memo[key], memo[key]] == [len(key)] * 2
    assert made == ["a", "b" * 10, "c" * 11, "c" * 11]
    assert memo.get("d") is None


def test_the_texts_of_a_tuple_are_added_up() -> None:
    memo = Memo("some", str, 100_000, longest=10)
    for key in (("a" * 5, "b" * 5), ("a" * 6, "b" * 5), (("a" * 5, b"b" * 6),)):
        assert memo[key] == str(key)
    assert list(memo) == [("a" * 5, "b" * 5)]


def test_a_ring_has_the_latest() -> None:
    ring: Ring[str] = Ring("some", 10, len, 4)
    ring.add(["a" * 5, "b" * 5, "c"])
    assert list(ring) == ["b" * 5, "c"]
    ring.add("defg")
    assert list(ring) == ["d", "e", "f", "g"]
    assert ring.octets == 4
    ring.add(["x" * 11])
    assert not ring


def test_many_threads_may_keep() -> None:
    under_test = memory(100 * (ENTRY + 10))

    def work(offset: int) -> None:
        for number in range(3000):
            under_test.keep(f"{number % 50 + offset:05}", b"12345")
            under_test.drop(f"{(number + 7) % 50:05}")

    threads = [Thread(target=work, args=(offset,)) for offset in (0, 20, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert under_test.octets == len(under_test) * (ENTRY + 10)


def test_all_that_live_are_listed() -> None:
    under_test, ring = memory(), Ring[str]("some", 10, len)
    assert any(one is under_test for one in bounded.memories())
    assert any(one is ring for one in bounded.memories())
    count = len(bounded.memories())
    del under_test, ring
    gc.collect()
    assert len(bounded.memories()) <= count - 2
