"""What a person sees while the mill works: one live table on a terminal, plain lines in a log file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_LOG_EVERY_SECONDS = 10.0


@dataclass
class StageProgress:
    """Progress of one stage: `begin` says how much there is, `advance` that some of it is done."""

    stage: str
    watch: Watch
    total: int = 0
    done: int = 0
    unit: str = ""
    _task: TaskID | None = None
    _logged: float = field(default_factory=time.monotonic)

    def begin(self, total: int, unit: str, done: int = 0) -> None:
        self.total, self.unit, self.done = total, unit, done
        self._task = self.watch.add(self.stage, total, unit, done)

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        if self._task is not None:
            self.watch.update(self._task, self.done, note)
        elif not self.watch.quiet and time.monotonic() - self._logged > _LOG_EVERY_SECONDS:
            self._logged = time.monotonic()
            self.watch.say(f"{self.stage}: {self.done:,} of {self.total:,} {self.unit}  {note}")

    def say(self, line: str) -> None:
        self.watch.say(line)


class Watch:
    """Owns the screen for one command. No control codes go anywhere but to a terminal."""

    def __init__(self, console: Console | None = None, quiet: bool = False) -> None:
        self.console = console or Console(stderr=True)
        self.quiet = quiet
        self._live: Progress | None = None

    def __enter__(self) -> Watch:
        if self.console.is_terminal and not self.quiet:
            self._live = Progress(
                TextColumn("[bold]{task.description:<9}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("[dim]{task.fields[note]}"),
                console=self.console,
            )
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    @contextmanager
    def stage(self, name: str) -> Iterator[StageProgress]:
        yield StageProgress(name, self)

    def say(self, line: str) -> None:
        if not self.quiet:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def add(self, stage: str, total: int, unit: str, done: int) -> TaskID | None:
        if self._live is None:
            return None
        return self._live.add_task(stage, total=total, completed=done, unit=unit, note="")

    def update(self, task: TaskID, done: int, note: str) -> None:
        if self._live is not None:
            self._live.update(task, completed=done, note=note)
