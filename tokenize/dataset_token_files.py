"""Hugging Face data sets with tokens: a Parquet file or a `save_to_disk` folder, one row for each document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.document_files import write_dataset
from corpusmill.errors import InputError
from corpusmill.schemas import SHARD_DOCS
from corpusmill.storage import Output
from corpusmill.tokenize.encoded import Encoded
from corpusmill.tokenize.foreign_documents import (
    PROVENANCE,
    WEIGHT,
    ForeignBatch,
    Opened,
    ReadSettings,
    cut,
    cut_at_ends,
    smallest_type,
)
from corpusmill.tokenize.shard_exports import Described, Export, described, file_to_write
from corpusmill.whole_folders import whole_folder

TOKENS = "input_ids"
_COLUMNS = (TOKENS, "tokens")
_ROWS = 1024
_TOKENS_PER_GROUP = 1 << 22


def write(export: Export, to: str) -> list[Output]:
    """Write `to`: a Parquet file where it ends in .parquet, else a folder for `datasets.load_from_disk`."""
    kind = export.kind(smallest_type(export.shards.vocab_size))
    schema = pa.schema([(TOKENS, pa.list_(pa.from_numpy_dtype(kind))), *(SHARD_DOCS.field(c) for c in PROVENANCE)])
    schema = schema.append(pa.field(WEIGHT, pa.int64())) if export.with_weights else schema
    if to.endswith(".parquet"):
        folder, name = file_to_write(to)
        with folder.writing(name) as out, pq.ParquetWriter(out.path, schema, compression="zstd") as writer:
            for documents in described(export, _TOKENS_PER_GROUP):
                writer.write_batch(_rows(documents, schema))
        return [out]
    with whole_folder(to, last="state.json") as made:
        write_dataset(made.local_path(), schema, (_rows(documents, schema) for documents in described(export)))
        files = sorted(made.local_path().iterdir())
        return [Output(file.name, file, file.stat().st_size) for file in files]


def _rows(documents: Described, schema: pa.Schema) -> pa.RecordBatch:
    kind = schema.field(TOKENS).type
    values = pa.array(documents.tokens.astype(kind.value_type.to_pandas_dtype(), copy=False))
    if len(values) > np.iinfo(np.int32).max:
        raise InputError(f"a document of {len(values):,} tokens is too long for a row; expected up to 2,147,483,647")
    lists = pa.ListArray.from_arrays(pa.array(documents.offsets.astype(np.int32)), values)
    columns = [lists if f.name == TOKENS else documents.rows.column(f.name).cast(f.type) for f in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def read(path: str, settings: ReadSettings) -> Opened:
    """The rows of Parquet and Arrow files: one, a folder of them, or what `save_to_disk` wrote."""
    from corpusmill.ingest.dataset_folders import files_of_folder

    if not Path(path).exists():
        raise InputError(f"{path} is not there; expected a Parquet or Arrow file, or a folder of a data set")
    names = files_of_folder(path) if Path(path).is_dir() else [path]
    other = next((n for n in names if not n.endswith((".parquet", ".arrow"))), None)
    if other is not None:
        raise InputError(f"{other}: expected files that end in .parquet or .arrow")
    files = [_File(name, settings) for name in names]
    batches: Iterator[ForeignBatch] = (batch for file in files for batch in file.documents())
    if settings.packed:
        batches = cut_at_ends(((b.file, b.encoded.ids) for b in batches), settings.end, joined=True)
    return Opened(sum(f.rows for f in files), "documents", batches)


class _File:
    """One file, opened far enough to know its columns."""

    def __init__(self, name: str, settings: ReadSettings) -> None:
        self.name = name
        self._settings = settings
        self.rows = 0  # an Arrow stream does not say it
        try:
            if name.endswith(".parquet"):
                file = pq.ParquetFile(name)
                schema, self.rows = file.schema_arrow, file.metadata.num_rows
            else:
                schema = _open_arrow(name).schema
        except (pa.ArrowInvalid, OSError) as e:
            raise InputError(f"{name} is no Parquet or Arrow file: {_first_line(e)}") from e
        self._tokens = self._token_column(schema)
        self._known = [] if settings.packed else [c for c in (*PROVENANCE, WEIGHT) if c in schema.names]

    def _token_column(self, schema: pa.Schema) -> str:
        name = self._settings.column or next((c for c in _COLUMNS if c in schema.names), "")
        if name not in schema.names:
            raise InputError(f"{self.name} has columns {', '.join(schema.names)}; name the one of tokens with --column")
        kind = schema.field(name).type
        lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        if not lists or not pa.types.is_integer(kind.value_type):
            raise InputError(f"{self.name}: column {name} is of type {kind}; expected lists of integers")
        return name

    def documents(self) -> Iterator[ForeignBatch]:
        row = 0
        for batch in self._batches():
            tokens = self._encoded(batch.column(self._tokens), row)
            known = {c: batch.column(c) for c in self._known}
            for a, b in cut(tokens.offsets, self._settings.batch_tokens):
                here = tokens.offsets[a : b + 1]
                part = Encoded(here - here[0], tokens.ids[here[0] : here[-1]])
                yield ForeignBatch(self.name, row + a, part, {c: v.slice(a, b - a) for c, v in known.items()})
            row += batch.num_rows

    def _batches(self) -> Iterator[pa.RecordBatch]:
        wanted = [self._tokens, *self._known]
        try:
            if self.name.endswith(".parquet"):
                yield from pq.ParquetFile(self.name).iter_batches(_ROWS, columns=wanted)
                return
            source = _open_arrow(self.name)
            if isinstance(source, pa.RecordBatchFileReader):
                yield from (source.get_batch(i).select(wanted) for i in range(source.num_record_batches))
            else:
                yield from (batch.select(wanted) for batch in source)
        except (pa.ArrowInvalid, OSError) as e:
            raise InputError(f"{self.name} cannot be read to its end ({_first_line(e)}): it is cut or changed") from e

    def _encoded(self, column: pa.Array, row: int) -> Encoded:
        values = column.flatten()
        if column.null_count or values.null_count:
            raise InputError(
                f"{self.name}: column {self._tokens} has nulls from row {row:,} on; expected a list in each row"
            )
        lengths = pc.list_value_length(column).to_numpy()
        return Encoded(np.r_[0, np.cumsum(lengths, dtype=np.int64)], values.to_numpy())


def _open_arrow(name: str) -> pa.RecordBatchFileReader | pa.RecordBatchStreamReader:
    """A stream, as `datasets` writes, or a file."""
    source = pa.memory_map(name)
    magic = source.read(6)
    source.seek(0)
    return pa.ipc.open_file(source) if magic == b"ARROW1" else pa.ipc.open_stream(source)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
