"""One line per exchange, in each format; nothing in it can break the line or tell a secret."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from proxy.admin import formats
from proxy.exchange.record import ExchangeRecord, What
from proxy.policy.reasons import HITS, Reason

param = pytest.param

WHAT = What(
    method="GET",
    target="http://a.example/b?c=d",
    minor=1,
    status=200,
    sent=1300,
    reason=Reason.MISS,
    content_type="text/html; charset=utf-8",
    forward_status=200,
    peer="203.0.113.9",
    referer="http://a.example/",
    user_agent="tool/1.0 (test)",
)
RECORD = ExchangeRecord(start=1700000000.5, elapsed=0.0125, client="192.0.2.7", what=WHAT)


def record(**changes: Any) -> ExchangeRecord:
    own = {name: changes.pop(name) for name in RECORD._fields if name in changes}
    return RECORD._replace(what=replace(WHAT, **changes), **own)


def test_squid() -> None:
    assert formats.squid([RECORD]) == (
        "1700000000.512     12 192.0.2.7 TCP_MISS/200 1300 GET http://a.example/b?c=d -"
        " HIER_DIRECT/203.0.113.9 text/html miss\n"
    )


def test_squid_without_origin() -> None:
    line = formats.squid([record(peer="-", content_type="-", reason=Reason.HIT, forward_status=0)])
    assert line.split()[3:] == [
        "TCP_HIT/200", "1300", "GET", "http://a.example/b?c=d", "-", "HIER_NONE/-", "-", "hit"
    ]  # fmt: skip


def test_squid_says_the_same_of_what_was_ready_again_and_again() -> None:
    whats = [replace(WHAT, reason=Reason.HIT, target=f"http://a.example/{n}") for n in range(9000)]
    records = [
        ExchangeRecord(1700000000 + n / 8, 0.0, f"192.0.2.{n % 2}", what)
        for n, what in enumerate(whats)
    ]
    for _ in range(2):
        for n, line in enumerate(formats.squid(records).splitlines()):
            at = f"{1700000000 + n // 8}.{n % 8 * 125:03d}"
            assert line.startswith(f"{at}      0 192.0.2.{n % 2} TCP_HIT/200 1300 GET http://a.")
            assert f".example/{n} - " in line


def test_what_is_remembered_is_bounded() -> None:
    remembered = formats._squid_ready
    for n in range(20_000):
        agent = "x" * (n % 3 * 1000)
        ready = replace(WHAT, reason=Reason.HIT, target=f"http://b/{n}", user_agent=agent)
        assert f"/{n} - " in formats.squid([RECORD._replace(what=ready, elapsed=0.0)])
        assert remembered.octets <= remembered.most
    held = sum(what.octets + len(line) for what, line in remembered.items())
    assert remembered.most // 2 < held < remembered.most


def test_combined() -> None:
    assert formats.combined([RECORD]) == (
        '192.0.2.7 - - [14/Nov/2023:22:13:20 +0000] "GET http://a.example/b?c=d HTTP/1.1"'
        ' 200 1300 "http://a.example/" "tool/1.0 (test)" miss\n'
    )


def test_json() -> None:
    line = formats.json([RECORD])
    assert line.endswith("}\n")
    assert msgspec.json.decode(line) == {
        "time": "2023-11-14T22:13:20.500Z",
        "elapsed_ms": 12.5,
        "client": "192.0.2.7",
        "method": "GET",
        "target": "http://a.example/b?c=d",
        "version": "HTTP/1.1",
        "status": 200,
        "sent": 1300,
        "reason": "miss",
        "result": "TCP_MISS",
        "content_type": "text/html; charset=utf-8",
        "forward_status": 200,
        "peer": "203.0.113.9",
        "referer": "http://a.example/",
        "user_agent": "tool/1.0 (test)",
        "aborted": False,
        "id": None,
    }


def test_json_says_null_for_what_is_absent() -> None:
    absent = record(peer="-", referer="-", user_agent="-", content_type="-", forward_status=0)
    line = formats.json([absent])
    decoded = msgspec.json.decode(line)
    for name in ("peer", "referer", "user_agent", "content_type", "forward_status"):
        assert decoded[name] is None


@pytest.mark.parametrize(
    ("reason", "status", "aborted", "code"),
    [
        param(Reason.HIT, 200, False, "TCP_HIT", id="hit"),
        param(Reason.HIT, 304, False, "TCP_IMS_HIT", id="hit, answered 304"),
        param(Reason.HIT, 200, True, "TCP_HIT_ABORTED", id="hit, aborted"),
        param(Reason.REVALIDATED, 200, False, "TCP_REFRESH_UNMODIFIED", id="revalidated"),
        param(Reason.EXPIRED, 200, False, "TCP_REFRESH_MODIFIED", id="expired"),
        param(Reason.REQUEST_NO_CACHE, 200, False, "TCP_CLIENT_REFRESH_MISS", id="reload"),
        param(Reason.CLIENT_GONE, 200, True, "TCP_MISS_ABORTED", id="client gone, once"),
        param(Reason.DENIED_PORT, 403, False, "TCP_DENIED", id="denied"),
        param(Reason.TUNNEL, 200, False, "TCP_TUNNEL", id="tunnel"),
        param(Reason.NOT_STORED_PRIVATE, 200, False, "TCP_MISS", id="any other"),
    ],
)
def test_squid_results(reason: Reason, status: int, aborted: bool, code: str) -> None:
    assert formats.result(reason, status, aborted) == code


@pytest.mark.parametrize("reason", Reason)
def test_analysers_count_as_hits_what_was_one(reason: Reason) -> None:
    served = ("HIT", "REFRESH_UNMODIFIED", "REFRESH_FAIL_OLD")
    code = formats.result(reason, 200, False)
    assert any(word in code for word in served) is (reason in HITS)


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("form", ["squid", "combined", "json"])
def test_every_format_carries_the_reason_word(form: str, reason: Reason) -> None:
    line = getattr(formats, form)([record(reason=reason)])
    word = msgspec.json.decode(line)["reason"] if form == "json" else line.split()[-1]
    assert word == reason.value


@pytest.mark.parametrize(
    ("target", "reason", "logged"),
    [
        param("http://u:p@a.example/x", Reason.MISS, "http://a.example/x", id="34 userinfo"),
        param("u:p@a.example:443", Reason.TUNNEL, "a.example:443", id="34 in an authority"),
        param("//u:p@a.example/x", Reason.MISS, "//a.example/x", id="34 without scheme"),
        param("http://u:p@q@a.example/", Reason.MISS, "http://a.example/", id="34 two at signs"),
        param("http://u:p/w?@a.example/", Reason.BAD_REQUEST, "a.example/", id="34 refused"),
        param("http:u:p@a.example/", Reason.BAD_REQUEST, "a.example/", id="34 refused, odd"),
        param("http://a.example/@s/p", Reason.MISS, "http://a.example/@s/p", id="@ in a path"),
        param("http://a.example//@s", Reason.MISS, "http://a.example//@s", id="@ after //"),
        param("http://a.example/?q=a@b", Reason.MISS, "http://a.example/?q=a@b", id="@ in a query"),
        param("/@s/p", Reason.SELF, "/@s/p", id="@ in origin-form"),
        param("", Reason.BAD_REQUEST, "-", id="nothing"),
    ],
)
def test_userinfo_is_not_logged(target: str, reason: Reason, logged: str) -> None:
    each = record(target=target, reason=reason)
    assert formats.squid([each]).split()[6] == logged
    assert formats.combined([each]).split()[6] == logged
    assert (msgspec.json.decode(formats.json([each]))["target"] or "-") == logged


def test_userinfo_in_a_referer_is_not_logged() -> None:
    each = record(referer="http://u:p@a.example/")
    assert '"http://a.example/"' in formats.combined([each])
    assert msgspec.json.decode(formats.json([each]))["referer"] == "http://a.example/"


NASTY = [
    param("a\r\nb", id="line break"),
    param("a b", id="space"),
    param('a"b', id="quote"),
    param("a\\b", id="backslash"),
    param("a\x1b[2Jb", id="terminal escape"),
    param("a\x9b2Jb", id="C1 escape"),
    param("a\x7fb", id="DEL"),
    param("a\x00b", id="NUL"),
    param("a\xffb", id="octet over 127"),
    param("a\x85b", id="NEL"),
]


@pytest.mark.parametrize("text", NASTY)
def test_a_squid_line_keeps_its_fields(text: str) -> None:
    each = record(target=text, method=text, content_type=text, peer=text, reason=Reason.BAD_REQUEST)
    line = formats.squid([each])
    assert line.isascii()
    assert line[:-1].isprintable()
    assert len(line.split()) == 11


@pytest.mark.parametrize("text", NASTY)
def test_a_combined_line_keeps_its_quotes(text: str) -> None:
    line = formats.combined([record(target=text, method=text, referer=text, user_agent=text)])
    assert line[:-1].isascii()
    assert line[:-1].isprintable()
    assert line.replace('\\"', "").count('"') == 6


@pytest.mark.parametrize("text", NASTY)
def test_a_json_line_stays_one_and_says_the_same(text: str) -> None:
    line = formats.json([record(target=text, user_agent=text)])
    assert line.count("\n") == 1
    assert not [c for c in line[:-1] if ord(c) < 32 or 126 < ord(c) < 160]
    assert msgspec.json.decode(line)["target"] == text


@pytest.mark.parametrize(
    ("text", "squid", "combined"),
    [
        param("/\xc3\xa9", "/%C3%A9", r"/%C3%A9", id="octets, not characters"),
        param("/a b", "/a%20b", "/a%20b", id="space"),
    ],
)
def test_escapes_show_the_octets(text: str, squid: str, combined: str) -> None:
    each = record(target=text)
    assert formats.squid([each]).split()[6] == squid
    assert formats.combined([each]).split()[6] == combined


def test_quoted_values_use_backslashes() -> None:
    line = formats.combined([record(user_agent='x"y\\z\n\xe9')])
    assert r'"x\"y\\z\x0a\xe9"' in line
