"""Parquet parts whose bytes depend on their rows alone, not on how the rows came in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.errors import DamagedError
from corpusmill.schemas import VERSION_KEY, check_version, conform
from corpusmill.storage import Folder

ROWS_PER_GROUP = 8192


class PartWriter:
    """Writes batches in row groups of exactly ROWS_PER_GROUP rows. Memory is one row group."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.schema = schema
        self.rows = 0
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self._flush(everything=True)
        self._writer.close()

    def write(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        self._pending.append(conform(batch, self.schema))
        self._pending_rows += batch.num_rows
        if self._pending_rows >= ROWS_PER_GROUP:
            self._flush()

    def _flush(self, everything: bool = False) -> None:
        table = pa.Table.from_batches(self._pending, self.schema)
        at = 0
        while table.num_rows - at >= (1 if everything else ROWS_PER_GROUP):
            self._writer.write_table(table.slice(at, ROWS_PER_GROUP).combine_chunks(), row_group_size=ROWS_PER_GROUP)
            at += ROWS_PER_GROUP
        self._pending = table.slice(min(at, table.num_rows)).to_batches()
        self._pending_rows = max(table.num_rows - at, 0)


def read_part(
    folder: Folder, name: str, schema: pa.Schema, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of one part, a row group at a time; columns that an older part lacks are null."""
    wanted = pa.schema([f for f in schema if columns is None or f.name in columns])
    with folder.open(name) as f, damage_named(f"{folder.url}/{name}"):
        parquet = pq.ParquetFile(f)
        metadata = parquet.schema_arrow.metadata or {}
        check_version(metadata.get(VERSION_KEY), f"{folder.url}/{name}")
        there = [n for n in wanted.names if n in parquet.schema_arrow.names]
        for group in range(parquet.num_row_groups):
            for batch in parquet.read_row_group(group, columns=there).combine_chunks().to_batches():
                yield conform(batch, wanted)


@contextmanager
def damage_named(url: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, OSError) as e:
        # the storage's errors are of other classes or have a number; those of Arrow about what it read are bare
        if not isinstance(e, pa.ArrowInvalid) and (type(e) is not OSError or e.errno is not None):
            raise
        said = str(e).partition("\n")[0].rstrip(".")
        raise DamagedError(
            f"{url} is damaged: {said}. Remove it and run the stage that writes it again: only what is missing is made"
        ) from e
