"""What a record says: no userinfo, and nothing that is very long, whoever makes it."""

from __future__ import annotations

import pytest
from msgspec import structs

from proxy.exchange.record import LONGEST, What
from proxy.policy.reasons import Reason

param = pytest.param

USERINFO = [
    param("http://u:p@a.example/x", "http://a.example/x", id="userinfo"),
    param("u:p@a.example:443", "a.example:443", id="in an authority"),
    param("//u:p@a.example/x", "//a.example/x", id="without scheme"),
    param("http://u:p@q@a.example/", "http://a.example/", id="two at signs"),
    param("http:/u:p@a.example/", "a.example/", id="one slash"),
    param("http:///u:p@a.example/", "a.example/", id="three slashes"),
    param("http:u:p@a.example/", "a.example/", id="no slash"),
    param("http://a.example/@s/p", "http://a.example/@s/p", id="@ in a path"),
    param("http://a.example//@s", "http://a.example//@s", id="@ after //"),
    param("http://a.example/?q=a@b", "http://a.example/?q=a@b", id="@ in a query"),
    param("http://a.example?q=a@b", "http://a.example?q=a@b", id="@ in a query without a path"),
    param("/@s/p", "/@s/p", id="@ in origin-form"),
    param(f"http://{'u' * 2 * LONGEST}:p@a.example/", "http://a.example/", id="very long"),
]


def what(target: str, reason: Reason = Reason.MISS, referer: str = "-") -> What:
    return What("GET", target, 1, 200, 9, reason, referer=referer)


@pytest.mark.parametrize(("text", "without"), USERINFO)
def test_34_userinfo_is_taken_out(text: str, without: str) -> None:
    made = what(text, referer=text)
    assert (made.target, made.referer) == (without, without)
    again = structs.replace(what("-"), target=text, referer=text)
    assert (again.target, again.referer) == (without, without)


@pytest.mark.parametrize(
    ("text", "without"),
    [
        param("http://u:p/w?@a.example/", "a.example/", id="no grammar"),
        param("http://a.example/@s/p", "s/p", id="all before an @"),
        param("", "", id="nothing"),
    ],
)
def test_34_what_was_refused_follows_no_grammar(text: str, without: str) -> None:
    assert what(text, Reason.BAD_REQUEST).target == without


def test_37_texts_are_cut() -> None:
    long = "x" * 60_000
    made = What(long, long, 1, 200, 9, Reason.MISS, long, 0, "-", long, long)
    sizes = {len(text) for text in (made.method, made.content_type, made.referer, made.user_agent)}
    assert sizes == {2048}
    assert len(made.target) == LONGEST
    assert made.octets > LONGEST + 4 * 2048


def test_37_what_is_usual_is_whole() -> None:
    made = What(
        "GET", f"http://a.example/{'x' * 8000}", 1, 200, 9, Reason.MISS, "-", 0, "-", "y" * 2000
    )
    assert (len(made.target), len(made.referer)) == (8017, 2000)
