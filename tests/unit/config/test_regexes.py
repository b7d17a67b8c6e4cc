"""Which regular expressions a person is warned about."""

import re

import pytest

from proxy.config.regexes import takes_long


@pytest.mark.parametrize(
    "regex",
    [
        r"(a+)+$",
        r"(?:a*)*b",
        r"^(?:[a-z]+/?)+$",
        r"(?:x|(?:a{2,})*)",
        r"(a|b+)*c",
        r"(?=(a+)*)b",
        r"((?:a+?)*?)b",
        r"(?:a{1,100})+b",
        r"/(.*)/(.*)\.deb",
        r"^(.*)-(.*)-(.*)$",
    ],
)
def test_dear(regex: str) -> None:
    re.compile(regex)
    assert takes_long(regex)


@pytest.mark.parametrize(
    "regex",
    [
        r"",
        r"\.deb$",
        r".*\.deb$",
        r"^http://a\.example/.*/.*\.deb$",
        r"^https?://(?:[a-z]{1,10}\.){1,3}example/",
        r"(?:a++)+b",
        r"(?>a+)+b",
        r"(?:ab)+c",
        r"(?:a+)*+b",
        r"(",
    ],
)
def test_cheap(regex: str) -> None:
    assert not takes_long(regex)
