"""The dashboard in a headless browser, against a scripted endpoint: each view, and attacks."""

import asyncio
import itertools
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
import pytest
import pytest_asyncio

from tests.support.admin_stub import HOSTILE, PAGES, Stub, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
param = pytest.param

DEADLINE = 15.0
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-port=0",
)
CODES = {"Tab": 9, "Enter": 13, "Escape": 27}
WIDE, NARROW = (1280, 900), (360, 780)
LOOKS = [("light", WIDE), ("dark", NARROW)]
if os.environ.get("FORECACHE_LONG"):
    LOOKS += [("dark", WIDE), ("light", NARROW)]


class Page:
    """A tab, spoken to by the DevTools protocol. ``complaints``: errors and refusals it logged."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            elif said["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(said["params"]["exceptionDetails"]))
            elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.complaints.append(said["params"]["entry"]["text"])

    async def call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(DEADLINE):
            answer = await self._answers[number]
        assert "error" not in answer, answer
        return answer["result"]

    async def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        result = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, condition: str) -> Any:
        """Waits, frame by frame, for an expression to be true; gives its value."""
        script = f"""new Promise((settle, fail) => {{
            const end = performance.now() + {DEADLINE - 3} * 1000;
            const look = () => {{
                let value = null;
                try {{ value = {condition}; }} catch {{ /* not there yet */ }}
                if (value) return settle(value);
                if (performance.now() > end) return fail(new Error('never true'));
                requestAnimationFrame(look);
            }};
            look();
        }})"""
        return await self.run(script)

    async def open(self, url: str, size: tuple[int, int] = WIDE) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=1,
            mobile=size == NARROW,
        )
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def go(self, route: str) -> None:
        await self.run(f"void (location.hash = {json.dumps(route)})")
        name = re.findall(r"[a-z]*", route.removeprefix("#/"))[0] or "overview"
        await self.until(f"!document.getElementById('{name}').hidden")

    async def press(self, key: str, text: str = "") -> None:
        named = {"key": key, "text": text, "windowsVirtualKeyCode": CODES.get(key, 0)}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **named)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def type(self, text: str) -> None:
        await self.call("Input.insertText", text=text)

    async def click(self, selector: str) -> None:
        where = await self.until(
            f"""(() => {{
                const node = document.querySelector({json.dumps(selector)});
                node.scrollIntoView({{ block: 'center' }});
                const box = node.getBoundingClientRect();
                return box.width && [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        at = {"x": where[0], "y": where[1], "button": "left", "clickCount": 1}
        await self.call("Input.dispatchMouseEvent", type="mousePressed", **at)
        await self.call("Input.dispatchMouseEvent", type="mouseReleased", **at)

    async def text(self, selector: str) -> str:
        return str(await self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    async def count(self, selector: str) -> int:
        return int(await self.run(f"document.querySelectorAll({json.dumps(selector)}).length"))

    async def close(self) -> None:
        await self._socket.close()
        await self._reading


class Browser:
    """One headless chromium; each page is a tab in a context of its own (no storage is shared)."""

    def __init__(self, process: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> None:
        self._process = process
        self._session = session
        self._pages: dict[Page, str] = {}
        self._control: Page | None = None
        self._address = ""

    async def start(self) -> None:
        assert self._process.stderr
        async with asyncio.timeout(DEADLINE):
            async for line in self._process.stderr:
                if found := re.search(rb"DevTools listening on (ws://\S+)", line):
                    self._address = found[1].decode()
                    break
        self._control = Page(await self._session.ws_connect(self._address, max_msg_size=0))

    async def page(self) -> Page:
        assert self._control
        context = await self._control.call("Target.createBrowserContext")
        made = await self._control.call("Target.createTarget", url="about:blank", **context)
        target = self._address.split("/devtools/")[0] + f"/devtools/page/{made['targetId']}"
        page = Page(await self._session.ws_connect(target, max_msg_size=0))
        self._pages[page] = context["browserContextId"]
        for domain in ("Page", "Runtime", "Log"):
            await page.call(f"{domain}.enable")
        return page

    async def leave(self, page: Page) -> None:
        assert self._control
        context = self._pages.pop(page)
        await self._control.call("Target.disposeBrowserContext", browserContextId=context)
        await page.close()

    async def close(self) -> None:
        for page in self._pages:
            await page.close()
        if self._control:
            await self._control.call("Browser.close")
            await self._control.close()
        await self._process.communicate()


async def start_browser(folder: Path, session: aiohttp.ClientSession) -> Browser:
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((path for name in names if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("chromium is not installed")
    process = await asyncio.create_subprocess_exec(
        program,
        *QUIET,
        f"--user-data-dir={folder}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    browser = Browser(process, session)
    await browser.start()
    return browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession() as session:
        browser = await start_browser(tmp_path_factory.mktemp("profile"), session)
        try:
            yield browser
        finally:
            await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def stub() -> AsyncIterator[Stub]:
    async with running(Stub()) as stub:
        yield stub


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A tab; afterwards it must have raised nothing, and the policy must have refused nothing."""
    page = await browser.page()
    yield page
    told = [said for said in page.complaints if "Failed to load resource" not in said]
    assert told == []
    await browser.leave(page)


ENTRY = "https://deb.example/simple/aiohttp/"
ENTRY_ROUTE = f"#/entry?{urlencode({'url': ENTRY})}"
# Each view, and what shows that it has been drawn.
VIEWS = {
    "overview": ("#/", "document.querySelector('#live tr') && document.querySelector('#fills li')"),
    "entries": ("#/entries", "document.querySelector('#grid-rows tr')"),
    "entry": (ENTRY_ROUTE, "document.querySelector('.variant')"),
    "explain": (f"#/explain?{urlencode({'url': ENTRY})}", "document.querySelector('.clauses')"),
    "purge": ("#/purge?host=deb.example", "!document.getElementById('purge').hidden"),
    "reasons": ("#/reasons/hit", "document.querySelector('tr.here')"),
}


async def see(page: Page, stub: Stub, view: str, size: tuple[int, int] = WIDE) -> None:
    """Open a view and wait until it has been drawn."""
    await page.open(stub.url("/" + VIEWS[view][0]), size)
    await page.until(VIEWS[view][1])


async def test_overview_tells_what_the_proxy_does(page: Page, stub: Stub) -> None:
    await see(page, stub, "overview")
    assert "/s" in await page.text("#figure-requests")
    assert await page.text("#figure-octets") == "35.7\xa0GiB"
    assert await page.text("#figure-seconds") == "4\xa0d 4\xa0h"
    assert await page.run("document.getElementById('store-bar').value") == pytest.approx(
        0.711, 0.01
    )
    lengths = "[...document.querySelectorAll('.plot .line')].map((n) => n.getAttribute('d').length)"
    assert min(await page.run(lengths)) > 200
    assert "Nothing is stored for this URI." in await page.text("#misses li:first-child")
    assert await page.count("#misses li") == 9
    assert await page.count("#fills progress") == 5
    await page.click("#span label:last-child")
    await page.until("document.querySelector('.plot svg').ariaLabel.includes('last 24 hours')")
    await page.click("#top-kind label:last-child")
    await page.until("document.querySelector('#top .origin')")
    for order, most in (("requests", "90,000"), ("misses", "9,642"), ("octets", "82.0\xa0GiB")):
        await page.click(f"#top-order [value={order}]")
        await page.until(f"document.querySelector('#top .number').innerText === '{most}'")
        assert ("misses mostly" in await page.text("#top li")) is (order == "misses")
    await page.click("#misses li:nth-child(2) a")
    await page.until("document.querySelector('tr.here').id === 'reason-expired'")


@pytest.mark.parametrize(
    ("workers", "told"),
    [
        param(1, None, id="one is none"),
        param(
            3,
            [
                ["0", "4194300", "1,071,045", "43.3\xa0%", "812", "16"],
                ["1", "4194299", "535,522", "57.8\xa0%", "406", "15"],
                ["2", "\u2013", "Does not answer"],
            ],
            id="one of three is silent",
        ),
    ],
)
async def test_workers(page: Page, stub: Stub, workers: int, told: list[list[str]] | None) -> None:
    stub.workers = workers
    await see(page, stub, "overview")
    await page.until("document.querySelector('#workers-rows tr')")
    assert await page.run("document.getElementById('workers').checkVisibility()") is bool(told)
    rows = "[...document.querySelectorAll('#workers-rows tr')].map((row) =>"
    rows += " [...row.cells].map((cell) => cell.innerText))"
    if told:
        assert await page.run(rows) == told
        assert await page.text("#workers-count") == "2 of 3 answer"


async def test_plots_go_on_by_the_counters(page: Page, stub: Stub) -> None:
    await page.open(stub.url())
    await page.until("document.getElementById('aside-requests').innerText.length > 5")
    before = await page.text("#aside-requests")
    now = f"document.getElementById('aside-requests').innerText !== {json.dumps(before)}"
    await page.until(now)
    assert sum(path == "/api/stats" for path in stub.asked) == 1


async def test_exchanges_can_be_paused(page: Page, stub: Stub) -> None:
    await page.open(stub.url())
    await page.until("document.querySelectorAll('#live tr').length === 20")
    await page.click("#live-pause")
    await page.until("document.getElementById('live-count').innerText.includes('since the pause')")
    before = await page.text("#live")
    await page.until("parseInt(document.getElementById('live-count').innerText) > 20")
    assert await page.text("#live") == before
    await page.click("#live-pause")
    await page.until(f"document.getElementById('live').innerText !== {json.dumps(before)}")
    await page.run("document.getElementById('live-show').value = 'cache'")
    await page.run(
        "document.getElementById('live-show').dispatchEvent(new Event('change', {bubbles: true}))"
    )
    await page.until(
        "document.querySelectorAll('#live tr').length"
        " && !document.querySelector('#live .reason:not(.hit)')"
    )


async def test_a_thousand_exchanges_a_second_leave_it_fluent(page: Page, stub: Stub) -> None:
    stub.rate = 1000
    await page.open(stub.url())
    await page.until("/^9\\d\\d|^1,0/.test(document.getElementById('live-count').innerText)")
    frames = """new Promise((settle) => {
        let frames = 0;
        const end = performance.now() + 1000;
        const next = () => {
            frames += 1;
            performance.now() < end ? requestAnimationFrame(next) : settle(frames);
        };
        requestAnimationFrame(next);
    })"""
    assert await page.run(frames) > 10
    assert await page.count("#live tr") == 20
    assert await page.count("*") < 2500


async def test_entries_by_keyboard(page: Page, stub: Stub) -> None:
    stub.hostile = False
    await page.open(stub.url())
    await page.until("document.querySelector('#misses li')")
    await page.press("/", "/")
    await page.until("document.activeElement.name === 'q'")
    await page.type("aio")
    await page.until("location.hash === '#/entries?q=aio'")
    await page.until("document.getElementById('grid').ariaBusy === 'false'")
    await page.until("document.querySelector('#grid-rows tr')")
    assert any(re.match(r"/api/entries\?q=aio&limit=100$", path) for path in stub.asked)
    for _ in range(3):
        await page.press("ArrowDown")
    active = (
        "document.getElementById(document.getElementById('grid').ariaActiveDescendantElement?.id)"
    )
    await page.until(f"{active}.id === 'row-2'")
    url = await page.run(f"{active}.cells[0].innerText")
    await page.press("Enter", "\r")
    await page.until("document.querySelector('.variant')")
    assert await page.text("#entry-title") == url
    await page.click("#entry-back")
    await page.until(f"{active}.id === 'row-2' && document.activeElement.id === 'grid'")
    assert sum(path.startswith("/api/entries") for path in stub.asked) == 2


async def test_entries_are_sorted_and_filtered_by_the_server(page: Page, stub: Stub) -> None:
    await see(page, stub, "entries")
    await page.click("[data-sort=size]")
    await page.until("document.querySelector('.c-size').ariaSort === 'descending'")
    await page.click("[data-sort=size]")
    await page.until("document.querySelector('.c-size').ariaSort === 'ascending'")
    await page.click("#filters input[name=host]")
    await page.type("pypi.example")
    await page.until("location.hash.includes('host=pypi.example')")
    await page.until("document.getElementById('grid').ariaBusy === 'false'")
    queries = [path for path in stub.asked if path.startswith("/api/entries")]
    assert queries[1] == "/api/entries?sort=size&limit=100"
    assert queries[2] == "/api/entries?sort=size&order=asc&limit=100"
    assert "host=pypi.example&sort=size&order=asc" in queries[-1]
    assert await page.text("#entries-count") == "100 or more"
    hosts = "[...document.querySelectorAll('#grid .origin')].map((node) => node.innerText)"
    assert set(await page.run(hosts)) == {"https://pypi.example"}


async def test_a_listing_is_busy_until_it_is_drawn(page: Page, stub: Stub) -> None:
    await see(page, stub, "entries")
    shown = """new Promise((settle) => {
        const grid = document.getElementById('grid');
        const shown = () => document.getElementById('entries-count').innerText;
        new MutationObserver(() => grid.ariaBusy === 'false' && settle(shown()))
            .observe(grid, {attributeFilter: ['aria-busy']});
        const { elements } = document.getElementById('search');
        elements.host.value = 'pypi.example';
        document.querySelector('[data-sort=size]').click();
    })"""
    assert await page.run(shown) == "100 or more"


async def test_a_million_entries_keep_the_document_small(page: Page, stub: Stub) -> None:
    await see(page, stub, "entries")
    assert await page.text("#entries-count") == "1,000,000"
    before = await page.count("*")
    for loaded in range(200, 2001, 100):
        await page.click("#more")
        await page.until(
            f"document.getElementById('entries-foot').innerText === '{loaded:,} shown.'"
        )
    assert await page.count("#grid-rows tr") < 80
    assert await page.count("*") < before + 400
    await page.run("void scrollTo(0, document.body.scrollHeight / 2)")
    await page.until("+document.querySelector('#grid-rows tr').ariaRowIndex > 800")
    in_sight = """[...document.querySelectorAll('#grid-rows tr')].filter((row) => {
        const box = row.getBoundingClientRect();
        return box.bottom > 0 && box.top < innerHeight;
    }).length"""
    await page.until(f"{in_sight} >= 20")
    # The spacers stand for rows of this height, to the pixel.
    pitch = """(([one, other]) => other.offsetTop - one.offsetTop)
        (document.querySelectorAll('#grid-rows tr'))"""
    assert await page.run(pitch) == 36


async def test_a_search_that_has_not_found_yet_goes_on(page: Page, stub: Stub) -> None:
    await page.open(stub.url("/#/entries?q=rare"))
    await page.until("document.getElementById('more').innerText === 'Search on'")
    for _ in range(6):
        await page.until(
            "document.querySelector('#grid-rows tr') || !document.getElementById('more').hidden"
        )
        if await page.count("#grid-rows tr"):
            break
        await page.click("#more")
        await page.until("document.getElementById('grid').ariaBusy === 'false'")
    assert await page.text("#entries-foot") == "All 1 shown."


async def test_an_entry_in_full(page: Page, stub: Stub) -> None:
    await see(page, stub, "entry")
    assert await page.text("#entry-title") == ENTRY
    assert await page.count(".variant") == 3
    await page.click(".variant:nth-of-type(2) summary")
    await page.until("document.querySelectorAll('.variant[open]').length === 2")
    variant = await page.text(".variant[open]")
    sentence = (
        "Fresh for another 2\xa0h 34\xa0min: its age is 1\xa0h 25\xa0min, its lifetime 4\xa0h"
    )
    assert sentence in variant
    assert "4\xa0h (14,400)" in variant
    assert "zstd 50.9\xa0KiB, gzip 57.6\xa0KiB" in variant
    widths = (
        "[...document.querySelectorAll('.timeline .bar')].map((n) => parseFloat(n.style.width))"
    )
    assert min(await page.run(widths)) > 0
    section = await page.run("document.querySelector('.terms a').href")
    assert section == "https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1"
    await page.click(".fold")
    await page.until(
        "document.querySelector('.fields').innerText.includes('abcdefghij'.repeat(600))"
    )
    await page.click(".summary .button")
    await page.until("document.querySelector('.clauses')")


async def test_one_variant_is_purged(page: Page, stub: Stub) -> None:
    await see(page, stub, "entry")
    await page.click(".variant:nth-of-type(2) summary")
    await page.click(".variant:nth-of-type(2) .row button")
    await page.until("document.getElementById('confirm').open")
    assert await page.text("#confirm-title") == "Purge this variant?"
    assert ENTRY in await page.text("#confirm-text")
    await page.click("#confirm-yes")
    await page.until("document.querySelectorAll('.variant').length === 2")
    order = {"url": ENTRY, "variant": "01f0c1d2", "soft": False}
    assert stub.purged == [{**order, "dry_run": True}, {**order, "dry_run": False}]


async def test_the_tags_of_an_entry_lead_to_all_that_have_them(page: Page, stub: Stub) -> None:
    await see(page, stub, "entry")
    await page.click(".summary dd a")
    await page.until("document.getElementById('grid').ariaBusy === 'false'")
    await page.until("document.querySelector('#grid-rows tr')")
    assert await page.run("document.getElementById('search').elements.tag.value") == "release-42"
    assert "/api/entries?tag=release-42&limit=100" in stub.asked


@pytest.mark.parametrize(
    ("route", "shown", "sentence", "word"),
    [
        param(
            "entry?url=http://a.example/absent", "#entry-body",
            "Nothing is stored for http://a.example/absent", "not-stored-no-store", id="an entry",
        ),
        param(
            "explain?url=http://a.example/absent", "#explanation",
            "answered with 200: not-stored-no-store. The origin", "miss", id="why it is not stored",
        ),
        param(
            "explain?url=http://a.example/&header=nonsense", "#explanation",
            "is not a field", "", id="a header that is none",
        ),
        param("entries?q=nothing", "#entries-foot", "Nothing matches.", "", id="entries"),
    ],
)  # fmt: skip
async def test_what_there_is_not_is_said(
    page: Page, stub: Stub, route: str, shown: str, sentence: str, word: str
) -> None:
    await page.open(stub.url(f"/#/{route}"))
    await page.until(f"document.querySelector('{shown}').innerText.includes('{sentence}')")
    if word:
        assert await page.text(f"{shown} .word") == word


async def test_explain(page: Page, stub: Stub) -> None:
    await page.open(stub.url("/#/explain"))
    await page.click("#explain-form [name=url]")
    await page.type("http://a.example/?b=c&d=\u00fc")
    await page.click("#explain-form [name=header]")
    await page.type("Accept: text/html\nCookie: a=b; c=d")
    await page.click("#explain-form button")
    await page.until("document.querySelectorAll('.clauses li').length === 10")
    marks = "[...document.querySelectorAll('.mark')].map((node) => node.ariaLabel)"
    assert {"yes", "no", "note"} == set(await page.run(marks))
    asked = parse_qsl(next(p for p in stub.asked if p.startswith("/api/explain")).partition("?")[2])
    assert asked == [
        ("url", "http://a.example/?b=c&d=\u00fc"),
        ("method", "GET"),
        ("header", "Accept: text/html"),
        ("header", "Cookie: a=b; c=d"),
    ]


@pytest.mark.parametrize(
    ("kind", "value", "soft", "number", "done"),
    [
        param("prefix", "http://a.example/", False, "3,214", "Purged 3,214", id="a prefix"),
        param("all", "", True, "1,000,000", "Made 1,000,000", id="everything, softly"),
    ],
)
async def test_purge_counts_then_asks_then_does(
    page: Page, stub: Stub, kind: str, value: str, soft: bool, number: str, done: str
) -> None:
    await page.open(stub.url("/#/purge"))
    await page.click(f"#purge-form [value={kind}]")
    if value:
        await page.click("#purge-form [name=value]")
        await page.type(value)
    if soft:
        await page.click("#purge-form [name=soft]")
    await page.click("#purge-count")
    await page.click("#purge-result .danger")
    await page.until("document.getElementById('confirm').open")
    title = f"Make {number} entries stale?" if soft else f"Purge {number} entries?"
    assert await page.text("#confirm-title") == title
    assert await page.run("document.activeElement.innerText") == "Cancel"
    await page.press("Enter", "\r")
    await page.until("!document.getElementById('confirm').open")
    assert [order["dry_run"] for order in stub.purged] == [True]
    await page.click("#purge-result .danger")
    await page.click("#confirm-yes")
    await page.until(f"document.querySelector('#purge-result').innerText.startsWith('{done}')")
    order = {kind: value or True, "soft": soft}
    assert stub.purged == [{**order, "dry_run": True}, {**order, "dry_run": False}]


async def test_a_count_does_not_outlive_what_was_counted(page: Page, stub: Stub) -> None:
    await page.open(stub.url("/#/purge?host=nobody.example"))
    await page.click("#purge-count")
    await page.until("document.querySelector('#purge-result').innerText.startsWith('0 entries')")
    assert await page.count("#purge-result button") == 0
    await page.go("#/purge?host=a.example")
    await page.click("#purge-count")
    await page.until("document.querySelector('#purge-result .danger')")
    await page.click("#purge-form [name=value]")
    await page.type("x")
    await page.until("!document.querySelector('#purge-result').innerText")


async def test_the_glossary_is_that_of_the_documents(page: Page, stub: Stub) -> None:
    await page.open(stub.url("/#/reasons"))
    rows = "[...document.querySelectorAll('.words tbody tr')].map((row) =>"
    rows += " [...row.cells].map((cell) => cell.textContent))"
    text = (PAGES.parents[2] / "docs" / "reasons.md").read_text()
    told = re.findall(r"^\| `([a-z-]+)` \| (.+) \| (.+) \|$", text, re.MULTILINE)
    wanted = [[part.replace("`", "") if part != "-" else "" for part in row] for row in told]
    assert await page.run(rows) == wanted


@pytest.mark.parametrize("view", VIEWS)
async def test_hostile_text_stays_text(page: Page, stub: Stub, view: str) -> None:
    await see(page, stub, view)
    if view == "overview":
        await page.until(f"document.querySelectorAll('#live tr').length > {len(HOSTILE)}")
    assert "owned" not in await page.run("document.title")
    assert await page.count("main script, main img, main iframe, main [onerror]") == 0
    assert await page.count("[style*=url]") == 0
    unseen = r"/[\0-\x09\x0b-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/"
    shown = "document.querySelector('main').textContent.replaceAll('\\n', '')"
    titles = "[...document.querySelectorAll('[title]')].map((node) => node.title).join('')"
    assert await page.run(f"{unseen}.exec({shown} + {titles})?.[0].codePointAt(0)") is None
    links = "[...document.links].map((link) => link.getAttribute('href'))"
    for link in await page.run(links):
        assert link.startswith(("#", "https://www.rfc-editor.org/rfc/rfc")), link


@pytest.mark.parametrize("url", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_urls_have_a_page_of_their_own(page: Page, stub: Stub, url: str) -> None:
    # What is no character cannot be asked for: it arrives as U+FFFD.
    url = url.replace("\ud800", "\ufffd")
    await page.open(stub.url("/#/entry?" + urlencode({"url": url})))
    await page.until(VIEWS["entry"][1])
    asked = next(path for path in stub.asked if path.startswith("/api/entry?"))
    assert parse_qsl(asked.partition("?")[2], keep_blank_values=True) == [("url", url)]
    assert "owned" not in await page.run("document.title")
    assert await page.count("main img, main script") == 0


async def test_the_token_is_asked_for_and_kept_in_the_tab(page: Page, stub: Stub) -> None:
    stub.token = "correct horse"
    await page.open(stub.url())
    for token in ("wrong", stub.token):
        await page.until("document.getElementById('token').open")
        await page.type(token)
        await page.press("Enter", "\r")
        await page.until(
            "document.getElementById('token-text').innerText.includes('not accepted')"
            " || !document.getElementById('token').open"
        )
    await page.until(VIEWS["overview"][1])
    kept = "[sessionStorage.getItem('token'), localStorage.length, document.cookie, location.hash]"
    assert await page.run(kept) == [stub.token, 0, "", ""]
    await page.run("location.reload()")
    await page.until("performance.now() < 5000 && document.querySelector('#live tr')")


async def test_a_token_that_is_not_given_is_asked_for_again(page: Page, stub: Stub) -> None:
    stub.token = "secret"
    await page.open(stub.url())
    await page.until("document.getElementById('token').open")
    await page.press("Escape")
    await page.until("!document.getElementById('notice').hidden")
    await page.click("#notice button")
    await page.until("document.getElementById('token').open")


async def test_a_failure_is_told_and_passes(page: Page, stub: Stub) -> None:
    stub.failing = True
    await page.open(stub.url())
    await page.until("document.getElementById('notice').innerText.includes('status 503')")
    stub.failing = False
    await page.go("#/entries")
    await page.go("#/")
    await page.until(
        "document.getElementById('notice').hidden && document.querySelector('#live tr')"
    )
    assert "up 3" in await page.text("#pulse")


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_fits(
    page: Page, stub: Stub, view: str, size: tuple[int, int], scheme: str
) -> None:
    stub.workers = 3
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    await page.call("Emulation.setEmulatedMedia", features=features)
    await see(page, stub, view, size)
    assert await page.run("document.documentElement.scrollWidth") <= size[0]
    assert await page.count(".view:not([hidden])") == 1
    unnamed = """[...document.querySelectorAll('a, button, input, select, textarea, progress, svg')]
        .filter((node) => node.checkVisibility() && !node.closest('[aria-hidden]'))
        .filter((node) => !(node.ariaLabel || node.innerText?.trim() || node.labels?.length))
        .map((node) => node.outerHTML)"""
    assert await page.run(unnamed) == []
    assert min(await page.run(CONTRASTS)) >= 4.5


# Of each colour of text with each ground (WCAG 2 contrast).
CONTRASTS = """(() => {
    const style = getComputedStyle(document.documentElement);
    const light = (name) => {
        const parts = style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/g);
        const [r, g, b] = parts.map((part) => parseInt(part, 16) / 255)
            .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (one, other) => {
        const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    const texts = ['--ink', '--muted', '--accent', '--bad'];
    const found = texts.flatMap((text) => [ratio(text, '--paper'), ratio(text, '--soft')]);
    return [...found, ratio('--on-accent', '--accent')];
})()"""


@pytest.mark.parametrize("view", VIEWS)
async def test_focus_is_seen(page: Page, stub: Stub, view: str) -> None:
    await see(page, stub, view)
    shown = """(() => {
        const node = document.activeElement;
        const near = node.matches('.choice input') ? node.nextElementSibling
            : node.matches('.grid') ? node.tHead : node;
        const style = getComputedStyle(near);
        return [node.tagName, style.outlineStyle !== 'none' || style.boxShadow !== 'none'];
    })()"""
    visited = []
    for _ in range(14):
        await page.press("Tab")
        visited.append(await page.run(shown))
    assert len({name for name, _ in visited}) > 1
    assert [name for name, seen in visited if not seen and name != "BODY"] == []


async def test_nothing_moves_for_those_who_want_no_motion(page: Page, stub: Stub) -> None:
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    await page.call("Emulation.setEmulatedMedia", features=features)
    await see(page, stub, "overview")
    moving = """[...document.querySelectorAll('*')].map((node) => getComputedStyle(node))
        .filter((style) => /[1-9]/.test(style.transitionDuration) || style.animationName !== 'none')
        .length"""
    assert await page.run(moving) == 0
