"""Answers made of what is at hand: a stored response, a fill in flight, a response passing by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from msgspec import structs

from proxy.codings.streams import Undecodable
from proxy.exchange import errors
from proxy.exchange.answer import Answer, FileSpan, Flow, Inline, Outcome, release
from proxy.exchange.names import body_id
from proxy.exchange.trailers import with_trailers
from proxy.exchange.transcoding import SMALL, Ready, Transcoded, undecodable
from proxy.policy import freshness, representation
from proxy.policy.representation import Slice
from proxy.policy.standing import standing
from proxy.store.base import BodyLost, StoreFailed, TooLarge

if TYPE_CHECKING:
    from proxy.exchange.answer import Body
    from proxy.exchange.fill import Fill
    from proxy.exchange.forms import Coders, Formed, Forms, View
    from proxy.exchange.keeping import Keeping, Source
    from proxy.exchange.origin import Asked
    from proxy.exchange.transcoding import Workshop
    from proxy.exchange.voice import Forwarded, Voice
    from proxy.policy.freshness import Terms
    from proxy.policy.options import Options
    from proxy.policy.reasons import Reason
    from proxy.policy.representation import Piece, Shape
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import Request
    from proxy.store.base import Store, StoredBody

PIECE: Final = 256 * 1024
_ALWAYS_KEPT: Final = 2**20  # octets
_SWELLING: Final = 32  # times


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
    """Makes answers; opens bodies, and keeps forms of them that are asked for again."""

    def __init__(
        self,
        store: Store,
        options: Options,
        voice: Voice,
        keeping: Keeping,
        *,
        forms: Forms,
        shop: Workshop,
    ) -> None:
        self._store = store
        self._options = options
        self.voice = voice
        self._keeping = keeping
        self.forms = forms
        self.shop = shop

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
        """From the store; None if its body turned out to be lost. Raises UpstreamError

        if it turned out not to be what its coding says.
        """
        view = self.forms.at_hand(request, key, stored)
        if view is None:
            view = await self.forms.view(request, key, stored)
        try:
            shaped, body = await self._shaped(view, now)
        except BodyLost:
            if view.key == key:
                return None
            # Another took the place of a kept form, which says nothing of what it was made of.
            view = self.forms.unkept(request, key, stored)
            try:
                shaped, body = await self._shaped(view, now)
            except BodyLost:
                return None
        self._store.touch(key)
        head = self.voice.of_stored(
            shaped.status,
            representation.phrase(shaped, stored),
            lengthy(request, shaped),
            terms=self.terms(request, stored),
            now=now,
            reason=reason,
            asked=asked,
        )
        return Outcome(Answer(head, body), reason, asked.status if asked is not None else 0)

    async def _shaped(self, view: View, now: float) -> tuple[Shape, Body]:
        if view.coders is not None:
            return await self._made(view, view.coders, now)
        shaped = representation.shape(view.request, view.stored, view.stored.length, now)
        return shaped, await self._body(view, shaped)

    async def _body(self, view: View, shaped: Shape) -> Body:
        held = self._store.held(view.stored) if shaped.pieces else b""
        if held is not None:
            return Inline(representation.cut(shaped.pieces, held))
        body = await self._store.open(view.key, view.stored)
        if len(shaped.pieces) == 1 and isinstance(piece := shaped.pieces[0], Slice):
            return FileSpan(body, piece.offset, piece.length)
        return Flow(Assembled(body, shaped.pieces), shaped.length)

    async def _made(self, view: View, coders: Coders, now: float) -> tuple[Shape, Body]:
        """In another coding than it is stored in; kept when it is asked for again, or in parts."""
        key = view.kept_key
        fill = self._keeping.latest(key)
        octets = await self._small(view, coders) if fill is None else fill.at_hand
        length = view.length if octets is None else len(octets)
        shaped = _one_piece(view, octets, length, now)
        again = fill is None and (self.forms.is_asked_for_again(key, now) or shaped.status == 206)
        if octets is not None:
            if again:
                self._keep(view, key, Ready(octets))
            return shaped, Inline(representation.cut(shaped.pieces, octets))
        if not shaped.pieces:
            return shaped, Inline(b"")
        (piece,) = shaped.pieces
        assert isinstance(piece, Slice)
        if again:
            fill = self._keep(view, key, await self._transcoded(view, coders, (0, view.length)))
        if fill is not None:
            # Who wants a part of it comes again for another, and it would be made from the start.
            fill.for_cache |= shaped.status == 206
            return shaped, Flow(fill.reader(piece.offset, shaped.length), shaped.length)
        span = (piece.offset, shaped.length)
        return shaped, Flow(await self._transcoded(view, coders, span), shaped.length)

    async def _transcoded(
        self, view: View, coders: Coders, span: tuple[int, int | None]
    ) -> Transcoded:
        stored = await self._store.open(view.key, view.stored)
        whole = Assembled(stored, (Slice(0, stored.length),))
        return Transcoded(self.shop, whole, coders, live=False, span=span)

    async def _small(self, view: View, coders: Coders) -> bytes | None:
        """The whole of it if it is soon made. Raises BodyLost, BadResponse."""
        if view.stored.length > SMALL:
            return None
        held = self._store.held(view.stored)
        if held is None:
            body = await self._store.open(view.key, view.stored)
            held = await body.read_at(0, body.length)
            body.close()
        return self._at_once(held, coders)

    def _at_once(self, octets: bytes, coders: Coders) -> bytes | None:
        try:
            return self.shop.at_once(octets, *coders)
        except Undecodable as error:
            raise undecodable(error) from None

    def _keep(self, view: View, key: str, source: Source) -> Fill | None:
        """Store this form beside what it is made of; None: the store does not take it."""
        stored = replace(
            view.stored, id=body_id(), selecting=(), length=0, checksum=b"", verbatim=True
        )
        try:
            fill = self._keeping.begin(
                key, stored, source, self._store.removals(key), None, _largest(view.stored.length)
            )
        except (StoreFailed, TooLarge):
            source.close()
            return None
        self.shop.counts.kept += 1
        return fill

    def is_made(self, request: Request, fill: Fill) -> bool:
        """Whether this client would get the body decoded or encoded on its way."""
        return self.forms.passing(request, fill.stored, fill.length).coders is not None

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
            stored = replace(stored, head=structs.replace(stored.head, fields=mine))
        view = self.forms.passing(request, stored, fill.length)
        shaped, body = self._flowing(view, fill, now)
        lines, phrase = lengthy(request, shaped), representation.phrase(shaped, stored)
        if asked is None or asked.collapsed:
            terms = self.terms(request, stored)
            head = self.voice.of_stored(
                shaped.status, phrase, lines, terms=terms, now=now, reason=reason, asked=asked
            )
        else:
            head = self.voice.of_origin(shaped.status, phrase, lines, reason, asked)
        return Answer(head, body)

    def _flowing(self, view: View, fill: Fill, now: float) -> tuple[Shape, Body]:
        octets, length = fill.at_hand, fill.length
        if view.coders is not None:
            octets = None if octets is None else self._at_once(octets, view.coders)
            length = None if octets is None else len(octets)
        shaped = _one_piece(view, octets, length, now)
        if not shaped.pieces:
            return shaped, Inline(b"")
        if octets is not None:
            return shaped, Inline(representation.cut(shaped.pieces, octets))
        if view.coders is not None:
            return shaped, Flow(Transcoded(self.shop, fill.reader(), view.coders, live=True), None)
        (piece,) = shaped.pieces
        assert isinstance(piece, Slice)
        length = piece.length if shaped.length is not None else None
        return shaped, Flow(fill.reader(piece.offset, length), length)

    def passing(self, asked: Asked, formed: Formed, reason: Reason, forwarded: Forwarded) -> Answer:
        """Straight from the origin, not stored. Raises BadResponse if it cannot be decoded."""
        response = asked.response
        head, coders = formed
        signed = self.voice.of_origin(
            head.status, head.reason, head.fields.lines, reason, forwarded
        )
        octets = b"" if head.status == 304 else response.at_hand()
        if coders is None:
            body: Body = Flow(response, response.length) if octets is None else Inline(octets)
            return with_trailers(Answer(signed, body), asked)
        if octets is not None:
            made = self._at_once(octets, coders)
            if made is not None:
                return Answer(signed, Inline(made))
        source = response if octets is None else Ready(octets)
        return Answer(signed, Flow(Transcoded(self.shop, source, coders, live=True), None))

    def own(self, answer: Answer, reason: Reason) -> Outcome:
        """An answer of our own, signed with Cache-Status; an error has a name to ask about."""
        signed = Answer(self.voice.of_own(answer.head, reason), answer.body)
        outcome = Outcome(signed, reason)
        return outcome if answer.head.status < 400 else errors.named(outcome)


def _largest(length: int) -> int:
    """Octets of a form that is worth keeping: a body that swells by more is best made anew."""
    return max(_ALWAYS_KEPT, _SWELLING * length)


def _one_piece(view: View, octets: bytes | None, length: int | None, now: float) -> Shape:
    """What is sent; several ranges only of what is at hand, as they may be in any order."""
    shaped = representation.shape(view.request, view.stored, length, now)
    if octets is None and len(shaped.pieces) > 1:
        fields = view.request.fields.without({"range"})
        shaped = representation.shape(
            replace(view.request, fields=fields), view.stored, length, now
        )
    return shaped


async def begun(outcome: Outcome) -> Outcome:
    """Make the first octets of what is decoded for the client before it gets the head.

    Raises BadResponse where the body is not in its coding; then nothing is left open.
    """
    body = outcome.answer.body
    if isinstance(body, Flow) and isinstance(body.reader, Transcoded):
        try:
            await body.reader.begin()
        except BaseException:
            release(body)
            raise
    return outcome


def lengthy(request: Request, shaped: Shape) -> tuple[tuple[str, str], ...]:
    """The lines; for HEAD with the Content-Length that is no framing (RFC 9110 §8.6)."""
    if request.method == "HEAD" and shaped.length is not None:
        return (*shaped.lines, ("Content-Length", str(shaped.length)))
    return shaped.lines
