"""Commands that look into a running proxy, through its admin endpoint; some also into a folder."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import click
from rich.live import Live
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from proxy.cli import shown
from proxy.cli.asking import FAILED, asking, asking_or_reading, json_option

if TYPE_CHECKING:
    from proxy.admin.client import Client
    from proxy.cli.asking import Answering

_REFRESH: Final = 1.0  # seconds
_SORTS: Final = ("used", "size", "age", "hits", "expires", "url")
_PAGE: Final = 1000
_SILENT: Final = "no answer"


@click.command("ls")
@click.argument("words", default="", metavar="[TEXT]")
@click.option("--host", default="", help="Of this host only.")
@click.option("--prefix", default="", help="URLs that begin so.")
@click.option("--state", type=click.Choice(["fresh", "stale"]), default=None)
@click.option("--type", "media_type", default="", help="Media type, such as text/*.")
@click.option("--tag", default="", help="Cache-Tag, Surrogate-Key or xkey.")
@click.option("--sort", type=click.Choice(_SORTS), default="used", show_default=True)
@click.option("--limit", default=50, show_default=True, help="The most lines.")
@json_option
@asking_or_reading
def ls(client: Answering, words: str, limit: int, as_json: bool, **given: str | None) -> None:
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
@json_option
@asking_or_reading
def show(client: Answering, url: str, as_json: bool) -> None:
    """Everything that is stored for a URL."""
    entry = client.get("/api/entry", {"url": url})
    if as_json:
        shown.as_json(entry)
        return
    rows: list[tuple[str, object]] = [("url", entry["url"]), ("hits", entry["hits"])]
    if entry["tags"]:
        rows.append(("tags", ", ".join(entry["tags"])))
    for variant in entry["variants"]:
        rows += [("", ""), ("variant", variant["id"]), ("status", variant["status"])]
        rows.append(("size", shown.size(variant["octets"])))
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
@json_option
@asking
def explain(client: Client, url: str, method: str, header: tuple[str, ...], as_json: bool) -> None:
    """What would happen to a request now, and why."""
    said = client.get("/api/explain", {"url": url, "method": method, "header": header})
    if as_json:
        shown.as_json(said)
    else:
        shown.clauses(said)


@click.command()
@click.argument("url", required=False)
@click.option("--variant", metavar="ID", help="Of the URL, that variant alone; show has the ID.")
@click.option("--prefix", help="URLs that begin so.")
@click.option("--host", help="Everything of a host.")
@click.option("--glob", help="As in the match of a rule.")
@click.option("--tag", help="Cache-Tag, Surrogate-Key or xkey.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--soft", is_flag=True, help="Have it validated at its next use, not removed.")
@click.option("--dry-run", is_flag=True, help="Count, and change nothing.")
@json_option
@asking
def purge(
    client: Client,
    everything: bool,
    variant: str | None,
    soft: bool,
    dry_run: bool,
    as_json: bool,
    **chosen: str | None,
) -> None:
    """Take out of the cache: a URL, or what an option names."""
    order: dict[str, object] = {name: value for name, value in chosen.items() if value}
    if everything:
        order["all"] = True
    if len(order) != 1:
        raise click.UsageError("Name just one: URL, --prefix, --host, --glob, --tag or --all.")
    if variant:
        if "url" not in order:
            raise click.UsageError("A --variant is one of a URL: give both.")
        order["variant"] = variant
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
@json_option
@asking
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
                line = shown.safe(f"{ended['status']} {ended['reason']} {ended['url']}")
                progress.console.print(line, markup=False)
    if not as_json:
        click.echo(f"{len(wanted) - failed} fetched, {failed} failed")
    if failed:
        raise SystemExit(FAILED)


@click.command()
@json_option
@asking_or_reading
def stats(client: Answering, as_json: bool) -> None:
    """Requests, hits, misses and why, and how full the cache is."""
    said = client.get("/api/stats")
    if as_json:
        shown.as_json(said)
    elif "folder" in said:
        _show_folder(said)
    else:
        shown.pairs(_stats(said))
        _workers(said)
        _reasons(said)


@click.command()
@asking
def top(client: Client) -> None:
    """The same, live, until Ctrl-C."""
    with Live(console=shown.console, auto_refresh=False) as live:
        while True:
            live.update(_screen(client.get("/api/stats"), shown.console.height), refresh=True)
            time.sleep(_REFRESH)


def _screen(said: dict[str, Any], height: int) -> Table:
    """Of so many lines."""
    made = Table(box=None, show_header=False)
    for name, value in _stats(said):
        made.add_row(name, shown.safe(value))
    workers, busiest = said["workers"], _busiest(said["top"]["urls"])
    # Each title of the busiest has one line at least.
    if 1 < len(workers) <= height - made.row_count - 2 * len(busiest):
        for line in workers:
            made.add_row(f"worker {line['worker']}", _worker(line))
    lines = max(1, (height - made.row_count) // 3 - 1)
    for title, rows in busiest.items():
        made.add_row("", Text(title, style="bold"))
        for number, name in rows[:lines]:
            made.add_row(str(number), Text(shown.safe(name)[:100]))
    return made


def _worker(line: dict[str, Any]) -> str:
    if "silent" in line:
        return _SILENT
    return (
        f"{line['requests']} requests, {_share(line)} hits,"
        f" {line['connections']} connections, {line['tunnels']} tunnels"
    )


def _workers(said: dict[str, Any]) -> None:
    """One alone has nothing to say that is not said above."""
    rows = [
        (line["worker"], _SILENT)
        if "silent" in line
        else (
            line["worker"], line["pid"], line["requests"], _share(line), line["connections"],
            line["tunnels"],
        )
        for line in said["workers"]
    ]  # fmt: skip
    if len(rows) > 1:
        shown.table(("worker", ">pid", ">requests", ">hits", ">connections", ">tunnels"), rows)


def _share(counted: dict[str, Any]) -> str:
    requests, hits = counted["requests"], counted["hits"]
    return f"{100 * hits / requests if requests else 0:.1f} %"


def _stats(said: dict[str, Any]) -> list[tuple[str, object]]:
    store, octets = said["store"], said["octets"]
    return [
        ("running for", shown.span(said["now"] - said["started"])),
        ("requests", said["requests"]),
        ("hits", f"{said['hits']} ({_share(said)})"),
        ("from the cache", shown.size(octets["cache"])),
        ("from origins", shown.size(octets["origin"])),
        ("stored", f"{store['keys']} URLs, {shown.size(store['octets'])}"),
        ("of", shown.size(store["limit"])),
    ]


def _show_folder(said: dict[str, Any]) -> None:
    store = said["store"]
    rows = [
        ("folder", said["folder"]),
        ("stored", f"{store['keys']}, {shown.size(store['octets'])}"),
        ("of", shown.size(store["limit"])),
    ]
    rows += [
        (share["name"], f"{share['keys']} URLs, {shown.size(share['octets'])}")
        for share in said["states"]
    ]
    shown.pairs(rows)
    for name in ("hosts", "types"):
        shares = [(one["name"], one["keys"], shown.size(one["octets"])) for one in said[name]]
        shown.table((name, ">URLs", ">size"), shares)


def _busiest(ranked: dict[str, list[dict[str, Any]]]) -> dict[str, list[tuple[object, str]]]:
    """URLs by each measure: what was measured, and the name."""
    return {
        "by requests": [(one["requests"], one["name"]) for one in ranked["requests"]],
        "by traffic": [(shown.size(one["octets"]), one["name"]) for one in ranked["octets"]],
        "by misses, and mostly why": [
            (one["misses"], f"{one['reason']}  {one['name']}") for one in ranked["misses"]
        ],
    }


def _reasons(said: dict[str, Any]) -> None:
    counted = sorted(said["results"].items(), key=lambda pair: -pair[1])
    shown.table(("reason", ">requests"), counted)


COMMANDS: Final = (ls, show, explain, purge, warm, stats, top)
