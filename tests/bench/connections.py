"""Idle connections and tunnels, one proxy after the other.

First a client works alone; then so many others have asked once and stay connected, from several
addresses of this machine, while the same client works again. The kernel's part of a connection,
which is the same for all, is not counted. After that, where CONNECT is spoken: one tunnel that is
read as fast as it goes, and tunnels that are opened, used for a few octets and closed.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Final

import uvloop

from tests.bench import generators
from tests.bench.contestants import forecache, ground
from tests.bench.generators import Asking, NotAsked
from tests.bench.origin import HELLO, POUR
from tests.bench.peers import PEERS, installed
from tests.bench.processes import allow_files, progress
from tests.bench.report import Report, caption, names_of, number, surroundings, table
from tests.bench.workloads import WORKLOADS

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from tests.bench.contestants import Ground
    from tests.bench.processes import Process

_WORK: Final = WORKLOADS["hit1k"]
_OF_ONE_ADDRESS: Final = 1000  # connections: below what one client may have
_OTHER_FILES: Final = 100  # that this process has open
_TUNNELS: Final = 32  # that are opened at a time
_PIECE: Final = 2**20
_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Idle:
    """``memory``: octets of one connection. Hits: CPU microseconds, latency in milliseconds."""

    count: int
    memory: float
    cpu_alone: float
    cpu_meanwhile: float
    p99_alone: float
    p99_meanwhile: float


@dataclass(frozen=True, slots=True)
class Tunnels:
    """What one carries (MiB a second, CPU microseconds a MiB); new ones (a second, each)."""

    carried: float
    cpu_of_mib: float
    opened: float
    cpu_of_one: float


def configure(parser: ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("--count", type=int, default=10_000, help="of idle connections")
    parser.add_argument("--peers", type=names_of(PEERS), default=[*PEERS])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--generator", choices=generators.NAMES, default=generators.best())


def run(options: Namespace) -> Report:
    """All of it, for each that takes so many."""
    idle: dict[str, Idle] = {}
    tunnels: dict[str, Tunnels] = {}
    versions: dict[str, str] = {}
    wanted = min(options.count, allow_files() - _OTHER_FILES)
    with ground() as on:
        for contestant in (forecache(), *installed(options.peers)):
            with on.running(contestant) as process:
                if process is None:
                    continue
                name, versions[contestant.name] = contestant.name, contestant.version()
                measuring = Measuring(on, process, options)
                try:
                    idle[name] = measuring.idle(wanted)
                    if contestant.tunnels:
                        tunnels[name] = measuring.tunnels()
                except (NotAsked, HTTPException, OSError, EOFError) as error:
                    progress(f"{name}: {error}")
    around = surroundings(versions)
    text = caption(around, f"{wanted:,} idle connections; {options.generator}.")
    return Report(
        "\n".join((text, _idle_table(idle), _tunnel_table(tunnels))),
        around
        | {"idle": {name: asdict(one) for name, one in idle.items()}}
        | {"tunnels": {name: asdict(one) for name, one in tunnels.items()}},
    )


def _idle_table(idle: dict[str, Idle]) -> str:
    header = ["", "kB a connection", "CPU us a hit: alone", "meanwhile", "p99 ms: alone"]
    return table(
        [*header, "meanwhile"],
        [
            [name, number(one.memory / 1000), *map(number, list(asdict(one).values())[2:])]
            for name, one in idle.items()
        ],
    )


def _tunnel_table(tunnels: dict[str, Tunnels]) -> str:
    return table(
        ["", "one tunnel, MiB/s", "CPU us a MiB", "new tunnels/s", "CPU us each"],
        [[name, *map(number, asdict(one).values())] for name, one in tunnels.items()],
    )


class Measuring:
    """One that serves. Raises NotAsked when the load generator fails."""

    def __init__(self, on: Ground, process: Process, options: Namespace) -> None:
        self._process = process
        self._origin = on.origin
        self._other = f"127.0.0.1:{on.other}"
        self._seconds: float = options.seconds
        self._generator: str = options.generator

    def idle(self, wanted: int) -> Idle:
        """With that many connections. Raises OSError, HTTPException if it does not take them."""
        self._work(min(1.0, self._seconds))
        alone, p99_alone = self._work(self._seconds)
        before = self._process.resident()
        with ExitStack() as stack:
            for place in range(wanted):
                stack.enter_context(closing(self._asked_once(place)))
            memory = (self._process.resident() - before) / wanted
            meanwhile, p99_meanwhile = self._work(self._seconds)
        progress(f"{wanted} connections: {memory:.0f} octets each")
        return Idle(wanted, memory, alone, meanwhile, p99_alone, p99_meanwhile)

    def _work(self, seconds: float) -> tuple[float, float]:
        """A hit in CPU microseconds, and the latency of the slowest in a hundred."""
        cpu = self._process.cpu()
        asking = Asking(self._process.port, self._origin, _WORK, _WORK.name, seconds)
        seen = generators.run(self._generator, asking)
        return (self._process.cpu() - cpu) / max(1, seen.requests) * 1e6, seen.p99

    def _asked_once(self, place: int) -> HTTPConnection:
        source = (f"127.0.0.{2 + place // _OF_ONE_ADDRESS}", 0)
        connection = HTTPConnection(
            "127.0.0.1", self._process.port, timeout=_TIMEOUT, source_address=source
        )
        host = f"127.0.0.1:{self._origin}"
        url = f"http://{host}{_WORK.path}?{_WORK.name}-1"
        connection.request("GET", url, headers={"Host": host})
        connection.getresponse().read()
        return connection

    def tunnels(self) -> Tunnels:
        """One, then many. Raises OSError, EOFError if CONNECT is refused."""
        carried, cpu_of_mib = self._carried()
        cpu, began = self._process.cpu(), time.perf_counter()
        made = uvloop.run(self._opened(began + self._seconds))
        if not made:
            raise EOFError("no tunnel was opened in time")
        cpu, took = self._process.cpu() - cpu, time.perf_counter() - began
        progress(f"tunnels: {carried:.0f} MiB/s in one, {made / took:.0f}/s")
        return Tunnels(carried, cpu_of_mib, made / took, cpu / made * 1e6)

    @property
    def _connect(self) -> bytes:
        return f"CONNECT {self._other} HTTP/1.1\r\nHost: {self._other}\r\n\r\n".encode()

    def _carried(self) -> tuple[float, float]:
        """MiB a second, and CPU microseconds for one."""
        octets, buffer = 0, bytearray(_PIECE)
        address = ("127.0.0.1", self._process.port)
        with socket.create_connection(address, _TIMEOUT) as sock:
            sock.sendall(self._connect)
            _granted(sock.recv(4096))
            sock.sendall(POUR)
            cpu, began = self._process.cpu(), time.perf_counter()
            while time.perf_counter() - began < self._seconds:
                octets += sock.recv_into(buffer)
            took, cpu = time.perf_counter() - began, self._process.cpu() - cpu
        mebibytes = max(1, octets) / 2**20
        return mebibytes / took, cpu / mebibytes * 1e6

    async def _opened(self, until: float) -> int:
        """How many were opened, used and closed."""
        return sum(await asyncio.gather(*(self._one_by_one(until) for _ in range(_TUNNELS))))

    async def _one_by_one(self, until: float) -> int:
        made = 0
        while time.perf_counter() < until:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._process.port)
            try:
                writer.write(self._connect)
                _granted(await reader.readuntil(b"\r\n\r\n"))
                writer.write(HELLO)
                await reader.readexactly(len(HELLO))
            finally:
                writer.close()
                await writer.wait_closed()
            made += 1
        return made


def _granted(head: bytes) -> None:
    """Raises EOFError unless it begins a tunnel."""
    if head[9:12] != b"200":
        raise EOFError(head.partition(b"\r\n")[0].decode("latin-1"))
