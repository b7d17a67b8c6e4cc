"""The house stands: imports point down, pure floors stay pure, files and functions stay small."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "proxy"
FLOORS = [
    "bounded",
    "semantics",
    "policy access wire",
    "codings",
    "store upstream",
    "exchange",
    "frontend",
    "admin",
    "config",
    "posts",
    "app",
    "workers",
    "cli",
    "__main__",
]
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names.split()}
PURE = {"semantics", "policy", "access", "wire", "codings"}
IMPURE = {"asyncio", "socket", "os", "time", "random", "logging", "aiohttp", "diskcache"}
MODULES = sorted(p for p in ROOT.rglob("*.py") if p.relative_to(ROOT).parts != ("__init__.py",))
MAX_FILE, MAX_FUNCTION = 500, 60


def floor(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            yield from ([f"proxy.{a.name}" for a in node.names] if module == "proxy" else [module])
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def identify(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_imports_point_down(path: Path) -> None:
    here = floor(path)
    for name in imported(path):
        top, _, rest = name.partition(".")
        there = rest.partition(".")[0]
        if top == "proxy" and there not in (here, "__version__", ""):
            assert LEVEL[there] < LEVEL[here], f"{here} may not import {there}"
        if here in PURE:
            assert top not in IMPURE, f"{here} is pure and may not import {top}"
        if top == "diskcache":
            assert identify(path).startswith("store/"), "only the store knows diskcache"


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_sizes(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_FILE, f"{path} has outgrown its subject"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION, f"{path}: {node.name} has {length} lines"


def test_each_module_imports_alone() -> None:
    names = [
        ".".join(("proxy", *p.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for p in MODULES
        if p.name != "__main__.py"
    ]
    script = "import importlib, sys\n" + "\n".join(
        "for m in [m for m in sys.modules if m == 'proxy' or m.startswith('proxy.')]:"
        f" del sys.modules[m]\nimportlib.import_module({name!r})"
        for name in names
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
