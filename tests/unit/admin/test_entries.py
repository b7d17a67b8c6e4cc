"""What is shown of a stored URL."""

import pytest

from proxy.admin.entries import Unclear, key, shape_of, uri
from proxy.policy.options import Options
from proxy.policy.rules import Rule
from tests.support.stored import NOW, URL, stored

OPTIONS = Options()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://a.example/", "cannot be used"),
        ("http://", "cannot be used"),
        ("/path", "whole url"),
        ("*", "cannot be used|whole url"),
    ],
)
def test_what_is_no_url(url: str, said: str) -> None:
    with pytest.raises(Unclear, match=said):
        uri(url)


def test_the_key_leaves_out_what_a_rule_does() -> None:
    rule = Rule(match="http://a.example/**", ignore_query=("s",))
    assert key("HTTP://A.example:80/x?s=1&t=2", Options(rules=(rule,))) == f"{URL}?t=2"


def test_what_is_shown() -> None:
    one = stored("max-age=60", 'ETag: "1"', "Cache-Tag: b, a", body_id="one", length=7)
    form = stored("max-age=60", length=9)
    shape = shape_of(URL, (3, NOW), [(one, {"gzip": form})], OPTIONS, NOW + 10)
    assert (shape.url, shape.key, shape.hits, shape.used) == (URL, URL, 3, NOW)
    assert shape.tags == ["a", "b"]
    (variant,) = shape.variants
    assert (variant.id, variant.status, variant.octets) == ("one", 200, 7)
    assert variant.validators == {"ETag": '"1"'}
    assert [(kept.coding, kept.octets) for kept in variant.forms] == [("gzip", 9)]
    assert (variant.freshness["lifetime"], variant.freshness["age"]) == (60, 10)
