"""Peak memory of a process and all below it, sampled from /proc while a block runs."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

_SAMPLE_SECONDS = 0.2


class TreeMemory:
    """A context manager; `peak_bytes` is the largest sum over the tree of proportional set sizes (PSS).

    PSS counts a page that n processes share as 1/n in each (smaps_rollup), so forked workers are not counted twice.
    Where the kernel does not tell it, resident sets are summed, which is an upper bound.
    """

    def __init__(self, process: int, every: float = _SAMPLE_SECONDS) -> None:
        self.process, self.every = process, every
        self.peak_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> TreeMemory:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, tree_bytes(self.process))
            if self._stop.wait(self.every):
                return


def tree_bytes(process: int) -> int:
    """Memory of the process and its descendants now, bytes; what has ended meanwhile counts nothing."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(process)
        for member in (root, *root.children(recursive=True)):
            total += _process_bytes(member)
    return total


def _process_bytes(member: psutil.Process) -> int:
    try:
        return proportional_bytes(Path(f"/proc/{member.pid}/smaps_rollup").read_text(encoding="ascii"))
    except (OSError, ValueError):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            return int(member.memory_info().rss)
        return 0


def proportional_bytes(rollup: str) -> int:
    """The Pss line of smaps_rollup, in bytes. Raises ValueError where there is none (a process that has ended)."""
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no Pss")
