import os
import zlib

import pytest

from proxy.store.crc import crc32


@pytest.mark.parametrize("size", [0, 1, 63, 4096, 100_001])
def test_the_sums_are_those_of_zlib(size: int) -> None:
    octets = os.urandom(size)
    assert crc32(octets) == zlib.crc32(octets)
    assert crc32(memoryview(octets), 7) == zlib.crc32(octets, 7)
    words = memoryview(bytearray(8 * size)).cast("Q")
    assert crc32(words) == zlib.crc32(words)
