"""WARC and ARC records as bytes, one at a time, with exact offsets; damage costs one record, not the file.

A WARC is usually a row of gzip members or zstd frames, one per record (ISO 28500:2017, annex D). Walking them ourselves
gives each record's exact place and length, checks every CRC, and lets us look for the next member after a damaged one.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO

from corpusmill.errors import InputError
from corpusmill.ingest.byte_window import Damage, Inflated, Window
from corpusmill.ingest.compressed_members import (
    Codec,
    filler_at,
    form,
    inflate,
    member_pieces,
    seek_whole_member,
    walk_members,
)
from corpusmill.ingest.gzip_members import GzipCodec
from corpusmill.ingest.plain_records import BEGINNING, Member, walk_plain
from corpusmill.ingest.record_frames import HEADER_ROOM, begins_record, seek_record
from corpusmill.ingest.zstd_frames import DICTIONARY_FRAME, MAGIC, ZstdCodec, codec_of

_LZ4_MAGIC = b"\x04\x22\x4d\x18"
_LZ4_STEP = 1 << 12  # a read that fails loses what it had
_ALL = 1 << 40
_STEP = 1 << 20


class NoArchiveError(InputError):
    """There is no record in the whole file."""


def walk(stream: IO[bytes], name: str, max_record_bytes: int) -> Iterator[Member]:
    """Yield every record of a WARC or ARC, compressed by record, as a whole, or not at all.

    Memory is one record, at most `max_record_bytes` of it. Raises InputError if the file has bytes, but no record.
    """
    window = Window(stream)
    limit = max_record_bytes + HEADER_ROOM
    if not window.peek(1):  # a download that failed, among many: to be told, but no reason to stop
        yield Member(0, 0, b"", "the file is empty")
        return
    codec = _codec(window)
    if codec is not None:
        yield from _walk_compressed(stream, window, codec, name, limit)
    elif window.peek(4) == _LZ4_MAGIC:
        yield from _walk_whole(_lz4(stream), name, "LZ4", limit)
    elif begins_record(window.peek(BEGINNING)):
        yield from walk_plain(window, "member", limit)
    else:
        yield from _walk_after_damage(stream, window, name, limit)


def read_member(stream: IO[bytes], offset: int, length: int, offset_kind: str) -> bytes:
    """The uncompressed bytes of one record, from its place in the file. Raises InputError if it is not there."""
    codec = _codec(Window(stream))  # from the file's beginning, where a dictionary lies
    if offset_kind == "uncompressed":
        inflated = _lz4(stream) if codec is None else _inflated(stream, codec)
        inflated.seek(offset)
        return _whole_record(inflated.read(length), offset, inflated.damage)
    stream.seek(offset)
    window = Window(stream, offset)
    if begins_record(window.peek(min(length, BEGINNING))):
        return window.peek(length)
    codec = codec or _codec(window)
    if codec is None:
        raise InputError(f"no record at {offset:,}: it begins with {window.peek(8)!r}")
    found = inflate(window, codec, _ALL)
    _, shares, inner = offset_kind.partition("+")
    if not shares:
        return _whole_record(found.data, offset, found.damage)
    record = next(walk_plain(Window(io.BytesIO(found.data[int(inner) :])), offset_kind, _ALL), None)
    return _whole_record(record.data if record else b"", offset, found.damage)


def _whole_record(data: bytes, offset: int, damage: str | None) -> bytes:
    if damage is not None or not begins_record(data[:BEGINNING]):
        raise InputError(f"no record at {offset:,}: {damage or 'something else is there'}; was the file changed?")
    return data


def _codec(window: Window) -> Codec | None:
    head = window.peek(8)
    if head.startswith(GzipCodec.magic):
        return GzipCodec()
    if head.startswith((MAGIC, DICTIONARY_FRAME)) or (head[1:4] == DICTIONARY_FRAME[1:] and 0x50 <= head[0] <= 0x5F):
        return codec_of(window)
    return None


def _walk_compressed(stream: IO[bytes], window: Window, codec: Codec, name: str, limit: int) -> Iterator[Member]:
    chosen = form(window, codec)
    window.seek(0)
    if chosen == "foreign" and not seek_whole_member(window, codec):
        raise NoArchiveError(
            f"{name} is not a WARC file: it is {codec.name}, but holds {_beginning(stream, codec)!r} where 'WARC/' is "
            "expected"
        )
    window.seek(0)
    if chosen == "whole":
        yield from _walk_whole(_inflated(stream, codec), name, codec.name, limit)
    else:
        yield from walk_members(window, codec, limit)


def _walk_whole(inflated: Inflated, name: str, form: str, limit: int) -> Iterator[Member]:
    """An archive compressed as a whole: places in the file mean nothing, and after damage nothing can be read.

    It is inflated twice, since only its end tells whether it is damaged.
    """
    window = Window(inflated)
    if not begins_record(window.peek(BEGINNING)) and inflated.damage is None:
        raise NoArchiveError(
            f"{name} is not a WARC file: it is {form}, but holds {window.peek(20)!r} where 'WARC/' is expected"
        )
    while inflated.read(_STEP):
        pass
    flaw = inflated.damage
    inflated.seek(0)
    yield from walk_plain(Window(inflated), "uncompressed", limit, flaw)


def _inflated(stream: IO[bytes], codec: Codec) -> Inflated:
    """All members of a file, one after the other."""

    def pieces() -> Iterator[bytes]:
        stream.seek(0)
        window = Window(stream)
        while window.peek(1):
            filler = filler_at(window, codec)
            if filler is not None:
                window.advance(filler[1])
            else:
                yield from member_pieces(window, codec)

    return Inflated(pieces)


def _beginning(stream: IO[bytes], codec: Codec) -> bytes:
    return _inflated(stream, codec).read(20)


def _lz4(stream: IO[bytes]) -> Inflated:
    """LZ4 through FastWARC; as a whole, since its reader does not tell where in the file a frame begins.

    Damage is noticed if the writer put checksums in; many do not.
    """

    def pieces() -> Iterator[bytes]:
        from fastwarc.stream_io import Lz4Reader

        stream.seek(0)
        reader = Lz4Reader(stream)
        try:
            while piece := reader.read(_LZ4_STEP):
                yield piece
        except (OSError, EOFError, ValueError) as e:
            raise Damage(f"lz4: {e}") from e

    return Inflated(pieces)


def _walk_after_damage(stream: IO[bytes], window: Window, name: str, limit: int) -> Iterator[Member]:
    """A file whose first bytes are no archive: what stands before the first whole record is one damaged record."""
    head = window.peek(20)
    found: list[tuple[int, Codec | None]] = []
    for codec in (GzipCodec(), ZstdCodec()):
        stream.seek(0)
        probe = Window(stream)
        if seek_whole_member(probe, codec):
            found.append((probe.position, codec))
    stream.seek(0)
    probe = Window(stream)
    if seek_record(probe):
        found.append((probe.position, None))
    if not found:
        raise NoArchiveError(
            f"{name} is not a WARC file: it begins with {head!r}; expected 'WARC/', gzip, zstd or LZ4, or "
            "'filedesc://' of an ARC file"
        )
    start, chosen = min(found, key=lambda pair: pair[0])
    stream.seek(start)
    window = Window(stream, start)
    yield Member(0, start, b"", "the file does not begin with a record")
    if chosen is None:
        yield from walk_plain(window, "member", limit)
    else:
        yield from walk_members(window, chosen, limit)
