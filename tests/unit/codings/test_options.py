"""The section [coding]."""

from dataclasses import fields
from typing import Any

import pytest

from proxy.codings.options import CodingOptions
from proxy.codings.registry import Coding


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"types": ("text/*", "json")}, "types has 'json': write", id="no media type"),
        pytest.param({"types": ("text/ *",)}, "types has", id="a space in a media type"),
        pytest.param({"prefer": (Coding.DEFLATE,)}, "prefer has each of zstd, br, gzip", id="one"),
        pytest.param({"prefer": (Coding.BR, Coding.BR)}, "at most once", id="twice"),
        pytest.param({"gzip_level": 0}, "gzip_level is a number from 1 to 3", id="gzip too low"),
        pytest.param({"gzip_level": 4}, "gzip_level", id="gzip too high"),
        pytest.param({"br_level": 12}, "br_level is a number from 0 to 11", id="br too high"),
        pytest.param({"zstd_level": 20}, "zstd_level", id="RFC 9659 3 zstd beyond the window"),
        pytest.param({"max_ratio": -1}, "max_ratio is a factor", id="negative ratio"),
    ],
)
def test_nonsense(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        CodingOptions(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"prefer": ()},
        {"types": ("*/*", "Application/*+JSON", "application/vnd.a.b_c-d+json")},
        {"gzip_level": 1, "br_level": 0, "zstd_level": 1},
        {"gzip_level": 3, "br_level": 11, "zstd_level": 19, "max_ratio": 1000},
    ],
)
def test_sense(changes: dict[str, Any]) -> None:
    assert CodingOptions(**changes) == CodingOptions(**changes)


def test_by_default_nothing_grows_beyond_what_honest_files_do() -> None:
    assert CodingOptions().max_ratio == 1000


def test_each_option_has_a_sentence() -> None:
    text = CodingOptions.__doc__ or ""
    assert [each.name for each in fields(CodingOptions) if f"``{each.name}``:" not in text] == []
