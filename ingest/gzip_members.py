"""A gzip member (RFC 1952), inflated from a window; zlib checks its length and CRC at its end."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from corpusmill.ingest.byte_window import CutOff, Damage, Window

_PIECE = 1 << 18  # larger ones are mapped and unmapped each time, at four times the cost
_FIRST_STEP = 1 << 14  # a record of Common Crawl takes 4 to 20 kB; what is fed beyond its end is copied back
_LAST_STEP = 1 << 16  # what a piece has no room for is copied back


class GzipCodec:
    name = "gzip"
    magic = b"\x1f\x8b\x08"
    ways: tuple[str, ...] = ("",)

    def pieces(self, window: Window, way: str = "") -> Iterator[bytes]:
        """What the member at the window's position holds, in pieces of at most 256 KiB; leaves the window behind it.

        Raises Damage, or CutOff where the stream ends first.
        """
        inflater = zlib.decompressobj(wbits=31)
        step = _FIRST_STEP
        try:
            while not inflater.eof:
                chunk = window.chunk(step)
                if not chunk:
                    raise CutOff
                window.advance(len(chunk))
                yield inflater.decompress(chunk, _PIECE)
                while inflater.unconsumed_tail and not inflater.eof:
                    yield inflater.decompress(inflater.unconsumed_tail, _PIECE)
                step = min(2 * step, _LAST_STEP)
        except zlib.error as e:
            raise Damage(f"gzip: {e}") from e
        window.advance(-len(inflater.unused_data))

    def filler(self, window: Window) -> tuple[str, int] | None:
        return None

    def checked(self, head: bytes) -> bool:
        """Whether the end of such a member proves its content."""
        return True
