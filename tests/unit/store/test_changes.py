import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.policy.stored import StoredResponse
from proxy.store import records
from proxy.store.changes import Changes
from proxy.store.folder import Folder
from proxy.store.operations import (
    Committed,
    MakeRoom,
    Operation,
    Put,
    Remove,
    RemoveDamaged,
    Update,
)
from proxy.store.packs import Place, name_of
from tests.support.stores import KEY, options, response

Answer = Committed | int | None


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    opened = Folder(options(tmp_path))
    yield opened
    opened.table.leave()
    opened.close()


def put(folder: Folder, name: str, body: bytes = b"", vary: str = "", key: str = KEY) -> Put:
    stored = replace(response(name, vary=vary), length=len(body))
    return Put(key, stored, body, folder.generations.removals(key))


def apply(folder: Folder, *operations: Operation) -> tuple[list[Answer], int]:
    """The answers of one transaction, and by how many keys it changed the store."""
    changes = Changes(folder)
    with folder.table.transaction():
        answers = [changes.apply(operation) for operation in operations]
    return answers, changes.keys


def ids(variants: tuple[StoredResponse, ...]) -> list[str]:
    return [stored.id for stored in variants]


def on_disk(folder: Folder, key: str = KEY) -> list[str]:
    record = folder.table.record(key)
    return [] if record is None else ids(records.decode(key, record))


def test_each_operation_sees_those_before_it(folder: Folder) -> None:
    one, two = put(folder, "one", b"1"), put(folder, "two", b"2", vary="x")
    answers, keys = apply(folder, one, two, Remove(KEY, frozenset(("body-one",)), False))
    assert isinstance(answers[1], Committed)
    assert sorted(ids(answers[1].variants)) == ["body-one", "body-two"]
    assert answers[2] == 1
    assert keys == 1
    assert on_disk(folder) == ["body-two"]
    assert [folder.table.inline_body(f"body-{name}") for name in ("one", "two")] == [None, b"2"]


def test_put_and_remove_of_all_in_one_leave_nothing(folder: Folder) -> None:
    answers, keys = apply(folder, put(folder, "a", b"A"), Remove(KEY, None), put(folder, "a"))
    assert answers[1] == 1
    assert keys == 0
    assert folder.table.record(KEY) is None
    assert not folder.table.has_body("body-a")


def test_a_replaced_variant_takes_its_body_along(folder: Folder) -> None:
    assert apply(folder, put(folder, "a", b"A"))[1] == 1
    assert apply(folder, put(folder, "b", b"B"))[1] == 0
    assert on_disk(folder) == ["body-b"]
    assert not folder.table.has_body("body-a")


def test_a_key_that_was_never_stored_is_not_looked_for(folder: Folder) -> None:
    with folder.table.transaction():
        folder.table.write_record(KEY, b"nobody has marked this key")
    apply(folder, put(folder, "a"))
    assert on_disk(folder) == ["body-a"]


def test_what_another_process_stored_is_seen(tmp_path: Path, folder: Folder) -> None:
    other = Folder(options(tmp_path))
    apply(other, put(other, "a", vary="x"))
    apply(folder, put(folder, "b"))
    assert sorted(on_disk(folder)) == ["body-a", "body-b"]
    other.table.leave()
    other.close()


def test_a_put_that_was_overtaken_by_a_removal(folder: Folder) -> None:
    late = put(folder, "late", b"x")
    answers, keys = apply(folder, Remove(KEY, None), late)
    assert (answers, keys) == ([0, None], 0)
    assert on_disk(folder) == []


def test_an_update_of_what_is_gone_is_nothing(folder: Folder) -> None:
    assert apply(folder, Update(KEY, (response("a"),))) == ([None], 0)
    apply(folder, put(folder, "a"))
    (answer,), _ = apply(folder, Update(KEY, (response("x", time=5.0),)))
    assert isinstance(answer, Committed)
    assert ids(answer.variants) == ["body-a"]
    assert answer.record == folder.table.record(KEY)


def test_a_damaged_record_is_replaced(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    apply(folder, put(folder, "a", b"A"))
    with folder.table.transaction():
        folder.table.write_record(KEY, b"damaged")
    with caplog.at_level(logging.WARNING):
        answers, keys = apply(folder, put(folder, "b", b"B"))
    assert isinstance(answers[0], Committed)
    assert keys == 0
    assert on_disk(folder) == ["body-b"]
    assert not folder.table.has_body("body-a")
    assert "damaged record" in caplog.text


def test_room_is_made_elsewhere(folder: Folder) -> None:
    assert apply(folder, MakeRoom()) == ([None], 0)


def on_word(folder: Folder) -> None:
    folder.directory.put(KEY, Place(name_of(1), 0, 10, 5000, 300))
    assert folder.directory.find(KEY) is not None


@pytest.mark.parametrize(
    "operation",
    [
        Update(KEY, (response("a", time=5.0),)),
        Remove(KEY, None),
        Remove(KEY, frozenset(("body-a",)), on_purpose=False),
    ],
    ids=["updated", "removed", "lost"],
)
def test_what_changes_is_no_longer_in_the_directory(folder: Folder, operation: Operation) -> None:
    apply(folder, put(folder, "a", b"A"))
    on_word(folder)
    apply(folder, operation)
    assert folder.directory.find(KEY) is None


@pytest.mark.parametrize("found", ["by its row", "by who changes it"])
def test_what_is_damaged_is_no_longer_in_the_directory(folder: Folder, found: str) -> None:
    apply(folder, put(folder, "a", b"A"))
    with folder.table.transaction():
        folder.table.write_record(KEY, b"damaged")
    (row,) = folder.table.records_of([KEY])
    on_word(folder)
    apply(folder, RemoveDamaged(KEY, row.rowid) if found == "by its row" else Remove(KEY, None))
    assert folder.directory.find(KEY) is None
    assert on_disk(folder) == []
