"""The command ``forecache``: ``serve``, ``check``, and those that look into a running proxy.

Exit codes: 0, 1 for a configuration that cannot be used or a start that failed, 2 for usage;
``inside`` has more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from proxy import __version__
from proxy.cli import configured, inside

if TYPE_CHECKING:
    from pathlib import Path


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="forecache %(version)s")
def _forecache() -> None:
    """A caching forward HTTP proxy.

    Every option of the configuration file is also a variable:
    FORECACHE_CACHE__MAX_SIZE=10GiB is max_size under [cache].
    """


@_forecache.command()
@configured.option
@click.option("--listen", multiple=True, metavar="ADDRESS:PORT", help="May be repeated.")
@click.option("--cache-dir", metavar="FOLDER", help="Where responses are stored.")
@click.option("--max-size", metavar="SIZE", help="Of the whole cache, such as 10GiB.")
def serve(
    file: Path | None, listen: tuple[str, ...], cache_dir: str | None, max_size: str | None
) -> None:
    """Run the proxy until SIGTERM."""
    given = {"--listen": listen, "--cache-dir": cache_dir, "--max-size": max_size}
    settings = configured.settings(file, {flag: value for flag, value in given.items() if value})
    # check and --version need none of what this brings in.
    from proxy import app  # noqa: PLC0415

    raise SystemExit(app.run(settings))


@_forecache.command()
@configured.option
def check(file: Path | None) -> None:
    """Say whether the configuration is valid, and where each setting comes from."""
    settings = configured.settings(file)
    click.echo(f"{settings.file or 'No configuration file'}: valid")
    if not settings.given:
        click.echo("Everything is at its default.")
    for given in settings.given:
        click.echo(f"  {given.key} = {given.text}  # {given.where}")


for _command in inside.COMMANDS:
    _forecache.add_command(_command)


def main() -> None:
    """The entry point."""
    _forecache(prog_name="forecache")
