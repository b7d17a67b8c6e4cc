"""What a request head asks of us."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.access.rules import Rules
from proxy.frontend.reception import Connect, Exchanged, Own, receive, refused, unreadable
from proxy.policy.reasons import Reason
from proxy.semantics.messages import RequestHead
from proxy.semantics.targets import Origin
from proxy.wire.heads import BadMessage
from tests.support.build import fields
from tests.support.door import ACCESS

param = pytest.param
DENYING = replace(ACCESS, deny_destinations=("bad.example",))
RULES = Rules(DENYING, [("192.0.2.9", 8080)])
INSIDE = Origin("http", "a.example", 8080)


def head(line: str, *lines: str) -> RequestHead:
    method, target = line.split(" ")
    return RequestHead(method, target, 1, fields(*lines))


@pytest.mark.parametrize(
    ("line", "inside", "host", "uri"),
    [
        param("GET http://a.example/x", None, "b.example", "http://a.example/x",
              id="promise 5 the URI's authority decides"),
        param("OPTIONS http://a.example", None, "a.example", "http://a.example", id="9112 §3.2.4"),
        param("GET /x?y", INSIDE, "a.example:8080", "http://a.example:8080/x?y", id="inside"),
        param("GET /x", INSIDE, None, "http://a.example:8080/x", id="inside, no Host (1.0)"),
        param("OPTIONS *", INSIDE, "A.example:8080", "http://a.example:8080", id="inside, *"),
        param("GET http://c.example/", INSIDE, "c.example", "http://c.example/",
              id="inside, absolute"),
        param("GET /", Origin("http", "a.example", 443), "a.example:443", "http://a.example:443/",
              id="inside, by the port of CONNECT"),
        param("GET http://a.example:443/", Origin("http", "a.example", 443), "a.example:443",
              "http://a.example:443/", id="inside, absolute, by the port of CONNECT"),
        param("GET https://a.example/", None, "a.example", "https://a.example/", id="https"),
    ],
)  # fmt: skip
def test_for_the_exchange(line: str, inside: Origin | None, host: str | None, uri: str) -> None:
    lines = [f"Host: {host}"] if host is not None else []
    reception = receive(head(line, *lines), inside, RULES)
    assert isinstance(reception, Exchanged)
    assert str(reception.request.uri) == uri
    assert reception.request.method == line.partition(" ")[0]


@pytest.mark.parametrize(("scheme", "logs_in"), [("NTLM", True), ("Basic", False)])
def test_a_login_by_connection(scheme: str, logs_in: bool) -> None:
    asked = head("GET http://a.example/", "Host: a.example", f"Authorization: {scheme} x")
    reception = receive(asked, None, RULES)
    assert isinstance(reception, Exchanged)
    assert reception.logs_in is logs_in


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [
        param("a.example:443", "a.example", 443, id="name"),
        param("A.Example.:443", "a.example", 443, id="one spelling"),
        param("8.8.8.8:443", "8.8.8.8", 443, id="IPv4"),
        param("[2606:4700::1]:443", "2606:4700::1", 443, id="IPv6"),
        param("localhost:443", "localhost", 443, id="a name is judged when it is resolved"),
    ],
)
def test_connect(target: str, host: str, port: int) -> None:
    assert receive(head(f"CONNECT {target}"), None, RULES) == Connect(host, port)


@pytest.mark.parametrize(
    ("line", "inside", "status", "reason", "close"),
    [
        param("CONNECT a.example:22", None, 403, Reason.DENIED_PORT, False, id="25 port"),
        param("CONNECT 127.0.0.1:443", None, 403, Reason.DENIED_DESTINATION, False, id="23"),
        param("CONNECT [::ffff:10.0.0.1]:443", None, 403, Reason.DENIED_DESTINATION, False,
              id="23 mapped"),
        param("CONNECT 192.0.2.9:8080", None, 502, Reason.LOOP, False, id="25 our own listener"),
        param("CONNECT bad.example:443", None, 403, Reason.DENIED_DESTINATION, False, id="a name"),
        param("GET http://192.0.2.9:8080/", None, 502, Reason.LOOP, False, id="ourselves"),
        param("GET http://10.0.0.1/", None, 403, Reason.DENIED_DESTINATION, False, id="41 literal"),
        param("GET http://bad.example/", None, 403, Reason.DENIED_DESTINATION, False, id="41 name"),
        param("GET http://bad.example/", INSIDE, 403, Reason.DENIED_DESTINATION, False,
              id="41 inside, absolute"),
        param("GET /", Origin("http", "bad.example", 443), 403, Reason.DENIED_DESTINATION, False,
              id="41 inside"),
        param("POST http://a.example:25/", None, 403, Reason.DENIED_PORT, False, id="25 SMTP"),
        param("GET http://a.example:22/", INSIDE, 403, Reason.DENIED_PORT, False,
              id="inside, absolute, another port"),
        param("PURGE http://bad.example/", None, 403, Reason.DENIED_DESTINATION, False,
              id="41 PURGE is a method like any other"),
        param("CONNECT 0x7f.1:443", None, 400, Reason.BAD_REQUEST, True, id="24 hexadecimal"),
        param("GET http://u@a.example/", None, 400, Reason.BAD_REQUEST, True, id="5 userinfo"),
        param("GET http://a.example/#f", None, 400, Reason.BAD_REQUEST, True, id="5 fragment"),
        param("GET http://a.example:0/", None, 400, Reason.BAD_REQUEST, True, id="5 port"),
        param("GET /healthz?x", None, 200, Reason.SELF, False, id="health"),
        param("HEAD /", None, 200, Reason.SELF, False, id="about"),
        param("GET /nothing", None, 404, Reason.SELF, False, id="no such page"),
        param("POST /", None, 405, Reason.SELF, False, id="not by that method"),
        param("OPTIONS *", None, 204, Reason.SELF, False, id="what we can"),
    ],
)  # fmt: skip
def test_answered_here(
    line: str, inside: Origin | None, status: int, reason: Reason, close: bool
) -> None:
    reception = receive(head(line, "Host: proxy.test"), inside, RULES)
    assert isinstance(reception, Own)
    assert (reception.answer.head.status, reception.reason) == (status, reason)
    assert reception.close is close


@pytest.mark.parametrize(
    ("host", "other"),
    [
        param("a.example:8080", False, id="the authority's"),
        param("A.Example.:8080", False, id="in another spelling"),
        param("a.example", True, id="without its port"),
        param("a.example:8081", True, id="with another port"),
        param("B.example:8080", True, id="another name"),
    ],
)
def test_host_inside_may_be_another_than_connect_said(host: str, other: bool) -> None:
    reception = receive(head("GET /x", f"Host: {host}"), INSIDE, RULES)
    assert isinstance(reception, Exchanged)
    assert str(reception.request.uri) == "http://a.example:8080/x"
    assert reception.request.host == (host if other else "")


def test_host_inside_is_a_host() -> None:
    reception = receive(head("GET /x", "Host: a.example:x"), INSIDE, RULES)
    assert isinstance(reception, Own)
    assert reception.close


def test_what_is_denied_may_be_purged_where_purge_is_answered() -> None:
    rules = Rules(replace(DENYING, purge_clients=("127.0.0.1",)))
    purge = head("PURGE http://bad.example/", "Host: bad.example")
    assert isinstance(receive(purge, None, rules), Exchanged)
    # With another Host it is none of ours, and goes on to the origin.
    inside = Origin("http", "bad.example", 80)
    other = head("PURGE /", "Host: a.example")
    assert isinstance(receive(other, inside, rules), Own)


def test_the_about_page_says_how_to_use_it() -> None:
    reception = receive(head("GET /", "Host: proxy.test:3128"), None, RULES)
    assert isinstance(reception, Own)
    assert b"http_proxy=http://proxy.test:3128 " in getattr(reception.answer.body, "data")  # noqa: B009


def test_what_cannot_be_read() -> None:
    own = unreadable(BadMessage(431, "the head is larger than 9 octets"))
    assert own == refused(
        431, "The request cannot be read in one way only: the head is larger than 9 octets."
    )
    assert own.close
