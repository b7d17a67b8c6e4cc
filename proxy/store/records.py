"""Records: all stored responses under one key as versioned, checked bytes.

One octet of version, four of CRC-32, then MessagePack. The key is inside, so that a row that
was swapped with another is as damaged as one with a flipped bit.
"""

from __future__ import annotations

from typing import Final

import msgspec

from proxy.policy.stored import Part, StoredResponse
from proxy.semantics.fields import Fields
from proxy.semantics.messages import ResponseHead
from proxy.store.crc import crc32

VERSION: Final = 1
MOST_VARIANTS: Final = 64

_VERSION: Final = bytes((VERSION,))
_HEADER: Final = 5


class DamagedRecord(ValueError):
    """Not a record of this key: cut, flipped, swapped, or of another version."""


class _Variant(msgspec.Struct, array_like=True, frozen=True, gc=False):
    id: str
    selecting: tuple[tuple[str, str | None], ...]
    status: int
    reason: str
    minor: int
    lines: tuple[tuple[str, str], ...]
    request_time: float
    response_time: float
    length: int
    checksum: bytes
    personal: bool
    invalid: bool
    part: tuple[int, int, int] | None
    # Absent in records of earlier versions.
    verbatim: bool = False
    decoded_length: int | None = None


class _Record(msgspec.Struct, array_like=True, frozen=True, gc=False):
    key: str
    variants: list[_Variant]


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Record).decode


def encode(key: str, variants: tuple[StoredResponse, ...]) -> bytes:
    """The record of ``key``."""
    payload = _encode((key, [_flattened(stored) for stored in variants]))
    return _VERSION + crc32(payload).to_bytes(4, "big") + payload


def decode(key: str, record: bytes) -> tuple[StoredResponse, ...]:
    """What ``encode`` was given. Raises DamagedRecord."""
    return tuple([_stored(variant) for variant in _checked(key, record)])


def bodies(key: str, record: bytes) -> list[tuple[str, int]]:
    """The ids and lengths of the bodies that are not empty. Raises DamagedRecord."""
    return [(v.id, v.length) for v in _checked(key, record) if v.length]


def is_sound(key: str, record: bytes) -> bool:
    """Whether ``decode`` would not raise."""
    try:
        _checked(key, record)
    except DamagedRecord:
        return False
    return True


def _checked(key: str, record: bytes) -> list[_Variant]:
    payload = record[_HEADER:]
    if record[:1] != _VERSION or record[1:_HEADER] != crc32(payload).to_bytes(4, "big"):
        raise DamagedRecord("version or checksum")
    try:
        decoded = _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedRecord(str(error)) from error
    if decoded.key != key:
        raise DamagedRecord("the record of another key")
    return decoded.variants


def sized(stored: StoredResponse, length: int, checksum: bytes) -> StoredResponse:
    """``stored`` with those; ``dataclasses.replace`` takes 5 us, this 1."""
    return StoredResponse(
        stored.id,
        stored.selecting,
        stored.head,
        stored.request_time,
        stored.response_time,
        length,
        checksum,
        stored.personal,
        stored.invalid,
        stored.part,
        stored.verbatim,
        stored.decoded_length,
    )


def with_variant(
    variants: tuple[StoredResponse, ...], stored: StoredResponse
) -> tuple[StoredResponse, ...]:
    """``stored`` in the place of the variant with equal selecting fields; the newest 64."""
    if not variants:
        return (stored,)
    others = [v for v in variants if v.selecting != stored.selecting and v.id != stored.id]
    return newest_first([stored, *others])[:MOST_VARIANTS]


def newest_first(variants: list[StoredResponse]) -> tuple[StoredResponse, ...]:
    """In descending order of response time."""
    return tuple(sorted(variants, key=lambda stored: -stored.response_time))


def _flattened(stored: StoredResponse) -> tuple[object, ...]:
    head, part = stored.head, stored.part
    return (
        stored.id,
        stored.selecting,
        head.status,
        head.reason,
        head.minor,
        head.fields.lines,
        stored.request_time,
        stored.response_time,
        stored.length,
        stored.checksum,
        stored.personal,
        stored.invalid,
        part and (part.first, part.last, part.complete),
        stored.verbatim,
        stored.decoded_length,
    )


def _stored(variant: _Variant) -> StoredResponse:
    return StoredResponse(
        variant.id,
        variant.selecting,
        ResponseHead(variant.status, variant.reason, Fields(variant.lines), variant.minor),
        variant.request_time,
        variant.response_time,
        variant.length,
        variant.checksum,
        variant.personal,
        variant.invalid,
        variant.part and Part(*variant.part),
        variant.verbatim,
        variant.decoded_length,
    )
