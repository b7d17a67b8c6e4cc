"""Answers of the proxy's own: short, honest about who speaks, with what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.exchange.answer import Answer, Inline
from proxy.exchange.names import identified
from proxy.policy.reasons import Reason
from proxy.semantics.fields import Fields
from proxy.semantics.messages import PHRASES, ResponseHead
from proxy.semantics.status_fields import proxy_status

if TYPE_CHECKING:
    from proxy.exchange.answer import Outcome
    from proxy.upstream.base import UpstreamError

# What is wrong with an answer from upstream, from the RFC 9209 §2.3 error type.
_REASONS: Final = {
    "destination_ip_prohibited": Reason.DENIED_DESTINATION,
    "http_request_denied": Reason.DENIED_PORT,
    "proxy_loop_detected": Reason.LOOP,
    "connection_timeout": Reason.ORIGIN_TIMEOUT,
    "connection_read_timeout": Reason.ORIGIN_TIMEOUT,
    "connection_write_timeout": Reason.ORIGIN_TIMEOUT,
    "dns_timeout": Reason.ORIGIN_TIMEOUT,
    "http_response_timeout": Reason.ORIGIN_TIMEOUT,
    "connection_terminated": Reason.ORIGIN_LOST,
    "http_response_incomplete": Reason.ORIGIN_LOST,
    "http_protocol_error": Reason.ORIGIN_MALFORMED,
    "http_response_content_coding": Reason.ORIGIN_MALFORMED,
}


def own(
    status: int,
    reason: Reason,
    sentence: str,
    *,
    error: str | None = None,
    lines: tuple[tuple[str, str], ...] = (),
) -> Answer:
    """An answer in plain text that says who speaks, what happened and what to do.

    ``error`` is the RFC 9209 error type for Proxy-Status; ``lines`` are added fields.
    """
    phrase = PHRASES.get(status, "Error")
    text = f"{status} {phrase}\n\n{sentence}\n\n-- forecache ({reason})\n"
    head = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
    if error is not None:
        head.append(("Proxy-Status", proxy_status(error, reason)))
    head.extend(lines)
    return Answer(ResponseHead(status, phrase, Fields(head)), Inline(text.encode()))


def named(outcome: Outcome) -> Outcome:
    """An error of our own whose field and text say what to ask about: the exchange."""
    outcome = identified(outcome)
    head, body = outcome.answer
    assert isinstance(body, Inline)
    text = body.data.removesuffix(b"\n") + f", exchange {outcome.id}\n".encode()
    return outcome._replace(answer=Answer(head, Inline(text)))


def reason_of(error: UpstreamError) -> Reason:
    """The reason word for an upstream error."""
    return _REASONS.get(error.word, Reason.ORIGIN_UNREACHABLE)


def from_upstream(error: UpstreamError) -> Answer:
    """The answer for an error on the way to the origin."""
    return own(error.status, reason_of(error), error.detail, error=error.word)
