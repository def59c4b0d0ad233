"""The Spark engine: the same tasks in Python workers, one per partition; the same SQL over the same files.

Data goes through fsspec on both sides (Spark from PyPI has no s3a), so it reads what the local engine reads.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa

from corpusmill import errors
from corpusmill.engines import Apply, Dataset, Datasets, Task
from corpusmill.engines.work_files import applied, write_rows
from corpusmill.errors import CorpusmillError, require_extra
from corpusmill.storage import Folder

_FILES_PER_PARTITION = 4


class SparkEngine:
    """Uses the session that spark-submit started, or starts a local one with `workers` threads (0: one per core)."""

    name = "spark"

    def __init__(self, workers: int = 0) -> None:
        require_extra("the spark engine", "spark", "pyspark")
        from pyspark.sql import SparkSession

        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else workers take a python3 without our packages
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        self._owns_session = SparkSession.getActiveSession() is None
        builder = SparkSession.builder.appName("corpusmill").config("spark.ui.showConsoleProgress", "false")
        if "spark.master" not in _submitted():
            builder = builder.master(f"local[{workers or '*'}]")
        self.spark = builder.getOrCreate()

    def run_tasks(
        self,
        task: Task,
        arguments: Sequence[Any],
        on_done: Callable[[dict[str, Any]], None],
        *,
        native: bool = False,
    ) -> None:
        if not arguments:
            return
        self.spark.sparkContext.setJobDescription(getattr(task, "__name__", "tasks"))
        # one task per partition: a lost executor costs parts, not the job
        results = self.spark.sparkContext.parallelize(list(arguments), len(arguments)).map(_Answer(task)).collect()
        failures = [value for ok, value in results if not ok]
        for ok, value in results:
            if ok:
                on_done(value)
        if failures:
            kind, message = failures[0]
            raise getattr(errors, kind, CorpusmillError)(message)

    def query(self, sql: str, datasets: Datasets) -> pa.Table:
        self.spark.sparkContext.setJobDescription("query")
        return self._answer(sql, datasets).toArrow()

    def write(
        self,
        sql: str,
        datasets: Datasets,
        folder: Folder,
        prefix: str,
        schema: pa.Schema,
        apply: Apply | None = None,
    ) -> Dataset:
        folder.remove(prefix)
        self.spark.sparkContext.setJobDescription(prefix)  # what Spark's own pages call it
        writer = _Writer(folder, prefix, schema, apply)
        written = self._answer(sql, datasets).mapInArrow(writer, "name string").collect()
        return Dataset(folder, tuple(sorted(row.name for row in written)), schema)

    def _answer(self, sql: str, datasets: Datasets) -> Any:
        for name, dataset in datasets.items():
            frames = [self._frame(d) for d in ([dataset] if isinstance(dataset, Dataset) else dataset)]
            reduce(lambda one, other: one.unionAll(other), frames).createOrReplaceTempView(name)
        return self.spark.sql(sql)

    def close(self) -> None:
        if self._owns_session:
            self.spark.stop()

    def _frame(self, dataset: Dataset) -> Any:
        from pyspark.sql.pandas.types import from_arrow_schema

        schema = from_arrow_schema(dataset.schema)
        names = [(n,) for n in dataset.names]
        slices = max(1, len(names) // _FILES_PER_PARTITION)
        listing = self.spark.createDataFrame(names, "name string").repartition(slices)
        return listing.mapInArrow(_Reader(dataset), schema)


class _Answer:
    """Runs a task; a sentence for the user travels back as a value, so that Spark does not try it three more times."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self, argument: Any) -> tuple[bool, Any]:
        try:
            return True, self.task(argument)
        except CorpusmillError as e:
            return False, (type(e).__name__, str(e))


class _Reader:
    """Reads the Parquet files named in the incoming batches, through fsspec, in an executor."""

    def __init__(self, dataset: Dataset) -> None:
        self.folder, self.schema = dataset.folder, dataset.schema

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow.parquet as pq

        for batch in batches:
            for name in batch.column(0).to_pylist():
                with self.folder.open(name) as f:
                    for found in pq.ParquetFile(f).iter_batches(columns=self.schema.names):
                        yield found.cast(self.schema.remove_metadata())


class _Writer:
    """Writes a partition of an answer as one file. A second attempt at it writes the same rows under the same name."""

    def __init__(self, folder: Folder, prefix: str, schema: pa.Schema, apply: Apply | None) -> None:
        self.folder, self.prefix, self.schema, self.apply = folder, prefix, schema, apply

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        context = TaskContext.get()
        name = f"{self.prefix}/{context.partitionId() if context else 0:05d}.parquet"
        if write_rows(self.folder, name, self.schema, applied(batches, self.schema, self.apply)):
            yield pa.RecordBatch.from_arrays([pa.array([name])], names=["name"])


def _submitted() -> set[str]:
    """Settings that spark-submit has made already."""
    from pyspark import SparkConf

    return {key for key, _ in SparkConf().getAll()}
