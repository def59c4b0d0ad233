"""WARC records as bytes, one at a time, with exact offsets; damage costs one record, not the file.

A WARC is usually a row of gzip members, one per record (ISO 28500:2017, annex D). Walking the members ourselves gives
each record's exact place and length, checks every CRC, and after a damaged member lets us look for the next one.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, cast

from fastwarc.warc import ArchiveIterator

from corpusmill.errors import InputError

GZIP_MAGIC = b"\x1f\x8b\x08"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_CHUNK = 1 << 20
_HEADER_ROOM = 1 << 20  # WARC and HTTP headers, beside the page itself


@dataclass(frozen=True, slots=True)
class Member:
    """One record as it lies in the file.

    `data` is the uncompressed record; only its beginning when `cut_short` (larger than asked for). `damage` says why
    there is none. `length` runs to the start of the next record, so that lengths add up to the size of the file.
    """

    offset: int
    length: int
    data: bytes
    damage: str | None = None
    cut_short: bool = False
    offset_kind: str = "member"


def walk(stream: IO[bytes], name: str, max_record_bytes: int) -> Iterator[Member]:
    """Yield every record of a WARC, compressed by record, as a whole, or not at all.

    Memory is one record, at most `max_record_bytes` of it. Raises InputError if the file is no WARC.
    """
    window = _Window(stream)
    head = window.peek(5)
    if not head:
        raise InputError(f"{name} is empty: expected a WARC file")
    if head.startswith(GZIP_MAGIC):
        yield from _walk_gzip(window, name, max_record_bytes + _HEADER_ROOM)
    elif head == b"WARC/":
        yield from _walk_plain(window.rewound(), "member", max_record_bytes + _HEADER_ROOM)
    elif head.startswith(ZSTD_MAGIC):
        yield from _walk_by_fastwarc(window.rewound(), name, "member", max_record_bytes)
    else:
        raise InputError(
            f"{name} is not a WARC file: it begins with {head!r}; expected 'WARC/', gzip or zstd. "
            "ARC files and plain text are not read here"
        )


def read_member(stream: IO[bytes], offset: int, length: int, offset_kind: str) -> bytes:
    """The uncompressed bytes of one record, from its place in the file."""
    if offset_kind != "member":
        for member in _walk_plain(_inflated(stream), offset_kind, 1 << 40):
            if member.offset == offset:
                return member.data
        raise InputError(f"no record at {offset:,} of the uncompressed archive")
    stream.seek(offset)
    raw = stream.read(length)
    if raw.startswith(GZIP_MAGIC):
        return zlib.decompress(raw, wbits=31)
    if raw.startswith(b"WARC/"):
        return raw
    (member, *_) = _walk_by_fastwarc(io.BytesIO(raw), "record", offset_kind, 1 << 40)
    return member.data


def _walk_gzip(window: _Window, name: str, limit: int) -> Iterator[Member]:
    first = True
    while window.peek(1):
        offset = window.position
        data, damage, cut_short = _inflate(window, limit)
        if damage is None and not data.startswith(b"WARC/"):
            if first:
                raise InputError(
                    f"{name} is not a WARC file: it is gzip, but holds {data[:20]!r} where 'WARC/' is expected"
                )
            damage = "no WARC record in this gzip member"
        several = _holds_several(data, cut_short)
        if first and several:
            yield from _walk_plain(_inflated(window.rewound()), "uncompressed", limit)
            return
        first = False
        if damage is not None:
            window.skip_to(offset + 1)
            window.find(GZIP_MAGIC, _begins_a_record)
        length = window.position - offset
        if damage is None and several and not cut_short:
            # against the standard, but seen: they share the member's place, and its length is the first one's
            for i, record in enumerate(_walk_plain(io.BytesIO(data), "member", limit)):
                yield Member(offset, 0 if i else length, record.data, record.damage)
        else:
            yield Member(offset, length, b"" if damage else data, damage, cut_short)


def _inflate(window: _Window, limit: int) -> tuple[bytes, str | None, bool]:
    """Inflate one member and leave the window behind it. zlib checks length and CRC at its end."""
    inflater = zlib.decompressobj(wbits=31)
    kept: list[bytes] = []
    size = 0
    while not inflater.eof:
        chunk = window.take()
        if not chunk:
            return b"".join(kept), "the file ends inside this record", False
        try:
            piece = inflater.decompress(chunk, _CHUNK * 4)
            if size < limit:
                kept.append(piece[: limit - size])
            size += len(piece)
            while inflater.unconsumed_tail and not inflater.eof:
                piece = inflater.decompress(inflater.unconsumed_tail, _CHUNK * 4)
                if size < limit:
                    kept.append(piece[: limit - size])
                size += len(piece)
        except zlib.error as e:
            return b"", f"gzip: {e}", False
    window.give_back(len(inflater.unused_data))
    return b"".join(kept), None, size > limit


def _holds_several(data: bytes, cut_short: bool) -> bool:
    """Whether a member holds more than one record: then the file was gzipped as a whole."""
    blank = b"\r\n\r\n" if b"\r\n" in data[:64] else b"\n\n"
    head, found, rest = data.partition(blank)
    if not found:
        return cut_short
    for line in head.splitlines():
        key, _, value = line.partition(b":")
        if key.strip().lower() == b"content-length" and value.strip().isdigit():
            return rest[int(value) :].lstrip(b"\r\n").startswith(b"WARC/")
    return False


def _walk_plain(stream: IO[bytes], kind: str, limit: int) -> Iterator[Member]:
    """Records of an archive that is not compressed, or no longer. After damage the next `WARC/` line is sought."""
    reader = io.BufferedReader(cast(io.RawIOBase, stream), _CHUNK) if not hasattr(stream, "readline") else stream
    at, lost, why = 0, 0, ""
    try:
        line = reader.readline()
        while line:
            if not line.startswith(b"WARC/"):
                lost, why = lost + len(line), why or "no WARC header where one is expected"
                at += len(line)
                line = reader.readline()
                continue
            if lost and why:
                yield Member(at - lost, lost, b"", why, offset_kind=kind)
            lost, why = 0, ""
            head, size = _header(reader, line)
            body = reader.read(min(size, limit))
            skipped = _skip(reader, size - len(body)) if size > limit else 0
            length = len(head) + len(body) + skipped
            whole = len(body) + skipped == size
            line = reader.readline()
            while line in (b"\r\n", b"\n"):
                length += len(line)
                line = reader.readline()
            damage = None if whole else "the file ends inside this record"
            yield Member(at, length, b"" if damage else head + body + b"\r\n\r\n", damage, size > limit, kind)
            at += length
    except (OSError, EOFError, zlib.error) as e:
        yield Member(at, max(stream.tell() - at, 0), b"", f"unreadable from here on: {e}", offset_kind=kind)
        return
    if lost:
        yield Member(at - lost, lost, b"", why, offset_kind=kind)


def _header(reader: IO[bytes], first: bytes) -> tuple[bytes, int]:
    """(header with its closing empty line, Content-Length)."""
    lines, size = [first], 0
    while True:
        line = reader.readline(_HEADER_ROOM)
        lines.append(line)
        if not line.strip():
            return b"".join(lines), size
        key, _, value = line.partition(b":")
        if key.strip().lower() == b"content-length" and value.strip().isdigit():
            size = int(value)


def _skip(reader: IO[bytes], size: int) -> int:
    left = size
    while left and (chunk := reader.read(min(left, _CHUNK))):
        left -= len(chunk)
    return size - left


def _walk_by_fastwarc(stream: IO[bytes], name: str, kind: str, limit: int) -> Iterator[Member]:
    """Records of an archive without members of its own. Damage ends the file here, and is reported."""
    held: tuple[int, bytes, bool, str | None] | None = None
    end = 0
    try:
        for record in ArchiveIterator(stream, parse_http=False):
            if held is not None:
                yield _member(held, record.stream_pos, kind)
            declared = record.content_length
            body = record.reader.read(min(limit, declared) + 1)  # it allocates at once what it is asked for
            damage = None if len(body) >= min(declared, limit + 1) else "the file ends inside this record"
            held = (record.stream_pos, _serialise(record, body), declared > limit, damage)
    except (OSError, EOFError, zlib.error) as e:
        if held is None:
            raise InputError(f"{name} is not a WARC file: {e}") from e
        end = _size(stream)
        yield _member(held, end, kind)
        yield Member(end, 0, b"", f"unreadable from here on: {e}", offset_kind=kind)
        return
    if held is not None:
        yield _member(held, _size(stream), kind)


def _member(held: tuple[int, bytes, bool, str | None], end: int, kind: str) -> Member:
    offset, data, cut_short, damage = held
    return Member(offset, max(end - offset, 0), b"" if damage else data, damage, cut_short, kind)


def _serialise(record: object, body: bytes) -> bytes:
    head = "".join(f"{k}: {v}\r\n" for k, v in record.headers.items())  # type: ignore[attr-defined]
    return b"WARC/1.1\r\n" + head.encode("utf-8", "surrogateescape") + b"\r\n" + body + b"\r\n\r\n"


def _inflated(stream: IO[bytes]) -> IO[bytes]:
    """A whole-file gzip as the bytes it holds: places in the compressed file mean nothing."""
    return cast(IO[bytes], gzip.GzipFile(fileobj=stream))


def _size(stream: IO[bytes]) -> int:
    return stream.seek(0, io.SEEK_END)


def _begins_a_record(raw: bytes) -> bool:
    """Whether compressed bytes that look like a gzip header really start a WARC record."""
    try:
        return zlib.decompressobj(wbits=31).decompress(raw, 5) == b"WARC/"
    except zlib.error:
        return False


class _Window:
    """A forward-only view of a file with a little look-back, so that a member's surplus can be given back."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0
        self._base = 0  # file offset of the buffer's first byte
        self._keep_from: int | None = None

    @property
    def position(self) -> int:
        return self._base + self._at

    def peek(self, size: int) -> bytes:
        if len(self._buffer) - self._at < size:
            self._fill()
        return self._buffer[self._at : self._at + size]

    def take(self) -> bytes:
        """All that is buffered, or the next chunk."""
        if self._at == len(self._buffer):
            self._fill()
        chunk = self._buffer[self._at :]
        self._at = len(self._buffer)
        return chunk

    def give_back(self, count: int) -> None:
        self._at -= count

    def skip_to(self, position: int) -> None:
        self._stream.seek(position)
        self._base, self._buffer, self._at = position, b"", 0

    def find(self, needle: bytes, accept: object) -> None:
        """Move to the next `needle` that `accept` takes, or to the end."""
        while True:
            if len(self._buffer) - self._at < 4096:
                self._fill()
            found = self._buffer.find(needle, self._at)
            if found < 0:
                at_end = not self._fill(keep=len(needle) - 1)
                if at_end:
                    self._at = len(self._buffer)
                    return
                continue
            self._at = found
            if len(self._buffer) - found < 4096:
                self._fill()
            if accept(self._buffer[self._at : self._at + 4096]):  # type: ignore[operator]
                return
            self._at += 1

    def rewound(self) -> IO[bytes]:
        self._stream.seek(0)
        return self._stream

    def _fill(self, keep: int | None = None) -> bool:
        """Read on; what lies before the position is let go. False at the end of the file."""
        start = self._at if keep is None else max(self._at, len(self._buffer) - keep)
        chunk = self._stream.read(_CHUNK)
        self._buffer = self._buffer[start:] + chunk
        self._base += start
        self._at = 0
        return bool(chunk)
