"""The table that pins which addresses are reachable by default, whatever Python thinks of them."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.access.addresses import (
    Barred,
    Special,
    barred,
    layers,
    parse_address,
    special,
    unmapped,
)

param = pytest.param
QUICK = settings(max_examples=50, derandomize=True)


@pytest.mark.parametrize(
    "address",
    [
        param("8.8.8.8", id="IPv4"),
        param("172.15.255.255", id="below 172.16/12"),
        param("172.32.0.0", id="above 172.16/12"),
        param("100.63.255.255", id="below 100.64/10"),
        param("100.128.0.0", id="above 100.64/10"),
        param("223.255.255.255", id="below multicast"),
        param("2606:4700::1111", id="IPv6"),
        param("2001:4860:4860::8888", id="IPv6 beside 2001::/23"),
        param("::ffff:8.8.8.8", id="RFC 4291 mapped, global inside"),
        param("64:ff9b::808:808", id="RFC 6052 NAT64, global inside"),
        param("2002:808:808::1", id="RFC 3056 6to4, global inside"),
    ],
)
def test_reachable(address: str) -> None:
    assert barred(parse_address(address)) == ()


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        param("127.0.0.1", Special.LOOPBACK, id="RFC 1122 loopback"),
        param("127.255.255.254", Special.LOOPBACK, id="RFC 1122 loopback, far end"),
        param("::1", Special.LOOPBACK, id="RFC 4291 loopback"),
        param("10.0.0.1", Special.PRIVATE, id="RFC 1918 10/8"),
        param("172.16.0.1", Special.PRIVATE, id="RFC 1918 172.16/12"),
        param("172.31.255.255", Special.PRIVATE, id="RFC 1918 172.16/12, far end"),
        param("192.168.1.1", Special.PRIVATE, id="RFC 1918 192.168/16"),
        param("fc00::1", Special.PRIVATE, id="RFC 4193 unique local"),
        param("fdff::1", Special.PRIVATE, id="RFC 4193 unique local, far end"),
        param("100.64.0.1", Special.SHARED, id="RFC 6598 carrier-grade NAT"),
        param("169.254.1.1", Special.LINK_LOCAL, id="RFC 3927 link-local"),
        param("fe80::1", Special.LINK_LOCAL, id="RFC 4291 link-local"),
        param("fe80::1%eth0", Special.LINK_LOCAL, id="RFC 4007 link-local with zone"),
        param("169.254.169.254", Special.METADATA, id="metadata, most clouds"),
        param("100.100.100.200", Special.METADATA, id="metadata inside shared space"),
        param("168.63.129.16", Special.METADATA, id="metadata at a global address"),
        param("fd00:ec2::254", Special.METADATA, id="metadata inside unique local"),
        param("fd20:ce::254", Special.METADATA, id="metadata inside unique local, another"),
        param("224.0.0.1", Special.MULTICAST, id="RFC 5771 multicast"),
        param("239.255.255.255", Special.MULTICAST, id="RFC 5771 multicast, far end"),
        param("ff0e::1", Special.MULTICAST, id="RFC 4291 multicast of global scope"),
        param("0.0.0.0", Special.UNSPECIFIED, id="RFC 1122 this host"),
        param("0.1.2.3", Special.UNSPECIFIED, id="RFC 791 this network"),
        param("::", Special.UNSPECIFIED, id="RFC 4291 unspecified"),
        param("192.0.0.8", Special.RESERVED, id="RFC 6890 protocol assignments"),
        param("192.0.2.1", Special.RESERVED, id="RFC 5737 documentation 1"),
        param("198.51.100.1", Special.RESERVED, id="RFC 5737 documentation 2"),
        param("203.0.113.1", Special.RESERVED, id="RFC 5737 documentation 3"),
        param("192.88.99.1", Special.RESERVED, id="RFC 7526 6to4 relay"),
        param("198.18.0.1", Special.RESERVED, id="RFC 2544 benchmarking"),
        param("198.19.255.255", Special.RESERVED, id="RFC 2544 benchmarking, far end"),
        param("240.0.0.1", Special.RESERVED, id="RFC 1112 class E"),
        param("255.255.255.255", Special.RESERVED, id="RFC 919 broadcast"),
        param("2001:db8::1", Special.RESERVED, id="RFC 3849 documentation"),
        param("3fff::1", Special.RESERVED, id="RFC 9637 documentation"),
        param("2001:2::1", Special.RESERVED, id="RFC 5180 benchmarking"),
        param("2001:20::1", Special.RESERVED, id="RFC 7343 ORCHIDv2"),
        param("2001::1", Special.RESERVED, id="RFC 4380 Teredo"),
        param("64:ff9b:1::808:808", Special.RESERVED, id="RFC 8215 local-use NAT64"),
        param("100::1", Special.RESERVED, id="RFC 6666 discard"),
        param("5f00::1", Special.RESERVED, id="RFC 9602 SRv6 SIDs"),
        param("fec0::1", Special.RESERVED, id="RFC 3879 site-local"),
        param("::7f00:1", Special.RESERVED, id="RFC 4291 IPv4-compatible"),
        param("4000::1", Special.RESERVED, id="RFC 4291 unassigned"),
    ],
)
def test_barred_itself(address: str, kind: Special) -> None:
    parsed = parse_address(address)
    assert barred(parsed)[0] == Barred(parsed, kind)


@pytest.mark.parametrize(
    ("address", "inner", "kind"),
    [
        param("::ffff:127.0.0.1", "127.0.0.1", Special.LOOPBACK, id="mapped"),
        param("::ffff:a9fe:a9fe", "169.254.169.254", Special.METADATA, id="mapped, in hex"),
        param("64:ff9b::7f00:1", "127.0.0.1", Special.LOOPBACK, id="NAT64"),
        param("64:ff9b::10.0.0.1", "10.0.0.1", Special.PRIVATE, id="NAT64, dotted"),
        param("2002:7f00:1::", "127.0.0.1", Special.LOOPBACK, id="6to4"),
        param("2002:a83f:8110::1", "168.63.129.16", Special.METADATA, id="6to4, metadata"),
    ],
)
def test_barred_for_what_it_carries(address: str, inner: str, kind: Special) -> None:
    assert barred(parse_address(address)) == (Barred(parse_address(inner), kind),)


@pytest.mark.parametrize(
    ("address", "inner", "kind"),
    [
        param("64:ff9b:1::a9fe:a9fe", "169.254.169.254", Special.METADATA, id="RFC 8215 NAT64"),
        param("64:ff9b:1:2:3:4:7f00:1", "127.0.0.1", Special.LOOPBACK, id="RFC 8215, a prefix"),
        param("::a83f:8110", "168.63.129.16", Special.METADATA, id="RFC 4291 IPv4-compatible"),
    ],
)
def test_barred_itself_and_for_what_it_carries(address: str, inner: str, kind: Special) -> None:
    parsed = parse_address(address)
    own, carried = barred(parsed)
    assert (own, carried) == (Barred(parsed, Special.RESERVED), Barred(parse_address(inner), kind))


@pytest.mark.parametrize("address", ["::", "::1"])
def test_what_only_looks_like_a_carrier(address: str) -> None:
    assert layers(parse_address(address)) == (parse_address(address),)


def test_teredo_carries_its_server_and_its_client() -> None:
    # RFC 4380 §4: the server in bits 32-63, the client's address inverted in the last 32.
    address = parse_address("2001:0:a00:1:0:0:80ff:fffe")
    assert layers(address) == (address, IPv4Address("10.0.0.1"), IPv4Address("127.0.0.1"))
    assert [bar.kind for bar in barred(address)] == ["reserved", "private", "loopback"]


@QUICK
@given(st.ip_addresses(v=4))
def test_a_disguise_changes_nothing(address: IPv4Address) -> None:
    bare = special(address)
    number = int(address)
    for disguise in (
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address((0x64 << 112) | (0xFF9B << 96) | number),
        IPv6Address((0x2002 << 112) | (number << 80)),
    ):
        assert barred(disguise) == ((Barred(address, bare),) if bare else ())


@QUICK
@given(st.ip_addresses(v=6))
def test_only_global_unicast_of_ipv6_is_ever_reachable(address: IPv6Address) -> None:
    carriers = ("::ffff:", "64:ff9b::")
    if not barred(address):
        assert int(address) >> 125 == 1 or str(address).startswith(carriers)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        param("::ffff:127.0.0.1", "127.0.0.1", id="mapped"),
        param("64:ff9b::7f00:1", "64:ff9b::7f00:1", id="NAT64 stays"),
        param("127.0.0.1", "127.0.0.1", id="IPv4 stays"),
    ],
)
def test_unmapped(address: str, expected: str) -> None:
    assert unmapped(parse_address(address)) == parse_address(expected)


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f000001", "::1%", "[::1]"])
def test_other_spellings_are_not_addresses(text: str) -> None:
    if text == "::1%":
        assert parse_address(text) == IPv6Address("::1")
        return
    with pytest.raises(ValueError, match="does not appear to be"):
        parse_address(text)
