from pathlib import Path

import pytest

from proxy.semantics.units import Octets
from proxy.store.options import StoreOptions

MIB = 2**20


@pytest.mark.parametrize(
    ("max_size", "max_object_size", "largest"),
    [
        pytest.param(64 * MIB, 0, 16 * MIB, id="a quarter by default"),
        pytest.param(64 * MIB, 5 * MIB, 5 * MIB, id="as set"),
        pytest.param(64 * MIB, 60 * MIB, 32 * MIB, id="never more than half"),
    ],
)
def test_largest_object(max_size: int, max_object_size: int, largest: int) -> None:
    options = StoreOptions(Path("x"), Octets(max_size), Octets(max_object_size))
    assert options.largest_object == largest


def test_too_small_to_be_a_store() -> None:
    with pytest.raises(ValueError, match="at least 16MiB"):
        StoreOptions(Path("x"), Octets(16 * MIB - 1))
