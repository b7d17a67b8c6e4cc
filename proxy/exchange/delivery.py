"""Answers made of what is at hand: a stored response, a fill in flight, a response passing by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy.exchange import respond
from proxy.exchange.answer import Answer, FileSpan, Flow, Inline, Outcome
from proxy.exchange.respond import Slice
from proxy.policy import freshness
from proxy.policy.standing import standing
from proxy.store.base import BodyLost

if TYPE_CHECKING:
    from proxy.exchange.answer import Body
    from proxy.exchange.fill import Fill
    from proxy.exchange.origin import Asked
    from proxy.exchange.respond import Piece, Shape
    from proxy.exchange.voice import Forwarded, Voice
    from proxy.policy.freshness import Terms
    from proxy.policy.options import Options
    from proxy.policy.reasons import Reason
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import Request
    from proxy.store.base import Store, StoredBody

PIECE: Final = 256 * 1024


class Assembled:
    """A ``BodyReader`` over pieces of a stored body: multipart/byteranges from disk."""

    def __init__(self, body: StoredBody, pieces: tuple[Piece, ...]) -> None:
        self._body = body
        self._pieces = list(pieces)

    async def read(self) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if isinstance(piece, bytes):
            return piece
        octets = await self._body.read_at(piece.offset, min(PIECE, piece.length))
        if not octets:
            raise BodyLost("shorter than its stored length")
        if rest := piece.length - len(octets):
            self._pieces.insert(0, Slice(piece.offset + len(octets), rest))
        return octets

    def close(self) -> None:
        self._body.close()


class Delivery:
    """Makes answers; opens bodies, changes nothing."""

    def __init__(self, store: Store, options: Options, voice: Voice) -> None:
        self._store = store
        self._options = options
        self.voice = voice

    def terms(self, request: Request, stored: StoredResponse) -> Terms:
        return freshness.terms(stored, self._options, standing(request, self._options).rule)

    async def serve(
        self,
        request: Request,
        key: str,
        stored: StoredResponse,
        now: float,
        reason: Reason,
        asked: Forwarded | None = None,
    ) -> Outcome | None:
        """From the store; None if its body turned out to be lost."""
        shaped = respond.shape(request, stored, stored.length, now)
        held = self._store.held(stored) if shaped.pieces else b""
        try:
            body: Body = (
                await self._open(key, stored, shaped)
                if held is None
                else Inline(respond.cut(shaped.pieces, held))
            )
        except BodyLost:
            return None
        self._store.touch(key)
        head = self.voice.of_stored(
            shaped.status,
            respond.phrase(shaped, stored),
            lengthy(request, shaped),
            terms=self.terms(request, stored),
            now=now,
            reason=reason,
            asked=asked,
        )
        return Outcome(Answer(head, body), reason, asked.status if asked is not None else 0)

    async def _open(self, key: str, stored: StoredResponse, shaped: Shape) -> Body:
        body = await self._store.open(key, stored)
        if len(shaped.pieces) == 1 and isinstance(piece := shaped.pieces[0], Slice):
            return FileSpan(body, piece.offset, piece.length)
        return Flow(Assembled(body, shaped.pieces), shaped.length)

    def filling(
        self,
        request: Request,
        fill: Fill,
        now: float,
        reason: Reason,
        asked: Forwarded | None,
        mine: Fields | None = None,
    ) -> Answer:
        """From a fill: what has come already, and the rest as it comes.

        ``mine``: the fields for the client whom the origin has answered, if they are more than
        those that are stored (RFC 9111 §5.2.2.4, §5.2.2.7).
        """
        stored = fill.stored
        if mine is not None and mine is not stored.head.fields:
            stored = replace(stored, head=replace(stored.head, fields=mine))
        shaped = respond.shape(request, stored, fill.length, now)
        octets = fill.at_hand
        if octets is None and len(shaped.pieces) > 1:
            # Several ranges would have to be read in their order, not in that of the fill.
            request = replace(request, fields=request.fields.without({"range"}))
            shaped = respond.shape(request, stored, fill.length, now)
        lines, phrase = lengthy(request, shaped), respond.phrase(shaped, stored)
        if asked is None or asked.collapsed:
            terms = self.terms(request, stored)
            head = self.voice.of_stored(
                shaped.status, phrase, lines, terms=terms, now=now, reason=reason, asked=asked
            )
        else:
            head = self.voice.of_origin(shaped.status, phrase, lines, reason, asked)
        if not shaped.pieces:
            return Answer(head, Inline(b""))
        if octets is not None:
            return Answer(head, Inline(respond.cut(shaped.pieces, octets)))
        (piece,) = shaped.pieces
        assert isinstance(piece, Slice)
        length = piece.length if shaped.length is not None else None
        return Answer(head, Flow(fill.reader(piece.offset, length), length))

    def passing(self, asked: Asked, reason: Reason, forwarded: Forwarded) -> Answer:
        """Straight from the origin, not stored."""
        head, response = asked.head, asked.response
        signed = self.voice.of_origin(
            head.status, head.reason, head.fields.lines, reason, forwarded
        )
        octets = response.at_hand()
        return Answer(signed, Flow(response, response.length) if octets is None else Inline(octets))

    def own(self, answer: Answer, reason: Reason) -> Answer:
        """An answer of our own, signed with Cache-Status."""
        head = self.voice.of_own(answer.head, reason)
        return Answer(head, answer.body)


def lengthy(request: Request, shaped: Shape) -> tuple[tuple[str, str], ...]:
    """The lines; for HEAD with the Content-Length that is no framing (RFC 9110 §8.6)."""
    if request.method == "HEAD" and shaped.length is not None:
        return (*shaped.lines, ("Content-Length", str(shaped.length)))
    return shaped.lines
