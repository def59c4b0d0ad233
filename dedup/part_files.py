"""Rows in order of address, as each part of documents needs them: a task for each part reads its own alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.columns import with_columns
from corpusmill.engines import Apply, Dataset, Engine
from corpusmill.ledger import add_counts, part_name
from corpusmill.parquet_parts import PartWriter
from corpusmill.schemas import ADDRESS_STRIDE
from corpusmill.storage import Folder, Output

Count = Callable[[pa.RecordBatch], Mapping[str, Any]]


@dataclass(frozen=True)
class PartRows:
    """Rows of one part within a dataset in order of address. Sent to workers."""

    part: int
    first: int
    """The address of the run's first document among those of the dataset."""
    folder: Folder
    groups: tuple[tuple[str, int], ...]
    """(file, row group) that may have rows of the part."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Memory is one row group."""
        bounds = _bounds(self.part, self.first)
        for name, group in self.groups:
            with self.folder.open(name) as f:
                for batch in pq.ParquetFile(f).read_row_group(group).combine_chunks().to_batches():
                    start, end = np.searchsorted(batch.column("address").to_numpy(), bounds).tolist()
                    if start < end:
                        yield batch.slice(start, end - start)


def by_part(rows: Dataset, first: int, parts: Sequence[int] | None = None) -> list[PartRows]:
    """The rows of each of `parts`, or of all parts that may have some. Reads the footers of the dataset's files.

    `rows` ascend by `address`, files in order of name.
    """
    groups, bounds = [], []
    column = rows.schema.names.index("address")
    for name in sorted(rows.names):
        with rows.folder.open(name) as f:
            metadata = pq.ParquetFile(f).metadata
        for group in range(metadata.num_row_groups):
            statistics = metadata.row_group(group).column(column).statistics
            groups.append((name, group))
            bounds.append((statistics.min, statistics.max))
    least, greatest = np.array(bounds, np.int64).reshape(-1, 2).T
    if parts is None:
        ranges = zip((least - first) // ADDRESS_STRIDE, (greatest - first) // ADDRESS_STRIDE, strict=True)
        parts = sorted({part for low, high in ranges for part in range(int(low), int(high) + 1)})
    found = []
    for part in parts:
        low, high = _bounds(part, first)
        here = slice(np.searchsorted(greatest, low), np.searchsorted(least, high))
        found.append(PartRows(part, first, rows.folder, tuple(groups[here])))
    return found


def _bounds(part: int, first: int) -> tuple[int, int]:
    return first + part * ADDRESS_STRIDE, first + (part + 1) * ADDRESS_STRIDE


@dataclass(frozen=True)
class OwnAddress:
    """Addresses of the dataset to those of the run. Sent to workers."""

    first: int

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return with_columns(batch, {"address": pa.array(batch.column("address").to_numpy() - self.first)})


@dataclass(frozen=True)
class Target:
    """What is written: `kind/part-NNNNN.parquet` of a schema, of rows that `finish` makes of those read; `count` says
    what is to be added up of them. Both are sent to workers."""

    kind: str
    schema: pa.Schema
    finish: Apply
    count: Count | None = None


@dataclass(frozen=True)
class PartTask:
    run: Folder
    target: Target
    rows: PartRows


def write_parts(
    engine: Engine, run: Folder, target: Target, rows: Dataset, first: int, parts: Sequence[int]
) -> tuple[list[Output], dict[str, Any]]:
    """Write a file for each of `parts`, empty ones too (a missing file is damage): these by part, and the counts."""
    tasks = [PartTask(run, target, some) for some in by_part(rows, first, sorted(parts))]
    answers: dict[int, dict[str, Any]] = {}
    engine.run_tasks(write_part, tasks, lambda answer: answers.update({answer["part"]: answer}), native=True)
    found = [answers[task.rows.part] for task in tasks]
    written, given = sum(a["rows"] for a in found), engine.query("SELECT COUNT(*) AS n FROM given", {"given": rows})
    assert written == given.column("n")[0].as_py(), f"{written} rows of {target.kind} are of parts that are there"
    return [a["output"] for a in found], add_counts(a["counts"] for a in found)


def write_part(task: PartTask) -> dict[str, Any]:
    """The file of one part."""
    counts: list[Mapping[str, Any]] = []
    target, part = task.target, task.rows.part
    with (
        task.run.writing(f"{target.kind}/{part_name(part)}.parquet") as out,
        PartWriter(out.path, target.schema) as writer,
    ):
        for batch in task.rows.batches():
            made = target.finish(batch)
            writer.write(made)
            if target.count is not None:
                counts.append(target.count(made))
    return {"part": part, "output": out, "rows": writer.rows, "counts": add_counts(counts)}
