"""Requests and responses that are nearly right: what crosses has one reading, for three readers.

``FORECACHE_WIRE_SECONDS`` says for how long to look, 25 by default. Longer runs begin with another
seed each time. What was found this way is a row of ``test_wire_readings.py``.
"""

from __future__ import annotations

import os
import secrets
import time
from typing import TYPE_CHECKING, Final, NoReturn

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.support import mutations
from tests.support.crossing import Crossing, Script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

SECONDS: Final = float(os.environ.get("FORECACHE_WIRE_SECONDS", "25"))
EXAMPLES: Final = 200  # of one run of hypothesis; each has a seed of its own
SHRINKING: Final = 330  # seconds that hypothesis may add for making a failure small


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crossing]:
    made = Crossing(tmp_path_factory.mktemp("crossing"))
    yield made
    made.close()


def failed(what: object, found: list[str]) -> NoReturn:
    pytest.fail("\n".join(f"{each!s:.1500}" for each in (what, *found[:4])), pytrace=False)


def looked_into(check: Callable[[int], None], share: float) -> None:
    """One run after the other, for this share of the time."""
    until, number = time.monotonic() + SECONDS * share, 0
    while time.monotonic() < until:
        check(number if SECONDS <= 60 else secrets.randbits(32))
        number += 1


QUIETLY: Final = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
    derandomize=False,
)
SENT: Final = st.booleans().flatmap(
    lambda inside: st.tuples(mutations.requests(inside=inside), st.just(inside))
)


@pytest.mark.timeout(SECONDS + SHRINKING)
def test_what_an_origin_gets_has_one_reading(crossing: Crossing) -> None:
    def check(number: int) -> None:
        @seed(number)
        @QUIETLY
        @given(SENT)
        def same(sent: tuple[list[bytes], bool]) -> None:
            pieces, inside = sent
            if found := crossing.sent(pieces, inside=inside):
                failed(pieces, found)

        same()

    looked_into(check, 0.3)


@pytest.mark.timeout(SECONDS + SHRINKING)
def test_what_a_client_gets_has_one_reading(crossing: Crossing) -> None:
    def check(number: int) -> None:
        @seed(number)
        @QUIETLY
        @given(
            mutations.responses(),
            st.sampled_from(["keep", "keep", "close", "reset"]),
            st.sampled_from([b"GET", b"GET", b"GET", b"HEAD", b"POST"]),
        )
        def same(pieces: list[bytes], ends: str, method: bytes) -> None:
            script = Script(tuple(pieces), ends)
            if found := crossing.said(script, method):
                failed(script, found)

        same()

    looked_into(check, 0.35)


@pytest.mark.timeout(SECONDS + SHRINKING)
def test_what_is_validated_or_said_again_has_one_reading(crossing: Crossing) -> None:
    def check(number: int) -> None:
        @seed(number)
        @QUIETLY
        @given(mutations.news(), st.sampled_from(["keep", "keep", "close", "reset"]))
        def same(news: tuple[list[bytes], bytes, int], ends: str) -> None:
            pieces, before, times = news
            script = Script(tuple(pieces), ends, before, times)
            if found := crossing.said(script, b"GET"):
                failed(script, found)

        same()

    looked_into(check, 0.35)
