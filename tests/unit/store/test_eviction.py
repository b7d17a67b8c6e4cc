from collections.abc import Sequence
from dataclasses import replace

from proxy.policy.stored import StoredResponse
from proxy.store import eviction
from proxy.store.base import FORMS
from proxy.store.reading import RecordRow
from proxy.store.records import encode
from tests.support.stores import response


def large(name: str) -> StoredResponse:
    """Enough to ask after it whether that is enough."""
    return replace(response(name), length=100_000)


class FakeRows:
    """Rows in a dict; a body is gone when it is deleted."""

    def __init__(self, *keys: str) -> None:
        self.rows = dict(enumerate(keys, start=1))
        self.bodies = {f"body-{key}" for key in keys}
        self.damaged: set[str] = set()

    def records_after(self, rowid: int, limit: int) -> list[RecordRow]:
        return [
            RecordRow(n, key, b"" if key in self.damaged else encode(key, (large(key),)))
            for n, key in sorted(self.rows.items())
            if n > rowid
        ][:limit]

    def forms(self, limit: int) -> list[RecordRow]:
        page = self.records_after(0, len(self.rows))
        return [row for row in page if row.key.startswith(FORMS)][:limit]

    def delete_rows(self, rowids: Sequence[int]) -> None:
        for rowid in rowids:
            del self.rows[rowid]

    def delete_bodies(self, ids: Sequence[str]) -> None:
        self.bodies.difference_update(ids)

    def delete_bodies_of(self, key: str) -> None:
        self.bodies.discard(f"body-{key}")


class FakeMarks:
    def __init__(self, reused: str = "") -> None:
        self.hand = 0
        self.reused = set(reused)

    def passed(self, key: str) -> bool:
        spared = key in self.reused
        self.reused.discard(key)
        return spared


def leaving(rows: FakeRows, marks: FakeMarks, keep: int) -> str:
    return "".join(eviction.evict(rows, marks, lambda: len(rows.rows) <= keep) or ())


def test_oldest_first_with_their_bodies() -> None:
    rows = FakeRows(*"abcde")
    assert leaving(rows, FakeMarks(), 3) == "ab"
    assert rows.bodies == {"body-c", "body-d", "body-e"}


def test_the_hand_spares_the_reused_once_and_stays_where_it_is() -> None:
    rows, marks = FakeRows(*"abcde"), FakeMarks("ac")
    assert leaving(rows, marks, 3) == "bd"
    assert marks.hand == 4
    marks.reused = {"c"}
    assert leaving(rows, marks, 1) == "ea"
    assert list(rows.rows.values()) == ["c"]


def test_what_can_be_made_again_leaves_first() -> None:
    rows = FakeRows("a", f"{FORMS}1", "b", f"{FORMS}2", f"{FORMS}3")
    marks = FakeMarks()
    marks.reused = {f"{FORMS}1"}
    assert eviction.evict(rows, marks, lambda: len(rows.rows) <= 3) == [f"{FORMS}2", f"{FORMS}3"]
    assert marks.hand == 0
    assert list(rows.rows.values()) == ["a", f"{FORMS}1", "b"]


def test_all_reused() -> None:
    rows = FakeRows(*"abc")
    assert leaving(rows, FakeMarks("abc"), 2) == "a"


def test_nothing_is_left() -> None:
    rows, marks = FakeRows(*"ab"), FakeMarks()
    assert eviction.evict(rows, marks, lambda: False) == ["a", "b"]
    assert eviction.evict(rows, marks, lambda: False) is None


def test_a_damaged_record_goes_with_the_bodies_tagged_with_its_key() -> None:
    rows = FakeRows(*"ab")
    rows.damaged = {"a"}
    assert leaving(rows, FakeMarks(), 1) == "a"
    assert rows.bodies == {"body-b"}


def test_all_variants_of_a_key_leave_together() -> None:
    rows = FakeRows("a", "b")
    variants = (large("a"), large("b"))

    def both(rowid: int, limit: int) -> list[RecordRow]:
        return [RecordRow(1, "a", encode("a", variants))][rowid:]

    rows.records_after = both  # type: ignore[method-assign]
    assert leaving(rows, FakeMarks(), 1) == "a"
    assert rows.bodies == set()


def test_work_of_one_call_is_bounded() -> None:
    keys = [f"{n}" for n in range(3 * eviction.MOST_EXAMINED)]
    rows, marks = FakeRows(*keys), FakeMarks()
    marks.reused = set(keys)
    assert eviction.evict(rows, marks, lambda: False) == []
    assert marks.hand == eviction.MOST_EXAMINED


def test_small_ones_leave_a_few_at_a_time() -> None:
    rows = FakeRows(*(f"{n}" for n in range(200)))
    asked: list[int] = []

    def enough() -> bool:
        asked.append(len(rows.rows))
        return len(rows.rows) <= 100

    small = [RecordRow(n, key, encode(key, (response(key),))) for n, key in rows.rows.items()]

    def records_after(rowid: int, limit: int) -> list[RecordRow]:
        return [row for row in small if row.rowid > rowid and row.rowid in rows.rows][:limit]

    rows.records_after = records_after  # type: ignore[method-assign]
    evicted = eviction.evict(rows, FakeMarks(), enough)
    assert evicted == [f"{n}" for n in range(128)]
    assert asked == [136, 72]
