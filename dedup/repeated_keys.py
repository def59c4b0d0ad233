"""Keys that tasks write for their parts, and those that repeat, given back to each part: counting in bounded memory.

Lines and spans alike are hashed to 64-bit keys. A task writes, for each row group of its part, every key once with how
often it occurs and where first; SQL counts; the rows come back sorted by part, and a task reads its own alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.context import RunContext
from corpusmill.dedup.key_table import KeyTable
from corpusmill.engines import Dataset
from corpusmill.ledger import part_name
from corpusmill.storage import Folder

WORK = "dedup/work/cuts"
KEYS = pa.schema(
    [
        ("part", pa.int64()),
        ("host", pa.int64()),  # hash of the host, 0 where hosts do not matter
        ("key", pa.int64()),
        ("occurrences", pa.int64()),  # or documents: whatever is counted
        ("first_address", pa.int64()),
    ]
)
REPEATED = pa.schema([("part", pa.int64()), ("key", pa.int64()), ("first_address", pa.int64())])

Files = tuple[str, ...]


@contextmanager
def key_file(run: Folder, name: str, schema: pa.Schema = KEYS) -> Iterator[pq.ParquetWriter]:
    """A work file being written, whole or not at all; a batch is a row group."""
    with run.writing(name) as out, pq.ParquetWriter(out.path, schema, compression="lz4") as writer:
        yield writer


def key_rows(part: int, key: np.ndarray, address: np.ndarray, host: np.ndarray | None = None) -> pa.RecordBatch:
    """Rows of KEYS: each key once, sorted. Those of equal keys are in order of address; int64 [n] each."""
    order = np.argsort(key, kind="stable")  # so that the first of equal keys is the first by address
    key = key[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]] if len(key) else np.zeros(0, bool))
    counts = np.diff(np.r_[first, len(key)])
    hosts = np.zeros(len(first), np.int64) if host is None else host[order][first]
    columns = [np.full(len(first), part, np.int64), hosts, key[first], counts, address[order][first]]
    return pa.RecordBatch.from_arrays([pa.array(c, pa.int64()) for c in columns], schema=KEYS)


def dataset(run: Folder, folder: str, parts: Sequence[int], schema: pa.Schema = KEYS) -> Dataset:
    """The work files of all parts in one folder."""
    return Dataset(run, tuple(f"{folder}/{part_name(p)}.parquet" for p in parts), schema)


def repeated(
    context: RunContext, sql: str, datasets: Mapping[str, Dataset], prefix: str, parts: Sequence[int]
) -> dict[int, Files]:
    """Write the answer of `sql`, rows of REPEATED in order of part; the names of the files that each part must read."""
    written = context.engine.write(sql, datasets, context.folder, prefix, REPEATED)
    files: dict[int, list[str]] = {p: [] for p in parts}
    for name in written.names:
        with context.folder.open(name) as f:
            found = _part_ranges(pq.ParquetFile(f))
        for part in files:
            if any(low <= part <= high for low, high in found):
                files[part].append(name)
    return {part: tuple(names) for part, names in files.items()}


def key_table(run: Folder, part: int, files: Sequence[str]) -> KeyTable:
    """The repeated keys of one part."""
    tables = []
    for name in files:
        with run.open(name) as f:
            parquet = pq.ParquetFile(f)
            for group, (low, high) in enumerate(_part_ranges(parquet)):
                if low <= part <= high:
                    table = parquet.read_row_group(group)
                    tables.append(table.filter(pa.array(table.column("part").to_numpy() == part)))
    table = pa.concat_tables(tables) if tables else REPEATED.empty_table()
    return KeyTable(table.column("key").to_numpy(), table.column("first_address").to_numpy())


def run_all(context: RunContext, task: Any, arguments: Sequence[Any]) -> list[dict[str, Any]]:
    """Answers of a task for each of its arguments, in order of part."""
    answers: list[dict[str, Any]] = []
    context.engine.run_tasks(task, arguments, answers.append, native=True)
    return sorted(answers, key=lambda a: int(a["part"]))


def _part_ranges(parquet: pq.ParquetFile) -> list[tuple[int, int]]:
    """Smallest and largest part in each row group, from the footer."""
    place = parquet.schema_arrow.names.index("part")
    groups = (parquet.metadata.row_group(i).column(place).statistics for i in range(parquet.num_row_groups))
    return [(s.min, s.max) for s in groups]
