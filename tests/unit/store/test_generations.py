import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.bounded import memories
from proxy.store import generations
from proxy.store.generations import Generations, is_settled
from tests.support.stores import KEY

OTHER = "http://b.example/other"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Generations, Generations]]:
    """As two processes have them."""
    ours = Generations(tmp_path / "generations", anything_stored=False)
    theirs = Generations(tmp_path / "generations", anything_stored=False)
    yield ours, theirs
    ours.close()
    theirs.close()


Pair = tuple[Generations, Generations]


def test_a_change_is_seen_by_others_and_only_for_its_key(pair: Pair) -> None:
    ours, theirs = pair
    before, other = theirs.generation(KEY), theirs.generation(OTHER)
    ours.changing(KEY)
    under_way = theirs.generation(KEY)
    settled = ours.settled(KEY)
    assert len({before, under_way, settled}) == 3
    assert theirs.generation(KEY) == settled
    assert theirs.generation(OTHER) == other


def test_odd_while_a_change_is_under_way(pair: Pair) -> None:
    _, theirs = pair
    for process in pair:
        process.changing(KEY)
        assert theirs.generation(KEY) & 1
        process.settled(KEY)
        assert not theirs.generation(KEY) & 1


def test_stamps_of_two_processes_never_meet(pair: Pair) -> None:
    stamps = [process.settled(KEY) for process in pair for _ in range(1000)]
    assert len(set(stamps)) == 2000


def test_removals_change_only_by_removing(pair: Pair) -> None:
    ours, theirs = pair
    before = theirs.removals(KEY)
    ours.changing(KEY)
    ours.settled(KEY)
    assert theirs.removals(KEY) == before
    ours.removing(KEY)
    assert theirs.removals(KEY) != before


def alike() -> tuple[str, str]:
    """Two that have 20 bits of a checksum in common."""
    found: dict[int, str] = {}
    for number in range(100_000):
        key = f"http://attacker.example/{number}"
        other = found.setdefault(zlib.crc32(key.encode()) & 0xFFFFF, key)
        if other != key:
            return key, other
    raise AssertionError("there are some")


def test_urls_that_were_chosen_to_meet_do_not(pair: Pair) -> None:
    """Of a checksum anybody finds such in a moment, and a POST to one would keep the other out."""
    ours, theirs = pair
    key, other = alike()
    before = theirs.removals(other), theirs.generation(other)
    ours.removing(key)
    ours.settled(key)
    ours.touch(key)
    ours.storing(key)
    assert (theirs.removals(other), theirs.generation(other)) == before
    assert not theirs.maybe_stored(other)


def test_thousands_of_removals_are_not_one_of_another_key(pair: Pair) -> None:
    ours, theirs = pair
    before = theirs.removals(KEY)
    for number in range(2000):
        ours.removing(f"http://attacker.example/{number}")
        assert theirs.removals(f"http://attacker.example/{number}") != 0
    assert theirs.removals(KEY) == before
    ours.removing(KEY)
    assert theirs.removals(KEY) != before


def test_no_folder_has_the_places_of_another(pair: Pair, tmp_path: Path) -> None:
    ours, theirs = pair
    third = Generations(tmp_path / "third", anything_stored=False)
    assert ours.hashed(KEY) == theirs.hashed(KEY) != third.hashed(KEY)
    third.close()


def test_marks(pair: Pair) -> None:
    ours, theirs = pair
    assert not theirs.maybe_stored(KEY)
    ours.storing(KEY)
    assert theirs.maybe_stored(KEY)
    assert not theirs.passed(KEY)
    ours.touch(KEY)
    ours.storing(KEY)
    assert theirs.passed(KEY)
    assert not ours.passed(KEY)
    assert ours.maybe_stored(KEY)


def test_the_seal_differs_after_any_change(pair: Pair) -> None:
    ours, theirs = pair
    seals = [theirs.seal]
    for key in (KEY, OTHER, KEY):
        ours.changing(key)
        seals.append(theirs.seal)
        ours.settled(key)
        seals.append(theirs.seal)
    assert len(set(seals)) == 7
    assert ours.seal == theirs.seal == seals[-1]


def test_epoch_hand_and_octets_in_flight_are_shared(pair: Pair) -> None:
    ours, theirs = pair
    epoch = theirs.epoch
    assert ours.next_epoch() == theirs.epoch != epoch
    ours.hand = 12
    ours.set_in_flight(0, 100)
    theirs.set_in_flight(63, 11)
    assert (theirs.hand, ours.in_flight()) == (12, 111)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"x" * generations.SIZE, id="magic"),
        pytest.param(None, id="missing"),
    ],
)
def test_a_wrong_file_is_recreated_and_knows_nothing(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "generations"
    if damage is not None:
        path.write_bytes(damage)
    opened = Generations(path, anything_stored=True)
    assert opened.maybe_stored(KEY)
    assert is_settled(opened.generation(KEY))
    assert path.stat().st_size == generations.SIZE
    assert path.stat().st_mode & 0o777 == 0o600
    opened.close()


def test_the_file_takes_all_its_blocks_at_once(pair: Pair, tmp_path: Path) -> None:
    assert (tmp_path / "generations").stat().st_blocks * 512 >= generations.SIZE


def test_what_is_remembered_of_keys_is_bounded(pair: Pair) -> None:
    hashes = next(memory for memory in reversed(memories()) if memory.name == "hashes of keys")
    ours = pair[1]
    ours.changing(KEY)
    for number in range(30_000):
        ours.generation(f"http://a.example/{number}{'x' * (number % 2) * 16_000}")
    assert 0 < hashes.octets <= hashes.most
    assert ours.generation(KEY) & 1


def test_whoever_only_looks_sees_the_same_stamps(tmp_path: Path, pair: Pair) -> None:
    ours, _ = pair
    path = tmp_path / "generations"
    before = generations.read(path)
    ours.settled(KEY)
    ours.next_epoch()
    after = generations.read(path)
    assert before is not None
    assert after is not None
    assert after.changed[generations.slot_of(ours.hashed(KEY))] == ours.generation(KEY)
    assert after.epoch == ours.epoch != before.epoch
    differing = [slot for slot in range(generations.SLOTS) if before[2][slot] != after[2][slot]]
    assert differing == [generations.slot_of(ours.hashed(KEY))]
    assert before.birth == after.birth > 0


def test_a_new_file_has_another_birth_and_one_of_another_boot_is_none(tmp_path: Path) -> None:
    births = set()
    for _ in range(3):
        Generations(tmp_path / "generations", anything_stored=False).close()
        stamps = generations.read(tmp_path / "generations")
        assert stamps is not None
        births.add(stamps.birth)
        (tmp_path / "generations").unlink()
    assert len(births) == 3
    assert generations.read(tmp_path / "generations") is None
    (tmp_path / "generations").write_bytes(bytes(generations.SIZE))
    assert generations.read(tmp_path / "generations") is None
