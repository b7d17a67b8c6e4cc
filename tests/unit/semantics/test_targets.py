"""Request-targets: which are understood, as what, and which are refused with what reason."""

import pytest

from proxy.semantics.targets import (
    Absolute,
    Asterisk,
    Authority,
    BadTarget,
    Origin,
    OriginForm,
    TargetURI,
    parse,
    parse_origin,
    resolve,
)

LONG_LABEL = "a" * 63
LONG_NAME = ".".join([LONG_LABEL] * 3 + ["a" * 61])


@pytest.mark.parametrize(
    ("target", "uri"),
    [
        pytest.param("http://a.example/x?y=1", "http://a.example/x?y=1", id="3.2.2 as it came"),
        pytest.param(
            "HtTp://A.EXAMPLE/X", "http://a.example/X", id="9110-4.2.3 scheme and host lower"
        ),
        pytest.param("https://a.example/", "https://a.example/", id="9110-4.2.2 https"),
        pytest.param("ws://a.example/", "http://a.example/", id="6455-3 ws"),
        pytest.param("WSS://a.example/", "https://a.example/", id="6455-3 wss"),
        pytest.param("http://a.example:80/", "http://a.example/", id="9110-4.2.3 default port"),
        pytest.param(
            "https://a.example:443/", "https://a.example/", id="9110-4.2.3 default port, TLS"
        ),
        pytest.param("http://a.example:443/", "http://a.example:443/", id="9110-4.2.3 other port"),
        pytest.param("wss://a.example:443/", "https://a.example/", id="6455-3 default port of wss"),
        pytest.param("http://a.example:/", "http://a.example/", id="3986-6.2.3 empty port"),
        pytest.param("http://a.example:65535/", "http://a.example:65535/", id="highest port"),
        pytest.param("http://a.example", "http://a.example/", id="9110-4.2.3 empty path"),
        pytest.param(
            "http://a.example?x", "http://a.example/?x", id="9110-4.2.3 empty path with query"
        ),
        pytest.param(
            "http://a.example/%7e/../a//b?%41?/", "http://a.example/%7e/../a//b?%41?/", id="raw"
        ),
        pytest.param(
            "http://a.example/\xc3\xa9\\|\"'", "http://a.example/\xc3\xa9\\|\"'", id="odd octets"
        ),
        pytest.param("http://a_b-c.example/", "http://a_b-c.example/", id="underscore and hyphen"),
        pytest.param("http://a.example./", "http://a.example/", id="1034-3.1 dot at the end"),
        pytest.param(f"http://{LONG_NAME}/", f"http://{LONG_NAME}/", id="1035-2.3.4 253 octets"),
        pytest.param("http://127.0.0.1/", "http://127.0.0.1/", id="3986-3.2.2 IPv4"),
        pytest.param(
            "http://255.249.199.9:81/", "http://255.249.199.9:81/", id="3986-3.2.2 IPv4 octets"
        ),
        pytest.param("http://1.2.3.example/", "http://1.2.3.example/", id="digits in a name"),
        pytest.param("http://[::1]/", "http://[::1]/", id="3986-3.2.2 IPv6"),
        pytest.param(
            "http://[2001:DB8:0:0::1]:8080/", "http://[2001:db8::1]:8080/", id="5952-4 one way"
        ),
        pytest.param("http://[::FFFF:7f00:1]/", "http://[::ffff:127.0.0.1]/", id="5952-5 mapped"),
    ],
)
def test_absolute_form(target: str, uri: str) -> None:
    parsed = parse("GET", target)
    assert isinstance(parsed, Absolute)
    assert str(parsed.uri) == uri


@pytest.mark.parametrize(
    ("method", "target", "form"),
    [
        pytest.param("GET", "/x?y", OriginForm("/x?y"), id="3.2.1 origin-form"),
        pytest.param("GET", "//x/../y", OriginForm("//x/../y"), id="3.2.1 not normalised"),
        pytest.param("OPTIONS", "*", Asterisk(), id="3.2.4 asterisk-form"),
        pytest.param(
            "OPTIONS",
            "http://a.example",
            Absolute(TargetURI(Origin("http", "a.example", 80), "*")),
            id="3.2.4 OPTIONS without a path is about the server",
        ),
        pytest.param(
            "OPTIONS",
            "http://a.example?x",
            Absolute(TargetURI(Origin("http", "a.example", 80), "/?x")),
            id="3.2.4 OPTIONS with a query is not",
        ),
        pytest.param(
            "CONNECT", "A.Example:443", Authority("a.example", 443), id="3.2.3 authority-form"
        ),
        pytest.param("CONNECT", "[0::1]:443", Authority("::1", 443), id="3.2.3 IPv6"),
    ],
)
def test_form(method: str, target: str, form: object) -> None:
    assert parse(method, target) == form


ODD_AUTHORITY = "not a name"
NOT_IPV4 = "four decimal numbers"
BAD_PORT = "port is not"
BAD_LABEL = "label"
UNREADABLE = "neither an absolute URI nor a path"


@pytest.mark.parametrize(
    ("method", "target", "why"),
    [
        pytest.param("GET", "http://u@a.example/", "userinfo", id="9110-4.2.4 user"),
        pytest.param("GET", "http://u:p@a.example/", "userinfo", id="9110-4.2.4 user and password"),
        pytest.param("GET", "http://a.example\\@b.example/", "userinfo", id="9110-4.2.4 backslash"),
        pytest.param("GET", "http://a.example/#f", "fragment", id="9110-7.1 fragment"),
        pytest.param("GET", "http://a.example#f", "fragment", id="9110-7.1 fragment without path"),
        pytest.param("GET", "/#f", "fragment", id="9110-7.1 fragment in origin-form"),
        pytest.param("GET", "http:///x", "host is empty", id="9110-4.2.1 no host"),
        pytest.param("GET", "http://", "host is empty", id="9110-4.2.1 nothing at all"),
        pytest.param("GET", "http://:80/", "host is empty", id="9110-4.2.1 port without host"),
        pytest.param("GET", "http://?x", "host is empty", id="9110-4.2.1 query without host"),
        pytest.param("GET", "http://./", BAD_LABEL, id="dot alone"),
        pytest.param("GET", "http://../", BAD_LABEL, id="two dots"),
        pytest.param("GET", "http://a.example../", BAD_LABEL, id="two dots at the end"),
        pytest.param("GET", "http://a..example/", BAD_LABEL, id="empty label"),
        pytest.param("GET", f"http://{LONG_LABEL}a.example/", BAD_LABEL, id="1035-2.3.4 64 octets"),
        pytest.param("GET", f"http://{LONG_NAME}a/", BAD_LABEL, id="1035-2.3.4 254 octets"),
        pytest.param("GET", "http://a.example:0/", BAD_PORT, id="port 0"),
        pytest.param("GET", "http://a.example:65536/", BAD_PORT, id="port too large"),
        pytest.param(
            "GET", "http://a.example:" + "9" * 5000 + "/", BAD_PORT, id="port of many digits"
        ),
        pytest.param("GET", "http://a.example:080/", BAD_PORT, id="port with leading zero"),
        pytest.param("GET", "http://a.example:8x/", ODD_AUTHORITY, id="port with junk"),
        pytest.param("GET", "http://a.example:+80/", ODD_AUTHORITY, id="port with a sign"),
        pytest.param("GET", "http://a.example:80:80/", ODD_AUTHORITY, id="two ports"),
        pytest.param("GET", "http://a%2eexample/", ODD_AUTHORITY, id="percent in host"),
        pytest.param("GET", "http://\xb9.example/", ODD_AUTHORITY, id="superscript digit in host"),
        pytest.param("GET", "http://a,b.example/", ODD_AUTHORITY, id="sub-delims in host"),
        pytest.param("GET", "http://2130706433/", NOT_IPV4, id="3986-7.4 decimal"),
        pytest.param("GET", "http://0177.0.0.1/", NOT_IPV4, id="3986-7.4 octal"),
        pytest.param("GET", "http://0x7f000001/", NOT_IPV4, id="3986-7.4 hex"),
        pytest.param("GET", "http://127.0.0.0X1/", NOT_IPV4, id="3986-7.4 hex in the last part"),
        pytest.param("GET", "http://127.1/", NOT_IPV4, id="3986-7.4 short"),
        pytest.param("GET", "http://127.0.0.1./", NOT_IPV4, id="IPv4 with a dot at the end"),
        pytest.param("GET", "http://127.0.0.01/", NOT_IPV4, id="3986-7.4 leading zero"),
        pytest.param("GET", "http://256.0.0.1/", NOT_IPV4, id="3986-7.4 octet too large"),
        pytest.param("GET", "http://1.2.3.4.5/", NOT_IPV4, id="3986-7.4 five parts"),
        pytest.param(
            "GET", "http://a.example.1/", NOT_IPV4, id="3986-7.4 name that ends in a number"
        ),
        pytest.param("GET", "http://::1/", "host is empty", id="3986-3.2.2 IPv6 without brackets"),
        pytest.param(
            "GET", "http://1::2/", ODD_AUTHORITY, id="3986-3.2.2 IPv6 without brackets, digit"
        ),
        pytest.param("GET", "http://[::1/", ODD_AUTHORITY, id="3986-3.2.2 bracket open"),
        pytest.param("GET", "http://[::1]x/", ODD_AUTHORITY, id="3986-3.2.2 junk after bracket"),
        pytest.param("GET", "http://[1::2::3]/", "IPv6", id="3986-3.2.2 two gaps"),
        pytest.param("GET", "http://[fe80::1%25eth0]/", ODD_AUTHORITY, id="6874-2 zone id"),
        pytest.param("GET", "http://[v1.a]/", ODD_AUTHORITY, id="3986-3.2.2 IPvFuture"),
        pytest.param("GET", "ftp://a.example/", "scheme is not", id="foreign scheme"),
        pytest.param("GET", "http\u017f://a.example/", "space or a control", id="beyond latin-1"),
        pytest.param("GET", "http:/a.example/", UNREADABLE, id="one slash"),
        pytest.param("GET", "a.example:80", UNREADABLE, id="3.2.3 authority-form without CONNECT"),
        pytest.param("GET", "x", UNREADABLE, id="relative path"),
        pytest.param("GET", "", UNREADABLE, id="empty"),
        pytest.param("GET", "*", "OPTIONS", id="3.2.4 asterisk without OPTIONS"),
        pytest.param("GET", "http://a.example/a b", "space", id="space in path"),
        pytest.param("GET", "http://a.example/a\tb", "space", id="tab in path"),
        pytest.param("GET", "/a\x00b", "space or a control", id="NUL in path"),
        pytest.param("GET", "/a\r\nb", "space or a control", id="line end in path"),
        pytest.param("GET", "/a\x7f", "space or a control", id="DEL in path"),
        pytest.param("CONNECT", "a.example", "needs host:port", id="9110-9.3.6 no port"),
        pytest.param("CONNECT", "a.example:", "needs host:port", id="9110-9.3.6 empty port"),
        pytest.param("CONNECT", "a.example:0", BAD_PORT, id="9110-9.3.6 port 0"),
        pytest.param("CONNECT", "::1:443", "host is empty", id="3.2.3 bare IPv6"),
        pytest.param(
            "CONNECT", "2001:db8::1:443", ODD_AUTHORITY, id="3.2.3 bare IPv6, digits first"
        ),
        pytest.param("CONNECT", "u@a.example:443", "userinfo", id="3.2.3 userinfo"),
        pytest.param("CONNECT", "https://a.example:443", ODD_AUTHORITY, id="3.2.3 absolute-form"),
        pytest.param("CONNECT", "/x", ODD_AUTHORITY, id="3.2.3 origin-form"),
        pytest.param("CONNECT", "*", ODD_AUTHORITY, id="3.2.3 asterisk-form"),
        pytest.param("CONNECT", "", "host is empty", id="3.2.3 empty"),
    ],
)
def test_refused(method: str, target: str, why: str) -> None:
    with pytest.raises(BadTarget, match=why):
        parse(method, target)


@pytest.mark.parametrize(
    ("authority", "scheme", "shown"),
    [
        pytest.param("A.Example:80", "http", "a.example", id="7.2 default port"),
        pytest.param("a.example:80", "https", "a.example:80", id="7.2 port of another scheme"),
        pytest.param("[::1]:3128", "http", "[::1]:3128", id="7.2 IPv6 in brackets"),
    ],
)
def test_authority_of_an_origin(authority: str, scheme: str, shown: str) -> None:
    origin = parse_origin(scheme, authority)
    assert origin.authority == shown
    assert str(origin) == f"{scheme}://{shown}"


def test_origin_refuses() -> None:
    with pytest.raises(BadTarget):
        parse_origin("http", "a.example/x")


ORIGIN = Origin("https", "a.example", 443)


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        pytest.param("/x?y", "https://a.example/x?y", id="3.3 origin-form"),
        pytest.param("*", "https://a.example", id="3.3 asterisk-form has no path"),
    ],
)
def test_resolve(path: str, uri: str) -> None:
    assert str(resolve(ORIGIN, path)) == uri


@pytest.mark.parametrize("path", ["x", "", "/a b", "/#f", "http://b.example/", "**"])
def test_resolve_refuses(path: str) -> None:
    with pytest.raises(BadTarget):
        resolve(ORIGIN, path)
