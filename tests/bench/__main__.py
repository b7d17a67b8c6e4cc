"""The command line: ``python -m tests.bench COMMAND``."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.report import Report

# Each is a module of that name, with ``configure`` and ``run``; only that one is loaded.
COMMANDS: Final = ("load", "micro", "eviction", "connections", "size")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one; its progress goes to standard error, its table to standard output."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", add_help=False)
    parser.add_argument("command", choices=COMMANDS)
    command = parser.parse_known_args(arguments)[0].command
    module = import_module(f"tests.bench.{command}")
    parser.add_argument("-h", "--help", action="help")
    parser.description = module.__doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    module.configure(parser)
    parser.add_argument("--json", type=Path, help="a file for all figures")
    options = parser.parse_args(arguments)
    report: Report = module.run(options)
    sys.stdout.write(report.text)
    if options.json is not None:
        options.json.write_text(json.dumps(report.figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
