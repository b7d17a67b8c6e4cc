"""The API: each handler reads a question, asks ``Inside``, and writes an answer."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from aiohttp import web

from proxy import __version__
from proxy.admin import views
from proxy.admin.inside import Unclear
from proxy.admin.metrics import CONTENT_TYPE
from proxy.admin.openapi import describe
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
from proxy.semantics.grammar import is_token
from proxy.store.base import BodyLost
from proxy.store.catalogue_queries import Query

if TYPE_CHECKING:
    from proxy.admin.inside import Inside
    from proxy.exchange.fill import Fill
    from proxy.policy.stored import StoredResponse

_BEAT: Final = 1.0  # seconds between events
_SAMPLE: Final = 100  # exchanges in each
_MOST_SHOWN: Final = 1000
_FILTERS: Final = ("host", "q", "prefix", "state", "type", "coding", "sort", "cursor")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
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
        get("/metrics")(self.metrics)
        get("/api/openapi.json")(self.openapi)
        get("/api/stats")(self.stats)
        get("/api/events")(self.events)
        get("/api/exchanges")(self.exchanges)
        get("/api/exchanges/{id}")(self.exchange)
        get("/api/explain")(self.explain)
        get("/api/entries")(self.entries)
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

    async def openapi(self, _: web.Request) -> web.StreamResponse:
        """What there is."""
        return answer(describe())

    async def metrics(self, _: web.Request) -> web.StreamResponse:
        """The text format of Prometheus."""
        return web.Response(body=self._inside.metrics(), headers={"Content-Type": CONTENT_TYPE})

    async def stats(self, _: web.Request) -> web.StreamResponse:
        """All that is counted."""
        return answer(self._inside.stats())

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: counters each second, and exchanges, a sample of them when busy."""
        recent, inside = self._inside.watching.recent, self._inside
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        upto = recent.upto
        while not inside.draining():
            watched = recent.watch(upto, _SAMPLE)
            upto = watched.upto
            lines = [_event("counters", _counters(inside))]
            lines += [
                _event("exchange", views.exchange(recent, each)) for each in watched.exchanges
            ]
            # Who does not read is left behind, and dropped by the keep-alive of his system.
            await response.write(b"".join(lines))
            await asyncio.sleep(_BEAT)
        return response

    async def exchanges(self, request: web.Request) -> web.StreamResponse:
        """The latest, the last first."""
        recent = self._inside.watching.recent
        latest = recent.latest(_number(request, "limit", 100, _MOST_SHOWN))
        return answer({"exchanges": [views.exchange(recent, each) for each in latest]})

    async def exchange(self, request: web.Request) -> web.StreamResponse:
        """One of them, and what would happen to it now."""
        recent = self._inside.watching.recent
        recorded = recent.find(request.match_info["id"])
        if recorded is None:
            return error(404, "forgotten", "This exchange is not, or no longer, remembered.")
        said: dict[str, object] = {"exchange": views.exchange(recent, recorded)}
        record = recorded.record
        try:
            asked = self._inside.request(record.method, record.target)
        except Unclear:
            return answer(said)
        _, found = await self._inside.found(record.target)
        said["now"] = views.explanation(self._inside.explain(asked, found))
        return answer(said)

    async def explain(self, request: web.Request) -> web.StreamResponse:
        """What would happen to a request now, clause by clause."""
        url = _asked(request, "url")
        lines = [_line(text) for text in request.query.getall("header", [])]
        asked = self._inside.request(request.query.get("method", "GET").upper(), url, lines)
        _, found = await self._inside.found(url)
        said = views.explanation(self._inside.explain(asked, found))
        if not found.variants:
            said["last"] = self._last(url)
        return answer(said)

    def _last(self, url: str) -> dict[str, object] | None:
        """The latest exchange about a URL of which nothing is stored: why it was not."""
        recent = self._inside.watching.recent
        about = recent.latest(1, lambda record: record.target == url)
        return views.exchange(recent, about[0]) if about else None

    async def entries(self, request: web.Request) -> web.StreamResponse:
        """A page of what is stored."""
        asked = request.query
        try:
            query = {name: asked[name] for name in _FILTERS if name in asked}
            limit = _number(request, "limit", 100, _MOST_SHOWN)
            descending = asked.get("order", "desc") != "asc"
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
        now = time.time()
        fills = [_fill(key, fill, now) for key, fill in self._inside.exchange.fills()]
        return answer({"fills": fills})

    async def entry(self, request: web.Request) -> web.StreamResponse:
        """All that is stored for one URL."""
        url = _asked(request, "url")
        key, found = await self._inside.found(url)
        if not found.variants:
            return error(404, "not-stored", "Nothing is stored for this url.")
        variants = [await self._variant(url, stored) for stored in found.variants]
        hits, used = await self._inside.uses(key)
        return answer(EntryShape(url, key, hits, used, variants))

    async def _variant(self, url: str, stored: StoredResponse) -> VariantShape:
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
            freshness=self._inside.arithmetic(url, stored),
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
        try:
            keys, octets = await self._inside.purge(order)
        except ValueError as wrong:
            raise Unclear(f"{wrong}.") from None
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


def _event(name: str, value: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(value))


def _counters(inside: Inside) -> dict[str, int]:
    snapshot = inside.watching.statistics.snapshot()
    return {
        "requests": snapshot.requests,
        "hits": snapshot.hits,
        "octets_cache": snapshot.octets.get("cache", 0),
        "octets_origin": snapshot.octets.get("origin", 0),
        "fills": len(inside.exchange.fills()),
    }


def _line(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not is_token(name.strip()) or not _VALUE.fullmatch(value):
        raise Unclear("A header is a name, a colon and a value, as in Accept-Encoding: gzip.")
    return name.strip(), value.strip()


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= most):
        raise Unclear(f"{name} is a number from 1 to {most}.")
    return int(text)


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
