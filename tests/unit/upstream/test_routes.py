from __future__ import annotations

import pytest

from proxy.semantics.targets import Origin
from proxy.upstream.routes import Direct, Parent, Relayed, Routes, Tunnelled, parse_parent

PARENT = "http://proxy.example:3128"
HTTP = Origin("http", "a.example", 80)
HTTPS = Origin("https", "a.example", 443)


@pytest.mark.parametrize(
    ("text", "parent"),
    [
        pytest.param(PARENT, Parent("proxy.example", 3128), id="host and port"),
        pytest.param("http://proxy.example", Parent("proxy.example", 80), id="default port"),
        pytest.param("http://[::1]:3128/", Parent("::1", 3128), id="IPv6"),
        pytest.param(
            "http://us%65r:p%40ss@proxy.example:1",
            Parent("proxy.example", 1, "Basic dXNlcjpwQHNz"),
            id="7617-2 credentials, percent-decoded",
        ),
        pytest.param(
            "http://user@proxy.example:1", Parent("proxy.example", 1, "Basic dXNlcjo="), id="no pw"
        ),
    ],
)
def test_parent(text: str, parent: Parent) -> None:
    assert parse_parent(text) == parent


@pytest.mark.parametrize(
    "text",
    [
        "https://u:secret@proxy.example:1",
        "proxy.example:3128",
        "http://:3128",
        "http://u:secret@proxy.example:99999",
        "http://proxy.example/x",
        "http://[::1:3128",
    ],
)
def test_bad_parent_is_refused_without_its_credentials(text: str) -> None:
    with pytest.raises(ValueError, match="write for example") as caught:
        parse_parent(text)
    assert "secret" not in str(caught.value)


def test_credentials_are_not_shown() -> None:
    assert "Basic" not in repr(parse_parent("http://user:secret@proxy.example:1"))


def test_routes() -> None:
    parent = parse_parent(PARENT)
    assert Routes("").choose(HTTP) == Direct(HTTP)
    assert Routes(PARENT).choose(HTTP) == Relayed(parent)
    assert Routes(PARENT).choose(HTTPS) == Tunnelled(parent, HTTPS)
    assert Routes(PARENT, ["*"]).choose(HTTPS) == Direct(HTTPS)
    assert Routes("").through(HTTP) == Direct(HTTP)
    assert Routes(PARENT).through(HTTP) == Tunnelled(parent, HTTP)
    assert Routes(PARENT, ["*"]).through(HTTP) == Direct(HTTP)


@pytest.mark.parametrize(
    ("entry", "host", "port", "direct"),
    [
        pytest.param("*", "x", 1, True, id="star"),
        pytest.param("*:81", "x", 81, True, id="star with port"),
        pytest.param("*:81", "x", 80, False, id="star, other port"),
        pytest.param("a.example", "a.example", 80, True, id="name"),
        pytest.param("A.Example.", "a.example", 80, True, id="name in another case, with dot"),
        pytest.param("a.example", "a.example.", 80, True, id="host with dot"),
        pytest.param("example", "a.example", 80, True, id="suffix"),
        pytest.param("example", "aexample", 80, False, id="suffix ends at a dot"),
        pytest.param(".example", "a.example", 80, True, id="leading dot"),
        pytest.param(".example", "example", 80, True, id="leading dot, the name itself"),
        pytest.param("*.example", "a.b.example", 80, True, id="star dot"),
        pytest.param("*.example", "example", 80, False, id="star dot leaves the name out"),
        pytest.param("a.example:8080", "a.example", 8080, True, id="port"),
        pytest.param("a.example:8080", "a.example", 80, False, id="other port"),
        pytest.param("10.0.0.0/8", "10.1.2.3", 80, True, id="CIDR"),
        pytest.param("10.0.0.0/8", "11.1.2.3", 80, False, id="outside the CIDR"),
        pytest.param("10.0.0.0/8", "::1", 80, False, id="other family"),
        pytest.param("10.0.0.0/8", "a.example", 80, False, id="CIDR says nothing of names"),
        pytest.param("127.0.0.1", "127.0.0.1", 80, True, id="address"),
        pytest.param("127.0.0.1:81", "127.0.0.1", 80, False, id="address, other port"),
        pytest.param("::1", "::1", 80, True, id="IPv6"),
        pytest.param("[::1]:81", "::1", 81, True, id="IPv6 with port"),
        pytest.param("fe80::/10", "fe80::1", 80, True, id="IPv6 CIDR"),
        pytest.param("x.example, a.example", "a.example", 80, True, id="list with comma"),
        pytest.param("x.example a.example", "a.example", 80, True, id="list with space"),
    ],
)
def test_no_proxy(entry: str, host: str, port: int, direct: bool) -> None:
    route = Routes(PARENT, [entry]).choose(Origin("http", host, port))
    assert isinstance(route, Direct) is direct


@pytest.mark.parametrize("entry", ["a.*.example", "*.", "a:b", "a:0", "a:70000", "10.0.0.0/99"])
def test_bad_no_proxy(entry: str) -> None:
    with pytest.raises(ValueError, match="no_proxy"):
        Routes(PARENT, [entry])
