"""Records named by the rows of Common Crawl's index: each is fetched by its range and becomes a page as any other.

An index is a Parquet, CSV (.gz) or JSON-lines file (.gz, .zst) with `warc_filename`, `warc_record_offset` and
`warc_record_length`, as the columnar index has them, or `filename`, `offset` and `length`, as the URL index answers.
It is read in parts of `ingest.rows_per_part` rows, in its own order: an index sorted by file and offset needs the
fewest requests, since neighbouring records are fetched together.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Any

import pyarrow as pa

from corpusmill.errors import InputError
from corpusmill.ingest.crawl_lists import joined
from corpusmill.ingest.index_files import NAMED, entries
from corpusmill.ingest.page_rows import Row, drop, in_batches, place, regrouped
from corpusmill.ingest.warc_members import walk
from corpusmill.ingest.warc_pages import Tally, host_of, pages_of
from corpusmill.recipe import Ingest
from corpusmill.remote_files import read_range

_PART = re.compile(r"(.+)#rows=(\d+)-(\d+)")
_GAP_BYTES = 16 << 10
"""Ranges nearer than this are one request: to ask costs more than to read it."""
_REQUEST_BYTES = 8 << 20
_AHEAD = 8
"""Requests under way at once, for each task."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One row of the index: a record's place in its archive."""

    number: int
    file: str
    offset: int
    length: int
    url: str | None

    @property
    def end(self) -> int:
        return self.offset + self.length


def parts_of(name: str, rows_per_part: int) -> dict[str, int]:
    """Names of the parts that an index is read in, each with the bytes of the records it asks for."""
    parts: dict[str, int] = {}
    found = entries(name)
    start = 0
    while chunk := list(islice(found, rows_per_part)):
        size = sum(length for length in map(_length, chunk) if length is not None)
        parts[f"{name}#rows={start}-{start + len(chunk)}"] = size
        start += len(chunk)
    if not parts:
        raise InputError(f"{name}: the index has no rows")
    return parts


def is_part(name: str) -> bool:
    return _PART.fullmatch(name) is not None


class IndexPart:
    """One part of an index, its records fetched as they are asked for."""

    def __init__(self, name: str, ingest: Ingest, tally: Tally) -> None:
        found = _PART.fullmatch(name)
        assert found is not None
        self.index, self.start, self.stop = found[1], int(found[2]), int(found[3])
        self.ingest, self.tally = ingest, tally
        self._hash = hashlib.sha256()
        self._fetched = 0

    def pages(self) -> Iterator[pa.RecordBatch]:
        return regrouped(self._batches(), self.ingest)

    def finish(self) -> dict[str, int | str]:
        """Bytes fetched and their checksum."""
        return {"bytes": self._fetched, "sha256": self._hash.hexdigest()}

    def _batches(self) -> Iterator[pa.RecordBatch]:
        wanted, broken = self._sorted()
        yield from in_batches(broken, self.ingest, self.tally)
        for rows, raw in _fetched(_merged(wanted)):
            self._hash.update(raw)
            self._fetched += len(raw)
            start = rows[0].offset
            for row in rows:
                yield from self._record(row, raw[row.offset - start : row.end - start])

    def _sorted(self) -> tuple[list[Wanted], list[Row]]:
        """(rows by file and offset, each record once; rows that name no record, each with its reason)."""
        wanted: dict[tuple[str, int], Wanted] = {}
        broken: list[Row] = []
        rows = islice(entries(self.index), self.start, self.stop)
        for number, entry in enumerate(rows, self.start):
            row = _wanted(entry, number, self.ingest)
            if isinstance(row, str):
                gone = place(self.index, number, "row", 0)
                broken.append(drop(gone, "bad_index_row", f"{self.index}:{number}: {row}"))
            elif (row.file, row.offset) in wanted:
                other = wanted[row.file, row.offset].number
                gone = _row(row) | {"warc_length": 0}
                broken.append(drop(gone, "repeated_row", f"{self.index}:{number}: row {other} names this record, too"))
            elif row.length > 2 * self.ingest.max_page_bytes + _REQUEST_BYTES:
                broken.append(drop(_row(row), "too_large", f"{row.length} bytes"))
            else:
                wanted[row.file, row.offset] = row
        return sorted(wanted.values(), key=lambda r: (r.file, r.offset)), broken

    def _record(self, row: Wanted, raw: bytes) -> Iterator[pa.RecordBatch]:
        """The record in `raw`, through the reader of whole archives; its place is that in the archive."""
        limit = self.ingest.max_page_bytes
        why = "the archive ends before it"
        if raw:
            try:
                found = [m for m in walk(io.BytesIO(raw), row.file, limit) if m.data or m.damage]
            except InputError as e:
                found, why = [], f"no record begins there: {e}"
            if len(found) == 1 and found[0].damage is None and found[0].length == row.length:
                member = replace(found[0], offset=row.offset, length=row.length)
                yield from pages_of([member], row.file, limit, self.tally)
                return
            if found:
                why = found[0].damage or f"it holds {len(found)} records, the first of {found[0].length:,} bytes"
        detail = f"{self.index}:{row.number}: {row.length:,} bytes at {row.offset:,} of {row.file}: {why}"
        yield from in_batches([drop(_row(row), "range_without_record", detail)], self.ingest, self.tally)


def _row(wanted: Wanted) -> Row:
    host = host_of(wanted.url) if wanted.url else None
    return place(wanted.file, wanted.offset, "member", wanted.length) | {"url": wanted.url, "host": host}


def _wanted(entry: Mapping[str, Any] | str, number: int, ingest: Ingest) -> Wanted | str:
    """A record's place, or why the row names none."""
    if isinstance(entry, str):
        return entry
    file, offset, length = (_value(entry, names) for names in NAMED)
    if not isinstance(file, str) or not file:
        return f"{NAMED[0][0]} is {file!r}"
    start, size = _number(offset), _number(length)
    if start is None or not size:
        return f"{NAMED[1][0]} is {offset!r} and {NAMED[2][0]} is {length!r}"
    url = entry.get("url")
    return Wanted(number, joined(ingest.crawl_base, file), start, size, url if isinstance(url, str) else None)


def _length(entry: Mapping[str, Any] | str) -> int | None:
    return None if isinstance(entry, str) else _number(_value(entry, NAMED[2]))


def _value(entry: Mapping[str, Any], names: tuple[str, str]) -> Any:
    return next((entry[n] for n in names if n in entry), None)


def _number(value: Any) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number < 1 << 62 else None


def _merged(rows: Iterable[Wanted]) -> Iterator[list[Wanted]]:
    """Sorted rows in groups that are fetched with one request each."""
    for _, of_file in groupby(rows, key=lambda r: r.file):
        group: list[Wanted] = []
        end = 0
        for row in of_file:
            if group and (row.offset > end + _GAP_BYTES or max(row.end, end) - group[0].offset > _REQUEST_BYTES):
                yield group
                group = []
            end = max(row.end, end) if group else row.end
            group.append(row)
        if group:
            yield group


def _fetched(groups: Iterator[list[Wanted]]) -> Iterator[tuple[list[Wanted], bytes]]:
    """Groups with their bytes, in order, some requests ahead of what is taken."""
    with ThreadPoolExecutor(_AHEAD) as pool:
        under_way: deque[tuple[list[Wanted], Future[bytes]]] = deque()
        try:
            for group in groups:
                end = max(r.end for r in group)
                under_way.append((group, pool.submit(read_range, group[0].file, group[0].offset, end)))
                if len(under_way) == _AHEAD:
                    first, future = under_way.popleft()
                    yield first, future.result()
            while under_way:
                first, future = under_way.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
