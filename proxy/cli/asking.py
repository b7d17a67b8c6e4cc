"""Where a command gets its answers: from a running proxy, or straight from the folder of one.

Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 no proxy answers.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol

import click

from proxy.admin.client import Client, Failed, Nobody, Unreachable
from proxy.admin.options import OFF
from proxy.cli import configured, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from proxy.config import Settings

FAILED, NOT_FOUND, UNREACHABLE = 1, 3, 4

json_option = click.option("--json", "as_json", is_flag=True, help="For a program.")
_folder_option = click.option(
    "--folder", is_flag=True, help="Straight from the cache folder, whether a proxy runs or not."
)


class Answering(Protocol):
    """As ``Client``; of a folder only some paths are known."""

    def get(self, path: str, query: Mapping[str, str | Sequence[str]] | None = None) -> Any: ...

    def lines(self, path: str, order: Mapping[str, object]) -> Iterator[Any]: ...


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """Gives the command a client of the running proxy; its errors become sentences and codes."""

    @configured.option
    @wraps(command)
    def run(file: Path | None, **given: Any) -> None:
        with _said():
            command(Client(configured.settings(file).admin), **given)

    return run


def asking_or_reading(command: Callable[..., None]) -> Callable[..., None]:
    """The same; where no proxy answers, or if that is wanted, the folder does."""

    @configured.option
    @_folder_option
    @wraps(command)
    def run(file: Path | None, folder: bool, **given: Any) -> None:
        settings = configured.settings(file)
        with _said():
            if not folder:
                try:
                    command(Client(settings.admin), **given)
                except Nobody:
                    click.echo(_instead(settings), err=True)
                else:
                    return
            # Only now: who asks a proxy needs none of what this brings in.
            from proxy.cli.folder import Straight  # noqa: PLC0415

            with Straight(settings) as straight:
                command(straight, **given)

    return run


def _instead(settings: Settings) -> str:
    listen = settings.admin.listen
    nobody = "The admin endpoint is off" if listen == OFF else f"No proxy answers at {listen}"
    return f"{nobody}; reading the folder {settings.store.dir}."


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except Unreachable as error:
        click.echo(str(error), err=True)
        raise SystemExit(UNREACHABLE) from None
    except Failed as error:
        click.echo(shown.safe(error.sentence), err=True)
        raise SystemExit(NOT_FOUND if error.status == 404 else FAILED) from None
