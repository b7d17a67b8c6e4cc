from dataclasses import replace
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import msgpack

from proxy.policy.stored import Part, StoredResponse
from proxy.semantics.fields import Fields
from proxy.semantics.messages import ResponseHead
from proxy.store import records
from proxy.store.records import (
    DamagedRecord,
    bodies,
    decode,
    encode,
    newest_first,
    sized,
    with_variant,
)
from tests.support.stores import KEY, response

latin = st.text(st.characters(max_codepoint=255), max_size=20)
variants = st.builds(
    StoredResponse,
    id=st.text("0123456789abcdef", min_size=2, max_size=32),
    selecting=st.lists(st.tuples(latin, st.none() | latin), max_size=3).map(tuple),
    head=st.builds(
        ResponseHead,
        st.integers(200, 599),
        latin,
        st.lists(st.tuples(latin, latin), max_size=4).map(Fields),
        st.integers(0, 1),
    ),
    request_time=st.floats(0, 4e9),
    response_time=st.floats(0, 4e9),
    length=st.integers(0, 2**40),
    checksum=st.binary(min_size=4, max_size=4),
    personal=st.booleans(),
    invalid=st.booleans(),
    part=st.none() | st.builds(Part, st.integers(0, 9), st.integers(9, 99), st.integers(99, 999)),
)


@given(latin, st.lists(variants, max_size=4).map(tuple))
@settings(max_examples=50, derandomize=True, deadline=None)
def test_decode_undoes_encode(key: str, given: tuple[StoredResponse, ...]) -> None:
    record = encode(key, given)
    assert decode(key, record) == given
    assert bodies(key, record) == [(v.id, v.length) for v in given if v.length]


@given(variants)
@settings(max_examples=50, derandomize=True, deadline=None)
def test_sized_changes_nothing_else(stored: StoredResponse) -> None:
    assert sized(stored, 7, b"abcd") == replace(stored, length=7, checksum=b"abcd")


@given(st.binary(max_size=200))
@settings(max_examples=50, derandomize=True, deadline=None)
def test_any_octets_are_a_record_or_damaged(octets: bytes) -> None:
    with pytest.raises(DamagedRecord):
        decode(KEY, octets)


def test_every_flipped_bit_is_noticed() -> None:
    record = encode(KEY, (response("a"),))
    for position in range(8 * len(record)):
        flipped = bytearray(record)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(DamagedRecord):
            decode(KEY, bytes(flipped))


def test_every_cut_is_noticed() -> None:
    record = encode(KEY, (response("a"),))
    for end in range(len(record)):
        with pytest.raises(DamagedRecord):
            decode(KEY, record[:end])


@pytest.mark.parametrize("place", [None, ("pack-00", 4096, 12), "whatever"])
def test_a_record_of_an_older_version_says_where_a_body_is(place: object) -> None:
    given = (sized(response("a"), 7, b"abcd"), response("b"))
    key, variants = msgpack.decode(encode(KEY, given)[5:])
    older = checked(msgpack.encode((key, [[*variant, place] for variant in variants])))
    assert decode(KEY, older) == given
    assert bodies(KEY, older) == [("body-a", 7)]


def checked(payload: bytes) -> bytes:
    return bytes((records.VERSION,)) + crc32(payload).to_bytes(4, "big") + payload


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(encode("http://b.example/", (response("a"),)), id="of another key"),
        pytest.param(b"\x02" + encode(KEY, ())[1:], id="of another version"),
        pytest.param(checked(b"\x93\x01\x02\x03"), id="well summed but of another shape"),
    ],
)
def test_not_a_record_of_this_key(record: bytes) -> None:
    with pytest.raises(DamagedRecord):
        decode(KEY, record)


def test_the_variant_with_equal_selecting_fields_is_replaced() -> None:
    before = (response("a", vary="text"), response("b", vary="json"))
    after = with_variant(before, response("c", vary="text", time=2000.0))
    assert [stored.id for stored in after] == ["body-c", "body-b"]


def test_at_most_64_variants_the_oldest_leave() -> None:
    kept: tuple[StoredResponse, ...] = ()
    for number in range(70):
        kept = with_variant(kept, response(f"{number}", vary=f"{number}", time=float(number)))
    assert [stored.id for stored in kept] == [f"body-{number}" for number in range(69, 5, -1)]


def test_newest_first() -> None:
    old, new = response("old"), replace(response("new"), response_time=2000.0)
    assert newest_first([old, new]) == (new, old)
