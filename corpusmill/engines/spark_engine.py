"""The Spark engine: the same tasks in Python workers, one per partition; the same SQL over the same files.

Data goes through fsspec on both sides (Spark from PyPI has no s3a), so it reads what the local engine reads.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from corpusmill import errors
from corpusmill.engines import Dataset, Task
from corpusmill.errors import CorpusmillError, require_extra

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

    def run_tasks(self, task: Task, arguments: Sequence[Any], on_done: Callable[[dict[str, Any]], None]) -> None:
        if not arguments:
            return
        # one task per partition: a lost executor costs parts, not the job
        results = self.spark.sparkContext.parallelize(list(arguments), len(arguments)).map(_Answer(task)).collect()
        failures = [value for ok, value in results if not ok]
        for ok, value in results:
            if ok:
                on_done(value)
        if failures:
            kind, message = failures[0]
            raise getattr(errors, kind, CorpusmillError)(message)

    def query(self, sql: str, datasets: Mapping[str, Dataset]) -> pa.Table:
        for name, dataset in datasets.items():
            self._frame(dataset).createOrReplaceTempView(name)
        return self.spark.sql(sql).toArrow()

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


def _submitted() -> set[str]:
    """Settings that spark-submit has made already."""
    from pyspark import SparkConf

    return {key for key, _ in SparkConf().getAll()}
