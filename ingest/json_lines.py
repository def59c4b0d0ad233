"""Documents as JSON, one object a line: plain, gzip or zstd, told apart by their first bytes."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import IO, Any, NamedTuple, cast

import pyarrow as pa

from corpusmill.errors import InputError
from corpusmill.ingest.page_rows import Row, drop, lookup, place, text_row
from corpusmill.recipe import Columns, Ingest

NAMES = tuple(f".{kind}{packed}" for kind in ("jsonl", "ndjson", "json") for packed in ("", ".gz", ".zst"))
_CHUNK = 1 << 20
_PIECE = 1 << 16
_ESCAPED = 6
"""JSON may write a character of two bytes or three as \\uXXXX."""
_ROOM = 1 << 20  # for the other columns
_LOOKED_AT = 100
"""Objects looked at before a column of that name is said not to be there."""


class Line(NamedTuple):
    number: int  # the first is 1
    offset: int  # in bytes of the file, uncompressed
    length: int  # its end of line included
    data: bytes | None  # None where it is longer than what is read
    damage: str | None = None


def read_documents(stream: IO[bytes], name: str, ingest: Ingest) -> Iterator[Row]:
    """A row for each line. Raises InputError if the first objects have no text column, or the file is one array."""
    packed, plain = unpacked(stream)
    found = lines(plain, ingest.max_page_bytes * _ESCAPED + _ROOM)
    first = list(islice(found, _LOOKED_AT))
    _check(first, name, ingest.columns)
    kind = "uncompressed" if packed else "line"
    return (_row(line, name, kind, ingest) for line in chain(first, found))


def reread(stream: IO[bytes], name: str, offset: int, length: int, ingest: Ingest) -> Row:
    """The row of the line at `offset`."""
    packed, plain = unpacked(stream)
    if not packed:
        plain.seek(offset)
    elif _skip(plain, offset) < offset:
        raise InputError(f"{name} ends before {offset:,}: it was changed since it was read")
    line = Line(0, offset, length, plain.read(length))
    return _row(line, name, "uncompressed" if packed else "line", ingest)


def unpacked(stream: IO[bytes]) -> tuple[bool, IO[bytes]]:
    """(whether it is compressed, the bytes it holds)."""
    magic = stream.read(4)
    stream.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return True, cast(IO[bytes], gzip.GzipFile(fileobj=stream))
    if magic == b"\x28\xb5\x2f\xfd":
        return True, cast(IO[bytes], pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd"))
    return False, stream


def lines(stream: IO[bytes], limit: int) -> Iterator[Line]:
    """Every line with its place. What cannot be unpacked any more is one last line, with its damage."""
    number, offset, size = 1, 0, 0
    held: list[bytes] = []
    damage = None
    for chunk in chain(_chunks(stream), [None]):
        if not isinstance(chunk, bytes):
            damage = damage or chunk
            continue
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            size += end + 1 - start
            data = b"".join([*held, chunk[start : end + 1]]) if size <= limit else None
            yield Line(number, offset, size, data)
            number, offset, size, held, start = number + 1, offset + size, 0, [], end + 1
        size += len(chunk) - start
        held = [*held, chunk[start:]] if size <= limit else []
    if damage is not None:
        yield Line(number, offset, size, None, damage)
    elif size:
        yield Line(number, offset, size, b"".join(held) if size <= limit else None)


def value_of(line: Line) -> Any:
    """The JSON value of a line. Raises ValueError."""
    try:
        return json.loads((line.data or b"").removeprefix(b"\xef\xbb\xbf").decode("utf-8"))
    except RecursionError as e:
        raise ValueError("nested too deeply") from e


def _chunks(stream: IO[bytes]) -> Iterator[bytes | str]:
    """Pieces of the file; where it cannot be read on, why."""
    # what was unpacked before the damage should not go with it: Arrow's stream gives nothing of a read that fails
    read, size = (stream.read1, _CHUNK) if isinstance(stream, gzip.GzipFile) else (stream.read, _PIECE)
    try:
        while chunk := read(size):
            yield chunk
    except (OSError, EOFError, zlib.error) as e:
        yield f"unreadable from here on: {e}"


def _row(line: Line, name: str, kind: str, ingest: Ingest) -> Row:
    row = place(name, line.offset, kind, line.length)
    where = f"{name}:{line.number}"
    if line.damage is not None:
        return drop(row, "damaged_record", f"{where}: {line.damage}")
    if line.data is None:
        return drop(row, "too_large", f"{where}: a line of {line.length:,} bytes")
    if not line.data.strip():
        return drop(row, "blank_line", where)
    try:
        value = value_of(line)
    except ValueError as e:
        return drop(row, "not_json", f"{where}: {e}")
    if not isinstance(value, dict):
        return drop(row, "not_json", f"{where}: {type(value).__name__} where an object is expected")
    return text_row(row, value, ingest.columns, where, ingest.max_page_bytes)


def _check(first: Iterable[Line], name: str, columns: Columns) -> None:
    objects = []
    for line in first:
        if line.number == 1 and (line.data or b"").lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
            raise InputError(
                f"{name} is one JSON array; expected one object a line. Make it so: jq -c '.[]' {name} > lines.jsonl"
            )
        try:
            value = value_of(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            objects.append(value)
    if objects and not any(lookup(o, columns.text)[1] for o in objects):
        raise no_column(name, columns.text, sorted({key for o in objects for key in o}))


def no_column(name: str, wanted: str, found: Iterable[str]) -> InputError:
    return InputError(
        f"{name} has no column {wanted!r}; it has {', '.join(found)}. Say which holds the text, "
        'in the recipe: [ingest.columns] text = "...", or by --set ingest.columns.text=...'
    )


def _skip(stream: IO[bytes], size: int) -> int:
    left = size
    while left and (chunk := stream.read(min(left, _CHUNK))):
        left -= len(chunk)
    return size - left
