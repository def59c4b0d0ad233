"""Files between two SQL statements of a stage: written by the driver or by executors, read by the next statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.engines import Apply, Dataset
from corpusmill.storage import Folder


def applied(batches: Iterable[pa.RecordBatch], schema: pa.Schema, apply: Apply | None) -> Iterator[pa.RecordBatch]:
    """Batches as `schema` has them, after `apply`; empty ones are left out."""
    for batch in batches:
        found = batch if apply is None else apply(batch)
        if found.num_rows:
            yield found.select(schema.names).cast(schema)


def write_rows(folder: Folder, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write one file, whole or not at all; how many rows it has. Memory is one batch. Without rows there is no file."""
    batches = iter(batches)
    first = next(batches, None)
    if first is None:
        return 0
    rows = 0
    with folder.writing(name) as out, pq.ParquetWriter(out.path, schema, compression="lz4") as writer:
        while first is not None:
            writer.write_batch(first)
            rows += first.num_rows
            first = next(batches, None)
    return rows


def read_rows(dataset: Dataset) -> Iterator[pa.RecordBatch]:
    """All rows, in order of the files' names."""
    for name in dataset.names:
        with dataset.folder.open(name) as f:
            yield from pq.ParquetFile(f).iter_batches()
