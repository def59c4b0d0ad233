"""The local engine: a pool of processes (or of threads, for tasks of native code), DuckDB for SQL."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain
from typing import Any

import pyarrow as pa

from corpusmill.engines import Apply, Dataset, Datasets, Task
from corpusmill.engines.work_files import applied, write_rows
from corpusmill.errors import CorpusmillError
from corpusmill.storage import Folder

SQL_MEGABYTES = 2_000
"""What DuckDB may hold; beyond it spills to the temporary folder (TMPDIR)."""
_BATCH_ROWS, _APPLY_ROWS = 65_536, 2_048
"""What is given to `apply` may hold whole texts, so it comes in the smallest batches that DuckDB makes."""
_FILE_ROWS = 4_000_000
_PR_SET_PDEATHSIG = 1


class LocalEngine:
    name = "local"

    def __init__(self, workers: int, sql_megabytes: int = SQL_MEGABYTES) -> None:
        self.workers = max(1, workers)
        self.sql_megabytes = sql_megabytes

    def run_tasks(
        self,
        task: Task,
        arguments: Sequence[Any],
        on_done: Callable[[dict[str, Any]], None],
        *,
        native: bool = False,
    ) -> None:
        if self.workers == 1 or len(arguments) == 1:
            for argument in arguments:
                on_done(task(argument))
            return
        if native:
            self._in_threads(task, arguments, on_done)
            return
        left = list(arguments)
        try:
            self._in_pool(task, left, min(self.workers, len(left)), on_done)
        except BrokenProcessPool:
            # Some worker died (out of memory, a crash in a native library): go on one process per task, to name it.
            for argument in list(left):
                try:
                    self._in_pool(task, [argument], 1, on_done)
                except BrokenProcessPool as e:
                    raise CorpusmillError(
                        f"the worker process died on {argument}: killed for lack of memory, or a crash in a native "
                        "library. Finished parts are kept; run again with fewer --workers, or leave this input out"
                    ) from e

    def _in_threads(self, task: Task, arguments: Sequence[Any], on_done: Callable[[dict[str, Any]], None]) -> None:
        with ThreadPoolExecutor(min(self.workers, len(arguments) or 1)) as pool:
            futures = [pool.submit(task, a) for a in arguments]
            try:
                for future in as_completed(futures):
                    on_done(future.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # what runs cannot be stopped, and is waited for
                raise

    def _in_pool(self, task: Task, left: list[Any], workers: int, on_done: Callable[[dict[str, Any]], None]) -> None:
        """Run all of `left`, taking out what is done."""
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            workers, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),)
        ) as pool:
            futures: dict[Future[dict[str, Any]], Any] = {}
            try:
                with _interrupts_held():
                    futures |= {pool.submit(task, a): a for a in left}
                pending = set(futures)
                while pending:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        on_done(future.result())
                        left.remove(futures[future])
            except BaseException:
                # Ctrl-C or an error: what runs is stopped at once; its half-written files have temporary names
                for process in (getattr(pool, "_processes", None) or {}).values():
                    process.kill()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def query(self, sql: str, datasets: Datasets) -> pa.Table:
        with self._over(datasets) as connection:
            return connection.sql(sql).to_arrow_table()

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
        names: list[str] = []
        with self._over(datasets) as connection:
            rows = connection.sql(sql).to_arrow_reader(_BATCH_ROWS if apply is None else _APPLY_ROWS)
            batches = applied(rows, schema, apply)
            for batch in batches:
                name = f"{prefix}/{len(names):05d}.parquet"
                if write_rows(folder, name, schema, chain([batch], _up_to(batches, _FILE_ROWS - batch.num_rows))):
                    names.append(name)
        return Dataset(folder, tuple(names), schema)

    @contextmanager
    def _over(self, datasets: Datasets) -> Iterator[Any]:
        """A connection in which the datasets have their names."""
        import duckdb

        with tempfile.TemporaryDirectory(prefix="corpusmill-duckdb-") as scratch, duckdb.connect() as connection:
            connection.execute(f"SET threads = {self.workers}")
            connection.execute(f"SET memory_limit = '{self.sql_megabytes}MB'")
            connection.execute("SET temp_directory = ?", [scratch])  # what is larger than memory spills here
            connection.execute("SET enable_progress_bar = false")
            connection.execute("SET arrow_large_buffer_size = true")  # a batch may have more than 2 GB of text
            for name, dataset in datasets.items():
                _define(connection, name, dataset)
            yield connection

    def close(self) -> None:
        """Nothing is held between calls."""


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the workers stand: one that is interrupted while it is being started dies with a traceback.

    The mask is for the workers, which inherit it. Here another thread would take the signal, so handlers change too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    caught: list[int] = []
    handlers = {s: signal.signal(s, lambda number, frame: caught.append(number)) for s in signals}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if caught:
        raise KeyboardInterrupt


def _define(connection: Any, name: str, dataset: Dataset | Sequence[Dataset]) -> None:
    parts = [dataset] if isinstance(dataset, Dataset) else list(dataset)
    selects = [_select(connection, d) for d in parts if d.names]
    if not selects:
        connection.register(name, parts[0].schema.empty_table())
        return
    connection.execute(f"CREATE VIEW {name} AS {' UNION ALL '.join(selects)}")


def _select(connection: Any, dataset: Dataset) -> str:
    folder = dataset.folder
    if folder.is_local:
        paths = [folder.at(n) for n in dataset.names]
    else:
        protocol = folder.fs.protocol
        names = {protocol} if isinstance(protocol, str) else set(protocol)
        if names.isdisjoint(connection.list_filesystems()):
            connection.register_filesystem(folder.fs)
        paths = [folder.fs.unstrip_protocol(folder.at(n)) for n in dataset.names]
    listed = ", ".join("'" + p.replace("'", "''") + "'" for p in paths)
    columns = ", ".join(f'"{name}"' for name in dataset.schema.names)
    return f"SELECT {columns} FROM read_parquet([{listed}])"  # noqa: S608 (names are ours)


def _up_to(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The next batches, until they have so many rows."""
    while rows > 0:
        batch = next(batches, None)
        if batch is None:
            return
        rows -= batch.num_rows
        yield batch


def _start_worker(parent: int) -> None:
    """Ctrl-C is the parent's to answer; and a worker must not outlive a parent that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
