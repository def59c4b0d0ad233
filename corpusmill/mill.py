"""The mill: a recipe's stages, in order, over one run folder that this process owns."""

from __future__ import annotations

import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from corpusmill.context import RunContext
from corpusmill.engines import make_engine
from corpusmill.errors import InputError
from corpusmill.ledger import versions
from corpusmill.ownership import Owner
from corpusmill.progress import Watch
from corpusmill.recipe import STAGES, Recipe, nearest, parse_recipe
from corpusmill.schemas import FORMAT_VERSION
from corpusmill.storage import Folder

RECIPE_NAME = "recipe.json"
RUN_NAME = "run.json"
FORGETTING = "forgetting.json"
"""In a run while documents are being taken out of it."""


@dataclass
class Mill:
    """One command's hold on one run folder: `with open_mill(...) as mill: mill.run("clean")`."""

    context: RunContext
    owner: Owner
    totals: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, stage: str) -> dict[str, Any]:
        """Run one stage, or find it done; its totals."""
        self.owner.check()
        self.context.folder.remove_temporary()
        started = time.monotonic()
        try:
            self.totals[stage] = _stage(stage)(self.context)
        finally:
            self.seconds[stage] = round(time.monotonic() - started, 3)
            self._note_times()
        return self.totals[stage]

    def _note_times(self) -> None:
        """run.json: what may differ from run to run, and nothing else may."""
        folder = self.context.folder
        stored = folder.read_json(RUN_NAME) if folder.exists(RUN_NAME) else {}
        seconds = stored.get("seconds", {}) | self.seconds
        facts = {
            "format": FORMAT_VERSION,
            "host": socket.gethostname(),
            "platform": platform.platform(),
            "python": sys.version.split()[0],
            "cores": os.cpu_count(),
            "engine": self.context.engine.name,
            "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "versions": versions(),
        }
        folder.write_json(RUN_NAME, stored | facts | {"seconds": seconds})


@contextmanager
def open_mill(
    output: str,
    recipe: Recipe,
    *,
    inputs: Sequence[str] = (),
    engine: str = "local",
    workers: int = 0,
    start_over: Sequence[str] = (),
    watch: Watch | None = None,
) -> Iterator[Mill]:
    """Own the run folder `output` while the block runs. Raises OwnedError if another process does."""
    sizes = _check_before_anything(recipe, inputs)
    unknown = [s for s in start_over if s not in (*STAGES, "ingest")]
    if unknown:
        raise InputError(f"--start-over {unknown[0]}: no such stage{nearest(unknown[0], STAGES)}")
    folder = Folder(output)
    _refuse_foreign(folder)
    watch = watch or Watch(quiet=True)
    with Owner(folder, command=" ".join(sys.argv[:2])) as owner, watch:
        if owner.taken_over is not None:
            watch.say(f"{output}: taking over from process {owner.taken_over['pid']}, which is gone")
        if folder.exists(FORGETTING):
            raise InputError(
                f"{output}: forgetting documents was interrupted. Run `corpusmill forget {output}` first: it ends what "
                "was begun"
            )
        folder.remove_temporary()
        keep_recipe(folder, recipe)
        if inputs:
            stored = folder.read_json(RUN_NAME) if folder.exists(RUN_NAME) else {}
            # inputs keep the names they were given; relative ones are found again from here
            folder.write_json(RUN_NAME, stored | {"working_folder": os.getcwd()})  # noqa: PTH109 (a str for JSON)
        running = make_engine(engine, workers, folder)
        try:
            context = RunContext(folder, recipe, running, watch, tuple(inputs), frozenset(start_over), sizes)
            yield Mill(context, owner)
        finally:
            running.close()


def keep_recipe(run: Folder, recipe: Recipe) -> None:
    """Write the recipe into the run folder, which makes it one."""
    run.write_json(RECIPE_NAME, {"format": FORMAT_VERSION, "recipe": recipe.model_dump(mode="json")})


def stored_recipe(run: Folder) -> Recipe:
    """The recipe that a run was last worked on with."""
    if not run.exists(RECIPE_NAME):
        raise InputError(f"{run.url} is not a run folder: it has no {RECIPE_NAME}. Make one with `corpusmill run`")
    return parse_recipe(run.read_json(RECIPE_NAME)["recipe"], f"{run.url}/{RECIPE_NAME}")


def _check_before_anything(recipe: Recipe, inputs: Sequence[str]) -> dict[str, int] | None:
    """Mistakes in the recipe and missing inputs are said before a folder is made. The inputs, with their sizes."""
    if not inputs:
        return None
    from corpusmill.clean.document_flow import DocumentFlow
    from corpusmill.inputs import expand

    sizes = expand(inputs, recipe.ingest)
    if "clean" in recipe.stages:
        DocumentFlow(recipe.clean)
    return sizes


def _refuse_foreign(folder: Folder) -> None:
    """A folder with other things in it is not ours to fill or to clean up."""
    if folder.exists() and not folder.exists(RECIPE_NAME):
        there = [n for n in folder.names("*") if n != "owner.json"]
        if there:
            raise InputError(
                f"{folder.url} is not empty and is no run folder ({there[0]} is in it): choose another --output"
            )


def _stage(name: str) -> Callable[[RunContext], dict[str, Any]]:
    """The function that runs a stage. Imported when it is used, so that a run of `clean` loads no torch."""
    if name == "ingest":
        from corpusmill.ingest.page_parts import run_stage as ingest

        return ingest
    if name == "clean":
        from corpusmill.clean.clean_job import run_stage as clean

        return clean
    if name == "dedup":
        from corpusmill.dedup.dedup_job import run_stage as dedup

        return dedup
    if name == "tokenize":
        from corpusmill.tokenize.tokenize_job import run_stage as tokenize

        return tokenize
    return {"train": _train, "evaluate": _evaluate, "export": _export}[name]


def _train(context: RunContext) -> dict[str, Any]:
    from corpusmill.train.train_job import run_stage

    if "train" in context.start_over:
        for name in ("train", "evaluate", "model"):
            context.folder.remove(name)
    recipe_file = context.folder.local_path(RECIPE_NAME)
    with context.watch.stage("train") as progress:
        return run_stage(context.folder, context.recipe, str(recipe_file), (), progress)


def _evaluate(context: RunContext) -> dict[str, Any]:
    from corpusmill.evaluate.bits_per_byte import run_stage

    with context.watch.stage("evaluate") as progress:
        return run_stage(context.folder, context.recipe, progress)


def _export(context: RunContext) -> dict[str, Any]:
    from corpusmill.serve.export_hf import run_stage

    with context.watch.stage("export") as progress:
        return run_stage(context.folder, context.recipe, progress)
