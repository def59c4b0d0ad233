"""Clocks around the stages of a pipeline: each second belongs to the stage that spent it. Standard library alone, since
ours and the peers' processes both use it."""

import gc
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any


class StageClocks:
    """`seconds` of each stage without those of the stages that it called or pulled from; `items` that came out of it.

    Stages nest as generators do: while the writer waits for the next document, the reader's clock runs, not its own.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.items: Counter[str] = Counter()
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    def each(self, name: str, items: Iterable[Any]) -> Iterator[Any]:
        """The same items; what it takes to make them is the stage's."""
        source = iter(items)
        while True:
            with self.stage(name):
                item = next(source, self)
            if item is self:
                return
            self.items[name] += 1
            yield item

    def call(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function; its time is the stage's."""

        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self.stage(name):
                return function(*arguments, **named)

        return timed

    def _switch(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


def measured(work: Callable[[], Any]) -> dict[str, float]:
    """Runs `work`: seconds of the wall clock and of the processor, children that ended by then included, and the peak
    memory so far of this process and of its largest child, MB."""
    gc.collect()
    children, cpu, wall = _children_cpu(), time.process_time(), time.perf_counter()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    gc.collect()  # a child that extracts ends with its owner, and is counted once it has ended
    cpu += _children_cpu() - children
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {"seconds": wall, "cpu": cpu, "rss_mb": peak_mb(), "child_rss_mb": child * 1024 / 1e6}


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak_mb() -> float:
    """ru_maxrss of a started process begins at its parent's; what Linux keeps by the program does not."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii", errors="replace").splitlines() if status.exists() else []
    found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return (found[0] if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024 / 1e6
