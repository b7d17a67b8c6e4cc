"""The command ``forecache``: ``serve``, ``check``, and those that look into what is stored.

Exit codes: 0, 1 for a configuration that cannot be used or a start that failed, 2 for usage;
``asking`` has more.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

import click

from proxy import __version__
from proxy.cli import configured

if TYPE_CHECKING:
    from pathlib import Path

_LATER: Final = {
    "proxy.cli.inside": ("ls", "show", "explain", "purge", "warm", "stats", "top"),
    "proxy.cli.upkeep": ("verify", "gc"),
}


class _Group(click.Group):
    """Its commands that are for people are imported when they are asked for: they bring rich."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        later = [name for names in _LATER.values() for name in names]
        return [*super().list_commands(ctx), *later]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for module, names in _LATER.items():
            if cmd_name in names:
                commands: tuple[click.Command, ...] = import_module(module).COMMANDS
                return next(command for command in commands if command.name == cmd_name)
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
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
@click.option("--workers", metavar="N|auto", help="Processes; auto: one for each core.")
def serve(file: Path | None, **flags: str | tuple[str, ...] | None) -> None:
    """Run the proxy until SIGTERM."""
    given = {f"--{name.replace('_', '-')}": value for name, value in flags.items() if value}
    settings = configured.settings(file, given)
    # check and --version need none of what this brings in.
    from proxy import workers  # noqa: PLC0415

    raise SystemExit(workers.run(settings))


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
    from proxy.config.checks import doubtful  # noqa: PLC0415

    for where, sentence in doubtful(settings):
        click.echo(f"{where}: {sentence}", err=True)


def main() -> None:
    """The entry point."""
    _forecache(prog_name="forecache")
