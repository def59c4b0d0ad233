"""The local engine: a pool of processes for tasks, DuckDB for SQL."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from corpusmill.engines import Dataset, Task
from corpusmill.errors import CorpusmillError

_PR_SET_PDEATHSIG = 1


class LocalEngine:
    name = "local"

    def __init__(self, workers: int) -> None:
        self.workers = max(1, workers)

    def run_tasks(self, task: Task, arguments: Sequence[Any], on_done: Callable[[dict[str, Any]], None]) -> None:
        if self.workers == 1 or len(arguments) == 1:
            for argument in arguments:
                on_done(task(argument))
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

    def query(self, sql: str, datasets: Mapping[str, Dataset]) -> pa.Table:
        import duckdb

        with tempfile.TemporaryDirectory(prefix="corpusmill-duckdb-") as scratch, duckdb.connect() as connection:
            connection.execute(f"SET threads = {self.workers}")
            connection.execute("SET temp_directory = ?", [scratch])  # larger than memory spills here
            connection.execute("SET enable_progress_bar = false")
            for name, dataset in datasets.items():
                _define(connection, name, dataset)
            return connection.sql(sql).to_arrow_table()

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


def _define(connection: Any, name: str, dataset: Dataset) -> None:
    if not dataset.names:
        connection.register(name, dataset.schema.empty_table())
        return
    folder = dataset.folder
    if folder.is_local:
        paths = [folder.at(n) for n in dataset.names]
    else:
        connection.register_filesystem(folder.fs)
        paths = [folder.fs.unstrip_protocol(folder.at(n)) for n in dataset.names]
    listed = ", ".join("'" + p.replace("'", "''") + "'" for p in paths)
    connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{listed}])")  # noqa: S608 (names are ours)


def _start_worker(parent: int) -> None:
    """Ctrl-C is the parent's to answer; and a worker must not outlive a parent that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
