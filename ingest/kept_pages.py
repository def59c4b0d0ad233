"""Pages as `corpusmill ingest` wrote them to Parquet, read back."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.ingest.warc_pages import Tally
from corpusmill.schemas import PAGES, conform

_MARKS = frozenset({"body", "warc_file", "warc_offset", "warc_length", "drop_stage"})
_ROWS_PER_BATCH = 256


def is_pages(schema: pa.Schema) -> bool:
    """Whether a Parquet file holds pages, rather than documents or an index. An older one may lack a column."""
    return set(schema.names) >= _MARKS


def read_pages_part(parquet: pq.ParquetFile, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The pages of one part, counted as records."""
    there = [n for n in PAGES.names if n in parquet.schema_arrow.names]
    for batch in parquet.iter_batches(_ROWS_PER_BATCH, columns=there):
        tally.records += batch.num_rows
        tally.bytes += pc.sum(batch.column("warc_length")).as_py() or 0
        yield conform(batch, PAGES)
