"""Each stage as a datatrove PipelineStep, so that Slurm and Ray users run the mill under datatrove's executors.

    LocalPipelineExecutor([CleanStep("runs/english", "english", ["crawl/*.warc.gz"]), JsonlWriter("out")],
    tasks=8).run() LocalPipelineExecutor([StageStep("runs/english", "dedup")], tasks=1).run()
    LocalPipelineExecutor([StageStep("runs/english", "tokenize")], tasks=1).run()

CleanStep shares the inputs out over the ranks, and its documents flow on to any datatrove block. Records and parts are
those of `corpusmill clean`, which finds them done and only seals the stage; so does a StageStep, first thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from corpusmill.errors import InputError, require_extra

require_extra("corpusmill.datatrove_steps", "datatrove", "datatrove")

from datatrove.data import Document  # noqa: E402
from datatrove.pipeline.base import PipelineStep  # noqa: E402

_METADATA = (
    "url",
    "host",
    "warc_file",
    "warc_offset",
    "warc_length",
    "offset_kind",
    "language",
    "language_score",
    "title",
)


class CleanStep(PipelineStep):
    """Cleans `inputs[rank::world_size]` into the run folder, and yields the kept documents."""

    name = "corpusmill clean"
    type = "corpusmill"

    def __init__(self, run: str, recipe: str, inputs: Sequence[str], overrides: Sequence[str] = ()) -> None:
        super().__init__()
        self.run_folder, self.recipe, self.inputs, self.overrides = run, recipe, list(inputs), list(overrides)

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        from corpusmill.clean.clean_job import clean_part, plan
        from corpusmill.inputs import expand
        from corpusmill.ledger import PartRegistry, StageLedger
        from corpusmill.mill import keep_recipe
        from corpusmill.recipe import load_recipe
        from corpusmill.storage import Folder

        if data:
            yield from data
        folder, recipe = Folder(self.run_folder), load_recipe(self.recipe, self.overrides)
        sizes = expand(self.inputs, recipe.ingest)
        keep_recipe(folder, recipe)
        # every rank comes to the same numbers by itself, so no rank waits for another
        entries = PartRegistry(folder).numbered(list(sizes), sizes)
        ledger = StageLedger(folder, "clean")
        for task in plan(folder, recipe, entries)[rank::world_size]:
            with self.track_time("part"):
                record = ledger.done(task.part, task.settings_digest, task.inputs) or clean_part(task)
            for reason, count in record["counts"]["dropped"].items():
                self.stat_update(f"dropped_{reason}", value=count)
            yield from self._documents(folder, task.part)

    def _documents(self, folder: Any, part: int) -> Iterator[Document]:
        from corpusmill.ledger import part_name
        from corpusmill.parquet_parts import read_part
        from corpusmill.schemas import DOCUMENTS

        name = f"documents/{part_name(part)}.parquet"
        for batch in read_part(folder, name, DOCUMENTS, ("id", "text", *_METADATA)):
            for row in batch.to_pylist():
                document = Document(text=row.pop("text"), id=row.pop("id"), metadata=row)
                self.update_doc_stats(document)
                self.stat_update("forwarded")
                yield document


class StageStep(PipelineStep):
    """Runs one later stage (dedup, tokenize, train, evaluate, export) on the run folder. Needs tasks=1."""

    name = "corpusmill stage"
    type = "corpusmill"

    def __init__(
        self, run: str, stage: str, recipe: str | None = None, inputs: Sequence[str] = (), workers: int = 0
    ) -> None:
        super().__init__()
        self.run_folder, self.stage, self.recipe, self.inputs, self.workers = run, stage, recipe, list(inputs), workers

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        from corpusmill.mill import open_mill, stored_recipe
        from corpusmill.recipe import load_recipe
        from corpusmill.storage import Folder

        if world_size != 1:
            raise InputError(f"{self.stage} is one task that uses all cores itself: run its executor with tasks=1")
        if data:
            yield from data
        recipe = stored_recipe(Folder(self.run_folder)) if self.recipe is None else load_recipe(self.recipe)
        with (
            self.track_time("stage"),
            open_mill(self.run_folder, recipe, inputs=self.inputs, workers=self.workers) as mill,
        ):
            if self.inputs and self.stage != "clean":
                mill.run("clean")  # seals what CleanStep has done
            mill.run(self.stage)
