"""One way in, whatever an input is: WARC, pages kept as Parquet, rows of an index, or documents in other forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

import pyarrow as pa

from corpusmill.ingest import column_files, index_rows, json_lines
from corpusmill.ingest.index_files import columns_of, is_index
from corpusmill.ingest.kept_pages import is_pages, read_pages_part
from corpusmill.ingest.page_rows import Row, in_batches
from corpusmill.ingest.warc_pages import Tally, read_pages
from corpusmill.inputs import Digesting, open_input
from corpusmill.recipe import Ingest
from corpusmill.schemas import PAGES


@dataclass(frozen=True)
class Source:
    """An open input: its pages, and, once they have been read, what `finish` says of its bytes."""

    pages: Iterator[pa.RecordBatch]
    finish: Callable[[], dict[str, int | str]]


@contextmanager
def open_source(name: str, ingest: Ingest, tally: Tally, *, alone: bool = True) -> Iterator[Source]:
    """The pages of one input as batches of PAGES, every record of it counted in `tally` or in them.

    `alone`: a file without any record is refused, and not counted as a damaged one.
    """
    if index_rows.is_part(name):
        part = index_rows.IndexPart(name, ingest, tally)
        yield Source(part.pages(), part.finish)
        return
    with open_input(name) as raw:
        stream = Digesting(raw)
        yield Source(_pages(cast(IO[bytes], stream), name, ingest, tally, alone), stream.finish)


def index_parts(name: str, rows_per_part: int) -> dict[str, int]:
    """The parts of an index, with the bytes they ask for; nothing for any other file."""
    return index_rows.parts_of(name, rows_per_part) if is_index(name, columns_of(name)) else {}


def page_at(name: str, place: Mapping[str, Any], ingest: Ingest) -> pa.RecordBatch | None:
    """The text that lies at a place of a file which is no archive, as a batch of one page; None for archives."""
    rows = place["offset_kind"] == column_files.KIND
    if not rows and not name.endswith(json_lines.NAMES):
        return None
    with open_input(name) as stream:
        if rows:
            row = column_files.reread(stream, name, place["warc_offset"], ingest)
        else:
            row = json_lines.reread(stream, name, place["warc_offset"], place["warc_length"], ingest)
    return pa.RecordBatch.from_pylist([row], schema=PAGES)


def _pages(stream: IO[bytes], name: str, ingest: Ingest, tally: Tally, alone: bool) -> Iterator[pa.RecordBatch]:
    rows: Iterator[Row]
    if name.endswith(json_lines.NAMES):
        rows = json_lines.read_documents(stream, name, ingest)
    elif column_files.is_arrow(name):
        rows = column_files.read_arrow(stream, name, ingest)
    elif name.endswith(".parquet"):
        parquet = column_files.open_parquet(stream, name)
        if is_pages(parquet.schema_arrow):
            return read_pages_part(parquet, tally)
        rows = column_files.read_parquet(parquet, name, ingest)
    else:
        return read_pages(
            stream,
            name,
            tally,
            max_page_bytes=ingest.max_page_bytes,
            batch_pages=ingest.batch_pages,
            batch_bytes=ingest.batch_bytes,
            alone=alone,
        )
    return in_batches(rows, ingest, tally)
