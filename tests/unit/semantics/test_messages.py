"""Facts about methods and statuses."""

import pytest

from proxy.semantics.messages import IDEMPOTENT_METHODS, PHRASES, SAFE_METHODS


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (200, "OK"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (416, "Range Not Satisfiable"),
        (422, "Unprocessable Content"),
        (508, "Loop Detected"),
    ],
)
def test_phrases_are_those_of_the_rfc(status: int, phrase: str) -> None:
    assert PHRASES[status] == phrase


def test_safe_methods_are_idempotent() -> None:
    assert SAFE_METHODS < IDEMPOTENT_METHODS
    assert {"PUT", "DELETE"} == IDEMPOTENT_METHODS - SAFE_METHODS


@pytest.mark.parametrize("method", ["POST", "PATCH", "M-SEARCH", "get", "CONNECT", ""])
def test_unknown_and_unsafe_methods(method: str) -> None:
    assert method not in IDEMPOTENT_METHODS
