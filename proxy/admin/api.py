"""The API: each handler reads a question, asks ``Inside``, and writes an answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from aiohttp import web

from proxy import __version__
from proxy.admin.inside import Unclear
from proxy.admin.server import answer, error
from proxy.admin.shapes import (
    EntryShape,
    FillShape,
    FormShape,
    Purged,
    PurgeOrder,
    VariantShape,
    WarmOrder,
)
from proxy.store.base import BodyLost

if TYPE_CHECKING:
    from proxy.admin.inside import Inside
    from proxy.exchange.fill import Fill
    from proxy.policy.stored import StoredResponse

_PIECE: Final = 256 * 1024
_VALIDATORS: Final = {"etag": "ETag", "last-modified": "Last-Modified"}
_T = TypeVar("_T")


class Api:
    """``routes`` for the server."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self.routes = web.RouteTableDef()
        get, post = self.routes.get, self.routes.post
        get("/healthz")(self.health)
        get("/readyz")(self.ready)
        get("/api/fills")(self.fills)
        get("/api/entry")(self.entry)
        get("/api/entry/body")(self.body)
        post("/api/purge")(self.purge)
        post("/api/warm")(self.warm)

    async def health(self, _: web.Request) -> web.StreamResponse:
        """The process answers."""
        return answer({"status": "ok", "version": __version__})

    async def ready(self, _: web.Request) -> web.StreamResponse:
        """It takes requests, and stores what may be stored."""
        draining = self._inside.draining()
        return answer({"status": "draining" if draining else "ready"}, 503 if draining else 200)

    async def fills(self, _: web.Request) -> web.StreamResponse:
        """What is on its way into the store."""
        now = time.time()
        fills = [_fill(key, fill, now) for key, fill in self._inside.exchange.fills()]
        return answer({"fills": fills})

    async def entry(self, request: web.Request) -> web.StreamResponse:
        """All that is stored for one URL."""
        url = _asked(request, "url")
        key, found = await self._inside.found(url)
        if not found.variants:
            return error(404, "not-stored", "Nothing is stored for this url.")
        variants = [await self._variant(stored) for stored in found.variants]
        hits, used = await self._inside.uses(key)
        return answer(EntryShape(url, key, hits, used, variants))

    async def _variant(self, stored: StoredResponse) -> VariantShape:
        fields, part = stored.head.fields, stored.part
        kept = await self._inside.forms(stored)
        return VariantShape(
            id=stored.id,
            selecting=list(stored.selecting),
            status=stored.head.status,
            fields=list(fields.lines),
            validators={
                name: value
                for lower, name in _VALIDATORS.items()
                if (value := fields.get(lower)) is not None
            },
            octets=stored.length,
            part=None if part is None else (part.first, part.last, part.complete),
            invalid=stored.invalid,
            forms=[FormShape(coding.value, form.length) for coding, form in kept.items()],
            request_time=stored.request_time,
            response_time=stored.response_time,
            freshness=self._inside.arithmetic(stored),
        )

    async def body(self, request: web.Request) -> web.StreamResponse:
        """The stored octets of one variant, to be saved and not shown."""
        key, found = await self._inside.found(_asked(request, "url"))
        wanted = request.query.get("id")
        stored = next((s for s in found.variants if wanted in (None, s.id)), None)
        if stored is None:
            return error(404, "not-stored", "No such response is stored.")
        try:
            body = await self._inside.store.open(key, stored)
        except BodyLost:
            return error(404, "damaged", "Its body is lost; it is fetched anew at its next use.")
        response = web.StreamResponse(
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Disposition": 'attachment; filename="body"',
                "Content-Length": str(body.length),
            }
        )
        try:
            await response.prepare(request)
            offset = 0
            while octets := await body.read_at(offset, _PIECE):
                offset += len(octets)
                await response.write(octets)
        finally:
            body.close()
        return response

    async def purge(self, request: web.Request) -> web.StreamResponse:
        """Remove, or have validated at their next use."""
        order = await _order(request, PurgeOrder)
        named = [order.url, order.prefix, order.host, order.glob, order.tag, order.all or None]
        if sum(each is not None for each in named) != 1:
            raise Unclear("Give just one of url, prefix, host, glob, tag or all.")
        keys, octets = await self._inside.purge(order)
        return answer(Purged(keys, octets, order.dry_run))

    async def warm(self, request: web.Request) -> web.StreamResponse:
        """Fetch URLs into the cache: one line of JSON for each as it ends."""
        order = await _order(request, WarmOrder)
        warming = self._inside.warm(order.urls, list(order.headers.items()))
        try:
            first = await anext(warming, None)
            response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
            await response.prepare(request)
            done = 0
            while first is not None:
                done += 1
                line = {"done": done, "of": len(order.urls), **msgspec.to_builtins(first)}
                await response.write(msgspec.json.encode(line) + b"\n")
                first = await anext(warming, None)
        finally:
            await warming.aclose()
        return response


def _fill(key: str, fill: Fill, now: float) -> FillShape:
    started = fill.stored.response_time
    return FillShape(
        key=key,
        received=fill.received,
        length=fill.length,
        started=started,
        rate=fill.received / max(now - started, 0.001),
        followers=fill.readers,
    )


def _asked(request: web.Request, name: str) -> str:
    value = request.query.get(name)
    if not value:
        raise Unclear(f"Say which {name}, as in ?{name}=…")
    return value


async def _order(request: web.Request, shape: type[_T]) -> _T:
    try:
        return msgspec.json.decode(await request.read(), type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        raise Unclear(f"The body is not the JSON that is expected: {wrong}.") from None
