"""Documents as Parquet or as Arrow streams, as Hugging Face data sets keep them: one row each, by row number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.errors import InputError
from corpusmill.ingest.json_lines import no_column
from corpusmill.ingest.page_rows import OUR_DATE, Row, drop, place, text_row
from corpusmill.recipe import Columns, Ingest

KIND = "row"
_ROWS = 1024
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)


def open_parquet(stream: IO[bytes], name: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(stream)
    except pa.ArrowInvalid as e:
        raise InputError(f"{name} is not a Parquet file: {e}") from e


def read_parquet(parquet: pq.ParquetFile, name: str, ingest: Ingest) -> Iterator[Row]:
    """A row for each row. One that cannot be read any more is dropped, and so is the rest of its row group."""
    wanted = _wanted(parquet.schema_arrow, name, ingest.columns)
    at = 0
    for group in range(parquet.num_row_groups):
        end = at + parquet.metadata.row_group(group).num_rows
        try:
            for batch in parquet.iter_batches(_ROWS, row_groups=[group], columns=wanted):
                yield from _rows(batch, at, name, ingest)
                at += batch.num_rows
        except (pa.ArrowException, OSError) as e:
            why = str(e)[:200]
            yield from (drop(place(name, i, KIND, 0), "damaged_record", f"{name}:{i}: {why}") for i in range(at, end))
            at = end


def read_arrow(stream: IO[bytes], name: str, ingest: Ingest) -> Iterator[Row]:
    """As `read_parquet`; of a damaged file, what follows is one dropped row: how many there were is not known."""
    at = 0
    try:
        for batch in _arrow_batches(stream, name, ingest.columns):
            yield from _rows(batch, at, name, ingest)
            at += batch.num_rows
    except (pa.ArrowException, OSError) as e:
        yield drop(place(name, at, KIND, 0), "damaged_record", f"{name}:{at}: unreadable from here on: {e}")


def reread(stream: IO[bytes], name: str, row: int, ingest: Ingest) -> Row:
    """The row of that number; reads one row group of a Parquet, or an Arrow stream up to it."""
    for start, batch in _arrow_at(stream, name, ingest) if is_arrow(name) else _parquet_at(stream, name, row, ingest):
        if row < start + batch.num_rows:
            (found,) = _rows(batch.slice(row - start, 1), row, name, ingest)
            return found
    raise InputError(f"{name} has no row {row:,}: it was changed since it was read")


def is_arrow(name: str) -> bool:
    return name.endswith(".arrow")


def _parquet_at(stream: IO[bytes], name: str, row: int, ingest: Ingest) -> Iterator[tuple[int, pa.RecordBatch]]:
    parquet = open_parquet(stream, name)
    wanted = _wanted(parquet.schema_arrow, name, ingest.columns)
    at = 0
    for group in range(parquet.num_row_groups):
        end = at + parquet.metadata.row_group(group).num_rows
        if row < end:
            for batch in parquet.iter_batches(_ROWS, row_groups=[group], columns=wanted):
                yield at, batch
                at += batch.num_rows
            return
        at = end


def _arrow_at(stream: IO[bytes], name: str, ingest: Ingest) -> Iterator[tuple[int, pa.RecordBatch]]:
    at = 0
    for batch in _arrow_batches(stream, name, ingest.columns):
        yield at, batch
        at += batch.num_rows


def _arrow_batches(stream: IO[bytes], name: str, columns: Columns) -> Iterator[pa.RecordBatch]:
    """Batches of an Arrow IPC stream (what `datasets` writes) or file, with the columns that are read."""
    magic = stream.read(6)
    stream.seek(0)
    try:
        if magic == b"ARROW1":
            file = pa.ipc.open_file(stream)
            schema, batches = file.schema, (file.get_batch(i) for i in range(file.num_record_batches))
        else:
            reader = pa.ipc.open_stream(stream)
            schema, batches = reader.schema, iter(reader)
    except (pa.ArrowInvalid, OSError) as e:
        raise InputError(f"{name} is not an Arrow file: {e}") from e
    wanted = {n.partition(".")[0] if n not in schema.names else n for n in _wanted(schema, name, columns)}
    ordered = [n for n in schema.names if n in wanted]
    return (batch.select(ordered) for batch in batches)


def _wanted(schema: pa.Schema, name: str, columns: Columns) -> list[str]:
    """The mapped columns that are there. Raises InputError where there is no text."""
    kind = _type_of(schema, columns.text)
    if kind is None:
        raise no_column(name, columns.text, schema.names)
    if not any(is_text(kind) for is_text in _TEXTS):
        raise InputError(f"{name}: column {columns.text!r} is of type {kind}; expected a column of strings")
    asked = (columns.text, columns.id, columns.url, columns.date, OUR_DATE)
    return [n for n in dict.fromkeys(asked) if _type_of(schema, n) is not None]


def _type_of(schema: pa.Schema, name: str) -> pa.DataType | None:
    if name in schema.names:
        kind = schema.field(name).type
    else:
        head, dot, rest = name.partition(".")
        outer = schema.field(head).type if dot and head in schema.names else None
        if outer is None or not pa.types.is_struct(outer):
            return None
        return _type_of(pa.schema(list(outer)), rest)
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _rows(batch: pa.RecordBatch, start: int, name: str, ingest: Ingest) -> Iterator[Row]:
    for i, values in enumerate(batch.to_pylist(), start):
        row = text_row(place(name, i, KIND, 0), values, ingest.columns, f"{name}:{i}", ingest.max_page_bytes)
        # a row has no bytes of its own in such a file; those of its text stand for them
        yield row | {"warc_length": len((row.get("text") or "").encode())}
