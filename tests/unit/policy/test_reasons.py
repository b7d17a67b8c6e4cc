"""Reasons are words for logs and Structured Fields alike."""

from proxy.policy.reasons import HITS, Reason
from proxy.semantics.grammar import is_token


def test_each_reason_is_a_token_in_lower_case() -> None:
    assert all(is_token(reason) and reason == reason.lower() for reason in Reason)


def test_what_the_cache_answers_is_a_hit() -> None:
    assert {Reason.HIT, Reason.REVALIDATED, Reason.STALE_IF_ERROR} <= HITS
    assert not HITS & {Reason.MISS, Reason.EXPIRED, Reason.ONLY_IF_CACHED}
