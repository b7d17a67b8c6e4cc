"""Commands that look after what is stored: ``verify`` and ``gc``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from proxy.admin.client import Failed
from proxy.cli import shown
from proxy.cli.asking import FAILED, NOT_FOUND, asking_or_reading, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.cli.asking import Answering

_KINDS: Final = {
    "forms": "kept forms of bodies that are gone",
    "bodies": "bodies that no record names",
    "files": "files that no row names",
    "holes": "parts of packs that no row names",
    "spools": "spool files of dead processes",
    "aside": "databases that were moved aside",
    "room": "URLs beyond the limit",
    "pages": "free pages of the database",
}


@click.command()
@click.argument("urls", nargs=-1, metavar="[URL]...")
@click.option("--remove", is_flag=True, help="Take out what is damaged, and only that.")
@json_option
@asking_or_reading
def verify(client: Answering, urls: tuple[str, ...], remove: bool, as_json: bool) -> None:
    """Check all that is stored, or URLs, against lengths and checksums.

    The exit code is 1 if something is damaged.
    """
    damaged: list[dict[str, Any]] = []
    missing: list[str] = []
    last: dict[str, Any] = {}
    with shown.progress("verifying", quiet=as_json) as advance:
        order = {"urls": list(urls) or None, "remove": remove}
        for last in _until_the_end(client.lines("/api/verify", order)):
            advance(last["done"], last["of"])
            damaged += last["damaged"]
            missing += last["missing"]
    if as_json:
        counts = {"keys": last["done"], "octets": last["octets"]}
        shown.as_json({**counts, "damaged": damaged, "missing": missing})
    else:
        _say(damaged, missing, last, remove=remove)
    if damaged or missing:
        raise SystemExit(FAILED if damaged else NOT_FOUND)


def _say(
    damaged: list[dict[str, Any]], missing: list[str], last: dict[str, Any], *, remove: bool
) -> None:
    if damaged:
        rows = [(one["key"], one["id"] or "-", one["why"]) for one in damaged]
        shown.table(("key", "body", "why"), rows)
    for key in missing:
        click.echo(f"Nothing is stored for {shown.safe(key)}", err=True)
    removed = f", {sum(one['removed'] for one in damaged)} removed" if remove else ""
    checked = f"{last['done']} verified ({shown.size(last['octets'])})"
    click.echo(f"{checked}, {len(damaged)} damaged{removed}")


@click.command()
@click.option("--dry-run", is_flag=True, help="Count, and change nothing.")
@json_option
@asking_or_reading
def gc(client: Answering, dry_run: bool, as_json: bool) -> None:
    """Give back what is of no use: what nobody names, nobody finishes, or there is no room for."""
    last: dict[str, Any] = {}
    with shown.progress("looking", quiet=as_json) as advance:
        for last in _until_the_end(client.lines("/api/gc", {"dry_run": dry_run})):
            advance(last["done"], last["of"], last["step"])
    found = last["found"]
    octets = sum(one["octets"] for one in found)
    if as_json:
        shown.as_json({"dry_run": dry_run, "octets": octets, "found": found})
        return
    if found:
        rows = [
            (one["count"] or "", shown.size(one["octets"]), _KINDS.get(one["what"], one["what"]))
            for one in found
        ]
        shown.table((">count", ">size", "what"), rows)
    click.echo(f"{shown.size(octets)} {'would be ' if dry_run else ''}given back")


def _until_the_end(lines: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Raises Failed if the last line does not come."""
    ended = False
    for line in lines:
        ended = line["ended"]
        yield line
    if not ended:
        raise Failed(500, "cut", "The answer broke off; the log of the proxy may say why.")


COMMANDS: Final = (verify, gc)
