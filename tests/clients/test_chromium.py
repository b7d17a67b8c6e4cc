"""A headless browser: a page with a script and a style sheet, twice, with empty profiles."""

import shutil
from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.support.house import ProcessHouse
from tests.support.origin import Origin, reply

pytestmark = pytest.mark.clients

PAGE = b"""<!doctype html><link rel="stylesheet" href="/style.css"><link rel="icon" href="data:,">
<p id="p">before</p><script src="/script.js"></script>"""
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--proxy-bypass-list=<-loopback>",
)


@pytest.mark.slow
async def test_a_page(run: Run, process: ProcessHouse, origin: Origin, tmp_path: Path) -> None:
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next((path for name in names if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip("chromium is not installed")
    fresh = "Cache-Control: max-age=600"
    script = b"document.getElementById('p').textContent = 'after'"
    origin.serve("/", reply(200, fresh, "Content-Type: text/html", body=PAGE))
    origin.serve("/style.css", reply(200, fresh, "Content-Type: text/css", body=b"p {color: red}"))
    origin.serve("/script.js", reply(200, fresh, "Content-Type: text/javascript", body=script))
    for name in ("one", "two"):
        profile = f"--user-data-dir={tmp_path / name}"
        proxy = f"--proxy-server={process.url}"
        page = await run(browser, *QUIET, proxy, profile, "--dump-dom", origin.url("/"))
        assert '<p id="p">after</p>' in page
    assert sorted(received.target for received in origin.requests) == [
        "/",
        "/script.js",
        "/style.css",
    ]
