"""What is in the way of a folder's files: moved aside, one of each name, and gone after a week.

Nothing in a folder is reached through a symbolic link: the folder is private, but who could once
write into it must not lead us to write, empty or remove what is elsewhere. A link says nothing that
is worth keeping, so it is removed; what it leads to is not touched.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import stat
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_LOG: Final = logging.getLogger(__name__)

SUFFIX: Final = ".damaged"

_KEEP: Final = 7 * 86400.0


def move(path: Path) -> None:
    """It gets the ``SUFFIX``, in the place of an older such. Raises OSError."""
    if path.is_symlink():
        path.unlink()
        return
    to = path.with_name(path.name + SUFFIX)
    remove(to)
    with contextlib.suppress(FileNotFoundError):
        path.replace(to)


def require_files(paths: Iterable[Path]) -> None:
    """What is none of these files is moved aside. Raises OSError."""
    for path in paths:
        _require(path, stat.S_ISREG)


def require_folders(*paths: Path) -> None:
    """The same of folders, and of all that is in them: whatever is no folder goes.

    Raises OSError.
    """
    for path in paths:
        _require(path, stat.S_ISDIR)
        with contextlib.suppress(FileNotFoundError):
            for entry in list(os.scandir(path)):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)  # noqa: PTH108


def _require(path: Path, is_right: Callable[[int], bool]) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not is_right(mode):
        _LOG.error("%s is a %s: moved aside", path, _kind(mode))
        move(path)


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "symbolic link"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "device"


def weigh(folder: Path) -> list[int]:
    """The octets of each that was moved aside."""
    return [sum(_sizes(path)) for path in _moved(folder)]


def forget(folder: Path, most: int = -1) -> None:
    """Remove those that are old, or larger than ``most``. Raises OSError."""
    for path in _moved(folder):
        with contextlib.suppress(FileNotFoundError):
            is_old = time.time() - path.lstat().st_ctime >= _KEEP
            if is_old or sum(_sizes(path)) > most:
                remove(path)


def remove(path: Path) -> None:
    """Whatever it is, if it is there. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()


def _moved(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.name.endswith(SUFFIX)]
    except FileNotFoundError:
        return []


def _sizes(path: Path) -> Iterator[int]:
    with contextlib.suppress(OSError):
        status = path.lstat()
        yield status.st_size
        if stat.S_ISDIR(status.st_mode):
            for entry in path.iterdir():
                yield from _sizes(entry)
