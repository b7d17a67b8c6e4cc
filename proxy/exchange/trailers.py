"""Trailers of a response (RFC 9110 §6.5): for a client who takes them; never stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from proxy.exchange.answer import Flow, Inline
from proxy.exchange.transcoding import Ready
from proxy.semantics import forwarding

if TYPE_CHECKING:
    from proxy.exchange.answer import Answer
    from proxy.exchange.origin import Asked
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import ResponseHead


def with_trailers(answer: Answer, asked: Asked) -> Answer:
    """The answer with what comes after its body, if this client has asked the origin for it.

    Only with the body as it came: of other octets the trailers may not be true.
    """
    body, response = answer.body, asked.response
    if "te" not in asked.outgoing.fields or not _is_as_it_came(answer.head, asked.head):
        return answer
    if isinstance(body, Inline) and response.trailers:
        body = Flow(Ready(body.data), None)
    if not isinstance(body, Flow) or body.length is not None:
        return answer

    def come() -> Fields:
        return forwarding.trailer_fields(response.trailers, response.head.fields)

    head, announced = answer.head, response.head.fields.get("trailer")
    if announced is not None:
        head = structs.replace(head, fields=head.fields.adding(("Trailer", announced)))
    return answer._replace(head=head, body=body._replace(trailers=come))


def _is_as_it_came(head: ResponseHead, came: ResponseHead) -> bool:
    codings = (each.fields.get("content-encoding") for each in (head, came))
    return head.status == came.status and next(codings) == next(codings)
