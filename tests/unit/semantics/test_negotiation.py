"""Accept-Encoding: what a client takes."""

import pytest

from proxy.semantics.negotiation import accepted, canonical
from tests.support.build import fields

LEAST = 0.001

CASES = [
    pytest.param(["gzip"], {"gzip": 1, "br": 0, "identity": LEAST}, id="12.5.3 one"),
    pytest.param(
        ["gzip, deflate, br;q=0.9, zstd;q=0.125"],
        {"gzip": 1, "deflate": 1, "br": 0.9, "zstd": 0.125, "identity": LEAST},
        id="12.5.3 weights",
    ),
    pytest.param(["gzip;q=0"], {"gzip": 0, "identity": LEAST, "br": 0}, id="12.5.3 refused"),
    pytest.param(["gzip", "br"], {"gzip": 1, "br": 1}, id="5.3 two lines"),
    pytest.param(["GZip"], {"gzip": 1, "GZIP": 1}, id="8.4.1 case does not matter"),
    pytest.param(["x-gzip"], {"gzip": 1, "x-gzip": 1}, id="8.4.1.3 x-gzip is gzip"),
    pytest.param(["x-compress"], {"compress": 1}, id="8.4.1.1 x-compress is compress"),
    pytest.param(["gzip ; q=0.5"], {"gzip": 0.5}, id="12.4.2 space around the semicolon"),
    pytest.param(["gzip;Q=0.5"], {"gzip": 0.5}, id="12.4.2 case of q"),
    pytest.param(["gzip;q=0."], {"gzip": 0}, id="12.4.2 no decimals"),
    pytest.param(["gzip;q=1.000"], {"gzip": 1}, id="12.4.2 three decimals"),
    pytest.param(["gzip;q=0.5555, br"], {"gzip": 0, "br": 1}, id="12.4.2 four decimals"),
    pytest.param(["gzip;q=1.001, br"], {"gzip": 0, "br": 1}, id="12.4.2 over one"),
    pytest.param(["gzip;q=.5, br"], {"gzip": 0, "br": 1}, id="12.4.2 no digit before the point"),
    pytest.param(["gzip;q=high, br"], {"gzip": 0, "br": 1}, id="12.4.2 no number"),
    pytest.param(["gzip;q=, br"], {"gzip": 0, "br": 1}, id="12.4.2 empty weight"),
    pytest.param(["gzip;level=9, br"], {"gzip": 0, "br": 1}, id="12.5.3 no parameters but q"),
    pytest.param(["gz ip, br"], {"gzip": 0, "br": 1, "identity": LEAST}, id="5.6.2 no token"),
    pytest.param([", gzip,,"], {"gzip": 1, "br": 0}, id="5.6.1.2 empty members"),
    pytest.param(["*"], {"gzip": 1, "identity": 1, "any": 1}, id="12.5.3 asterisk alone"),
    pytest.param(
        ["gzip, *;q=0.3"], {"gzip": 1, "br": 0.3, "identity": 0.3}, id="12.5.3 asterisk for others"
    ),
    pytest.param(
        ["gzip, *;q=0"], {"gzip": 1, "br": 0, "identity": 0}, id="12.5.3 no others, nor identity"
    ),
    pytest.param(
        ["*;q=0, identity;q=0.5"], {"gzip": 0, "identity": 0.5}, id="12.5.3 identity is named"
    ),
    pytest.param(["*;q=0"], {"gzip": 0, "identity": 0}, id="12.5.3 nothing at all"),
    pytest.param(["identity;q=0"], {"gzip": 0, "identity": 0}, id="12.5.3 no identity"),
    pytest.param(["identity"], {"gzip": 0, "identity": 1}, id="12.5.3 identity"),
    pytest.param([""], {"gzip": 0, "identity": 1}, id="12.5.3 empty: no coding"),
    pytest.param([";;;"], {"gzip": 0, "identity": 1}, id="12.5.3 nothing that can be read"),
    pytest.param(["gzip, gzip;q=0"], {"gzip": 0}, id="repeated: the least counts"),
    pytest.param(["x-gzip;q=0.2, gzip"], {"gzip": 0.2}, id="repeated by another name"),
    pytest.param(["*;q=0, *"], {"gzip": 0}, id="repeated asterisk"),
    pytest.param([f"gzip, br;q=0.5{' ' * 150}"], {"gzip": 1, "br": 0.5}, id="long: not remembered"),
]


@pytest.mark.parametrize(("lines", "weights"), CASES)
def test_weights(lines: list[str], weights: dict[str, float]) -> None:
    found = accepted(fields(*(f"Accept-Encoding: {line}" for line in lines)))
    assert {coding: found.q(coding) for coding in weights} == weights
    assert found.stated


def test_absent_takes_anything_but_does_not_say_so() -> None:
    found = accepted(fields("Accept: */*"))
    assert (found.q("identity"), found.q("gzip"), found.q("x")) == (1, 1, 1)
    assert not found.stated
    assert not found.names("gzip")


@pytest.mark.parametrize(
    ("value", "coding", "named"),
    [
        pytest.param("gzip, *", "gzip", True, id="named"),
        pytest.param("x-gzip", "GZIP", True, id="named by its other name"),
        pytest.param("gzip, *", "br", False, id="by asterisk"),
        pytest.param("gzip", "*", False, id="asterisk is no coding"),
        pytest.param("br;q=0", "br", True, id="named to be refused"),
    ],
)
def test_names(value: str, coding: str, *, named: bool) -> None:
    assert accepted(fields(f"Accept-Encoding: {value}")).names(coding) is named


def test_one_spelling() -> None:
    assert [canonical(name) for name in ("X-GZIP", "gzip", "Br")] == ["gzip", "gzip", "br"]
