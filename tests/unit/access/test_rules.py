"""Who may use the proxy, and where it may connect."""

import json
import re
from dataclasses import replace

import pytest

from proxy.access.rules import (
    ALLOWED,
    AccessOptions,
    Denied,
    Rules,
    parse_destination,
    parse_network,
    parse_ports,
)
from proxy.semantics.targets import Origin

param = pytest.param


def rules(allow: str = "", deny: str = "") -> Rules:
    return Rules(
        AccessOptions(
            allow_destinations=tuple(allow.split()), deny_destinations=tuple(deny.split())
        )
    )


@pytest.mark.parametrize(
    ("clients", "address", "allowed"),
    [
        param("127.0.0.0/8 ::1/128", "127.0.0.1", True, id="default IPv4"),
        param("127.0.0.0/8 ::1/128", "::1", True, id="default IPv6"),
        param("127.0.0.0/8 ::1/128", "::ffff:127.0.0.1", True, id="mapped by a dual-stack socket"),
        param("127.0.0.0/8 ::1/128", "192.0.2.1", False, id="default, from elsewhere"),
        param("fe80::/10", "fe80::1%eth0", True, id="with a zone"),
        param("10.0.0.0/8", "::a00:1", False, id="families do not mix"),
        param("10.0.0.0/8", "2002:a00:1::", False, id="a 6to4 client is not its IPv4 address"),
        param("10.1.2.3", "10.1.2.3", True, id="one address"),
        param("", "127.0.0.1", False, id="nobody"),
    ],
)
def test_clients(clients: str, address: str, allowed: bool) -> None:
    verdict = Rules(AccessOptions(clients=tuple(clients.split()))).client(address)
    assert (verdict == ALLOWED) is allowed


def test_a_denied_client_reads_the_line_that_would_allow_it() -> None:
    assert Rules(AccessOptions()).client("192.0.2.1") == Denied(
        "clients",
        "The address 192.0.2.1 is not among [access] clients;"
        ' clients = ["192.0.2.1"] would allow it.',
    )


@pytest.mark.parametrize(
    ("ports", "port", "allowed"),
    [
        param((443, 80), 80, True, id="one of them"),
        param((443, 80), 22, False, id="none of them"),
        param(("8000-8999",), 8000, True, id="the first of a range"),
        param(("8000-8999",), 8999, True, id="the last"),
        param(("8000-8999",), 9000, False, id="above"),
        param((443, "1024-65535"), 65535, True, id="a range beside a port"),
        param(("443",), 443, True, id="as text"),
        param(("any",), 1, True, id="any"),
        param((), 443, False, id="nowhere"),
    ],
)
def test_connect_ports_and_ranges(ports: tuple[int | str, ...], port: int, allowed: bool) -> None:
    asked = Rules(AccessOptions(connect_ports=ports, http_ports=ports))
    assert (asked.connect("a.example", port) == ALLOWED) is allowed
    assert (asked.request(Origin("http", "a.example", port)) == ALLOWED) is allowed


@pytest.mark.parametrize("entry", [0, 65536, -1, "0-80", "90-80", "80-", "80-90-100", "all", ""])
def test_what_are_no_ports(entry: int | str) -> None:
    with pytest.raises(ValueError, match=f"{entry} is not a port"):
        parse_ports(entry)


def test_the_line_that_would_allow_a_port_can_be_copied() -> None:
    verdict = Rules(AccessOptions(connect_ports=(443, "8000-8999"))).connect("a.example", 22)
    assert isinstance(verdict, Denied)
    assert 'connect_ports = [443, "8000-8999", 22] would' in verdict.sentence


def test_connect_ports() -> None:
    asked = Rules(AccessOptions())
    assert asked.connect("a.example", 443) == asked.connect("a.example", 80) == ALLOWED
    assert asked.connect("a.example", 22) == Denied(
        "connect_ports",
        "CONNECT to port 22 is not among [access] connect_ports;"
        " connect_ports = [443, 80, 22] would allow it.",
    )


@pytest.mark.parametrize(
    ("scheme", "port", "allowed"),
    [
        param("http", 80, True, id="the one for it"),
        param("http", 1024, True, id="the first that needs no privilege"),
        param("http", 65535, True, id="the last"),
        param("http", 25, False, id="SMTP"),
        param("http", 1023, False, id="the last that needs privilege"),
        param("http", 443, False, id="TLS is spoken there"),
        param("https", 443, True, id="https, where CONNECT may go"),
        param("https", 8443, True, id="https, elsewhere"),
        param("https", 25, False, id="https to SMTP"),
    ],
)
def test_http_ports(scheme: str, port: int, allowed: bool) -> None:
    asked = Rules(AccessOptions())
    assert (asked.request(Origin(scheme, "a.example", port)) == ALLOWED) is allowed


def test_a_denied_port_reads_the_line_that_would_allow_it() -> None:
    denied = Rules(AccessOptions()).request(Origin("http", "a.example", 25))
    assert denied == Denied(
        "http_ports",
        "Port 25 is not among [access] http_ports;"
        ' http_ports = [80, "1024-65535", 25] would allow it.',
    )


@pytest.mark.parametrize(
    ("deny", "host", "rule"),
    [
        param("", "a.example", "", id="a name"),
        param("", "localhost", "", id="a name is resolved elsewhere"),
        param("a.example", "a.example", "deny_destinations", id="a denied name"),
        param("*.example", "a.example", "deny_destinations", id="a denied suffix"),
        param("private", "a.example", "", id="its addresses are not known"),
        param("", "8.8.8.8", "", id="an address"),
        param("8.8.0.0/16", "8.8.8.8", "deny_destinations", id="a denied address"),
        param("", "10.0.0.1", "built-in: private", id="built in"),
        param("", "::ffff:10.0.0.1", "built-in: private", id="built in, mapped"),
        param("", "192.0.2.9", "own-listener", id="ourselves"),
    ],
)
def test_what_is_judged_before_anything_is_stored_or_resolved(
    deny: str, host: str, rule: str
) -> None:
    asked = Rules(AccessOptions(deny_destinations=tuple(deny.split())), [("192.0.2.9", 80)])
    verdicts = {asked.request(Origin("http", host, 80)), asked.connect(host, 80)}
    for verdict in (*verdicts, asked.place(host, 80)):
        assert (verdict.rule if isinstance(verdict, Denied) else "") == rule
    assert len(verdicts) == 1


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254",
        "::ffff:169.254.169.254", "::ffff:a83f:8110", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
        "64:ff9b:1::a9fe:a9fe", "::a9fe:a9fe", "2001:0:808:808::5601:5601",
        "2001:0:a9fe:a9fe::f7f7:f7f7",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["internal.example", "*.example", "private", "::/0", "0.0.0.0/0"])
def test_metadata_is_allowed_by_its_address_alone(name: str, address: str) -> None:
    allowed = [name, "2001::/32", "64:ff9b:1::/48", "::/96"]
    verdict = rules(" ".join(allowed)).destination("internal.example", 80, address)
    assert isinstance(verdict, Denied)
    assert "internal.example" not in verdict.sentence.partition("allow_destinations")[2]
    line = re.search(r"allow_destinations = (\[.*?\])", verdict.sentence)
    assert line
    listed = " ".join([*allowed, *json.loads(line[1])])
    assert rules(listed).destination("internal.example", 80, address) == ALLOWED


@pytest.mark.parametrize(
    ("allow", "deny", "host", "address", "rule"),
    [
        param("", "", "a.example", "8.8.8.8", "", id="global unicast"),
        param("", "", "a.example", "127.0.0.1", "built-in: loopback", id="rebinding to loopback"),
        param("", "", "127.0.0.1", "127.0.0.1", "built-in: loopback", id="loopback literal"),
        param("", "", "::1", "::1", "built-in: loopback", id="IPv6 loopback literal"),
        param("", "", "a.example", "::ffff:10.0.0.1", "built-in: private", id="mapped private"),
        param("", "", "a.example", "64:ff9b::a00:1", "built-in: private", id="NAT64 private"),
        param("private", "", "a.example", "10.0.0.1", "", id="word private"),
        param("private", "", "a.example", "fd12::1", "", id="word private, IPv6"),
        param("private", "", "a.example", "::ffff:10.0.0.1", "", id="word private, in disguise"),
        param("private", "", "a.example", "127.0.0.1", "built-in: loopback", id="not loopback"),
        param(
            "private",
            "",
            "a.example",
            "100.64.0.1",
            "built-in: shared (carrier-grade NAT)",
            id="private is not shared space",
        ),
        param(
            "private",
            "",
            "a.example",
            "fd00:ec2::254",
            "built-in: cloud metadata",
            id="private is not metadata",
        ),
        param("loopback", "", "localhost", "127.0.0.1", "", id="word loopback"),
        param("loopback", "", "localhost", "::1", "", id="word loopback, IPv6"),
        param("10.1.0.0/16", "", "a.example", "10.1.2.3", "", id="CIDR"),
        param("10.1.0.0/16", "", "a.example", "10.2.2.3", "built-in: private", id="other CIDR"),
        param("10.1.2.3", "", "10.1.2.3", "10.1.2.3", "", id="one address"),
        param(
            "169.254.0.0/16",
            "",
            "a.example",
            "169.254.169.254",
            "built-in: cloud metadata",
            id="metadata is not allowed by a network",
        ),
        param("169.254.169.254", "", "a.example", "169.254.169.254", "", id="metadata itself"),
        param("169.254.0.0/16", "", "a.example", "169.254.1.1", "", id="link-local network"),
        param("2001::/32", "", "a.example", "2001:0:808:808::f7f7:f7f7", "", id="Teredo, global"),
        param(
            "2001::/32",
            "",
            "a.example",
            "2001:0:808:808::80ff:fffe",
            "built-in: loopback",
            id="Teredo carrying loopback",
        ),
        param("app.corp.example", "", "app.corp.example", "10.0.0.1", "", id="name"),
        param("App.Corp.Example.", "", "aPP.corp.example.", "10.0.0.1", "", id="name, case, dot"),
        param(
            "app.corp.example",
            "",
            "b.app.corp.example",
            "10.0.0.1",
            "built-in: private",
            id="a name is not a suffix",
        ),
        param("*.corp.example", "", "a.b.corp.example", "127.0.0.1", "", id="suffix"),
        param(
            "*.corp.example",
            "",
            "corp.example",
            "10.0.0.1",
            "built-in: private",
            id="a suffix is not the name itself",
        ),
        param(
            "*.corp.example",
            "",
            "evilcorp.example",
            "10.0.0.1",
            "built-in: private",
            id="a suffix begins at a label",
        ),
        param("", "ads.example", "ads.example", "8.8.8.8", "deny_destinations", id="deny name"),
        param("", "*.example", "ads.example", "8.8.8.8", "deny_destinations", id="deny suffix"),
        param("", "8.8.8.0/24", "a.example", "8.8.8.8", "deny_destinations", id="deny CIDR"),
        param("", "8.8.8.0/24", "a.example", "8.8.4.4", "", id="deny another CIDR"),
        param(
            "",
            "8.8.8.0/24",
            "a.example",
            "64:ff9b::808:808",
            "deny_destinations",
            id="deny CIDR, in disguise",
        ),
        param(
            "10.0.0.0/8",
            "10.9.0.0/16",
            "a.example",
            "10.9.0.1",
            "deny_destinations",
            id="deny is final: CIDRs",
        ),
        param(
            "a.example",
            "private",
            "a.example",
            "10.9.0.1",
            "deny_destinations",
            id="deny is final: a word against a name",
        ),
        param("loopback", "private", "a.example", "127.0.0.1", "", id="deny word, other kind"),
    ],
)
def test_destinations(allow: str, deny: str, host: str, address: str, rule: str) -> None:
    verdict = rules(allow, deny).destination(host, 80, address)
    assert (verdict.rule if isinstance(verdict, Denied) else "") == rule


@pytest.mark.parametrize(
    ("host", "address", "sentence"),
    [
        param(
            "App.example",
            "64:ff9b::7f00:1",
            "app.example (64:ff9b::7f00:1) is denied by the built-in rule for loopback addresses"
            ' (127.0.0.1 is one); [access] allow_destinations = ["app.example"] would allow it.',
            id="28 name",
        ),
        param(
            "10.0.0.1",
            "10.0.0.1",
            "10.0.0.1 is denied by the built-in rule for private addresses"
            ' (10.0.0.1 is one); [access] allow_destinations = ["10.0.0.1"] would allow it.',
            id="28 address",
        ),
    ],
)
def test_the_denial_explains_itself(host: str, address: str, sentence: str) -> None:
    verdict = rules().destination(host, 80, address)
    assert isinstance(verdict, Denied)
    assert verdict.sentence == sentence


@pytest.mark.parametrize(
    ("allow", "deny", "host", "sentence"),
    [
        param("", "bad.example", "Bad.example.", "bad.example is denied by", id="its name"),
        param("", "*.bad.example", "a.bad.example", "a.bad.example is denied by", id="a suffix"),
        param("bad.example", "bad.example", "bad.example", "bad.example is", id="deny is final"),
        param("", "private 10.0.0.0/8", "a.example", "", id="addresses are not known"),
    ],
)
def test_a_name_that_is_not_resolved_here(allow: str, deny: str, host: str, sentence: str) -> None:
    verdict = rules(allow, deny).destination(host, 80, None)
    assert (verdict.sentence if isinstance(verdict, Denied) else "").startswith(sentence)
    assert (verdict == ALLOWED) is (not sentence)


def test_a_listed_denial_names_its_entry() -> None:
    assert rules(deny="8.8.0.0/16").destination("a.example", 80, "8.8.8.8") == Denied(
        "deny_destinations",
        "a.example (8.8.8.8) is denied by the entry '8.8.0.0/16' of"
        " [access] deny_destinations; only without that entry is it allowed.",
    )


@pytest.mark.parametrize(
    ("host", "address"),
    [
        param("a.example", "10.0.0.1", id="name"),
        param("a.example", "169.254.169.254", id="name of a metadata address"),
        param("a.example", "2001:0:a9fe:a9fe::80ff:fffe", id="name, and what it does not lift"),
        param("127.0.0.1", "127.0.0.1", id="IPv4"),
        param("::1", "::1", id="IPv6"),
        param("::ffff:10.0.0.1", "::ffff:10.0.0.1", id="mapped"),
        param("169.254.169.254", "169.254.169.254", id="metadata"),
        param("2001:0:a00:1::80ff:fffe", "2001:0:a00:1::80ff:fffe", id="Teredo, three layers"),
    ],
)
def test_the_line_that_would_allow_it_does(host: str, address: str) -> None:
    verdict = rules().destination(host, 80, address)
    assert isinstance(verdict, Denied)
    line = re.search(r"allow_destinations = (\[.*?\])", verdict.sentence)
    assert line
    options = replace(AccessOptions(), allow_destinations=tuple(json.loads(line[1])))
    assert Rules(options).destination(host, 80, address) == ALLOWED


@pytest.mark.parametrize(
    ("listening", "address", "port", "own"),
    [
        param("127.0.0.1", "127.0.0.1", 3128, True, id="25 the very listener"),
        param("127.0.0.1", "::ffff:127.0.0.1", 3128, True, id="25 in disguise"),
        param("127.0.0.1", "127.0.0.1", 3129, False, id="another port"),
        param("127.0.0.1", "127.0.0.2", 3128, False, id="another address"),
        param("0.0.0.0", "127.0.0.2", 3128, True, id="25 listening everywhere"),
        param("::", "0.0.0.0", 3128, True, id="25 the unspecified address"),
        param("0.0.0.0", "10.0.0.1", 3128, False, id="an address that may be another host's"),
    ],
)
def test_own_listeners(listening: str, address: str, port: int, own: bool) -> None:
    allow = ("loopback", "private", "0.0.0.0")
    asked = Rules(AccessOptions(allow_destinations=allow), listening=[(listening, 3128)])
    verdict = asked.destination(address, port, address)
    assert (isinstance(verdict, Denied) and verdict.rule == "own-listener") is own


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        param("*", "is not a destination", id="everything"),
        param(".corp.example", "is not a destination", id="leading dot"),
        param("http://a.example", "not an address or network", id="URL"),
        param("a.example:80", "not an address or network", id="port"),
        param("a..example", "is not a destination", id="empty label"),
        param("10.0.0.1/8", "'10.0.0.0/8' is the network", id="bits after the prefix"),
        param("10.0.0.0/33", "not an address or network", id="prefix too long"),
        param("127.1", "not an address or network", id="short IPv4"),
        param("", "is not a destination", id="empty"),
    ],
)
def test_bad_entries_say_what_was_expected(entry: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_destination(entry)


def test_networks() -> None:
    assert str(parse_network("10.1.2.3")) == "10.1.2.3/32"
    assert str(parse_network("fd00::/8")) == "fd00::/8"
