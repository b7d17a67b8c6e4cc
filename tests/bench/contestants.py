"""What takes part: the program of this checkout, and whatever else can be started beside it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import proxy
from tests.bench.processes import (
    NotStarted,
    allow_files,
    free_port,
    progress,
    share_cores,
    started,
)
from tests.support.house import as_toml, configuration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.processes import Process
    from tests.support.house import Config

OURS: Final = "forecache"
MOST_CONNECTIONS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Setting:
    """What a contestant is configured for: its folder and port, and the origin's two ports."""

    folder: Path
    port: int
    origin: int
    other: int


@dataclass(frozen=True, slots=True)
class Contestant:
    """``prepare`` writes its configuration and returns its command."""

    name: str
    prepare: Callable[[Setting], list[str]]
    version: Callable[[], str]
    tunnels: bool = True


def forecache(changes: Config | None = None) -> Contestant:
    """This checkout, set as the others are (see ``peers``); then changes by dotted name."""

    def prepare(setting: Setting) -> list[str]:
        ours: Config = {
            "server": {"listen": f"127.0.0.1:{setting.port}", "max_connections": MOST_CONNECTIONS},
            "server.limits": {"idle_timeout": "10m"},
            "cache": {"memory": "512MiB"},
            "coding": {"encode": "always"},
            "log": {"access": str(setting.folder / "access.log")},
            "admin": {"listen": "127.0.0.1:0"},
        }
        for name, table in (changes or {}).items():
            ours[name] = {**ours.get(name, {}), **table}
        file = setting.folder / "config.toml"
        file.write_text(as_toml(configuration(setting.folder, ours, [setting.other])))
        return [sys.executable, "-m", "proxy", "serve", "--config", str(file)]

    return Contestant(OURS, prepare, lambda: proxy.__version__)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where they meet: a folder that goes away, an origin with two ports (see ``origin``).

    ``before``: the words before the command of each, so that it has a core of its own.
    """

    folder: Path
    origin: int
    other: int
    before: tuple[str, ...]

    def setting(self, folder: Path) -> Setting:
        """A free port; the folder is made."""
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # some contestants serve as users of their own
        return Setting(folder, free_port(), self.origin, self.other)

    @contextmanager
    def running(
        self, contestant: Contestant, folder: Path | None = None
    ) -> Iterator[Process | None]:
        """It, while it serves; None, and a line with what it said, if it does not start."""
        with ExitStack() as stack:
            process = None
            try:
                setting = self.setting(folder or self.folder / contestant.name)
                command = [*self.before, *contestant.prepare(setting)]
                served = started(command, setting.port, setting.folder / "said")
                process = stack.enter_context(served)
            except (NotStarted, OSError, subprocess.CalledProcessError) as error:
                progress(f"{contestant.name} does not start: {error}")
            yield process


@contextmanager
def ground() -> Iterator[Ground]:
    """With its origin running."""
    before = tuple(share_cores())
    allow_files()
    origin, other = free_port(), free_port()
    command = [sys.executable, "-m", "tests.bench.origin", str(origin), str(other)]
    with TemporaryDirectory(prefix="forecache-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with started(command, origin, folder / "origin"):
            yield Ground(folder, origin, other, before)
