"""No dependency has a known hole: each advisory with the version that is good, or what answers it.

The README says what is said here, for whoever runs a scanner.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
param = pytest.param

# Package, advisory, the first version without it.
GOOD: Final = [
    ("aiohttp", "CVE-2023-47641", "3.8.0"),
    ("aiohttp", "CVE-2023-37276", "3.8.5"),
    ("aiohttp", "CVE-2023-47627", "3.8.6"),
    ("aiohttp", "CVE-2023-49081", "3.9.0"),
    ("aiohttp", "CVE-2023-49082", "3.9.0"),
    ("aiohttp", "CVE-2024-23829", "3.9.2"),
    ("aiohttp", "CVE-2024-52304", "3.10.11"),
    ("aiohttp", "CVE-2025-53643", "3.12.14"),
    ("aiohttp", "CVE-2025-69223", "3.13.3"),
    ("aiohttp", "CVE-2025-69224", "3.13.3"),
    ("aiohttp", "CVE-2025-69227", "3.13.3"),
    ("aiohttp", "CVE-2025-69228", "3.13.3"),
    ("aiohttp", "CVE-2025-69229", "3.13.3"),
    ("aiohttp", "CVE-2025-69230", "3.13.3"),
    ("aiohttp", "CVE-2026-22815", "3.13.4"),
    ("aiohttp", "CVE-2026-34513", "3.13.4"),
    ("aiohttp", "CVE-2026-34520", "3.13.4"),
    *(("aiohttp", f"CVE-2026-{number}", "3.14.1") for number in range(54273, 54281)),
    ("aiohttp", "CVE-2026-69243", "3.14.2"),
    ("aiohttp", "CVE-2026-69244", "3.14.3"),
    ("aiohttp", "CVE-2026-111750", "3.14.4"),
    ("aiohttp", "CVE-2026-128131", "3.14.4"),
    ("aiohttp", "GHSA-2g87-pp6c-29x5", "3.14.5"),
    ("aiohttp", "GHSA-5wr8-gcqf-gqf3", "3.14.5"),
    ("brotli", "CVE-2020-8927", "1.0.8"),
    ("brotli", "CVE-2025-6176", "1.2.0"),
    ("uvloop", "CVE-2024-24806", "0.21.0"),
]
# The same for what only comes with these: whoever installs gets the newest.
ALONG: Final = [
    ("idna", "CVE-2024-3651", "3.7"),
    ("idna", "CVE-2026-45409", "3.15"),
    ("pygments", "CVE-2021-20270", "2.7.4"),
    ("pygments", "CVE-2021-27291", "2.7.4"),
]
# What no version is good for, or nobody said which: the tests that say why it does not matter.
_HERE: Final = "tests/architecture/test_dependencies.py"
_UNUSED: Final = f"{_HERE}::test_what_of_aiohttp_is_not_used"
_PICKLE: Final = "tests/unit/store/test_disk.py::test_a_planted_pickle_is_never_loaded"
_CALM: Final = f"{_HERE}::test_answers_of_the_admin_endpoint_are_ours"
ANSWERED: Final = [
    ("diskcache", "CVE-2025-69872", _PICKLE),
    ("diskcache", "GHSA-w8v5-vhqr-4h9v", "tests/unit/store/test_rawdisk.py::test_no_value_is_read"),
    ("aiohttp", "CVE-2024-23334", _UNUSED),
    ("aiohttp", "CVE-2024-27306", _UNUSED),
    ("aiohttp", "CVE-2025-69226", _UNUSED),
    ("aiohttp", "CVE-2026-34518", _UNUSED),
    ("aiohttp", "CVE-2026-34525", _UNUSED),
    ("aiohttp", "CVE-2026-47265", _UNUSED),
    ("aiohttp", "CVE-2026-111065", _UNUSED),
    ("aiohttp", "GHSA-494j-54xm-rwp3", _UNUSED),
    ("aiohttp", "CVE-2026-34514", _CALM),
    ("aiohttp", "CVE-2026-34519", _CALM),
    ("aiohttp", "CVE-2026-50269", _CALM),
]


def declared() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(text) for text in project["dependencies"]]
    return {each.name: each for each in wanted if each.marker is None or each.marker.evaluate()}


@pytest.mark.parametrize(("package", "advisory", "good"), [*GOOD, *ALONG])
def test_what_is_installed_is_past_it(package: str, advisory: str, good: str) -> None:
    assert Version(version(package)) >= Version(good), advisory


@pytest.mark.parametrize(("package", "advisory", "good"), GOOD)
def test_nothing_older_may_be_installed(package: str, advisory: str, good: str) -> None:
    least = [each for each in declared()[package].specifier if each.operator == ">="]
    assert [Version(each.version) >= Version(good) for each in least] == [True], advisory


@pytest.mark.parametrize(("package", "advisory", "answer"), ANSWERED)
def test_what_answers_it_is_tested(package: str, advisory: str, answer: str) -> None:
    assert package in declared(), advisory
    file, _, name = answer.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}


def test_the_library_of_the_loop_is_past_it() -> None:
    """CVE-2024-24806: before libuv 1.48 a name of more than 256 octets was cut and looked up."""
    uvloop = pytest.importorskip("uvloop.loop")
    assert uvloop.libuv_get_version() >> 8 >= (1 << 8) + 48


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    for path in (ROOT / "proxy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            yield path, node


def test_what_of_aiohttp_is_not_used() -> None:
    """No client (redirects, cookies, its pool), no static files, no forms, no web sockets."""
    unused = {
        "ClientSession", "TCPConnector", "CookieJar", "cookies", "multipart", "MultipartReader",
        "static", "add_static", "FileResponse", "WebSocketResponse",
    }  # fmt: skip
    for path, node in nodes():
        named = {
            *([node.attr] if isinstance(node, ast.Attribute) else []),
            *([each.name for each in node.names] if isinstance(node, ast.ImportFrom) else []),
        }
        assert named.isdisjoint(unused), path


def test_answers_of_the_admin_endpoint_are_ours() -> None:
    """Neither a reason phrase nor a media type of an answer is made of what others sent."""
    for path, node in nodes():
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in {"Response", "StreamResponse"}:
            given = {each.arg: each.value for each in node.keywords}
            assert "reason" not in given, path
            kind = given.get("content_type", ast.Constant(""))
            pages = isinstance(kind, ast.Name) and path.name == "server.py"
            assert pages or isinstance(kind, ast.Constant), path


def test_without_the_parser_in_c_nobody_is_let_in(tmp_path: Path) -> None:
    """Its twin in Python is what most holes were in: who wants the admin endpoint is told so."""
    file = tmp_path / "config.toml"
    file.write_text(
        f'[server]\nlisten = "127.0.0.1:0"\n[cache]\ndir = "{tmp_path}/cache"\n'
        '[admin]\nlisten = "127.0.0.1:0"\n'
    )
    ended = subprocess.run(
        [sys.executable, "-m", "proxy", "serve", "--config", str(file)],
        cwd=ROOT,
        env={**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "aiohttp has no C parser here" in ended.stderr
