"""What the documents say is so."""

import html
import os
import re
import tomllib
from pathlib import Path

import pytest

from proxy.config import load
from proxy.config.document import parse
from proxy.policy.reasons import Reason

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
REASONS = (ROOT / "docs" / "reasons.md").read_text()
CHANGES = (ROOT / "docs" / "changes.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `([a-z-]+)` \| (.+) \| (.+) \|$", re.MULTILINE)


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(README) if name == language]


def test_one_line_runs_it_and_one_passes_the_tests() -> None:
    run, test = blocks("sh")[:2]
    assert re.fullmatch(r"python3 -m venv .+ && .+ && \S+/forecache serve\n", run)
    assert re.fullmatch(r"python3 -m venv .+ && .+ && \S+/python -m pytest( -n auto)?\n", test)


def test_ci_runs_the_line_that_the_readme_prints() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    pattern = re.search(r"grep -E '(.+)' README.md", script.read_text())
    assert pattern
    assert re.findall(f"{pattern[1]}.*", README, re.MULTILINE) == [blocks("sh")[1].rstrip("\n")]


@pytest.mark.parametrize("text", blocks("toml"))
def test_the_configuration_in_the_readme_is_valid(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    assert load(file, {}).given


def test_each_change_of_a_message_has_its_reason_and_its_switch() -> None:
    rows = [line for line in CHANGES.splitlines() if re.match(r"\| (?!what|---)", line)]
    assert len(rows) > 20
    for row in rows:
        _, what, why, switch, _ = row.split("|")
        assert what.strip().endswith("."), row
        assert why.strip().endswith("."), row
        assert switch.strip(), row


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) >= 3
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_reason_has_its_sentence_and_nothing_else_has() -> None:
    assert [row[0] for row in ROW.findall(REASONS)] == [reason.value for reason in Reason]


def test_the_dashboard_has_the_same_sentences() -> None:
    page = (ROOT / "proxy" / "admin" / "dashboard" / "index.html").read_text()
    rows = re.findall(r'<tr id="reason-[a-z-]+">(.*?)</tr>', page)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    shown = [[html.unescape(re.sub(r"</?code>", "", cell)) for cell in row] for row in cells]
    told = [[part.replace("`", "") for part in row] for row in ROW.findall(REASONS)]
    assert shown == [["" if part == "-" else part for part in row] for row in told]


@pytest.mark.parametrize(("word", "happened", "change"), ROW.findall(REASONS))
def test_a_reason_is_told_in_a_sentence(word: str, happened: str, change: str) -> None:
    assert happened.endswith("."), word
    assert change == "-" or change.endswith("."), word


def section(name: str) -> dict[str, object]:
    values = parse((ROOT / "config.example.toml").read_text(), "example").values
    for part in name.split("."):
        values = values[part]
    return values


PAGES = {"reasons": REASONS, "changes": CHANGES, "security": SECURITY}


@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES.keys())
def test_pages_name_keys_that_exist(text: str) -> None:
    for key, table in re.findall(r"`([a-z_]+)`(?: or `[a-z_]+`)? under `\[([a-z.]+)\]`", text):
        assert key in section(table), f"{key} is not under [{table}]"


def bounds() -> list[list[str]]:
    table = SECURITY.partition("\n## What is bounded by what\n")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if re.match(r"\| (?!what |---)", line)]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.mark.parametrize("row", bounds(), ids=lambda row: row[0])
def test_a_bound_has_its_default_and_what_happens_then(row: list[str]) -> None:
    _, default, option, then = row
    assert then.endswith("."), row
    if option == "fixed":
        return
    found = re.fullmatch(r"`([a-z_]+)` under `\[([a-z.]+)\]`", option)
    assert found, row
    if quoted := re.match(r"`([^`]+)`", default):
        assert str(section(found[2])[found[1]]) == quoted[1]


def test_every_limit_is_on_the_page_about_security() -> None:
    listed = {row[2] for row in bounds()}
    assert len(listed) > 20
    for table in ("server.limits", "upstream"):
        for key, value in section(table).items():
            if not isinstance(value, list) and key not in {"parent", "dns_ttl"}:
                assert f"`{key}` under `[{table}]`" in listed
    for key in section("access"):
        assert f"`{key}`" in SECURITY


def test_the_image_listens_where_its_health_is_asked() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "FORECACHE_SERVER__LISTEN=0.0.0.0:3128" in text
    assert "HTTPConnection('127.0.0.1', 3128" in text
    assert text.count("FORECACHE_ACCESS__CLIENTS") == 1, "it must be given on purpose"
    assert 'ENTRYPOINT ["/opt/forecache/bin/forecache"]' in text


def test_the_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dynamic"] == ["version"]
    assert project["requires-python"] == ">=3.11"
    assert "Python 3.11 or later" in README
