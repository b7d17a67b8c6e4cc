"""The short cut: a fresh response in memory is answered without a task and without an await.

``Hot.prepare`` asks the one policy, for a request that was parsed; what it decided is remembered
by its ``Place``: the exact bytes of the request head, and where they were heard. ``Prepared.block``
says for how long: the decision depends on the request (its place is the key), on the stored
responses under the key (their generation), on whether the form that the client likes best is kept
(that of the form), on time (``made``..``until``), and on configuration and access (a reload makes a
new ``Hot``; connections without access never ask, and heads that name what access denies never come
here). Nothing else may enter a memoised decision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from proxy.bounded import Bounded
from proxy.codings.transformable import can_receive
from proxy.exchange.record import What
from proxy.policy import freshness, representation, reuse
from proxy.policy.reasons import Reason
from proxy.policy.standing import standing
from proxy.wire.heads import render_response

if TYPE_CHECKING:
    from proxy.exchange.forms import Forms
    from proxy.policy.freshness import Terms
    from proxy.policy.options import Options
    from proxy.policy.representation import Shape
    from proxy.policy.rules import Rule
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.messages import Request
    from proxy.store.base import Cells, Found, Store

ENTRIES: Final = 8192  # prepared answers kept
OCTETS: Final = 16 * 2**20  # of heads and bodies that they hold on to, at most
HEAD: Final = 2048  # octets of a request head that is worth remembering
JOINED: Final = 4096  # octets of body up to which head and body are sent as one block
_EACH: Final = 700  # octets of an answer beside its texts

Place = tuple[bytes, bytes]  # where a head was heard, as the connection says, and its octets


class Prepared:
    """An answer ready to send, valid while what it was decided on stands."""

    __slots__ = (
        "_age", "_block", "_cells", "_due", "_form", "_fresh_until", "_generation", "_index",
        "_key", "_made", "_opening", "_since", "_size", "_store", "_until", "body", "follows",
        "octets", "what",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - it is a record of everything the answer depends on
        self,
        *,
        store: Store,
        key: str,
        generation: int,
        request: Request,
        stored: StoredResponse,
        shaped: Shape,
        body: bytes,
        opening: bytes,
        made: float,
        until: float,
        terms: Terms,
        form: tuple[str, int],
    ) -> None:
        self._store = store
        self._key = key
        self._cells, self._index = store.cell(key)
        self._generation = generation
        self._form: tuple[Cells, int, int] | None = None
        if form[0]:
            self._form = (*store.cell(form[0]), form[1])
        self._made = made
        self._until = until
        self._fresh_until = terms.fresh_until
        self._opening = opening
        self._age = -terms.born
        self.body = body
        self.follows = body if len(body) > JOINED else b""
        self._rebuild(made)
        self.what = What(
            request.method, str(request.uri), 1, shaped.status, self._size, Reason.HIT,
            content_type=stored.head.fields.get("content-type") or "-",
            referer=request.fields.get("referer") or "-",
            user_agent=request.fields.get("user-agent") or "-",
        )  # fmt: skip
        # What is remembered keeps its body alive whatever the store does; joined it is there twice.
        sizes = len(self._block), len(self._opening), len(body), len(key), self.what.octets
        self.octets = _EACH + sum(sizes)

    def block(self, now: float) -> bytes | None:
        """The octets to send first (``follows`` is the rest, if any), None when not valid."""
        form = self._form
        if self._cells[self._index] != self._generation:
            return None
        if form is not None and form[0][form[1]] != form[2]:
            return None
        return self._block if self._since <= now < self._due else self._of_second(now)

    def _of_second(self, now: float) -> bytes | None:
        if not self._made <= now < self._until:
            return None
        self._rebuild(now)
        if self._size != self.what.sent:
            self.what = replace(self.what, sent=self._size)
        return self._block

    def _rebuild(self, now: float) -> None:
        """Age and ttl change once a second; recency is noted as often."""
        self._store.touch(self._key)
        second = int(now)
        self._since = max(self._made, second)
        self._due = min(self._until, second + 1)
        block = b"%bAge: %d\r\nCache-Status: forecache; hit; ttl=%d\r\n\r\n" % (
            self._opening,
            max(0, self._age + now),
            self._fresh_until - now,
        )
        self._block = block if self.follows else block + self.body
        self._size = len(block) + len(self.body)


class Hot:
    """Prepared answers by request head, and the way to make one."""

    def __init__(
        self, store: Store, options: Options, forms: Forms, *, x_cache: bool = False
    ) -> None:
        self.memo: Bounded[Place, Prepared] = Bounded("hot answers", OCTETS, _weight, ENTRIES)
        self.store = store
        self._options = options
        self._forms = forms
        self._extra = (("X-Cache", "HIT"),) if x_cache else ()

    def key(self, request: Request) -> str:
        """The primary cache key, by which to ask ``store`` for what is found."""
        return standing(request, self._options).key

    def prepare(
        self, place: Place | None, request: Request, found: Found, now: float
    ) -> Prepared | None:
        """The answer to this request if a fresh one was found, remembered under ``place``.

        Without one it is for once: what has come from disk may never be asked for again.
        """
        seen = standing(request, self._options)
        rule, key = seen.rule, seen.key
        if not self._any_fresh(found, rule, now):
            return None
        decision = reuse.decide(request, found.variants, now, self._options)
        if not isinstance(decision, reuse.Serve) or decision.reason is not Reason.HIT:
            return None
        stored = decision.stored
        view = self._forms.at_hand(request, key, stored)
        if view is None or view.coders is not None or not can_receive(request, stored):
            return None
        body = self.store.held(view.stored)
        if body is None:
            return None
        shaped = representation.shape(view.request, view.stored, len(body), now)
        prepared = Prepared(
            store=self.store,
            key=key,
            generation=found.generation,
            request=request,
            stored=stored,
            shaped=shaped,
            body=representation.cut(shaped.pieces, body),
            opening=self._opening(shaped, stored),
            made=now,
            until=decision.until,
            terms=freshness.terms(stored, self._options, rule),
            form=view.decided_by,
        )
        if place is not None and len(place[1]) <= HEAD:
            self.memo.keep(place, prepared)
        return prepared

    def _any_fresh(self, found: Found, rule: Rule | None, now: float) -> bool:
        """Spares what cannot be a hit a decision that is made again elsewhere."""
        for stored in found.variants:
            if now < freshness.terms(stored, self._options, rule).fresh_until:
                return True
        return False

    def _opening(self, shaped: Shape, stored: StoredResponse) -> bytes:
        lines = [line for line in shaped.lines if line[0].lower() != "age"]
        lines.extend(self._extra)
        if shaped.length is not None:
            lines.append(("Content-Length", str(shaped.length)))
        return render_response(shaped.status, representation.phrase(shaped, stored), lines)[:-2]


def _weight(place: Place, prepared: Prepared) -> int:
    return len(place[0]) + len(place[1]) + prepared.octets
