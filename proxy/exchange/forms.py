"""Which form of a response a client gets, and where the forms are that are kept beside it.

A kept form is stored like any response, under a key of its own that names the body it was made
of: a new body has no forms, and one that nobody asks for any more is the first to be evicted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.codings.registry import Chain, Coding
from proxy.codings.transform import (
    AsStored,
    Decode,
    Encode,
    Kept,
    as_held,
    choose,
    head_of,
    sliceable,
)
from proxy.codings.transformable import is_verbatim
from proxy.exchange.lately import Lately
from proxy.semantics.messages import ResponseHead
from proxy.store.base import FORMS

if TYPE_CHECKING:
    from proxy.codings.options import CodingOptions
    from proxy.codings.transform import Form
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import Request
    from proxy.store.base import Store

_EVERY: Final = frozenset(Coding)
_RANGE: Final = frozenset({"range", "if-range"})
_ASKED_FOR: Final = 600.0  # seconds within which a form that is asked for twice is worth keeping


Coders = tuple[Chain, Coding | None]  # what is to be undone, what applied
Formed = tuple[ResponseHead, Coders | None]  # a head as one client gets it, and the body's coders


class View(NamedTuple):
    """A response as one client gets it: ``stored`` has the fields of the ``form``.

    Its body is under ``key``, as it is stored there or, for ``Decode`` and ``Encode``, still to be
    made of that. ``request`` lacks a Range that may not be obeyed. ``decided_by`` is the key of the
    form that is served if there is one, and its generation; "" where none would be.
    """

    request: Request
    form: Form
    stored: StoredResponse
    key: str
    decided_by: tuple[str, int] = ("", 0)

    @property
    def length(self) -> int | None:
        """The octets of the form; None: it has to be made to know."""
        match self.form:
            case Decode(length=length):
                return length
            case Encode():
                return None
            case AsStored() | Kept():
                return self.stored.length

    @property
    def coders(self) -> Coders | None:
        """What is to be undone and applied; None: the body is as it is stored."""
        return _coders(self.form)

    @property
    def kept_key(self) -> str:
        """Where what is made is to be kept."""
        coding = self.form.coding if isinstance(self.form, Encode) else Coding.IDENTITY
        return kept_key(self.stored, coding)


class Forms:
    """Asks ``codings``, and the store for what is kept."""

    def __init__(self, store: Store, options: CodingOptions) -> None:
        self._store = store
        self._options = options
        self._asked_for = Lately(_ASKED_FOR)

    def of_passing(
        self, request: Request, head: ResponseHead, length: int | None, *, negotiated: bool
    ) -> Formed:
        """The head and what is to be done to the body of a response that is not stored.

        Nothing, unless a person has asked for that: it came in the client's own words.
        """
        if head.status == 304:
            return _with(head, as_held(head, request.fields)), None
        asked = negotiated or self._options.encode == "always"
        if not asked or is_verbatim(request, head, None if negotiated else request.fields):
            return head, None
        if request.method == "HEAD":
            said = head.fields.get("content-length")
            length = int(said) if said else None
        form = choose(request, head, length, self._options, request.local)
        formed = _with(head, head_of(head, form))
        return formed, None if request.method == "HEAD" else _coders(form)

    def passing(self, request: Request, stored: StoredResponse, length: int | None) -> View:
        """Of a response on its way into the store: nothing is kept beside it yet."""
        form: Form = _PLAIN
        if stored.part is None and not stored.verbatim:
            form = choose(request, stored.head, length, self._options, request.local)
        return self._view(request, form, stored, "", None)

    def at_hand(self, request: Request, key: str, stored: StoredResponse) -> View | None:
        """As far as memory knows; None: only ``view`` can tell."""
        form = self._chosen(request, stored, _EVERY)
        if not isinstance(form, Kept):
            return self._view(request, form, stored, key, None)
        kept = kept_key(stored, form.coding)
        found = self._store.peek(kept)
        if found is None:
            return None
        if found.variants:
            view = self._view(request, form, stored, key, found.variants[0])
        else:
            view = self.unkept(request, key, stored)
        return view._replace(decided_by=(kept, found.generation))

    async def view(self, request: Request, key: str, stored: StoredResponse) -> View:
        """The form to serve, with what is kept of it on disk."""
        form = self._chosen(request, stored, _EVERY)
        if isinstance(form, Kept):
            found = await self._store.lookup(kept_key(stored, form.coding))
            if found.variants:
                return self._view(request, form, stored, key, found.variants[0])
        return self.unkept(request, key, stored)

    def unkept(self, request: Request, key: str, stored: StoredResponse) -> View:
        """As if nothing were kept beside it."""
        return self._view(request, self._chosen(request, stored), stored, key, None)

    def is_asked_for_again(self, key: str, now: float) -> bool:
        """Whether a form (by its key) was asked for a short while ago; it is now."""
        if self._asked_for.holds(key, now):
            return True
        self._asked_for.note(key, now)
        return False

    def _chosen(
        self, request: Request, stored: StoredResponse, kept: frozenset[Coding] = frozenset()
    ) -> Form:
        if stored.part is not None or stored.verbatim:
            return _PLAIN
        form = choose(request, stored.head, stored.length, self._options, request.local, kept)
        if isinstance(form, Decode):
            return Decode(form.chain, stored.decoded_length)
        return form

    def _view(
        self,
        request: Request,
        form: Form,
        stored: StoredResponse,
        key: str,
        kept: StoredResponse | None,
    ) -> View:
        if form == _PLAIN:
            return View(request, form, stored, key)
        if not sliceable(request, form):
            fields = request.fields.without(_RANGE)
            request = request if fields is request.fields else replace(request, fields=fields)
        head = _with(stored.head, head_of(stored.head, form))
        if head is stored.head:
            return View(request, form, stored, key)
        if kept is None:
            return View(request, form, replace(stored, head=head), key)
        formed = replace(stored, head=head, id=kept.id, length=kept.length, checksum=kept.checksum)
        assert isinstance(form, Kept), "what is kept was asked for"
        return View(request, form, formed, kept_key(stored, form.coding))


_PLAIN: Final = AsStored()


def _coders(form: Form) -> Coders | None:
    match form:
        case Decode(chain):
            return chain, None
        case Encode(coding, chain):
            return chain, coding
        case AsStored() | Kept():
            return None


def _with(head: ResponseHead, fields: Fields) -> ResponseHead:
    if fields is head.fields:
        return head
    return ResponseHead(head.status, head.reason, fields, head.minor)


def kept_key(stored: StoredResponse, coding: Coding) -> str:
    """Where a form of that very body is kept; no target URI looks like it."""
    return f"{FORMS}{stored.id} {coding}"
