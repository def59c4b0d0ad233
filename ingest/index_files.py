"""The rows of an index of archived pages, whatever file holds them."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, cast

import pyarrow as pa

from corpusmill.errors import InputError
from corpusmill.ingest.column_files import open_parquet
from corpusmill.ingest.json_lines import NAMES, lines, unpacked, value_of
from corpusmill.inputs import open_input

NAMED = (
    ("warc_filename", "filename"),
    ("warc_record_offset", "offset"),
    ("warc_record_length", "length"),
)
"""What the columnar index calls them, and what the URL index does."""
_LINE_BYTES = 1 << 20
_CSV = (".csv", ".csv.gz")

Entry = Mapping[str, Any] | str
"""A row by column, or why there is none."""


def is_index(name: str, columns: Iterable[str]) -> bool:
    """Whether a file with these columns names records rather than holding texts."""
    there = set(columns)
    found = all(there & set(names) for names in NAMED)
    if name.endswith(_CSV) and not found:
        wanted = ", ".join(names[0] for names in NAMED)
        has = ", ".join(columns) or "none"
        raise InputError(f"{name} is read as an index of records, with columns {wanted}; it has {has}")
    return found and "text" not in there


def columns_of(name: str) -> list[str]:
    """The columns of a file that may be an index; none for other files, and for lines that are no objects."""
    if name.endswith(".parquet"):
        with open_input(name, 1 << 16) as f:
            return list(open_parquet(f, name).schema_arrow.names)
    if name.endswith(_CSV):
        with open_input(name) as f, _whole(name):
            return next(csv.reader(_text(f)), [])
    if name.endswith(NAMES):
        with open_input(name) as f:
            first = next(_objects(f), None)
        return list(first) if isinstance(first, Mapping) else []
    return []


def entries(name: str) -> Iterator[Entry]:
    """Rows of an index, from its first one on. A damaged CSV or Parquet raises InputError: rows can be chosen again."""
    with open_input(name) as f, _whole(name):
        if name.endswith(".parquet"):
            parquet = open_parquet(f, name)
            known = {n for names in NAMED for n in names} | {"url"}
            wanted = [n for n in parquet.schema_arrow.names if n in known]
            for batch in parquet.iter_batches(1 << 14, columns=wanted):
                yield from batch.to_pylist()
        elif name.endswith(_CSV):
            yield from csv.DictReader(_text(f))
        else:
            yield from _objects(f)


@contextmanager
def _whole(name: str) -> Iterator[None]:
    try:
        yield
    except (csv.Error, EOFError, OSError, zlib.error, pa.ArrowException) as e:
        why = " ".join(str(e).split()).rstrip(".")
        raise InputError(f"{name} cannot be read to its end: {why}. An index must be whole: write it again") from e


def _objects(stream: IO[bytes]) -> Iterator[Entry]:
    _, plain = unpacked(stream)
    for line in lines(plain, _LINE_BYTES):
        if line.damage is not None or line.data is None:
            yield line.damage or f"a line of {line.length:,} bytes"
            continue
        try:
            value = value_of(line)
        except ValueError as e:
            yield f"not JSON: {e}"
            continue
        yield value if isinstance(value, dict) else "not an object"


def _text(stream: IO[bytes]) -> io.TextIOWrapper:
    packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    plain = cast(IO[bytes], gzip.GzipFile(fileobj=stream)) if packed else stream
    return io.TextIOWrapper(plain, encoding="utf-8-sig", errors="replace", newline="")
