"""What a stage is given, and the one way in which stages spread work over parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from corpusmill.engines import Engine
from corpusmill.inputs import expand
from corpusmill.ledger import StageLedger
from corpusmill.progress import StageProgress, Watch
from corpusmill.recipe import Recipe
from corpusmill.storage import Folder


@dataclass(frozen=True)
class RunContext:
    """One command's work on one run folder, which it owns."""

    folder: Folder
    recipe: Recipe
    engine: Engine
    watch: Watch = field(default_factory=lambda: Watch(quiet=True))
    inputs: tuple[str, ...] = ()
    start_over: frozenset[str] = frozenset()
    """Stages whose output is made again even if the recipe differs from the one they were made with."""
    sizes: Mapping[str, int] | None = None
    """Inputs as they were found when the command began, with their sizes: a crawl's list is not asked for twice."""

    def input_sizes(self) -> Mapping[str, int]:
        return expand(self.inputs, self.recipe.ingest) if self.sizes is None else self.sizes


class PartTask(Protocol):
    """The argument of a task: which part, made from what."""

    @property
    def part(self) -> int: ...
    @property
    def inputs(self) -> Mapping[str, Any]: ...


def run_parts(
    context: RunContext,
    ledger: StageLedger,
    settings_digest: str,
    function: Callable[[Any], dict[str, Any]],
    tasks: Sequence[PartTask],
    progress: StageProgress,
    note: Callable[[dict[str, Any]], str] = lambda record: "",
    *,
    native: bool = False,
) -> list[dict[str, Any]]:
    """Records of all `tasks`, running only those that have no valid record yet. In part order.

    `native` is the engine's.
    """
    records = {t.part: ledger.done(t.part, settings_digest, t.inputs) for t in tasks}
    missing = [t for t in tasks if records[t.part] is None]
    progress.begin(len(tasks), "parts", done=len(tasks) - len(missing))
    if len(missing) < len(tasks):
        progress.say(f"{ledger.stage}: {len(tasks) - len(missing)} of {len(tasks)} parts are done already")

    def on_done(record: dict[str, Any]) -> None:
        records[record["part"]] = record
        progress.advance(1, note(record))

    context.engine.run_tasks(function, missing, on_done, native=native)
    return [record for _, record in sorted(records.items()) if record is not None]
