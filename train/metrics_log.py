"""RUN/train/metrics.jsonl: one line for each step, and nothing in it that differs from run to run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from corpusmill.errors import DamagedError
from corpusmill.storage import Folder

METRICS = "metrics.jsonl"


class MetricsLog:
    """Appends lines; when a run goes on, the lines after the checkpoint that it goes on from are cut away first."""

    def __init__(self, train: Folder, last_step: int) -> None:
        """Keep the lines of steps 1 .. `last_step`. Raises DamagedError if they are not all there."""
        self._path: Path = train.local_path(METRICS)
        kept = _whole_lines(self._path)[:last_step]
        if len(kept) < last_step:
            raise DamagedError(
                f"{train.url}/{METRICS} has {len(kept):,} whole lines, the checkpoint was made at step {last_step:,}: "
                "the file was cut. Put it back, or remove the train folder to start again"
            )
        train.write_bytes(METRICS, b"".join(kept))
        self._file: IO[bytes] = self._path.open("ab")

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()

    def append(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, sort_keys=True).encode() + b"\n")
        self._file.flush()

    def sync(self) -> None:
        """Bring the lines to the disk: a checkpoint must never be newer than its lines."""
        self._file.flush()
        os.fsync(self._file.fileno())


def read_metrics(train: Folder) -> list[dict[str, Any]]:
    """The lines of a finished or running training, first step first."""
    return [json.loads(line) for line in _whole_lines(train.local_path(METRICS))]


def last_step(train: Folder) -> int:
    """The last step with a line; 0 if there is none."""
    return len(_whole_lines(train.local_path(METRICS)))


def _whole_lines(path: Path) -> list[bytes]:
    if not path.exists():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
