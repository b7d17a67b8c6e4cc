"""CRC-32 by whichever library is faster; the sums are the same."""

try:
    from isal.isal_zlib import crc32
except ImportError:
    # A machine for which there is no wheel: a seventh of the speed.
    from zlib import crc32

__all__ = ["crc32"]
