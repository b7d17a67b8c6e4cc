"""What the start says: to a person on a terminal, or in one line to a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy import __version__
from proxy.frontend.options import Listener, parse_listener
from proxy.semantics.units import format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.config.settings import Settings

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def banner(settings: Settings, used: int, listening: Sequence[str] = ()) -> str:
    """Several lines, to be printed on a terminal.

    ``used``: octets in the cache. ``listening``: as bound, where port 0 was asked for.
    """
    listeners = _listeners(settings, listening)
    url = _reachable(listeners[0])
    return (
        f"Forecache {__version__}\n"
        f"  listening on {', '.join(map(str, listeners))}\n"
        f"  cache in     {_fullness(settings, used)}\n"
        f"  configured   {settings.file or 'by default: no configuration file'}\n"
        "\n"
        "Use it from a shell:\n"
        f"  export http_proxy={url} https_proxy={url}\n"
        "Try it, twice:\n"
        f"  curl -s -o /dev/null -D - -x {url} http://example.com/\n"
    )


def line(settings: Settings, used: int, listening: Sequence[str] = ()) -> str:
    """The same in one line, for a log."""
    listeners = ", ".join(map(str, _listeners(settings, listening)))
    return f"Forecache {__version__} listening on {listeners}; cache {_fullness(settings, used)}"


def _listeners(settings: Settings, listening: Sequence[str]) -> list[Listener]:
    return [parse_listener(text) for text in listening or settings.server.listen]


def _reachable(listener: Listener) -> str:
    """A URL for clients on this machine; elsewhere its own name stands instead."""
    if listener.is_everywhere:
        listener = Listener("::1" if ":" in listener.host else "127.0.0.1", listener.port)
    return f"http://{listener}"


def _fullness(settings: Settings, used: int) -> str:
    store = settings.store
    return f"{store.dir}, {_about(used)} of {format_size(store.max_size)}"


def _about(octets: float) -> str:
    """Rounded, in the largest unit of which there is one."""
    for unit in _UNITS[:-1]:
        if octets < 1024:
            return f"{octets:.1f} {unit}".replace(".0 ", " ")
        octets /= 1024
    return f"{octets:.1f} {_UNITS[-1]}"
