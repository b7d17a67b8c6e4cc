"""The request as it goes to the origin, and the head as it comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from proxy.codings.options import CodingOptions
from proxy.exchange.answer import Inbound
from proxy.exchange.origin import Asking
from proxy.exchange.voice import Voice
from proxy.policy.options import Options
from proxy.policy.rules import Rule
from proxy.semantics.fields import NO_FIELDS, Fields
from proxy.semantics.messages import Request
from proxy.upstream.base import BadResponse
from tests.support.bench import PSEUDONYM, URL
from tests.support.build import fields, req, resp, uri
from tests.support.fakes import FakeFetcher

if TYPE_CHECKING:
    from proxy.semantics.messages import ResponseHead

CONDITION = fields('If-None-Match: "1"')


def ignore(_: ResponseHead) -> None:
    """Interim responses."""


class Place:
    """What asks, and what it asks."""

    def __init__(self, options: Options | None = None, *, negotiate: bool = False) -> None:
        self.fetcher = FakeFetcher()
        coding = CodingOptions(negotiate=negotiate)
        self.asking = Asking(self.fetcher, Voice(PSEUDONYM), options or Options(), coding)

    async def sent(self, line: str, *lines: str, conditional: Fields | None = None) -> Fields:
        inbound = Inbound(req(f"{line} {URL}", *lines), None, None, ignore)
        self.fetcher.says(URL, resp(200), b"")
        await self.asking.ask(inbound, conditional)
        return self.fetcher.requests[-1].fields

    async def received(self, head: ResponseHead, line: str = "GET") -> ResponseHead:
        self.fetcher.says(URL, head, b"")
        inbound = Inbound(req(f"{line} {URL}", "If-None-Match: *"), None, None, ignore)
        return (await self.asking.ask(inbound, None)).head


async def test_forwarded_as_a_proxy_does() -> None:
    sent = await Place().sent("GET", "Host: other.example", "Proxy-Authorization: x", "X: y")
    said = [("Host", "a.example"), ("X", "y"), ("Via", f"1.1 {PSEUDONYM}")]
    assert list(sent) == said


@pytest.mark.parametrize("name", ["If-None-Match", "If-Modified-Since", "Range", "If-Range"])
@pytest.mark.parametrize(
    ("conditional", "tag"),
    [
        pytest.param(None, None, id="the client's own stay"),
        pytest.param(CONDITION, '"1"', id="9111-4.3.1 ours instead"),
        pytest.param(NO_FIELDS, None, id="none at all"),
    ],
)
async def test_conditions(name: str, conditional: Fields | None, tag: str | None) -> None:
    sent = await Place().sent("GET", f"{name}: theirs", conditional=conditional)
    stays = conditional is None or name.endswith("Range")
    assert ("theirs" in [value for _, value in sent]) is stays
    if conditional is not None:
        assert sent.get("if-none-match") == tag


async def test_a_missing_part_is_asked_for_instead_of_the_clients() -> None:
    missing = fields("Range: bytes=5-9", 'If-Range: "1"')
    lines = ("Range: bytes=0-9", 'If-Range: "theirs"')
    sent = await Place().sent("GET", *lines, conditional=missing)
    assert (sent.all("range"), sent.all("if-range")) == (("bytes=5-9",), ('"1"',))


@pytest.mark.parametrize(
    ("method", "said"),
    [
        pytest.param("OPTIONS", "4", id="7.6.2 OPTIONS"),
        pytest.param("TRACE", "4", id="7.6.2 TRACE"),
        pytest.param("GET", "5", id="7.6.2 means nothing to others"),
    ],
)
async def test_max_forwards(method: str, said: str) -> None:
    assert (await Place().sent(method, "Max-Forwards: 5")).get("max-forwards") == said


@pytest.mark.parametrize(
    ("line", "head", "length"),
    [
        pytest.param("GET", resp(200, "Content-Length: 7"), None, id="framing is the sender's"),
        pytest.param("HEAD", resp(200, "Content-Length: 7"), "7", id="8.6 HEAD keeps it"),
        pytest.param("GET", resp(304, "Content-Length: 7"), "7", id="8.6 a 304 keeps it"),
    ],
)
async def test_content_length(line: str, head: ResponseHead, length: str | None) -> None:
    assert (await Place().received(head, line)).fields.get("content-length") == length


@pytest.mark.parametrize(
    ("lines", "added"),
    [
        pytest.param(["Date: Sun, 06 Nov 1994 08:49:37 GMT"], False, id="the origin's"),
        pytest.param([], True, id="6.6.1 ours where there is none"),
    ],
)
async def test_date(lines: list[str], added: bool) -> None:
    head = await Place().received(resp(200, "", *lines, minor=0))
    assert (head.fields.get("date") != "Sun, 06 Nov 1994 08:49:37 GMT") is added
    assert head.fields.get("via") == f"1.0 {PSEUDONYM}"
    assert head.minor == 0


@pytest.mark.parametrize("line", ["X: y", "Range: bytes=0-1", 'If-Match: "1"'])
async def test_an_unasked_304_is_malformed(line: str) -> None:
    # Promise 11.
    place = Place()
    response = place.fetcher.says(URL, resp(304), b"")
    inbound = Inbound(req(f"GET {URL}", line), None, None, ignore)
    with pytest.raises(BadResponse):
        await place.asking.ask(inbound, None)
    assert response.closed == 1


async def test_switching() -> None:
    head = resp(101, "Connection: Upgrade, X", "Upgrade: chat", "X: y", "Z: z")
    said = Place().asking.switching(head)
    assert list(said) == [
        ("Z", "z"), ("Via", f"1.1 {PSEUDONYM}"), ("Connection", "Upgrade"), ("Upgrade", "chat"),
    ]  # fmt: skip


OURS = "zstd, br;q=0.9, gzip;q=0.8"


@pytest.mark.parametrize(
    ("line", "lines", "rule", "expected"),
    [
        pytest.param("GET", (), None, OURS, id="12.5.3 whatever the client says: nothing"),
        pytest.param("HEAD", ("Accept-Encoding: br",), None, OURS, id="HEAD as GET"),
        pytest.param("PUT", ("Accept-Encoding: br",), None, "br", id="another method"),
        pytest.param(
            "GET", ("Accept-Encoding: br", "Range: bytes=0-1"), None, "br", id="14.2 a range"
        ),
        pytest.param("GET", ("Accept-Encoding: br",), False, "br", id="a rule"),
        pytest.param("GET", ("Accept-Encoding: br",), True, OURS, id="a rule that lets"),
    ],
)
async def test_in_our_own_words(
    line: str, lines: tuple[str, ...], rule: bool | None, expected: str
) -> None:
    rules = () if rule is None else (Rule(match="http://*/**", negotiate=rule),)
    place = Place(Options(rules=rules), negotiate=True)
    for _ in range(2):
        assert (await place.sent(line, *lines)).get("accept-encoding") == expected


async def test_marks_are_ours_alone() -> None:
    fields = await Place().sent("PUT", 'If-Match: W/"1~forecache.gzip"')
    assert fields.get("if-match") == '"1"'


RULE = Rule(match="http://*/plain/**", negotiate=False)
NEGOTIATE = CodingOptions(negotiate=True)


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        pytest.param({"url": f"{URL}/other"}, False, id="another path"),
        pytest.param({"url": "http://b.example/"}, True, id="another host"),
        pytest.param({"method": "POST"}, True, id="another method"),
        pytest.param({"minor": 0}, True, id="7.6.3 another version"),
        pytest.param({"as_asked": True}, True, id="in the client's words"),
        pytest.param({"url": "http://a.example/plain/"}, True, id="another rule"),
        pytest.param({"url": f"{URL}?sig=x"}, True, id="a signature in the query"),
        pytest.param({"host": "b.example"}, True, id="with the Host of another authority"),
        pytest.param({"via": "other"}, True, id="7.6.3 by another proxy"),
    ],
)
def test_fields_that_came_before_go_out_as_this_request_needs(
    other: dict[str, Any], differs: bool
) -> None:
    speakers = {
        via: Asking(FakeFetcher(), Voice(via), Options(rules=(RULE,)), NEGOTIATE)
        for via in (PSEUDONYM, "other")
    }

    def onward(
        shared: Fields,
        method: str = "GET",
        url: str = URL,
        minor: int = 1,
        as_asked: bool = False,
        via: str = PSEUDONYM,
        host: str = "",
    ) -> tuple[bool, Fields]:
        request = Request(method, uri(url), shared, minor, host=host)
        return speakers[via].fields(request, as_asked=as_asked)

    shared = fields("Accept-Encoding: br", "X: y")
    first, again = onward(shared), onward(shared, **other)
    assert again == onward(Fields(shared.lines), **other)
    assert (again != first) is differs
