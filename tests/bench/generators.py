"""Load generators: wrk where it is installed, else one of our own. Both say what they saw."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.workloads import Workload

NAMES: Final = ("wrk", "python")
_SCRIPT: Final = str(Path(__file__).with_name("load.lua"))
_GRACE: Final = 60.0


class NotAsked(Exception):
    """The generator failed; what it said."""


@dataclass(frozen=True, slots=True)
class Seen:
    """By clients within ``seconds``: ``p50`` and ``p99`` are latencies in milliseconds."""

    requests: int
    seconds: float
    errors: int
    p50: float
    p99: float
    octets: int


@dataclass(frozen=True, slots=True)
class Asking:
    """Whom to ask for what, and for how long; ``salt`` tells the URLs of one run from others."""

    proxy: int
    origin: int
    workload: Workload
    salt: str
    seconds: float


def best() -> str:
    """wrk where it is installed."""
    return "wrk" if shutil.which("wrk") else "python"


def run(generator: str, asking: Asking) -> Seen:
    """Ask. Raises NotAsked."""
    command = _wrk(asking) if generator == "wrk" else _python(asking)
    return seen(command, asking.seconds)


def seen(command: Sequence[str], seconds: float) -> Seen:
    """What such a command printed at last. Raises NotAsked."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + _GRACE,
    )
    if done.returncode or not done.stdout:
        raise NotAsked(f"{command[0]}: {(done.stderr or done.stdout).strip()[-500:]}")
    return Seen(**json.loads(done.stdout.splitlines()[-1]))


def _wrk(asking: Asking) -> list[str]:
    workload = asking.workload
    whole = max(1, round(asking.seconds))  # it takes no parts of seconds
    return [
        *("wrk", "-t1", f"-c{workload.connections}", f"-d{whole}s", "--timeout", "10s"),
        *("-s", _SCRIPT, f"http://127.0.0.1:{asking.proxy}", "--"),
        *(f"127.0.0.1:{asking.origin}", workload.path, asking.salt, str(workload.urls)),
        *workload.fields,
    ]


def _python(asking: Asking) -> list[str]:
    workload = asking.workload
    return [
        *client(asking.proxy, workload.connections),
        *("--seconds", str(asking.seconds), "--origin", f"127.0.0.1:{asking.origin}"),
        *("--path", workload.path, "--salt", asking.salt, "--urls", str(workload.urls)),
        *(f"--field={field}" for field in workload.fields),
    ]


def client(proxy: int, connections: int) -> list[str]:
    """The command of our own generator."""
    own = [sys.executable, "-m", "tests.bench.client"]
    return [*own, str(proxy), "--connections", str(connections)]
