"""Processes under load: started on a core of their own, weighed in /proc, ended.

The benchmark itself, with its origin and its load generator, is on another core.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = Path(__file__).parents[2]
START: Final = 30.0  # seconds that a process has until it answers
_STOP: Final = 10.0
_POLL: Final = 0.005
_TICK: Final = os.sysconf("SC_CLK_TCK")
_PSS: Final = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)
_RSS: Final = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)


class NotStarted(Exception):
    """It ended, or did not answer in time; what it said."""


def progress(text: str) -> None:
    """What goes on, for who waits."""
    sys.stderr.write(text + "\n")


def share_cores() -> list[str]:
    """Leave the first core to what is measured: the words before its command, [] if it has none.

    Children of this process stay with it on the last core.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 or shutil.which("taskset") is None:
        progress("no core of its own for each: one core only, or no taskset")
        return []
    os.sched_setaffinity(0, cores[-1:])
    return ["taskset", "-c", str(cores[0])]


def allow_files() -> int:
    """Open as many files as the machine allows, here and in children; how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port: int = listening.getsockname()[1]
    return port


class Process:
    """A command with all processes that it starts, which listens on ``port``."""

    def __init__(self, argv: Sequence[str], port: int, log: Path) -> None:
        self.port = port
        self.began_after = 0.0  # seconds, when it has begun to serve
        self._log = log
        self._began = time.perf_counter()
        with log.open("wb") as file:
            self._popen = subprocess.Popen(  # ended by ``stop``
                argv,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Until it answers on its port, whatever that is. Raises NotStarted."""
        while time.perf_counter() - self._began < START:
            if _answers(self.port):
                self.began_after = time.perf_counter() - self._began
                return
            if self._popen.poll() is not None:
                break
            time.sleep(_POLL)
        raise NotStarted(self._log.read_text(errors="replace")[-2000:])

    def cpu(self) -> float:
        """Seconds, user and system, of all its processes, those that have ended included."""
        return sum(sum(map(int, fields[11:15])) for fields in self._family()) / _TICK

    def resident(self) -> int:
        """Octets of memory; what its processes share counts once, if the kernel tells."""
        return 1024 * sum(_memory(fields[-1]) for fields in self._family())

    def _family(self) -> list[list[str]]:
        """Of each process what stands after its name in ``stat``, and its number."""
        children: dict[str, list[list[str]]] = defaultdict(list)
        alive: dict[str, list[str]] = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            number = path.parent.name
            alive[number] = [*fields, number]
            children[fields[1]].append(alive[number])
        family = [alive[str(self._popen.pid)]]
        for process in family:
            family += children[process[-1]]
        return family

    def stop(self) -> None:
        """Ask it to end, then make it."""
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
            try:
                self._popen.wait(_STOP)
            except subprocess.TimeoutExpired:
                os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()


def _answers(port: int) -> bool:
    """A port is taken before anybody serves there: only an answer says so."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: bench.test\r\n\r\n")
            return bool(sock.recv(1))
    except OSError:
        return False


def _memory(number: str) -> int:
    """KiB."""
    for name, pattern in (("smaps_rollup", _PSS), ("status", _RSS)):
        try:
            found = pattern.search(Path(f"/proc/{number}/{name}").read_text())
        except OSError:
            continue
        if found:
            return int(found[1])
    return 0


@contextmanager
def started(argv: Sequence[str], port: int, log: Path) -> Iterator[Process]:
    """The process while it serves. Raises NotStarted."""
    process = Process(argv, port, log)
    try:
        process.wait()
        yield process
    finally:
        process.stop()
