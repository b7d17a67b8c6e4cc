"""Requests that end here: loops, and TRACE or OPTIONS whose Max-Forwards has run out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.exchange import errors
from proxy.exchange.answer import Answer, Inline
from proxy.policy.reasons import Reason
from proxy.semantics import forwarding
from proxy.semantics.fields import Fields
from proxy.semantics.messages import ResponseHead

if TYPE_CHECKING:
    from proxy.semantics.messages import Request, RequestHead

# RFC 9110 §9.3.8: TRACE must not send back what is likely to be sensitive.
_SENSITIVE: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
METHODS: Final = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, TRACE, CONNECT"


@dataclass(frozen=True, slots=True)
class Own:
    """An answer of our own, and why."""

    answer: Answer
    reason: Reason


def asked_of_us(request: Request, pseudonym: str) -> Own | None:
    """The answer where the request goes no further; None where it does."""
    fields = request.fields
    if "via" in fields and forwarding.passed_through(fields, pseudonym):
        return _loop()
    if (
        request.method in ("TRACE", "OPTIONS")
        and "max-forwards" in fields
        and forwarding.max_forwards(fields) == 0
    ):
        return Own(_final_recipient(request), Reason.MAX_FORWARDS)
    return None


def connecting(head: RequestHead, pseudonym: str) -> Own | str:
    """The Via of a CONNECT as it goes on (RFC 9110 §7.6.3), or the answer where it does not."""
    if forwarding.passed_through(head.fields, pseudonym):
        return _loop()
    return forwarding.connect_via(head.fields, pseudonym, head.minor)


def _loop() -> Own:
    sentence = (
        "This request has been through this very proxy before. "
        "Look for a proxy setting, or a name, that leads back here."
    )
    return Own(errors.own(508, Reason.LOOP, sentence, error="proxy_loop_detected"), Reason.LOOP)


def capabilities() -> Answer:
    """What this proxy can do: the answer to OPTIONS about itself (RFC 9110 §9.3.7)."""
    return Answer(ResponseHead(204, "No Content", Fields([("Allow", METHODS)])), Inline(b""))


def _final_recipient(request: Request) -> Answer:
    """RFC 9110 §7.6.2: at zero we answer as the final recipient."""
    if request.method == "OPTIONS":
        return capabilities()
    lines = [f"TRACE {request.uri} HTTP/1.{request.minor}"]
    lines += [f"{name}: {value}" for name, value in request.fields.without(_SENSITIVE)]
    body = "\r\n".join([*lines, "", ""]).encode("latin-1")
    head = Fields([("Content-Type", "message/http"), ("Cache-Control", "no-store")])
    return Answer(ResponseHead(200, "OK", head), Inline(body))
