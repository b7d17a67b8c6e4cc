"""Which codings are known, and what origins are asked for."""

import pytest

from proxy.codings.options import CodingOptions
from proxy.codings.registry import Coding, accept_encoding, chain
from tests.support.build import fields

ZSTD, BR, GZIP, DEFLATE = Coding.ZSTD, Coding.BR, Coding.GZIP, Coding.DEFLATE


@pytest.mark.parametrize(
    ("lines", "codings"),
    [
        pytest.param([], (), id="none"),
        pytest.param([""], (), id="empty"),
        pytest.param(["gzip"], (GZIP,), id="8.4.1.3 gzip"),
        pytest.param(["x-gzip"], (GZIP,), id="8.4.1.3 x-gzip"),
        pytest.param(["deflate"], (DEFLATE,), id="8.4.1.2 deflate"),
        pytest.param(["Br"], (BR,), id="8.4.1 case does not matter"),
        pytest.param(["zstd"], (ZSTD,), id="RFC 8878 zstd"),
        pytest.param(["identity"], (), id="identity says nothing"),
        pytest.param(["gzip, identity , br"], (GZIP, BR), id="8.4 several, in order"),
        pytest.param(["gzip", "br"], (GZIP, BR), id="5.3 two lines"),
        pytest.param(["gzip,gzip"], (GZIP, GZIP), id="two"),
        pytest.param(["gzip,gzip,gzip"], None, id="three are too many"),
        pytest.param(["compress"], None, id="known to others"),
        pytest.param(["gzip, aes128gcm"], None, id="one of them unknown"),
        pytest.param(["gzip;q=1"], None, id="no parameters"),
        pytest.param(["dcb"], None, id="RFC 9842 by a dictionary"),
        pytest.param(["utf-8"], None, id="no coding at all"),
        pytest.param([f"gzip,{' ' * 90}br"], (GZIP, BR), id="long: not remembered"),
    ],
)
def test_chain(lines: list[str], codings: tuple[Coding, ...] | None) -> None:
    assert chain(fields(*(f"Content-Encoding: {line}" for line in lines))) == codings


@pytest.mark.parametrize(
    ("prefer", "value"),
    [
        pytest.param((ZSTD, BR, GZIP), "zstd, br;q=0.9, gzip;q=0.8", id="12.5.3 in order"),
        pytest.param((GZIP,), "gzip", id="one"),
        pytest.param((), "identity", id="none"),
    ],
)
def test_what_origins_are_asked(prefer: tuple[Coding, ...], value: str) -> None:
    assert accept_encoding(CodingOptions(prefer=prefer)) == value
