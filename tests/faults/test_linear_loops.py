"""No input costs more than linear time: each loop over what clients and origins send.

A row makes a step of about ``size`` octets; twice as much takes about twice as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from proxy.access.rules import AccessOptions, Rules
from proxy.admin import formats
from proxy.codings import registry, transform, transformable
from proxy.codings.options import CodingOptions
from proxy.exchange.own import asked_of_us
from proxy.exchange.record import ExchangeRecord, What
from proxy.frontend.connect import inside
from proxy.frontend.reception import receive
from proxy.policy import (
    directives,
    freshening,
    freshness,
    invalidation,
    keys,
    partial,
    representation,
    reuse,
    revalidation,
    storing,
    tags,
)
from proxy.policy.options import FreshnessOptions, Options
from proxy.policy.reasons import Reason
from proxy.policy.rules import Rule, TargetGlob
from proxy.policy.stored import Part
from proxy.semantics import (
    dates,
    forwarding,
    negotiation,
    preconditions,
    ranges,
    session_authentication,
    status_fields,
    targets,
    validators,
)
from proxy.semantics.fields import Fields
from proxy.semantics.globs import Glob
from proxy.semantics.grammar import list_members
from proxy.semantics.messages import Request, RequestHead, ResponseHead
from proxy.upstream import again
from proxy.wire import framing, heads
from proxy.wire.bodies import BodyDecoder, last_chunk
from proxy.wire.framing import CHUNKED
from proxy.wire.heads import BadMessage, Limits
from tests.support.build import uri
from tests.support.growing import MOST, grows
from tests.support.stored import NOW, OPTIONS, get, stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.growing import Step

    Make = Callable[[int], Step]

pytestmark = pytest.mark.slow

LIMITS: Final = Limits(line=2**30, head=2**30, fields=0)
URI: Final = uri("http://a.example/x")
CODING: Final = CodingOptions(encode="always", negotiate=True)
TARGETED: Final = Options(freshness=FreshnessOptions(targeted=("CDN-Cache-Control",)))
RULES: Final = Rules(AccessOptions())
IGNORING: Final = Rule(match="http://*/**", ignore_query=("utm_*", "*id*", "a*b*c"))


def value(unit: str, size: int) -> str:
    return unit * (size // len(unit))


def names(size: int) -> list[str]:
    return [f"x-{number:06}" for number in range(size // 10)]


def one(name: str, text: str) -> Fields:
    return Fields([(name, text)])


def many(name: str, text: str, size: int) -> Fields:
    return Fields([(name, text)] * (size // (len(name) + len(text))))


def asked(*lines: tuple[str, str], path: str = "/x") -> Request:
    return Request("GET", targets.TargetURI(URI.origin, path), Fields(lines))


def said(*lines: tuple[str, str], status: int = 200) -> ResponseHead:
    return ResponseHead(status, "", Fields(lines))


def refused(step: Step) -> Step:
    """A step that may end in what it is for."""

    def go() -> None:
        try:
            step()
        except (BadMessage, targets.BadTarget):
            return

    return go


def section(size: int) -> str:
    return "".join(f"{name}: y\r\n" for name in names(size))


def request_head(lines: str, target: str = "http://a.example/x") -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n".encode("latin-1")


def response_head(lines: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode("latin-1")


def in_pieces(octets: bytes, size: int, *, origin: bool = False) -> Step:
    def go() -> None:
        decoder = BodyDecoder(CHUNKED, LIMITS, origin=origin)
        for start in range(0, len(octets), size):
            decoder.feed(octets[start : start + size])

    return refused(go)


def dripped(octets: bytes) -> Step:
    """A head as a connection reads it, octet by octet."""

    def go() -> None:
        buffer, searched = bytearray(), 0
        for octet in octets:
            buffer.append(octet)
            if heads.head_end(buffer, searched) < 0:
                heads.check_partial(buffer, LIMITS, searched)
                searched = len(buffer)

    return refused(go)


def dripped_response(octets: bytes) -> Step:
    def go() -> None:
        buffer, searched = bytearray(), 0
        for octet in octets:
            buffer.append(octet)
            if heads.head_end(buffer, searched) < 0:
                heads.check_partial_response(buffer, LIMITS, searched)
                searched = len(buffer)

    return refused(go)


WIRE: Final[dict[str, tuple[int, Make]]] = {
    "request: many fields": (50_000, lambda n: lambda: heads.parse_request(request_head(section(n)), LIMITS)),
    "request: one long field": (50_000, lambda n: lambda: heads.parse_request(request_head(f"x: {value('a ', n)}b\r\n"), LIMITS)),
    "request: blanks": (50_000, lambda n: lambda: heads.parse_request(request_head(f"x:{value(' ', n)}\r\n"), LIMITS)),
    "request: many that are empty": (50_000, lambda n: lambda: heads.parse_request(request_head(value("x:\r\n", n)), LIMITS)),
    "request: a bad line at the end": (50_000, lambda n: refused(lambda: heads.parse_request(request_head(section(n) + "bad\r\n"), LIMITS))),
    "request: a long name": (50_000, lambda n: refused(lambda: heads.parse_request(request_head(value("x", n) + "\r\n"), LIMITS))),
    "request: a long line of no target": (50_000, lambda n: refused(lambda: heads.parse_request(request_head("", value("a b", n)), LIMITS))),
    "request: Host": (50_000, lambda n: refused(lambda: heads.parse_request(request_head(f"Host: {value('a.', n)}/\r\n"), LIMITS))),
    "request: octet by octet": (4_000, lambda n: dripped(request_head(section(n)))),
    "request: a first line octet by octet": (4_000, lambda n: dripped(b"GET http://a/" + b"a" * n)),
    "response: many fields": (50_000, lambda n: lambda: heads.parse_response(response_head(section(n)), LIMITS)),
    "response: lone CRs": (50_000, lambda n: refused(lambda: heads.parse_response(response_head(f"x: {value(chr(13), n)}\r\n"), LIMITS))),
    "response: octet by octet": (4_000, lambda n: dripped_response(response_head(section(n)))),
    "response: a phrase": (50_000, lambda n: refused(lambda: heads.parse_response(f"HTTP/1.1 200 {value('a ', n)}\r\n\r\n".encode(), LIMITS))),
    "chunks of one octet": (20_000, lambda n: in_pieces(b"1\r\na\r\n" * (n // 6) + b"0\r\n\r\n", 65536)),
    "chunks of one octet, octet by octet": (10_000, lambda n: in_pieces(b"1\r\na\r\n" * (n // 6) + b"0\r\n\r\n", 1)),
    "chunks with extensions": (60_000, lambda n: in_pieces(b"1;a=b;c\r\na\r\n" * (n // 12), 65536)),
    "padded chunks": (60_000, lambda n: in_pieces(b"1    \r\na\r\n" * (n // 10), 65536, origin=True)),
    "one chunk in small pieces": (60_000, lambda n: in_pieces(b"%x\r\n" % n + b"a" * n, 7)),
    "trailers": (50_000, lambda n: in_pieces(b"0\r\n" + section(n).encode() + b"\r\n", 65536)),
    "trailers octet by octet": (8_000, lambda n: in_pieces(b"0\r\n" + section(n).encode() + b"\r\n", 1)),
    "trailers sent": (50_000, lambda n: lambda: last_chunk(Fields((name, "y") for name in names(n)))),
    "a head sent": (50_000, lambda n: lambda: heads.render_response(200, "OK", [(name, "y") for name in names(n)])),
    "Content-Length": (50_000, lambda n: refused(lambda: framing.request_framing(RequestHead("POST", "", 1, one("Content-Length", value("5, ", n)))))),
    "Content-Lengths": (50_000, lambda n: refused(lambda: framing.request_framing(RequestHead("POST", "", 1, many("Content-Length", "5", n))))),
    "Transfer-Encoding": (50_000, lambda n: refused(lambda: framing.request_framing(RequestHead("POST", "", 1, one("Transfer-Encoding", value("a, ", n)))))),
    "Transfer-Encoding of a response": (50_000, lambda n: refused(lambda: framing.response_framing("GET", said(("Transfer-Encoding", value("a, ", n)))))),
    "Connection": (50_000, lambda n: lambda: framing.keeps_alive(1, one("Connection", value("a, ", n)))),
    "inside CONNECT": (50_000, lambda n: lambda: inside(b"a" * n)),
    "an answer as expected": (50_000, lambda n: lambda: again.said(response_head(section(n) + "Date: " + "x" * 29 + "\r\n"), one("Date", "x"), 5)),
}  # fmt: skip

SEMANTICS: Final[dict[str, tuple[int, Make]]] = {
    "list": (50_000, lambda n: lambda: list_members(value("a, ", n))),
    "list: commas": (50_000, lambda n: lambda: list_members(value(",", n))),
    "list: quotes": (50_000, lambda n: lambda: list_members(value('"a,b",', n))),
    "list: a quote that is open": (50_000, lambda n: lambda: list_members('"' + value("a,", n))),
    "list: escapes": (50_000, lambda n: lambda: list_members('"' + value('\\"', n))),
    "list: odd quotes": (50_000, lambda n: lambda: list_members(value('a"', n) + '"')),
    "fields: the same name": (50_000, lambda n: lambda: many("A", "b", n).get("a")),
    "fields: members": (50_000, lambda n: lambda: many("A", "b, c", n).members("a")),
    "fields: without": (50_000, lambda n: lambda: Fields((name, "y") for name in names(n)).without(set(names(n)))),
    "fields: differing": (50_000, lambda n: lambda: Fields((name, "y") for name in names(n)).differing(Fields((name, "z") for name in names(n)))),
    "target": (50_000, lambda n: refused(lambda: targets.parse("GET", "http://a.example/" + value("%2e/", n)))),
    "target: dots": (50_000, lambda n: refused(lambda: targets.parse("GET", "http://" + value("a.", n) + "/"))),
    "target: numbers": (50_000, lambda n: refused(lambda: targets.parse("GET", "http://" + value("1.", n) + "1/"))),
    "target: colons": (50_000, lambda n: refused(lambda: targets.parse("GET", "http://[" + value(":1", n) + "]/"))),
    "target: userinfo": (50_000, lambda n: refused(lambda: targets.parse("GET", "http://" + value("a:b@", n) + "/"))),
    "target: a control at the end": (50_000, lambda n: refused(lambda: targets.parse("GET", "http://a/" + value("a?", n) + "\x01"))),
    "CONNECT": (50_000, lambda n: refused(lambda: targets.parse("CONNECT", value("a.", n) + ":443"))),
    "date": (50_000, lambda n: lambda: dates.parse_date("Sun, " + value("0 ", n), NOW)),
    "ranges": (50_000, lambda n: lambda: ranges.plan(asked(("Range", "bytes=" + value("0-0,", n))), said(), 1000)),
    "ranges: commas": (50_000, lambda n: lambda: ranges.plan(asked(("Range", "bytes=" + value(",", n))), said(), 1000)),
    "ranges: digits": (50_000, lambda n: lambda: ranges.plan(asked(("Range", "bytes=" + value("1", n) + "-")), said(), 1000)),
    "If-Range": (50_000, lambda n: lambda: ranges.plan(asked(("Range", "bytes=0-1"), ("If-Range", '"' + value("a", n))), said(), 1000)),
    "Content-Range": (50_000, lambda n: lambda: ranges.parse_content_range("bytes " + value("0", n) + "-1/2")),
    "If-None-Match": (50_000, lambda n: lambda: preconditions.evaluate(asked(("If-None-Match", value('W/"a", ', n))), said(("ETag", '"b"')), NOW)),
    "If-None-Match: commas": (50_000, lambda n: lambda: preconditions.evaluate(asked(("If-None-Match", value(" ,", n))), said(("ETag", '"b"')), NOW)),
    "If-Modified-Since": (50_000, lambda n: lambda: preconditions.evaluate(asked(("If-Modified-Since", value("Sun, ", n))), said(), NOW)),
    "ETag": (50_000, lambda n: lambda: validators.parse_etag('"' + value("a", n))),
    "Accept-Encoding": (50_000, lambda n: lambda: negotiation.accepted(one("Accept-Encoding", value("gzip;q=0.5, ", n)))),
    "Accept-Encoding: many names": (50_000, lambda n: lambda: negotiation.accepted(one("Accept-Encoding", ", ".join(names(n))))),
    "Via": (50_000, lambda n: lambda: asked_of_us(asked(("Via", value("1.1 a, ", n))), "us")),
    "Via: comments": (50_000, lambda n: lambda: asked_of_us(asked(("Via", value("1.1 a (b,c", n))), "us")),
    "Via: lines": (50_000, lambda n: lambda: asked_of_us(Request("GET", URI, many("Via", "1.1 a", n)), "us")),
    "Max-Forwards": (50_000, lambda n: lambda: forwarding.max_forwards(one("Max-Forwards", value("1", n)))),
    "Connection names": (50_000, lambda n: lambda: forwarding.request_fields(Fields([("Connection", ", ".join(names(n))), *((name, "y") for name in names(n))]), URI, "us", 1)),
    "Connection names of a response": (50_000, lambda n: lambda: forwarding.response_fields(Fields([("Connection", ", ".join(names(n))), *((name, "y") for name in names(n))]), "us", 1)),
    "lengths of an answer to HEAD": (50_000, lambda n: lambda: forwarding.response_fields(one("Content-Length", value("5, ", n)), "us", 1, keep_length=True)),
    "interim": (50_000, lambda n: lambda: forwarding.interim_fields(Fields((name, "y") for name in names(n)), "us", 1)),
    "trailer names": (50_000, lambda n: lambda: forwarding.trailer_fields(Fields((name, "y") for name in names(n)), one("Connection", ", ".join(names(n))))),
    "trailers: long names": (50_000, lambda n: lambda: forwarding.trailer_fields(one(value("-cache-control", n), "y"), Fields())),
    "TE": (50_000, lambda n: lambda: forwarding.accepts_trailers(one("TE", value("a;q=0, ", n)), 1)),
    "Upgrade": (50_000, lambda n: lambda: forwarding.upgrade_protocol(Fields([("Connection", "upgrade"), ("Upgrade", value("a/b, ", n))]))),
    "NTLM": (50_000, lambda n: lambda: session_authentication.is_answer(one("Authorization", value("Basic, ", n) + "NTLM " + value("A ", n)))),
    "WWW-Authenticate": (50_000, lambda n: lambda: session_authentication.may_pass(one("WWW-Authenticate", value(", \t", n)))),
    "Cache-Status": (50_000, lambda n: lambda: status_fields.cache_status(key=value('\xe9"', n))),
    "Proxy-Status": (50_000, lambda n: lambda: status_fields.proxy_status("x", value('\xe9"', n))),
    "glob": (20_000, lambda n: lambda: Glob("*a*a*a*b").matches(value("a", n))),
    "glob: both": (500, lambda n: lambda: Glob("**" + "a*" * 20 + "b", "/", "").matches(value("a", n))),
    "reception": (50_000, lambda n: lambda: receive(RequestHead("GET", "http://a.example/", 1, Fields([("Connection", ", ".join(names(n))), *((name, "y") for name in names(n))])), None, RULES)),
}  # fmt: skip


def variants(size: int) -> list:  # type: ignore[type-arg]
    """A few responses that each name many fields."""
    vary = "Vary: " + ", ".join(names(size))
    return [stored("max-age=60", vary, to=get(f"X-000001: {n}"), body_id=str(n)) for n in range(8)]


def selected(size: int) -> Step:
    found = variants(size)
    return lambda: reuse.decide(get("X-000001: 7"), found, NOW, OPTIONS)


def one_of_many(size: int) -> Step:
    found = [
        stored("max-age=60", "Vary: X", f'ETag: "{n}"', to=get(f"X: {n}"), body_id=str(n))
        for n in range(size // 10)
    ]
    return lambda: reuse.decide(get("X: y"), found, NOW, OPTIONS)


def freshened(size: int) -> Step:
    lines = [(name, "y") for name in names(size)]
    held = [(name, "z") for name in names(size)]
    head = said(("ETag", '"a"'), ("Cache-Control", "max-age=60"), *lines, status=304)

    def go() -> None:
        kept = storing.from_response(get(), said(("ETag", '"a"'), *held), OPTIONS, "1", NOW, NOW)
        freshening.by_not_modified((kept,), get(), head, (NOW + 1, NOW + 1), OPTIONS)

    return go


def widened(size: int) -> Step:
    """A 304 that names more fields in Vary."""
    vary = ", ".join(names(size))
    head = said(("ETag", '"a"'), ("Vary", vary + ", x"), status=304)

    def go() -> None:
        first = said(("ETag", '"a"'), ("Vary", vary))
        kept = storing.from_response(get(), first, OPTIONS, "1", NOW, NOW)
        revalidation.freshened(kept, head, get(), OPTIONS, NOW, NOW)

    return go


POLICY: Final[dict[str, tuple[int, Make]]] = {
    "Cache-Control of a request": (50_000, lambda n: lambda: directives.parse_request_directives(one("Cache-Control", value("max-age=1, ", n)))),
    "Cache-Control": (50_000, lambda n: lambda: directives.parse_response_directives(one("Cache-Control", value("max-age=1, ", n)))),
    "Cache-Control: extensions": (50_000, lambda n: lambda: directives.parse_response_directives(one("Cache-Control", ", ".join(names(n))))),
    "Cache-Control: names": (50_000, lambda n: lambda: directives.parse_response_directives(one("Cache-Control", f'no-cache="{", ".join(names(n))}"'))),
    "Cache-Control: open": (50_000, lambda n: lambda: directives.parse_response_directives(one("Cache-Control", 'x="' + value("a, ", n)))),
    "Cache-Control: spaced": (50_000, lambda n: lambda: directives.parse_response_directives(one("Cache-Control", "max-age" + value(" ", n) + "= x"))),
    "Cache-Control: escapes": (50_000, lambda n: lambda: directives.parse_response_directives(one("Cache-Control", 'x="' + value('\\"', n) + '"'))),
    "Cache-Control: lines": (50_000, lambda n: lambda: directives.parse_response_directives(many("Cache-Control", "max-age=1", n))),
    "CDN-Cache-Control": (50_000, lambda n: lambda: directives.parse_response_directives(one("CDN-Cache-Control", value("a=(b c);d, ", n) + "e"), ("CDN-Cache-Control",))),
    "CDN-Cache-Control: one list": (50_000, lambda n: lambda: directives.parse_response_directives(one("CDN-Cache-Control", "a=(" + value("b;c ", n)), ("CDN-Cache-Control",))),
    "Pragma": (50_000, lambda n: lambda: directives.parse_request_directives(one("Pragma", value("a, ", n)))),
    "Age": (50_000, lambda n: lambda: freshness.age_value(one("Age", value("1", n)))),
    "Age: a list": (50_000, lambda n: lambda: freshness.age_value(one("Age", value("1, ", n)))),
    "Vary": (50_000, lambda n: lambda: keys.selecting(keys.varying(one("Vary", ", ".join(names(n)))), Fields((name, "y") for name in names(n)))),
    "Vary: Accept": (50_000, lambda n: lambda: keys.selecting(["accept"], one("Accept", value('a/b;c="d", ', n) + "e/f"))),
    "Vary: Accept-Language": (50_000, lambda n: lambda: keys.selecting(["accept-language"], one("Accept-Language", ", ".join(f"a-{k};q=0.{k % 9}" for k in range(n // 10))))),
    "Vary: Accept-Language, invalid": (50_000, lambda n: lambda: keys.selecting(["accept-language"], one("Accept-Language", value("en;q=0.5, ", n) + "e n"))),
    "Vary: many names, few variants": (20_000, selected),
    "Vary: one name, many variants": (2_000, one_of_many),
    "query": (50_000, lambda n: lambda: keys.primary(asked(path="/x?" + value("utm_a=1&", n)).uri, IGNORING)),
    "query: one name": (20_000, lambda n: lambda: keys.primary(asked(path="/x?" + value("ab", n) + "=1").uri, IGNORING)),
    "rule": (20_000, lambda n: lambda: IGNORING.applies(asked(path=value("/a", n)).uri)),
    "rule: three stars": (5_000, lambda n: lambda: TargetGlob("http://*/**a**a**a**b?*c*c*c*d").matches("http://a/" + value("a", n) + "?" + value("c", n))),
    "304": (50_000, freshened),
    "304 with more in Vary": (20_000, widened),
    "storing": (50_000, lambda n: lambda: storing.may_store(get(), said(("Cache-Control", "max-age=9"), *((name, "y") for name in names(n))), NOW, OPTIONS)),
    "storing: Set-Cookie": (50_000, lambda n: lambda: storing.may_store(get(), ResponseHead(200, "", many("Set-Cookie", "a=b; Path=/", n)), NOW, OPTIONS)),
    "storing: a part": (50_000, lambda n: lambda: storing.may_store(asked(("Range", "bytes=" + value("0-0,", n))), said(("Content-Range", value("0", n)), status=206), NOW, OPTIONS)),
    "storing: targeted": (50_000, lambda n: lambda: storing.may_store(get(), said(("CDN-Cache-Control", value("a=1, ", n))), NOW, TARGETED)),
    "a part: is it for all": (50_000, lambda n: lambda: partial.is_for_all(asked(("Range", "bytes=" + value("0-0,", n))))),
    "a part: what is missing": (50_000, lambda n: lambda: partial.missing(stored("max-age=1", 'ETag: "a"'), Part(0, 1, 9), asked(("Range", "bytes=" + value("0-0,", n))))),
    "a shape": (50_000, lambda n: lambda: representation.shape(asked(("Range", "bytes=" + value("0-0,", n))), stored("max-age=1"), 10, NOW)),
    "Location": (50_000, lambda n: lambda: invalidation.keys(Request("POST", URI, Fields()), said(("Location", value("../", n))))),
    "Location: dots": (50_000, lambda n: lambda: invalidation.keys(Request("POST", URI, Fields()), said(("Location", value("./", n))))),
    "tags": (50_000, lambda n: lambda: tags.tags(one("Cache-Tag", value("a,", n)))),
    "tags: spaces": (50_000, lambda n: lambda: tags.tags(one("xkey", value("a ", n)))),
    "groups": (50_000, lambda n: lambda: tags.tags(one("Cache-Groups", value('"a";b=1, ', n) + '"c"'))),
    "groups: one": (50_000, lambda n: lambda: tags.tags(one("Cache-Groups", '"a"' + value(";b=1", n) + "!"))),
    "groups: open": (50_000, lambda n: lambda: tags.tags(one("Cache-Groups", '"' + value("\\", n)))),
}  # fmt: skip

CODED: Final = [("Content-Encoding", "gzip"), ("Content-Type", "text/plain")]
CODINGS: Final[dict[str, tuple[int, Make]]] = {
    "Content-Encoding": (50_000, lambda n: lambda: registry.chain(one("Content-Encoding", value("a, ", n)))),
    "negotiable: signed": (50_000, lambda n: lambda: transformable.negotiable(asked(("Accept-Encoding", "gzip"), path="/x?" + value("?a&b=", n)), CODING)),
    "negotiable: question marks": (50_000, lambda n: lambda: transformable.negotiable(asked(("Accept-Encoding", "gzip"), path="/x" + value("?", n)), CODING)),
    "negotiable: names": (50_000, lambda n: lambda: transformable.negotiable(asked(("Accept-Encoding", "gzip"), (value("signatur", n), "x")), CODING)),
    "verbatim": (50_000, lambda n: lambda: transformable.is_verbatim(get(), said(*CODED, ("Content-Disposition", value('filename="a"; ', n))), None)),
    "verbatim: open": (50_000, lambda n: lambda: transformable.is_verbatim(get(), said(*CODED, ("Content-Disposition", 'filename="' + value('\\"', n))), None)),
    "verbatim: names": (50_000, lambda n: lambda: transformable.is_verbatim(get(), said(*((name, "y") for name in names(n))), None)),
    "form": (50_000, lambda n: lambda: transform.choose(asked(("Accept-Encoding", value("br;q=1, ", n))), said(*CODED), 10_000, CODING, local=False)),
    "tags: unmarked": (50_000, lambda n: lambda: transform.unmarked(one("If-None-Match", value('"a~forecache.gzip", ', n)))),
    "tags: marks": (50_000, lambda n: lambda: transform.unmarked(one("If-None-Match", '"' + value("~forecache.gzip", n) + '"'))),
    "tags: as held": (50_000, lambda n: lambda: transform.as_held(said(("ETag", '"a"')), one("If-None-Match", value('"a~forecache.gzip", ', n)))),
}  # fmt: skip


def logged(format_: str, **texts: str) -> Step:
    what = What("GET", texts.get("target", "-"), 1, 200, 1, Reason.MISS, **{k: v for k, v in texts.items() if k != "target"})  # type: ignore[arg-type]  # fmt: skip
    record = ExchangeRecord(NOW, 1.0, "127.0.0.1", what)
    return lambda: getattr(formats, format_)([record])


LOGS: Final[dict[str, tuple[int, Make]]] = {
    "target": (50_000, lambda n: logged("squid", target="http://" + value("a:b@", n))),
    "target: slashes": (50_000, lambda n: logged("combined", target=value("//", n) + "@")),
    "target: no userinfo": (50_000, lambda n: logged("json", target=value("a", n) + "/@")),
    "referer": (50_000, lambda n: logged("combined", referer=value("a:", n) + "@")),
    "referer: colons": (50_000, lambda n: logged("json", referer=value("a:", n))),
    "agent": (50_000, lambda n: logged("combined", user_agent=value('"\\\x85', n))),
    "agent in JSON": (50_000, lambda n: logged("json", user_agent=value('"\\\x85', n))),
    "type": (50_000, lambda n: logged("squid", content_type=value(" ;", n))),
}

ROWS: Final = {
    f"{group}: {name}": row
    for group, rows in (
        ("wire", WIRE),
        ("semantics", SEMANTICS),
        ("policy", POLICY),
        ("codings", CODINGS),
        ("log", LOGS),
    )
    for name, row in rows.items()
}


@pytest.mark.parametrize("name", ROWS)
def test_twice_as_much_takes_twice_as_long(name: str) -> None:
    size, make = ROWS[name]
    assert grows(make, size) < MOST
