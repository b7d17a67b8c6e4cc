"""What a response says about the connection that it came on."""

import pytest

from proxy.upstream.response import allowed_idle
from tests.support.build import fields


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        pytest.param(["Keep-Alive: timeout=5"], 4.0, id="a second less than it says"),
        pytest.param(["Keep-Alive: max=100, Timeout = 5"], 4.0, id="among others, in any case"),
        pytest.param(["Keep-Alive: timeout=600"], 60.0, id="never longer than configured"),
        pytest.param(["Keep-Alive: timeout=0"], 0.0, id="not at all"),
        pytest.param(["Keep-Alive: timeout=soon"], 60.0, id="not a number"),
        pytest.param(["Keep-Alive: max=5"], 60.0, id="nothing said"),
        pytest.param(["Keep-Alive: max=5", "Keep-Alive: timeout=5"], 4.0, id="on another line"),
        pytest.param([f"Keep-Alive: timeout=5, x={'x' * 128}"], 60.0, id="no sensible length"),
    ],
)
def test_how_long_an_origin_keeps_an_idle_connection(lines: list[str], seconds: float) -> None:
    assert allowed_idle(fields(*lines), 60.0) == seconds
