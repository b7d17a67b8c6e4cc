"""The configuration that a command works with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxy.config import Settings

option = click.option(
    "--config",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Configuration file (TOML). Without it: forecache/config.toml in $XDG_CONFIG_HOME"
    " (~/.config), then /etc/forecache/config.toml, then the defaults.",
)


def settings(file: Path | None, flags: Mapping[str, str | Sequence[str]] | None = None) -> Settings:
    """Exits with 1 and all that is wrong if it cannot be used."""
    # --version and --help need none of it.
    from proxy.config import ConfigError, load  # noqa: PLC0415

    try:
        return load(file, flags=flags or {})
    except ConfigError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from None
