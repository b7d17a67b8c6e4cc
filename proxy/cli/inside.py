"""Commands that look into a running proxy, through its admin endpoint.

Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 no proxy answers.
"""

from __future__ import annotations

import time
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click
from rich.live import Live
from rich.progress import Progress
from rich.table import Table

from proxy.admin.client import Client, Failed, Unreachable
from proxy.cli import configured, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FAILED, NOT_FOUND, UNREACHABLE = 1, 3, 4
_REFRESH: Final = 1.0  # seconds
_SORTS: Final = ("used", "size", "age", "hits", "expires", "url")
_PAGE: Final = 1000

_json = click.option("--json", "as_json", is_flag=True, help="For a program.")


def _asking(command: Callable[..., None]) -> Callable[..., None]:
    """Gives the command its client; errors of it become a sentence and an exit code."""

    @configured.option
    @wraps(command)
    def run(file: Path | None, **given: Any) -> None:
        try:
            command(Client(configured.settings(file).admin), **given)
        except Unreachable as error:
            click.echo(str(error), err=True)
            raise SystemExit(UNREACHABLE) from None
        except Failed as error:
            click.echo(shown.safe(error.sentence), err=True)
            raise SystemExit(NOT_FOUND if error.status == 404 else FAILED) from None

    return run


@click.command("ls")
@click.argument("words", default="", metavar="[TEXT]")
@click.option("--host", default="", help="Of this host only.")
@click.option("--prefix", default="", help="URLs that begin so.")
@click.option("--state", type=click.Choice(["fresh", "stale"]), default=None)
@click.option("--type", "media_type", default="", help="Media type, such as text/*.")
@click.option("--sort", type=click.Choice(_SORTS), default="used", show_default=True)
@click.option("--limit", default=50, show_default=True, help="The most lines.")
@_json
@_asking
def ls(client: Client, words: str, limit: int, as_json: bool, **given: str | None) -> None:
    """List what is stored: all of it, or URLs with TEXT in them."""
    query = {name: value or "" for name, value in given.items()}
    query["type"] = query.pop("media_type")
    entries: list[dict[str, Any]] = []
    cursor = ""
    while len(entries) < limit:
        size = str(min(_PAGE, limit - len(entries)))
        page = client.get("/api/entries", {**query, "q": words, "limit": size, "cursor": cursor})
        entries += page["entries"]
        cursor = page["cursor"]
        if not cursor:
            break
    if as_json:
        shown.as_json(entries)
        return
    now = time.time()
    shown.table(
        (">size", ">ttl", ">hits", "used", "type", "url"),
        (
            (
                shown.size(entry["octets"]), shown.span(entry["fresh_until"] - now), entry["hits"],
                shown.since(entry["used"]), entry["type"], entry["url"],
            )
            for entry in entries
        ),
    )  # fmt: skip
    if cursor:
        click.echo(f"There are more: --limit {limit * 2}", err=True)


@click.command()
@click.argument("url")
@_json
@_asking
def show(client: Client, url: str, as_json: bool) -> None:
    """Everything that is stored for a URL."""
    entry = client.get("/api/entry", {"url": url})
    if as_json:
        shown.as_json(entry)
        return
    rows: list[tuple[str, object]] = [("url", entry["url"]), ("hits", entry["hits"])]
    for variant in entry["variants"]:
        rows += [("", ""), ("status", variant["status"]), ("size", shown.size(variant["octets"]))]
        rows += [(f"for {name}", value) for name, value in variant["selecting"]]
        forms = [f"{form['coding']} {shown.size(form['octets'])}" for form in variant["forms"]]
        if forms:
            rows.append(("kept as", ", ".join(forms)))
        rows += [(name, value) for name, value in variant["freshness"].items() if name != "terms"]
        rows += [(f"  {name}", value) for name, value in variant["fields"]]
    shown.pairs(rows)


@click.command()
@click.argument("url")
@click.option("--method", "-X", default="GET", show_default=True)
@click.option("--header", "-H", multiple=True, metavar="NAME:VALUE", help="May be repeated.")
@_json
@_asking
def explain(client: Client, url: str, method: str, header: tuple[str, ...], as_json: bool) -> None:
    """What would happen to a request now, and why."""
    said = client.get("/api/explain", {"url": url, "method": method, "header": header})
    if as_json:
        shown.as_json(said)
    else:
        shown.clauses(said)


@click.command()
@click.argument("url", required=False)
@click.option("--prefix", help="URLs that begin so.")
@click.option("--host", help="Everything of a host.")
@click.option("--glob", help="As in the match of a rule.")
@click.option("--tag", help="Cache-Tag, Surrogate-Key or xkey.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--soft", is_flag=True, help="Have it validated at its next use, not removed.")
@click.option("--dry-run", is_flag=True, help="Count, and change nothing.")
@_json
@_asking
def purge(
    client: Client, everything: bool, soft: bool, dry_run: bool, as_json: bool, **chosen: str | None
) -> None:
    """Take out of the cache: a URL, or what an option names."""
    order: dict[str, object] = {name: value for name, value in chosen.items() if value}
    if everything:
        order["all"] = True
    if len(order) != 1:
        raise click.UsageError("Name just one: URL, --prefix, --host, --glob, --tag or --all.")
    purged = client.post("/api/purge", {**order, "soft": soft, "dry_run": dry_run})
    if as_json:
        shown.as_json(purged)
        return
    verb = "would be " if dry_run else ""
    what = "stale" if soft else "purged"
    click.echo(f"{purged['keys']} ({shown.size(purged['octets'])}) {verb}{what}")


@click.command()
@click.argument("urls", nargs=-1)
@click.option(
    "--from", "listed", type=click.File(), help="A file with a URL on each line; - is stdin."
)
@click.option("--header", "-H", multiple=True, metavar="NAME:VALUE", help="May be repeated.")
@_json
@_asking
def warm(
    client: Client, urls: tuple[str, ...], listed: Any, header: tuple[str, ...], as_json: bool
) -> None:
    """Fetch URLs into the cache."""
    wanted = [*urls, *(line.strip() for line in listed or () if line.strip())]
    if not wanted:
        raise click.UsageError("Give URLs, or --from a file of them.")
    headers = {name.strip(): value.strip() for name, _, value in (h.partition(":") for h in header)}
    failed = 0
    with Progress(console=shown.console, disable=as_json) as progress:
        task = progress.add_task("fetching", total=len(wanted))
        for ended in client.lines("/api/warm", {"urls": wanted, "headers": headers}):
            progress.advance(task)
            bad = not 200 <= ended["status"] < 400
            failed += bad
            if as_json:
                shown.as_json(ended)
            elif bad:
                url = shown.safe(ended["url"])
                progress.console.print(f"{ended['status']} {ended['reason']} {url}", markup=False)
    if not as_json:
        click.echo(f"{len(wanted) - failed} fetched, {failed} failed")
    if failed:
        raise SystemExit(FAILED)


@click.command()
@_json
@_asking
def stats(client: Client, as_json: bool) -> None:
    """Requests, hits, misses and why, and how full the cache is."""
    said = client.get("/api/stats")
    if as_json:
        shown.as_json(said)
    else:
        shown.pairs(_stats(said))
        _reasons(said)


@click.command()
@_asking
def top(client: Client) -> None:
    """The same, live, until Ctrl-C."""
    with Live(console=shown.console, auto_refresh=False) as live:
        while True:
            said = client.get("/api/stats")
            made = Table(box=None, show_header=False)
            for name, value in _stats(said):
                made.add_row(name, shown.safe(value))
            for url in said["top"]["urls"][:15]:
                made.add_row(str(url["requests"]), shown.safe(url["name"])[:100])
            live.update(made, refresh=True)
            time.sleep(_REFRESH)


def _stats(said: dict[str, Any]) -> list[tuple[str, object]]:
    requests, hits = said["requests"], said["hits"]
    store, octets = said["store"], said["octets"]
    return [
        ("running for", shown.span(said["now"] - said["started"])),
        ("requests", requests),
        ("hits", f"{hits} ({100 * hits / requests if requests else 0:.1f} %)"),
        ("from the cache", shown.size(octets["cache"])),
        ("from origins", shown.size(octets["origin"])),
        ("stored", f"{store['keys']} URLs, {shown.size(store['octets'])}"),
        ("of", shown.size(store["limit"])),
    ]


def _reasons(said: dict[str, Any]) -> None:
    counted = sorted(said["results"].items(), key=lambda pair: -pair[1])
    shown.table(("reason", ">requests"), counted)


COMMANDS: Final = (ls, show, explain, purge, warm, stats, top)
