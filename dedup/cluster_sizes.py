"""`cluster_sizes/`: how many documents each survivor stands for, which is what rehydration weighs by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from corpusmill.columns import with_columns
from corpusmill.dedup.dedup_files import WORK, statement
from corpusmill.dedup.part_files import write_parts
from corpusmill.engines import Dataset, Engine
from corpusmill.engines.work_files import read_rows
from corpusmill.schemas import CLUSTER_SIZES
from corpusmill.storage import Folder, Output


def write_cluster_sizes(
    engine: Engine, run: Folder, labels: Dataset, stays: Dataset, parts: Sequence[int], first: int
) -> list[Output]:
    """One file for each part; survivors that stand for themselves alone have no row."""
    sql = statement("cluster_sizes", first=first)
    rows = engine.write(sql, {"labels": labels, "stays": stays}, run, f"{WORK}/cluster-sizes", CLUSTER_SIZES)
    return list(write_parts(run, "cluster_sizes", CLUSTER_SIZES, _of_run(rows, first), parts).values())


def _of_run(rows: Dataset, first: int) -> Iterator[pa.RecordBatch]:
    for batch in read_rows(rows):
        yield with_columns(batch, {"address": pa.array(batch.column("address").to_numpy() - first)})
