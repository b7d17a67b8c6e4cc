"""One process has a lease at a time; who ends, however, has given it back."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.store.leases import Leases

NAME = "7 http://a.example/x"


SCRIPT = """
import sys
from pathlib import Path
from proxy.store.leases import Leases
print(Leases(Path(sys.argv[1])).take(sys.argv[2]) is not None, flush=True)
sys.stdin.read()
"""


@contextmanager
def another(path: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lease of ``name``."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process


@pytest.fixture
def leases(tmp_path: Path) -> Iterator[Leases]:
    made = Leases(tmp_path / "leases")
    yield made
    made.close()


def test_what_another_process_has_is_not_to_be_had(leases: Leases, tmp_path: Path) -> None:
    with another(tmp_path / "leases", NAME):
        assert leases.take(NAME) is None
        assert leases.take("8 http://a.example/x") is not None
    assert leases.take(NAME) is not None


def test_what_is_given_back_is_free(leases: Leases, tmp_path: Path) -> None:
    place = leases.take(NAME)
    assert place is not None
    leases.give_back(place)
    with another(tmp_path / "leases", NAME):
        assert leases.take(NAME) is None


def test_a_process_that_is_killed_has_none(leases: Leases, tmp_path: Path) -> None:
    with another(tmp_path / "leases", NAME) as process:
        process.kill()
        process.wait()
        assert leases.take(NAME) is not None


def test_places_are_within_what_a_lock_may_have(leases: Leases) -> None:
    places = [leases.take(f"{n} key") for n in range(200)]
    assert all(place is not None and 0 <= place < 2**62 for place in places)
    assert len(set(places)) == 200
    assert leases.take("a key of \ud7ff and ✓") is not None


def test_without_locks_each_goes_its_own_way(leases: Leases) -> None:
    leases.close()
    place = leases.take(NAME)
    assert place is not None
    leases.give_back(place)
    leases._file = os.open(os.devnull, os.O_RDWR)  # for the fixture to close
