"""The program under test behind its port: in this process (``House``) or as a command.

Everything that the tests know about the program's own interface is in this file.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.support.wire import DEADLINE, Incoming, Response, Wire, request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.app import Running

Config = dict[str, Any]

ROOT: Final = Path(__file__).parents[2]
_LISTENING: Final = re.compile(r"listening on 127\.0\.0\.1:([0-9]+)", re.IGNORECASE)
START_DEADLINE: Final = 20.0


def configuration(folder: Path, changes: Config, ports: list[int]) -> Config:
    """Loopback only, a port of its own, a cache in ``folder``, CONNECT to ``ports``; then changes.

    ``changes`` are tables by dotted name: {"cache.freshness": {"targeted": ["CDN-Cache-Control"]}}.
    """
    config: Config = {
        "server": {"listen": "127.0.0.1:0"},
        "cache": {"dir": str(folder / "cache")},
        "access": {"allow_destinations": ["loopback"], "connect_ports": [80, 443, *ports]},
        "log": {"access": "off"},
        "admin": {"listen": "off"},
    }
    for name, table in changes.items():
        if isinstance(table, list):
            config[name] = table
        else:
            config[name] = {**config.get(name, {}), **table}
    return config


def as_toml(config: Config) -> str:
    """Tables of plain values and arrays of such tables; JSON's spelling of a value is TOML's."""
    text = []
    for name, table in config.items():
        header, tables = ("[[%s]]", table) if isinstance(table, list) else ("[%s]", [table])
        for each in tables:
            text.append(header % name)
            text += [f"{key} = {json.dumps(value)}" for key, value in each.items()]
    return "\n".join([*text, ""])


class Door:
    """A proxy that listens on ``port``; connections made here are closed with it."""

    def __init__(self) -> None:
        self.port = 0
        self._wires: list[Wire] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def wire(self, *, window: int = 0) -> Wire:
        """A fresh connection."""
        wire = await Wire.connect(self.port, window=window)
        self._wires.append(wire)
        return wire

    async def open(
        self,
        target: str,
        *fields: str,
        method: str = "GET",
        body: bytes | None = None,
        minor: int = 1,
        window: int = 0,
    ) -> Incoming:
        """Send one request on a fresh connection; nothing of the answer is awaited."""
        wire = await self.wire(window=window)
        await wire.send(request(method, target, fields, body, minor))
        return Incoming(wire, method)

    async def get(
        self,
        target: str,
        *fields: str,
        method: str = "GET",
        body: bytes | None = None,
        minor: int = 1,
    ) -> Response:
        """One exchange on a fresh connection, read whole; the connection is closed after it."""
        wire = await Wire.connect(self.port)
        try:
            await wire.send(request(method, target, fields, body, minor))
            return await wire.response(method)
        finally:
            await wire.close()

    async def raw(self, data: bytes) -> bytes:
        """Send these bytes, and give back everything until the proxy closes."""
        wire = await Wire.connect(self.port)
        try:
            await wire.send(data)
            return await wire.rest()
        finally:
            await wire.close()

    async def tunnel(self, authority: str, *fields: str) -> Wire:
        """A connection on which CONNECT was answered with 200."""
        wire = await self.wire()
        await wire.send(request("CONNECT", authority, fields))
        head = await wire.head()
        assert head.status == 200, head.start
        return wire

    async def hang_up(self) -> None:
        """Close every connection made by ``wire``, ``open`` and ``tunnel``."""
        for wire in self._wires:
            await wire.close()
        self._wires.clear()


class House(Door):
    """The proxy in this process, on this loop."""

    def __init__(self, running: Running) -> None:
        super().__init__()
        self.running = running
        self.port = running.ports[0]

    @classmethod
    async def start(cls, folder: Path, changes: Config, ports: list[int]) -> House:
        from proxy import app, config  # noqa: PLC0415 - the fixtures load without the program

        file = folder / "config.toml"
        file.write_text(as_toml(configuration(folder, changes, ports)))
        return cls(await app.start(config.load(file, environ={})))

    async def stop(self) -> None:
        await self.hang_up()
        await self.running.stop()


class ProcessHouse(Door):
    """The proxy as a person starts it: ``python -m proxy serve --config F``."""

    def __init__(self, folder: Path, changes: Config, ports: list[int]) -> None:
        super().__init__()
        self.folder = folder
        self._config = configuration(folder, changes, ports)
        self._process: asyncio.subprocess.Process | None = None
        self._listening = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self.log: list[str] = []

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def resident(self) -> int:
        """Resident memory in octets."""
        return self._memory("VmRSS")

    @property
    def peak(self) -> int:
        """The most that was ever resident, in octets."""
        return self._memory("VmHWM")

    @property
    def seconds(self) -> float:
        """Seconds of CPU that it has taken so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _memory(self, name: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"{name}:\s+([0-9]+) kB", status)
        assert found
        return int(found[1]) * 1024

    async def start(self, environ: Mapping[str, str] | None = None) -> None:
        """Start (again, with the same cache folder) and wait for the port."""
        file = self.folder / "config.toml"
        file.write_text(as_toml(self._config))
        self._listening.clear()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "serve", "--config", str(file)),
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read_log(self._process))
        async with asyncio.timeout(START_DEADLINE):
            await self._listening.wait()
        assert self.port, "it did not start:\n" + "".join(self.log)

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        self.port = 0
        while line := (await process.stderr.readline()).decode(errors="replace"):
            self.log.append(line)
            if not self.port and (found := _LISTENING.search(line)):
                self.port = int(found[1])
                self._listening.set()
        self._listening.set()

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end: the exit code."""
        assert self._process is not None
        assert self._reading is not None
        async with asyncio.timeout(START_DEADLINE):
            await self._reading
            return await self._process.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Hang up, signal, wait."""
        await self.hang_up()
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self.send(number)
        try:
            return await self.ended()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.ended()
            raise


__all__ = ["DEADLINE", "ROOT", "Config", "Door", "House", "ProcessHouse", "as_toml"]
