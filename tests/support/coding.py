"""The content codings as the tests' own clients and origins do them."""

from __future__ import annotations

import gzip
import sys
import zlib
from typing import TYPE_CHECKING, Any, Final

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable

ENCODE: Final[dict[str, Callable[[bytes], bytes]]] = {
    "identity": bytes,
    "gzip": lambda text: gzip.compress(text, mtime=0),
    "br": brotli.compress,
    "zstd": zstd.compress,
    "deflate": zlib.compress,
}


class _Members:
    """gzip and zstd: one member (frame) after another."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._member = make()

    def feed(self, octets: bytes) -> bytes:
        text = b""
        while octets:
            if self._member.eof:
                if not octets.strip(b"\0"):
                    return text  # padding of tapes, which gzip ignores
                self._member = self._make()
            text += self._member.decompress(octets)
            octets = self._member.unused_data if self._member.eof else b""
        return text

    @property
    def done(self) -> bool:
        return bool(self._member.eof)


class _Brotli:
    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    def feed(self, octets: bytes) -> bytes:
        return bytes(self._decompressor.process(octets))

    @property
    def done(self) -> bool:
        return bool(self._decompressor.is_finished())


class _Deflate:
    """zlib, or what many servers take the name for: raw deflate."""

    def __init__(self) -> None:
        self._stream: Any = None

    def feed(self, octets: bytes) -> bytes:
        if self._stream is None:
            self._stream = zlib.decompressobj(15 if octets[:1] == b"\x78" else -15)
        elif self._stream.eof:
            raise ValueError("octets after the end")
        text = bytes(self._stream.decompress(octets))
        if self._stream.unused_data:
            raise ValueError("octets after the end")
        return text

    @property
    def done(self) -> bool:
        return self._stream is not None and bool(self._stream.eof)


class _Plain:
    done = True

    def feed(self, octets: bytes) -> bytes:
        return octets


_MAKE: Final[dict[str, Callable[[], Any]]] = {
    "identity": _Plain,
    "gzip": lambda: _Members(lambda: zlib.decompressobj(wbits=31)),
    "deflate": _Deflate,
    "zstd": lambda: _Members(zstd.ZstdDecompressor),
    "br": _Brotli,
}
_ERRORS: Final = (zlib.error, zstd.ZstdError, brotli.error, EOFError, ValueError)


class Decoding:
    """Undoes the codings of a Content-Encoding piece by piece: ``text`` is what there is so far.

    An unknown coding is left as it is; ``broken``: the octets were not of that coding.
    """

    def __init__(self, codings: str) -> None:
        names = [name.strip() for name in codings.split(",")]
        self._steps = [_MAKE.get(name, _Plain)() for name in reversed(names)]
        self.text = b""
        self.broken = False

    def feed(self, octets: bytes) -> None:
        if self.broken:
            return
        try:
            for step in self._steps:
                octets = step.feed(octets)
        except _ERRORS:
            self.broken = True
        else:
            self.text += octets

    @classmethod
    def whole(cls, codings: str, octets: bytes) -> bytes | None:
        """The decoded octets, None where they are not of that coding or not whole."""
        decoding = cls(codings)
        decoding.feed(octets)
        whole = not decoding.broken and (not octets or all(step.done for step in decoding._steps))
        return decoding.text if whole else None


def flushed(coding: str, *pieces: bytes) -> list[bytes]:
    """Each piece in that coding, flushed behind it, and the end of the coding."""
    if coding == "identity":
        return [*pieces, b""]
    if coding == "br":
        compressor = brotli.Compressor()
        out = [compressor.process(piece) + compressor.flush() for piece in pieces]
        return [*out, compressor.finish()]
    if coding == "zstd":
        frame = zstd.ZstdCompressor()
        out = [frame.compress(piece, mode=frame.FLUSH_BLOCK) for piece in pieces]
        return [*out, frame.flush()]
    stream = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    out = [stream.compress(piece) + stream.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
    return [*out, stream.flush()]
