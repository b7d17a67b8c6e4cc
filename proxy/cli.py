"""The command ``forecache``: ``serve``, ``check``, ``--version``.

Exit codes: 0, 1 for a configuration that cannot be used or a start that failed, 2 for usage.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from proxy import __version__
from proxy.config import ConfigError, load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxy.config import Settings

_config = click.option(
    "--config",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Configuration file (TOML). Without it: forecache/config.toml in $XDG_CONFIG_HOME"
    " (~/.config), then /etc/forecache/config.toml, then the defaults.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="forecache %(version)s")
def _forecache() -> None:
    """A caching forward HTTP proxy.

    Every option of the configuration file is also a variable:
    FORECACHE_CACHE__MAX_SIZE=10GiB is max_size under [cache].
    """


@_forecache.command()
@_config
@click.option("--listen", multiple=True, metavar="ADDRESS:PORT", help="May be repeated.")
@click.option("--cache-dir", metavar="FOLDER", help="Where responses are stored.")
@click.option("--max-size", metavar="SIZE", help="Of the whole cache, such as 10GiB.")
def serve(
    file: Path | None, listen: tuple[str, ...], cache_dir: str | None, max_size: str | None
) -> None:
    """Run the proxy until SIGTERM."""
    given = {"--listen": listen, "--cache-dir": cache_dir, "--max-size": max_size}
    settings = _load(file, {flag: value for flag, value in given.items() if value})
    # check and --version need none of what this brings in.
    from proxy import app  # noqa: PLC0415

    raise SystemExit(app.run(settings))


@_forecache.command()
@_config
def check(file: Path | None) -> None:
    """Say whether the configuration is valid, and where each setting comes from."""
    settings = _load(file, {})
    click.echo(f"{settings.file or 'No configuration file'}: valid")
    if not settings.given:
        click.echo("Everything is at its default.")
    for given in settings.given:
        click.echo(f"  {given.key} = {given.text}  # {given.where}")


def _load(file: Path | None, flags: Mapping[str, str | Sequence[str]]) -> Settings:
    try:
        return load(file, flags=flags)
    except ConfigError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from None


def main() -> None:
    """The entry point."""
    _forecache(prog_name="forecache")
