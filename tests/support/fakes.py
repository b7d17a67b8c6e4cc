"""The two ports of the exchange, played in memory: a store that fails on demand, a scripted origin.

Nothing here waits for time or touches a socket. What the origin says is a row of steps, as in
``tests.support.origin``: octets, a gate, an ``UpstreamError`` that cuts the body.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from zlib import crc32

from proxy.semantics.fields import NO_FIELDS
from proxy.store.base import BodyLost, Found, StoreFailed, TooLarge
from proxy.upstream.base import NotReached, UpstreamError
from tests.support.origin import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.policy.stored import StoredResponse
    from proxy.semantics.messages import ResponseHead
    from proxy.semantics.targets import Origin
    from proxy.store.base import Cells, Spool
    from proxy.upstream.base import Dialled, OnInterim, Outgoing, Repeated, Said, Upgraded
    from proxy.upstream.bound import Bound


class FakeBody:
    """A ``StoredBody``; after ``lost`` reads raise BodyLost. ``closed`` counts."""

    def __init__(self, octets: bytes) -> None:
        self.length = len(octets)
        self.lost = False
        self.closed = 0
        self._octets = octets

    def fileno(self) -> int | None:
        return None

    async def read_at(self, offset: int, size: int) -> bytes:
        if self.lost:
            raise BodyLost("lost")
        return self._octets[offset : offset + size]

    def close(self) -> None:
        self.closed += 1


class FakeSpool:
    """A ``Spool``; ``abandoned`` counts. Fails to append beyond ``room`` octets."""

    def __init__(self, room: int | None, largest: int) -> None:
        self.length = 0
        self.octets = bytearray()
        self.abandoned = 0
        self.unreadable = False
        self._room = room
        self._largest = largest

    async def append(self, chunk: bytes) -> None:
        if self.length + len(chunk) > self._largest:
            raise TooLarge("too large")
        if self._room is not None and self.length + len(chunk) > self._room:
            raise StoreFailed("disk full")
        self.octets += chunk
        self.length += len(chunk)

    async def read_at(self, offset: int, size: int) -> bytes:
        assert not self.abandoned, "read after it was abandoned"
        if self.unreadable:
            raise StoreFailed("disk failed")
        return bytes(self.octets[offset : offset + size])

    def abandon(self) -> None:
        self.abandoned += 1


class _Generation:
    """That of one key, at whatever index."""

    def __init__(self, store: FakeStore, key: str) -> None:
        self._store = store
        self._key = key

    def __getitem__(self, index: int, /) -> int:
        return self._store.generation(self._key)


class FakeStore:
    """A ``base.Store`` in memory.

    ``down``: whatever writes raises StoreFailed. ``room``: octets after which a spool fails.
    ``lost``: ids of bodies that are gone; unless it ``forgets`` them it goes on to list them.
    ``hot`` False: nothing is in the memory tier. ``commits``
    is a gate that a commit waits at, where there is one.
    """

    def __init__(self) -> None:
        self.down = False
        self.room: int | None = None
        self.largest = 2**30
        self.lost: set[str] = set()
        self.forgets = True
        self.hot = True
        self.commits: Gate | None = None
        self.opens: Gate | None = None
        self.touched: Counter[str] = Counter()
        self.spools: list[FakeSpool] = []
        self.opened: list[FakeBody] = []
        self.bodies: dict[str, bytes] = {}
        self._found: defaultdict[str, tuple[StoredResponse, ...]] = defaultdict(tuple)
        self._changes: Counter[str] = Counter()
        self._removals: Counter[str] = Counter()

    def add(self, key: str, stored: StoredResponse, body: bytes) -> StoredResponse:
        """Have it stored already; what is stored now."""
        checksum = crc32(body).to_bytes(4, "big")
        stored = replace(stored, length=len(body), checksum=checksum)
        others = [one for one in self._found[key] if one.selecting != stored.selecting]
        self.bodies[stored.id] = body
        self._change(key, (stored, *others))
        return stored

    def at(self, key: str) -> tuple[StoredResponse, ...]:
        return self._found[key]

    def generation(self, key: str) -> int:
        return self._changes[key]

    def cell(self, key: str) -> tuple[Cells, int]:
        return _Generation(self, key), 0

    def removals(self, key: str) -> int:
        return self._removals[key]

    def peek(self, key: str) -> Found | None:
        return Found(self._found[key], self._changes[key]) if self.hot else None

    def at_once(self, key: str) -> Found | None:
        return None

    def soon(self, key: str, then: Callable[[Found | None], None]) -> bool:
        return False

    def held(self, stored: StoredResponse) -> bytes | None:
        return self.bodies.get(stored.id) if self.hot and stored.id not in self.lost else None

    def touch(self, key: str) -> None:
        self.touched[key] += 1

    async def lookup(self, key: str) -> Found:
        return Found(self._found[key], self._changes[key])

    async def open(self, key: str, stored: StoredResponse) -> FakeBody:
        if self.opens is not None:
            await self.opens.wait()
        if stored.id in self.lost or stored.id not in self.bodies:
            if self.forgets:
                await self.remove(key, frozenset({stored.id}))
            raise BodyLost("lost")
        body = FakeBody(self.bodies[stored.id])
        self.opened.append(body)
        return body

    def reserve(self, expected: int | None) -> None:
        self._check(expected or 0)

    def spool(self) -> FakeSpool:
        spool = FakeSpool(self.room, self.largest)
        self.spools.append(spool)
        return spool

    async def put(self, key: str, stored: StoredResponse, body: bytes, since: int) -> None:
        if self.commits is not None:
            await self.commits.wait()
        self._check(len(body))
        if since == self._removals[key]:
            self.add(key, stored, body)

    async def adopt(self, key: str, stored: StoredResponse, spool: Spool, since: int) -> None:
        assert isinstance(spool, FakeSpool)
        assert not spool.abandoned
        await self.put(key, stored, bytes(spool.octets), since)

    async def update(self, key: str, changed: Sequence[StoredResponse]) -> None:
        self._check(0)
        by_id = {stored.id: stored for stored in changed}
        self._change(key, tuple(by_id.get(one.id, one) for one in self._found[key]))

    async def remove(self, key: str, ids: frozenset[str] | None = None) -> int:
        kept = tuple(one for one in self._found[key] if ids is not None and one.id not in ids)
        count = len(self._found[key]) - len(kept)
        self._removals[key] += 1
        self._change(key, kept)
        return count

    def _check(self, length: int) -> None:
        if self.down:
            raise StoreFailed("disk failed")
        if length > self.largest:
            raise TooLarge("too large")

    def _change(self, key: str, variants: tuple[StoredResponse, ...]) -> None:
        self._found[key] = variants
        self._changes[key] += 1


Step = bytes | Gate | UpstreamError


class FakeResponse:
    """An ``UpstreamResponse`` that plays its steps; at hand if it is nothing but octets."""

    def __init__(self, head: ResponseHead, steps: tuple[Step, ...], length: int | None) -> None:
        self.head = head
        self.length = length
        self.octets = b""
        self.trailers = NO_FIELDS
        self.closed = 0
        self.ended = False
        self._steps = deque(steps)

    def at_hand(self) -> bytes | None:
        if not all(isinstance(step, bytes) for step in self._steps):
            return None
        octets = b"".join(step for step in self._steps if isinstance(step, bytes))
        self._steps.clear()
        self.ended = True
        return octets

    async def read(self) -> bytes:
        while self._steps:
            step = self._steps.popleft()
            if isinstance(step, bytes):
                return step
            if isinstance(step, UpstreamError):
                raise step
            await step.wait()
        self.ended = True
        return b""

    def close(self) -> None:
        self.closed += 1


@dataclass(slots=True)
class Script:
    """What the origin does with one request: ``before`` the head, interim heads, then ``says``."""

    says: FakeResponse | UpstreamError
    before: Gate | None = None
    interim: tuple[ResponseHead, ...] = ()


@dataclass(slots=True)
class FakeFetcher:
    """A ``Fetcher``. Scripts of a target URI are played in order, the last one only once.

    ``requests`` are those that came; one without a script cannot be reached.
    """

    requests: list[Outgoing] = field(default_factory=list)
    responses: list[FakeResponse] = field(default_factory=list)
    upgraded: Upgraded | None = None
    _scripts: defaultdict[str, deque[Script]] = field(default_factory=lambda: defaultdict(deque))

    def says(
        self,
        url: str,
        head: ResponseHead,
        *steps: Step,
        length: int | None = None,
        before: Gate | None = None,
        interim: tuple[ResponseHead, ...] = (),
    ) -> FakeResponse:
        """The next answer; ``length`` is its Content-Length (None: chunked or until close)."""
        return self.plays(url, FakeResponse(head, steps, length), before, interim)

    def plays(
        self,
        url: str,
        response: FakeResponse,
        before: Gate | None = None,
        interim: tuple[ResponseHead, ...] = (),
    ) -> FakeResponse:
        """The same with a response of the test's own."""
        self._scripts[url].append(Script(response, before, interim))
        return response

    def fails(self, url: str, error: UpstreamError, before: Gate | None = None) -> None:
        """The next request does not get an answer."""
        self._scripts[url].append(Script(error, before))

    async def upgrade(
        self, request: Outgoing, on_interim: OnInterim | None = None, bound: Bound | None = None
    ) -> FakeResponse | Upgraded:
        if self.upgraded is None:
            return await self.fetch(request, on_interim)
        self.requests.append(request)
        return self.upgraded

    async def fetch(
        self, request: Outgoing, on_interim: OnInterim | None = None, bound: Bound | None = None
    ) -> FakeResponse:
        self.requests.append(request)
        scripts = self._scripts[str(request.uri)]
        if not scripts:
            raise NotReached(502, "connection_refused", "There is no script for this.")
        script = scripts.popleft()
        if script.before is not None:
            await script.before.wait()
        for head in script.interim:
            assert on_interim is not None
            on_interim(head)
        if isinstance(script.says, UpstreamError):
            raise script.says
        self.responses.append(script.says)
        return script.says

    def again(
        self,
        request: Outgoing,
        expected: Said,
        fits: Callable[[], bool],
        heard: Callable[[], None],
        on_interim: OnInterim | None = None,
    ) -> Repeated | None:
        """No connection is idle."""
        return None

    def has_idle(self, origin: Origin) -> bool:
        return False

    def close_idle(self) -> int:
        return 0

    async def dial(self, origin: Origin, via: str, client: str = "") -> Dialled:
        raise NotReached(502, "connection_refused", f"Nobody dials {origin} here.")
