"""Two engines behind one interface with two verbs: run a task per part, and run a SQL statement over named datasets,
for its answer (`query`) or for files with its answer (`write`).

local   a process pool, and DuckDB. The default: no Java, seconds to start
spark   the same tasks in Spark's Python workers, the same SQL statements in Spark SQL
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from corpusmill.errors import InputError
from corpusmill.storage import Folder


@dataclass(frozen=True)
class Dataset:
    """Parquet files of one folder, all of one schema, under one name in SQL."""

    folder: Folder
    names: tuple[str, ...]
    schema: pa.Schema


Task = Callable[[Any], dict[str, Any]]
Apply = Callable[[pa.RecordBatch], pa.RecordBatch]
Datasets = Mapping[str, Dataset | Sequence[Dataset]]
"""A name may stand for several datasets of one schema: all their rows."""


class Engine(Protocol):
    name: str

    def run_tasks(
        self,
        task: Task,
        arguments: Sequence[Any],
        on_done: Callable[[dict[str, Any]], None],
        *,
        native: bool = False,
    ) -> None:
        """Call `task` once for each of `arguments`, in any order, anywhere; `on_done` gets each result, here.

        Both must be picklable. A task may be run more than once (a lost worker, speculation), so it writes its output
        whole or not at all, and the same bytes each time. `native` says that its time goes into kernels and Arrow,
        outside Python's lock: threads of one process will do, without a second for each worker to start.
        """
        ...

    def query(self, sql: str, datasets: Datasets) -> pa.Table:
        """The answer of one SQL statement in the dialect that both engines share."""
        ...

    def write(
        self,
        sql: str,
        datasets: Datasets,
        folder: Folder,
        prefix: str,
        schema: pa.Schema,
        apply: Apply | None = None,
    ) -> Dataset:
        """Write the answer as Parquet files `prefix/NNNNN.parquet`, in place of what was there; memory is bounded.

        `apply` (picklable) is given each batch of the answer and returns what is written. Which rows are written does
        not depend on the engine; their order and their files do, unless the statement ends in ORDER BY: then the files,
        in order of name, hold the rows in order. For what stands between two statements of a stage, not for results.
        """
        ...

    def close(self) -> None: ...


def make_engine(name: str = "local", workers: int = 0, folder: Folder | None = None) -> Engine:
    """The engine of that name. `workers` 0 means one per core; spark takes its number from spark-submit."""
    if name == "local":
        from corpusmill.engines.local_engine import LocalEngine

        shared = folder is None or "memory" not in folder.fs.protocol  # another process has another memory
        return LocalEngine((workers or len(os.sched_getaffinity(0))) if shared else 1)
    if name == "spark":
        from corpusmill.engines.spark_engine import SparkEngine

        return SparkEngine(workers)
    raise InputError(f"no engine named {name!r}; expected local or spark")
