"""File operations on one folder that fail when told to: those of Python, and those of SQLite.

SQLite has its own table of system calls, which may be exchanged for tests like these.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import errno
import fcntl
import io
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from proxy.store import packs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SHORT: Final = -1  # half of the octets are read or written, and nobody says so
FOR_EVER: Final = 1 << 60
# What a disk that is full, or must not be written to, refuses.
WRITING: Final = frozenset(
    ("create", "pwrite", "pwritev", "write", "mkdir", "replace", "posix_fallocate",
     "sqlite create", "sqlite write", "sqlite pwrite64")
)  # fmt: skip

_OF_PATHS: Final = (
    "open", "stat", "lstat", "unlink", "replace", "rename", "mkdir", "scandir", "truncate", "chmod",
)  # fmt: skip
_OF_FILES: Final = (
    "pread", "preadv", "pwrite", "pwritev", "read", "write", "fstat", "ftruncate", "fsync",
    "lseek", "posix_fadvise", "posix_fallocate",
)  # fmt: skip
_readlink: Final = os.readlink


class Disk:
    """The operations on ``folder`` count from 1; those from ``first`` on fail, ``times`` often.

    ``told`` are the names of those that did.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = os.path.realpath(folder) + "/"
        self._counting = threading.Lock()
        self._first, self._left, self._error = FOR_EVER, 0, 0
        self._only: frozenset[str] | None = None
        self.count = 0
        self.told: list[str] = []

    def fail(
        self,
        first: int,
        error: int,
        times: int = FOR_EVER,
        only: frozenset[str] | None = None,
    ) -> None:
        """From now on, 1 being the next, with that error number or ``SHORT``.

        ``only`` these fail; the others count as well.
        """
        with self._counting:
            self.told = []
            self._only = only
            self._first, self._left, self._error = self.count + first, times, error

    def mend(self) -> None:
        """Nothing fails any more."""
        self._first = FOR_EVER

    def error(self, name: str, path: object) -> int:
        """What becomes of this operation: 0, an error number, or ``SHORT``."""
        if not self._is_inside(path):
            return 0
        with self._counting:
            self.count += 1
            if self.count < self._first or not self._left:
                return 0
            if self._only is not None and name not in self._only:
                return 0
            self._left -= 1
            self.told.append(name)
            return self._error

    def _is_inside(self, path: object) -> bool:
        if isinstance(path, int):
            try:
                path = _readlink(f"/proc/self/fd/{path}")
            except OSError:
                return False
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        return os.path.abspath(os.fspath(path)).startswith(self._folder)  # type: ignore[call-overload, no-any-return]  # noqa: PTH100


@contextmanager
def failing(folder: Path) -> Iterator[Disk]:
    """While it lasts, and in this process."""
    disk = Disk(folder)
    undo: list[Callable[[], None]] = []
    try:
        for name in _OF_PATHS:
            _exchange(undo, os, name, _of_path(disk, name, getattr(os, name)))
        for name in _OF_FILES:
            _exchange(undo, os, name, _of_file(disk, name, getattr(os, name)))
        _exchange(undo, os, "sendfile", _sendfile(disk, os.sendfile))
        _exchange(undo, io, "open", _of_path(disk, "io.open", io.open))
        _exchange(undo, fcntl, "flock", _of_file(disk, "flock", fcntl.flock))
        _exchange(undo, packs, "_punch", _of_file(disk, "punch", packs._punch))
        undo.append(_SQLITE.use(disk))
        yield disk
    finally:
        for one in reversed(undo):
            one()


def _exchange(undo: list[Callable[[], None]], module: Any, name: str, by: object) -> None:
    old = getattr(module, name)
    setattr(module, name, by)
    undo.append(lambda: setattr(module, name, old))


def _of_path(disk: Disk, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(path: Any, *args: Any, **named: Any) -> Any:
        creates = name == "open" and args and args[0] & os.O_CREAT
        error = disk.error("create" if creates else name, path)
        if error > 0:
            raise OSError(error, os.strerror(error), path)
        return call(path, *args, **named)

    return wrapped


def _of_file(disk: Disk, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(file: int, *args: Any, **named: Any) -> Any:
        error = disk.error(name, file)
        if error > 0:
            raise OSError(error, os.strerror(error))
        if error == SHORT:
            args = _shortened(name, args)
        return call(file, *args, **named)

    return wrapped


def _shortened(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    match name:
        case "pread" | "read":
            return args[0] // 2, *args[1:]
        case "pwrite" | "write":
            return memoryview(args[0])[: len(args[0]) // 2], *args[1:]
        case "preadv":
            (view,) = args[0]
            return [memoryview(view)[: len(view) // 2]], *args[1:]
        case "pwritev":
            octets = b"".join(args[0])
            return [octets[: len(octets) // 2]], *args[1:]
        case _:
            return args


def _sendfile(disk: Disk, call: Callable[..., int]) -> Callable[..., int]:
    def wrapped(out: int, file: int, *args: Any) -> int:
        error = disk.error("sendfile", file)
        if error > 0:
            raise OSError(error, os.strerror(error))
        return call(out, file, *args)

    return wrapped


_INT, _LONG, _SIZE, _POINTER = ctypes.c_int, ctypes.c_longlong, ctypes.c_size_t, ctypes.c_void_p
_PATH = ctypes.c_char_p
_COUNT = ctypes.c_ssize_t
# What each gives back, and takes.
_CALLS: Final[dict[str, tuple[Any, ...]]] = {
    "open": (_INT, _PATH, _INT, _INT),
    "access": (_INT, _PATH, _INT),
    "stat": (_INT, _PATH, _POINTER),
    "unlink": (_INT, _PATH),
    "fstat": (_INT, _INT, _POINTER),
    "ftruncate": (_INT, _INT, _LONG),
    "read": (_COUNT, _INT, _POINTER, _SIZE),
    "pread64": (_COUNT, _INT, _POINTER, _SIZE, _LONG),
    "write": (_COUNT, _INT, _POINTER, _SIZE),
    "pwrite64": (_COUNT, _INT, _POINTER, _SIZE, _LONG),
}


class _Vfs(ctypes.Structure):
    """``sqlite3_vfs``."""

    _fields_ = (
        ("version", _INT),
        ("file_size", _INT),
        ("longest_path", _INT),
        ("next", _POINTER),
        ("name", _PATH),
        ("data", _POINTER),
        ("methods", _POINTER * 13),
        ("set", ctypes.CFUNCTYPE(_INT, _POINTER, _PATH, _POINTER)),
        ("get", ctypes.CFUNCTYPE(_POINTER, _POINTER, _PATH)),
    )


class _Sqlite:
    """Its system calls go through ``disk``, if there is one; never given back once exchanged."""

    def __init__(self) -> None:
        self._disk: Disk | None = None
        self._kept: list[object] = []

    def use(self, disk: Disk) -> Callable[[], None]:
        """What ends that."""
        if not self._kept:
            self._exchange()
        self._disk = disk
        return self._leave

    def _leave(self) -> None:
        self._disk = None

    def _exchange(self) -> None:
        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        vfs = library.sqlite3_vfs_find(None)
        address = ctypes.cast(vfs, _POINTER)
        for name, types in _CALLS.items():
            kind = ctypes.CFUNCTYPE(*types, use_errno=True)
            found = vfs.contents.get(address, name.encode())
            if not found:
                continue
            call = kind(self._wrapped(name, kind(found)))
            vfs.contents.set(address, name.encode(), ctypes.cast(call, _POINTER))
            self._kept.append(call)

    def _wrapped(self, name: str, call: Any) -> Callable[..., int]:
        def wrapped(what: Any, *args: Any) -> int:
            creates = name == "open" and args[0] & os.O_CREAT and not os.path.exists(what)  # noqa: PTH110
            told = f"sqlite {'create' if creates else name}"
            error = self._disk.error(told, what) if self._disk is not None else 0
            if error > 0:
                ctypes.set_errno(error)
                return -1
            return int(call(what, *args))

        return wrapped


_SQLITE: Final = _Sqlite()
ERRORS: Final = {
    "EIO": errno.EIO,
    "EROFS": errno.EROFS,
    "ENOSPC": errno.ENOSPC,
    "EMFILE": errno.EMFILE,
    "short": SHORT,
}
