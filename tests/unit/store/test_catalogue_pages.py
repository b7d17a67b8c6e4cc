"""Pages: every order and filter finds what a plain search finds, whatever way it goes."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.policy.options import Options
from proxy.semantics.units import Octets
from proxy.store import catalogue_pages
from proxy.store.catalogue import Catalogue
from proxy.store.catalogue_queries import Query
from proxy.store.catalogue_rows import Entry
from proxy.store.disk import DATABASE, INDEX
from proxy.store.folder import Folder
from proxy.store.options import StoreOptions
from tests.support.large_store import BULK, NOW, body_of, fill, put_of, store

param = pytest.param

COUNT = 700
STRANGE = [
    "http://strange.example/it's",
    'http://strange.example/"quoted"',
    "http://strange.example/100%",
    "http://strange.example/a_b",
    "http://strange.example/a\\b",
    "http://strange.example/axb",
    "http://strange.example/\x00nul\x1b[31m",
    "http://strange.example/\xff\u202e\U0001f600",
    "http://strange.example/?q=1'); DROP TABLE entries; --",
    "no uri at all",
    "",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")
    fill(path, COUNT)
    opened = Folder(StoreOptions(path, Octets(2**30)))
    puts = [put_of(COUNT + number, body_of(number)) for number in range(len(STRANGE))]
    for put, key in zip(puts, STRANGE, strict=True):
        put.key = key
    store(opened, puts)
    opened.table.leave()
    opened.close()
    return path


@pytest.fixture(scope="module")
def catalogue(folder: Path) -> Iterator[Catalogue]:
    made = Catalogue(folder, Options())
    while made.catch_up(100_000).left:
        pass
    made.note({BULK + "00000100": (5, NOW + 1), BULK + "00000200": (5, NOW + 2)})
    yield made
    made.close()


@pytest.fixture(scope="module")
def everything(catalogue: Catalogue) -> tuple[Entry, ...]:
    page = catalogue.page(Query(limit=1000), NOW)
    assert len(page.entries) == COUNT + len(STRANGE)
    assert page.cursor == ""
    return page.entries


@pytest.fixture(params=["as it comes", "walked", "no index"])
def way(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, catalogue: Catalogue
) -> str:
    """Few rows are sorted; many are walked along an index; before there is one, all are sorted."""
    match request.param:
        case "walked":
            monkeypatch.setattr(catalogue_pages, "_FEW", -1)
            monkeypatch.setattr(catalogue_pages, "_AT_ONCE", 7)
            monkeypatch.setattr(catalogue_pages, "_PATIENCE", 0.0)
        case "no index":
            monkeypatch.setattr(catalogue_pages.Reader, "_has", lambda *_: False)
        case _:
            pass
    return str(request.param)


def read(catalogue: Catalogue, query: Query) -> list[Entry]:
    """All pages of it."""
    found: list[Entry] = []
    for _ in range(10 * COUNT):
        page = catalogue.page(query, NOW)
        assert len(page.entries) <= query.limit
        found += page.entries
        if not page.cursor:
            return found
        query = replace(query, cursor=page.cursor)
    raise AssertionError("no end")


Key = Callable[[Entry], tuple[object, ...]]
VALUES: dict[str, Key] = {
    "used": lambda e: (e.used, e.rowid),
    "size": lambda e: (e.octets, e.rowid),
    "age": lambda e: (-e.stored, -e.rowid),
    "hits": lambda e: (e.hits, e.rowid),
    "expires": lambda e: (e.fresh_until, e.rowid),
    "url": lambda e: (e.url.encode(), e.rowid),
}

FILTERS: list[object] = [
    param(Query(), lambda e: True, id="all"),
    param(Query(state="fresh"), lambda e: e.fresh_until > NOW, id="fresh"),
    param(Query(state="stale"), lambda e: e.fresh_until <= NOW, id="stale"),
    param(Query(host="bulk.example"), lambda e: e.host == "bulk.example", id="host"),
    param(Query(prefix=BULK), lambda e: e.url.startswith(BULK), id="prefix"),
    param(Query(prefix="http://h1"), lambda e: e.url.startswith("http://h1"), id="half a host"),
    param(Query(prefix=BULK, host="h1.example"), lambda e: False, id="prefix of another host"),
    param(Query(tag="all-tens"), lambda e: "all-tens" in e.tags, id="a tag of many"),
    param(Query(tag="shelf-100", host="bulk.example"),
          lambda e: "shelf-100" in e.tags and e.host == "bulk.example", id="a tag of few"),
    param(Query(host="bulk.example", state="fresh", q="00000"),
          lambda e: e.host == "bulk.example" and e.fresh_until > NOW and "00000" in e.url,
          id="several"),
]  # fmt: skip


@pytest.mark.parametrize("sort", list(VALUES))
@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize(("query", "wanted"), FILTERS)
def test_orders(
    catalogue: Catalogue,
    everything: tuple[Entry, ...],
    way: str,
    query: Query,
    wanted: Callable[[Entry], bool],
    sort: str,
    descending: bool,
) -> None:
    query = replace(query, sort=sort, descending=descending, limit=30)  # type: ignore[arg-type]
    expected = sorted(filter(wanted, everything), key=VALUES[sort], reverse=descending)
    assert [e.key for e in read(catalogue, query)] == [e.key for e in expected]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        param(Query(type="image/png"), lambda e: e.type == "image/png", id="type"),
        param(Query(type="Text/*"), lambda e: e.type.startswith("text/"), id="type/*"),
        param(Query(type="*/*"), lambda e: True, id="any type"),
        param(Query(type="image/*; DROP"), lambda e: False, id="no type"),
        param(Query(type="*/png"), lambda e: False, id="stars are for subtypes"),
        param(Query(coding="GZIP"), lambda e: e.coding == "gzip", id="coding"),
        param(Query(coding="identity"), lambda e: e.coding == "", id="identity"),
        param(Query(q="H17.EX"), lambda e: "h17.ex" in e.url, id="q in whatever case"),
        param(Query(q="%"), lambda e: "%" in e.url, id="q: a percent sign"),
        param(Query(q="a_b"), lambda e: "a_b" in e.url, id="q: an underscore"),
        param(Query(q="a\\b"), lambda e: "a\\b" in e.url, id="q: a backslash"),
        param(Query(q="'"), lambda e: "'" in e.url, id="q: a quote"),
        param(Query(q="\u202e"), lambda e: "\u202e" in e.url, id="q: right to left"),
        param(Query(q="\udc80"), lambda e: False, id="q: half a surrogate pair"),
        param(Query(prefix="http://\udc80"), lambda e: False, id="prefix: half a pair"),
        param(Query(host="\udc80"), lambda e: False, id="host: half a pair"),
        param(Query(type="\udc80/\udc80", coding="\udc80"), lambda e: False, id="type: half"),
        param(Query(prefix="http://strange.example/\x00"), lambda e: "\x00" in e.url, id="NUL"),
        param(Query(prefix="no uri"), lambda e: e.url == "no uri at all", id="prefix: no URI"),
        param(Query(host="' OR 1=1 --"), lambda e: False, id="host: a quote"),
        param(Query(host="strange.example"), lambda e: e.host == "strange.example", id="strange"),
        param(Query(tag="ALL-TENS"), lambda e: False, id="tag: case matters"),
        param(Query(tag="\udc80"), lambda e: False, id="tag: half a pair"),
    ],
)
def test_filters(
    catalogue: Catalogue,
    everything: tuple[Entry, ...],
    way: str,
    query: Query,
    wanted: Callable[[Entry], bool],
) -> None:
    found = read(catalogue, replace(query, limit=100))
    assert [e.key for e in found] == [e.key for e in everything if wanted(e)]


def test_what_is_rare_is_looked_for_in_several_pages(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_pages, "_AT_ONCE", 50)
    monkeypatch.setattr(catalogue_pages, "_PATIENCE", 0.0)
    page = catalogue.page(Query(q="nowhere"), NOW)
    assert page.entries == ()
    assert page.cursor
    assert read(catalogue, Query(q="nowhere")) == []


def test_a_tag_of_few_is_found_at_once(
    catalogue: Catalogue, everything: tuple[Entry, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_pages, "_AT_ONCE", 50)
    monkeypatch.setattr(catalogue_pages, "_PATIENCE", 0.0)
    page = catalogue.page(Query(tag="shelf-100"), NOW)
    assert page.entries == tuple(e for e in everything if "shelf-100" in e.tags) != ()
    assert page.cursor == ""


def _cursor(catalogue: Catalogue, query: Query) -> str:
    return catalogue.page(replace(query, limit=1), NOW).cursor


@pytest.mark.parametrize(
    "cursor",
    ["x", "\xff", "\udc80", "e30", "WyJ1c2VkIix0cnVlLFsxLjAsMV1dXQ", "bnVsbA", "A" * 100_000],
)
def test_a_cursor_that_is_none_is_a_value_error(catalogue: Catalogue, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        catalogue.page(Query(cursor=cursor), NOW)


@pytest.mark.parametrize(
    "other", [Query(descending=False), Query(sort="size"), Query(sort="url")], ids=repr
)
def test_a_cursor_is_of_its_order(catalogue: Catalogue, other: Query) -> None:
    cursor = _cursor(catalogue, Query())
    with pytest.raises(ValueError, match="another order"):
        catalogue.page(replace(other, cursor=cursor), NOW)


@pytest.mark.parametrize(
    "changes", [{"sort": "x"}, {"state": "x"}, {"limit": 0}, {"limit": 1001}], ids=str
)
def test_a_query_that_cannot_be_meant(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        Query(**changes)  # type: ignore[arg-type]


def test_totals(catalogue: Catalogue, everything: tuple[Entry, ...]) -> None:
    totals = catalogue.totals(NOW)
    assert (totals.keys, totals.octets) == (len(everything), sum(e.octets for e in everything))
    assert [share.name for share in totals.states] == ["fresh", "stale"]
    assert totals.states[0].keys == sum(e.fresh_until > NOW for e in everything)
    assert {share.name for share in totals.types} == {e.type for e in everything}
    assert len(totals.hosts) == 10
    assert "bulk.example" in {share.name for share in totals.hosts}


def test_the_index_gives_room_back(folder: Path, catalogue: Catalogue) -> None:
    with sqlite3.connect(folder / INDEX) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    assert (folder / DATABASE).exists()
