"""The API: each handler reads a question, asks ``Inside``, and writes an answer."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from aiohttp import web

from proxy import __version__
from proxy.admin import views
from proxy.admin.entries import NOT_STORED, Unclear, shape_of
from proxy.admin.events import BEAT, Events
from proxy.admin.metrics import CONTENT_TYPE
from proxy.admin.openapi import describe
from proxy.admin.purging import Missing
from proxy.admin.server import answer, encoded, error
from proxy.admin.shapes import (
    Purged,
    PurgeOrder,
    TidyOrder,
    VerifyOrder,
    WarmOrder,
)
from proxy.admin.upkeep import Busy
from proxy.policy.reasons import Reason
from proxy.semantics.grammar import is_token
from proxy.store.base import BodyLost, StoreFailed
from proxy.store.catalogue_queries import Query

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from proxy.admin.inside import Inside
    from proxy.admin.upkeep import Upkeep

_MOST_SHOWN: Final = 1000
_PATIENCE: Final = 30.0  # seconds for the body of an order
_FILTERS: Final = ("host", "q", "prefix", "state", "type", "coding", "tag", "sort", "cursor")
_ORDERS: Final = {"asc": False, "desc": True}
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_PIECE: Final = 256 * 1024
_T = TypeVar("_T")


class Api:
    """``routes`` for the server."""

    def __init__(self, inside: Inside, upkeep: Upkeep) -> None:
        self._inside = inside
        self._upkeep = upkeep
        self._events = Events(inside)
        self.routes = web.RouteTableDef()
        get, post = self.routes.get, self.routes.post
        get("/healthz")(self.health)
        get("/readyz")(self.ready)
        get("/metrics")(self.metrics)
        get("/api/openapi.json")(self.openapi)
        get("/api/stats")(self.stats)
        get("/api/events", allow_head=False)(self.events)
        get("/api/exchanges")(self.exchanges)
        get("/api/exchanges/{id}")(self.exchange)
        get("/api/explain")(self.explain)
        get("/api/entries")(self.entries)
        get("/api/fills")(self.fills)
        get("/api/entry")(self.entry)
        get("/api/entry/body")(self.body)
        post("/api/purge")(self.purge)
        post("/api/warm")(self.warm)
        post("/api/verify")(self.verify)
        post("/api/gc")(self.gc)

    async def health(self, _: web.Request) -> web.StreamResponse:
        """The process answers."""
        return answer({"status": "ok", "version": __version__})

    async def ready(self, _: web.Request) -> web.StreamResponse:
        """It takes requests, and stores what may be stored."""
        draining = self._inside.draining()
        return answer({"status": "draining" if draining else "ready"}, 503 if draining else 200)

    async def openapi(self, _: web.Request) -> web.StreamResponse:
        """What there is."""
        return answer(describe())

    async def metrics(self, _: web.Request) -> web.StreamResponse:
        """The text format of Prometheus."""
        return web.Response(
            body=await self._inside.metrics(), headers={"Content-Type": CONTENT_TYPE}
        )

    async def stats(self, _: web.Request) -> web.StreamResponse:
        """All that is counted."""
        return answer(await self._inside.stats())

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: counters each second, and exchanges, a sample of them when busy."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        block, number = await self._events.begin()
        while not self._inside.draining():
            # Who does not read is left behind, and dropped by the keep-alive of his system.
            await response.write(block)
            await asyncio.sleep(BEAT)
            block, number = await self._events.after(number)
        return response

    async def exchanges(self, request: web.Request) -> web.StreamResponse:
        """The latest, the last first."""
        most = _number(request, "limit", 100, _MOST_SHOWN)
        latest = await self._inside.everywhere.latest(most)
        return answer({"exchanges": [views.exchange(each) for each in latest]})

    async def exchange(self, request: web.Request) -> web.StreamResponse:
        """One of them, and what would happen to it now."""
        named = await self._inside.everywhere.find(request.match_info["id"])
        if named is None:
            return error(404, "forgotten", "This exchange is not, or no longer, remembered.")
        said: dict[str, object] = {"exchange": views.exchange(named)}
        record = named.record
        try:
            now = await self._inside.explained(record.what.method, record.what.target)
        except Unclear:
            return answer(said)
        said["now"] = views.explanation(now)
        return answer(said)

    async def explain(self, request: web.Request) -> web.StreamResponse:
        """What would happen to a request now, clause by clause."""
        url = _asked(request, "url")
        lines = [_line(text) for text in request.query.getall("header", [])]
        method = request.query.get("method", "GET").upper()
        if not is_token(method):
            raise Unclear("A method is a word, such as GET.")
        said = views.explanation(await self._inside.explained(method, url, lines))
        last = await self._inside.last(url) if said["reason"] == Reason.MISS else None
        if last is not None:
            said["last"] = views.exchange(last)
        return answer(said)

    async def entries(self, request: web.Request) -> web.StreamResponse:
        """A page of what is stored."""
        asked = request.query
        try:
            query = {name: asked[name] for name in _FILTERS if name in asked}
            limit = _number(request, "limit", 100, _MOST_SHOWN)
            descending = _ORDERS.get(order := asked.get("order", "desc"))
            if descending is None:
                raise Unclear(f"order is asc or desc, not {order}.")
            wanted = {**query, "limit": limit, "descending": descending}
            page = await self._inside.looking.page(msgspec.convert(wanted, Query))
        except (ValueError, msgspec.ValidationError) as wrong:
            raise Unclear(f"The query cannot be understood: {wrong}.") from None
        filtered = any(query.get(name) for name in _FILTERS if name not in {"sort", "cursor"})
        total = None if filtered else self._inside.store.usage()[2]
        entries = [views.entry(each) for each in page.entries]
        return answer({"entries": entries, "cursor": page.cursor, "total": total})

    async def fills(self, _: web.Request) -> web.StreamResponse:
        """What is on its way into the store."""
        whole, _workers = await self._inside.everywhere.state(series=False)
        return answer({"fills": whole.fills})

    async def entry(self, request: web.Request) -> web.StreamResponse:
        """All that is stored for one URL."""
        url = _asked(request, "url")
        key, found = await self._inside.found(url)
        if not found.variants:
            return error(404, "not-stored", NOT_STORED)
        kept = [(stored, await self._inside.forms(stored)) for stored in found.variants]
        uses, options = await self._inside.uses(key), self._inside.options
        return answer(shape_of(url, uses, kept, options, time.time()))

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
            while request.method == "GET" and (octets := await body.read_at(offset, _PIECE)):
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
        if order.variant is not None and order.url is None:
            raise Unclear("A variant is one of a url: give both.")
        try:
            keys, octets = await self._inside.purge(order)
        except ValueError as wrong:
            raise Unclear(f"{wrong}.") from None
        except Missing as missing:
            return error(404, "not-stored", str(missing))
        return answer(Purged(keys, octets, order.dry_run))

    async def warm(self, request: web.Request) -> web.StreamResponse:
        """Fetch URLs into the cache: one line of JSON for each as it ends."""
        order = await _order(request, WarmOrder)
        lines = [_field(name, value) for name, value in order.headers.items()]
        warming = self._inside.warm(order.urls, lines)
        try:
            first = await anext(warming, None)
            response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
            await response.prepare(request)
            done = 0
            while first is not None:
                done += 1
                line = {"done": done, "of": len(order.urls), **msgspec.to_builtins(first)}
                await response.write(encoded(line) + b"\n")
                first = await anext(warming, None)
        finally:
            await warming.aclose()
        return response

    async def verify(self, request: web.Request) -> web.StreamResponse:
        """Read what is stored: a line of JSON now and then, and for what is damaged."""
        order = await _order(request, VerifyOrder)
        keys = None
        if order.urls is not None:
            keys = [await self._inside.settled(url) for url in order.urls]
        return await _streamed(request, self._upkeep.verify(keys, remove=order.remove))

    async def gc(self, request: web.Request) -> web.StreamResponse:
        """Give back what is of no use: a line of JSON now and then, the last says what it was."""
        order = await _order(request, TidyOrder)
        return await _streamed(request, self._upkeep.gc(dry_run=order.dry_run))


async def _streamed(
    request: web.Request, lines: AsyncGenerator[msgspec.Struct]
) -> web.StreamResponse:
    """What fails after the first line is said by the last."""
    async with contextlib.aclosing(lines):
        try:
            first = await anext(lines)
        except Busy as busy:
            return error(409, "busy", str(busy))
        except StoreFailed as failure:
            return error(503, "store", str(failure))
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        await response.write(encoded(first) + b"\n")
        try:
            async for line in lines:
                await response.write(encoded(line) + b"\n")
        except StoreFailed as failure:
            said = {"error": {"reason": "store", "sentence": str(failure)}}
            await response.write(encoded(said) + b"\n")
    return response


def _line(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    return _field(name if colon else "", value)


def _field(name: str, value: str) -> tuple[str, str]:
    if not is_token(name) or not _VALUE.fullmatch(value):
        raise Unclear("A header is a name, a colon and a value, as in Accept-Encoding: gzip.")
    return name, value.strip(" \t")


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= most):
        raise Unclear(f"{name} is a number from 1 to {most}.")
    return int(text)


def _asked(request: web.Request, name: str) -> str:
    value = request.query.get(name)
    if not value:
        raise Unclear(f"Say which {name}, as in ?{name}=…")
    return value


async def _order(request: web.Request, shape: type[_T]) -> _T:
    try:
        async with asyncio.timeout(_PATIENCE):
            body = await request.read()
    except TimeoutError:
        raise Unclear(f"The body did not come within {_PATIENCE:.0f} seconds.") from None
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        raise Unclear(f"The body is not the JSON that is expected: {wrong}.") from None
