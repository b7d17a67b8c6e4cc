from __future__ import annotations

import pytest

from proxy.semantics.targets import Origin, TargetURI
from proxy.upstream.base import Outgoing
from proxy.upstream.requests import render, render_connect
from proxy.upstream.routes import Direct, Parent, Relayed, Route
from tests.support.build import fields, uri

TARGET = uri("http://a.example:81/x?y")
DIRECT = Direct(TARGET.origin)
PARENT = Parent("proxy.example", 3128, "Basic eDp5")


class Body:
    async def read(self) -> bytes:
        return b""


def request(method: str, path: str = "/x?y", **framing: object) -> Outgoing:
    target = type(TARGET)(TARGET.origin, path)
    return Outgoing(method, target, fields("Host: a.example:81"), **framing)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outgoing", "route", "lines"),
    [
        pytest.param(request("GET"), DIRECT, ["GET /x?y"], id="9112-3.2.1 origin-form"),
        pytest.param(
            request("GET"),
            Relayed(PARENT),
            ["GET http://a.example:81/x?y", "Proxy-Authorization: Basic eDp5"],
            id="9112-3.2.2 absolute-form to the parent",
        ),
        pytest.param(
            request("GET"),
            Relayed(Parent("p", 1)),
            ["GET http://a.example:81/x?y"],
            id="no credentials, no field",
        ),
        pytest.param(request("OPTIONS", "*"), DIRECT, ["OPTIONS *"], id="3.2.4 asterisk-form"),
        pytest.param(
            request("OPTIONS", "*"),
            Relayed(Parent("p", 1)),
            ["OPTIONS http://a.example:81"],
            id="3.2.4 asterisk-form through the parent",
        ),
        pytest.param(request("POST"), DIRECT, ["POST /x?y", "Content-Length: 0"], id="9110-8.6"),
        pytest.param(
            request("DELETE", length=0), DIRECT, ["DELETE /x?y", "Content-Length: 0"], id="as told"
        ),
        pytest.param(
            request("PUT", body=Body(), length=5),
            DIRECT,
            ["PUT /x?y", "Content-Length: 5"],
            id="9112-6.2 length known",
        ),
        pytest.param(
            request("GET", body=Body()),
            DIRECT,
            ["GET /x?y", "Transfer-Encoding: chunked"],
            id="9112-6.1 length unknown",
        ),
    ],
)
def test_render(outgoing: Outgoing, route: Route, lines: list[str]) -> None:
    first, *rest = lines
    expected = [f"{first} HTTP/1.1", "Host: a.example:81", *rest, "", ""]
    assert render(outgoing, route).decode() == "\r\n".join(expected)


OTHER_TARGET = uri("http://a.example:81/y")


@pytest.mark.parametrize(
    ("method", "target", "length", "route", "first"),
    [
        pytest.param("GET", TARGET, None, DIRECT, "GET /x?y", id="the same"),
        pytest.param("HEAD", TARGET, None, DIRECT, "HEAD /x?y", id="another method"),
        pytest.param("POST", TARGET, None, DIRECT, "POST /x?y", id="a method that says its length"),
        pytest.param("GET", OTHER_TARGET, None, DIRECT, "GET /y", id="another target"),
        pytest.param("GET", TARGET, 5, DIRECT, "GET /x?y", id="with a length"),
        pytest.param(
            "GET", TARGET, None, Relayed(PARENT), "GET http://a.example:81/x?y", id="another route"
        ),
    ],
)
def test_fields_remember_one_section_only(
    method: str, target: TargetURI, length: int | None, route: Route, first: str
) -> None:
    same = fields("Host: a.example:81")
    render(Outgoing("GET", TARGET, same), DIRECT)
    lines = render(Outgoing(method, target, same, length=length), route).decode().split("\r\n")
    assert lines[:2] == [f"{first} HTTP/1.1", "Host: a.example:81"]
    said = [line for line in lines if line.startswith("Content-Length")]
    assert said == (
        ["Content-Length: 0"] if method == "POST" else [f"Content-Length: {length}"] * bool(length)
    )
    assert ("Proxy-Authorization: Basic eDp5" in lines) is isinstance(route, Relayed)


def test_connect() -> None:
    assert render_connect(Origin("https", "::1", 443), PARENT, "1.0 a, 1.1 me") == (
        b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\nVia: 1.0 a, 1.1 me\r\n"
        b"Proxy-Authorization: Basic eDp5\r\n\r\n"
    )
