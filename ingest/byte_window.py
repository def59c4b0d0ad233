"""A view of a stream in which the readers of archives look ahead, step on, and go back after damage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

_CHUNK = 1 << 20


class Damage(Exception):  # noqa: N818 (no error of the program: a record that is counted, with this as its reason)
    """What is wrong with the bytes at hand, as a clause: "gzip: incorrect data check"."""


class CutOff(Damage):
    """The file ends inside the record."""

    def __init__(self) -> None:
        super().__init__(CUT_OFF)


CUT_OFF = "the file ends inside this record"
ENDS_HERE = "the file ends here"


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def seek(self, offset: int, /) -> int: ...


class Window:
    """A buffer that moves over a stream. Memory is what is peeked at, plus a chunk of 1 MiB."""

    def __init__(self, stream: Readable, position: int = 0) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0
        self._base = position  # in the stream, of the buffer's first byte
        self._ended = False  # the buffer reaches to the end of the stream

    @property
    def position(self) -> int:
        return self._base + self._at

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end of the stream; the position stays."""
        if len(self._buffer) - self._at < size:
            self._fill(size)
        return self._buffer[self._at : self._at + size]

    def chunk(self, size: int) -> memoryview:
        """At least one byte and at most `size` of them, whatever is at hand; none at the end of the stream."""
        if self._at == len(self._buffer):
            self._fill(1)
        return memoryview(self._buffer)[self._at : self._at + size]

    def advance(self, count: int) -> int:
        """Step over `count` bytes, without keeping them; how many there were. A negative count gives bytes back."""
        left = count - (len(self._buffer) - self._at)
        if left <= 0:
            self._at += count
            return count
        self._base += len(self._buffer)
        self._buffer, self._at = b"", 0
        while left and (skipped := len(self._stream.read(min(left, _CHUNK)))):
            self._base += skipped
            left -= skipped
        return count - left

    def seek(self, position: int) -> None:
        if self._base <= position <= self._base + len(self._buffer):
            self._at = position - self._base
        else:
            self._stream.seek(position)
            self._base, self._buffer, self._at, self._ended = position, b"", 0, False

    def seek_next(self, needle: bytes, stop: int | None = None) -> bool:
        """Move to the next `needle` that begins before `stop`; False, and to that end, if there is none."""
        while True:
            found = self._buffer.find(needle, self._at)
            if found >= 0 and (stop is None or self._base + found < stop):
                self._at = found
                return True
            if stop is not None and self.position + len(self._buffer) - self._at >= stop + len(needle):
                self.seek(stop)
                return False
            self._at = max(self._at, len(self._buffer) - len(needle) + 1)
            if not self._fill(len(needle) + len(self._buffer) - self._at):
                self._at = len(self._buffer)
                if stop is not None and self.position > stop:
                    self.seek(stop)
                return False

    def _fill(self, size: int) -> bool:
        """Have `size` bytes ahead, or all there are; what lies behind is let go. False if nothing more came."""
        if self._ended:
            return False
        parts = [self._buffer[self._at :]]
        have = len(parts[0])
        start = have
        while have < size and (chunk := self._stream.read(max(_CHUNK, min(size - have, 8 * _CHUNK)))):
            parts.append(chunk)
            have += len(chunk)
        self._ended = have < size
        self._base += self._at
        self._buffer, self._at = b"".join(parts), 0
        return have > start


class Inflated:
    """What a compressed file holds, as a stream. After damage it ends, and `damage` says why: ENDS_HERE if it was cut.

    Going back begins anew, so that nothing need be kept.
    """

    def __init__(self, pieces: Callable[[], Iterator[bytes]]) -> None:
        self._open = pieces
        self._pieces = pieces()
        self._rest = b""
        self._at = 0
        self.damage: str | None = None

    def read(self, size: int, /) -> bytes:
        parts = [self._rest[:size]]
        have = len(parts[0])
        self._rest = self._rest[size:]
        while have < size and (piece := self._piece()):
            parts.append(piece[: size - have])
            self._rest = piece[size - have :]
            have += len(parts[-1])
        self._at += have
        return b"".join(parts)

    def seek(self, offset: int, /) -> int:
        if offset < self._at:
            self._pieces, self._rest, self._at, self.damage = self._open(), b"", 0, None
        while self._at < offset and self.read(min(offset - self._at, _CHUNK)):
            pass
        return self._at

    def _piece(self) -> bytes:
        try:
            return next((piece for piece in self._pieces if piece), b"")
        except Damage as e:
            self.damage = ENDS_HERE if isinstance(e, CutOff) else str(e)
            self._pieces = iter(())
            return b""
