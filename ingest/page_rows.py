"""Rows of PAGES from things that are no WARC records: texts with their columns, and what could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from corpusmill.ingest.warc_pages import Tally, host_of
from corpusmill.recipe import Columns, Ingest
from corpusmill.schemas import PAGES

Row = dict[str, Any]

OUR_DATE = "fetched_at"


def place(name: str, offset: int, kind: str, length: int) -> Row:
    """What every row says of where it came from."""
    return {
        "id": f"{name}:{offset}",
        "warc_file": name,
        "warc_offset": offset,
        "offset_kind": kind,
        "warc_length": length,
    }


def drop(row: Row, reason: str, detail: str) -> Row:
    return row | {"drop_reason": reason, "drop_detail": storable(detail)[:500], "drop_stage": "ingest"}


def text_row(row: Row, values: Mapping[str, Any], columns: Columns, where: str, max_bytes: int) -> Row:
    """A row for one document. `where` is its place as a person would look for it: file:line, or file:row."""
    row = row | _about(values, columns)
    text, found = lookup(values, columns.text)
    if not found or text is None:
        return drop(row, "no_text", f"{where}: {columns.text!r} is {'null' if found else 'not there'}")
    if not isinstance(text, str):
        return drop(row, "text_not_a_string", f"{where}: {columns.text!r} is {type(text).__name__}: {str(text)[:80]}")
    if len(text) * 4 > max_bytes and len(text.encode("utf-8", "replace")) > max_bytes:
        return drop(row, "too_large", f"{where}: more than {max_bytes} bytes")
    if not text.strip():
        return drop(row, "no_text", f"{where}: {columns.text!r} is empty")
    return row | {"text": storable(text)}


def lookup(values: Mapping[str, Any], name: str) -> tuple[Any, bool]:
    """(value, whether there is one) of a column; a dot goes into a table unless a column has just that name."""
    if name in values:
        return values[name], True
    head, dot, rest = name.partition(".")
    inner = values.get(head)
    return lookup(inner, rest) if dot and isinstance(inner, Mapping) else (None, False)


def storable(text: str) -> str:
    """Lone surrogates, as JSON's "\\ud800" gives them, cannot be stored as UTF-8."""
    return text.encode("utf-8", "replace").decode()


def in_batches(rows: Iterable[Row], ingest: Ingest, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Rows as batches of PAGES, each counted in `tally`."""
    held: list[Row] = []
    size = 0
    for row in rows:
        tally.records += 1
        tally.bytes += row["warc_length"]
        held.append(row)
        size += row["warc_length"]
        if len(held) >= ingest.batch_pages or size >= ingest.batch_bytes:
            yield pa.RecordBatch.from_pylist(held, schema=PAGES)
            held, size = [], 0
    if held:
        yield pa.RecordBatch.from_pylist(held, schema=PAGES)


def regrouped(batches: Iterable[pa.RecordBatch], ingest: Ingest) -> Iterator[pa.RecordBatch]:
    """The same rows in fewer batches: archives that give a page or two each would else make as many batches."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= ingest.batch_pages or size >= ingest.batch_bytes:
            yield _joined(held)
            held, rows, size = [], 0, 0
    if held:
        yield _joined(held)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0] if len(batches) > 1 else batches[0]


def _about(values: Mapping[str, Any], columns: Columns) -> Row:
    """id, url, host and time of fetching, as far as they are there and are what they should be."""
    found: Row = {}
    name, _ = lookup(values, columns.id)
    if isinstance(name, (str, int)) and not isinstance(name, bool) and str(name):
        found["id"] = storable(str(name))
    url, _ = lookup(values, columns.url)
    if isinstance(url, str) and url:
        found["url"] = storable(url)
        found["host"] = host_of(found["url"])
    # documents that were written by Corpusmill have both; their `date` is the one that the page states
    when, ours = lookup(values, OUR_DATE) if columns.date == Columns().date else (None, False)
    if not ours:
        when, _ = lookup(values, columns.date)
    if (fetched := _when(when)) is not None:
        found["fetched_at"] = fetched
    return found


def _when(value: Any) -> datetime | None:
    try:
        if isinstance(value, date) and not isinstance(value, datetime):
            value = value.isoformat()
        when = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(when, datetime):
            return None
        return when.replace(tzinfo=when.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
