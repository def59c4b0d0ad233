"""Pages kept as Parquet between ingest and clean, for those who want to read the archive once and clean it often."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

from corpusmill.context import RunContext, run_parts
from corpusmill.ingest.page_sources import open_source
from corpusmill.ingest.warc_pages import Tally
from corpusmill.ledger import PartRegistry, StageLedger, count_values, part_name
from corpusmill.parquet_parts import PartWriter
from corpusmill.recipe import Recipe
from corpusmill.schemas import PAGES
from corpusmill.storage import Folder, digest

STAGE = "ingest"
DECIDING_SETTINGS = {"max_page_bytes", "columns"}
"""Settings that say what a page is; the others say how many are read at a time, and from where."""


@dataclass(frozen=True)
class IngestTask:
    run: Folder
    part: int
    input: str
    recipe: Recipe
    settings_digest: str
    inputs: Mapping[str, Any]
    alone: bool = True


def run_stage(context: RunContext) -> dict[str, Any]:
    """Write the pages of all inputs to `pages/`; totals. Does only what is missing."""
    sizes = context.input_sizes()
    settings = {"ingest": context.recipe.ingest.model_dump(mode="json", include=DECIDING_SETTINGS)}
    context.folder.require_space(sum(sizes.values()) * 2 + 10_000_000, STAGE)
    entries = PartRegistry(context.folder).register(list(sizes), sizes)
    ledger = StageLedger(context.folder, STAGE)
    inputs = {e["input"]: {"part": e["part"], "bytes": e["bytes"]} for e in entries}
    with context.watch.stage(STAGE) as progress:
        if ledger.open(settings, inputs, STAGE in context.start_over):
            progress.begin(len(entries), "parts", done=len(entries))
            return cast(dict[str, Any], ledger.require_manifest()["counts"])
        chosen = digest(settings)
        tasks = [
            IngestTask(
                context.folder,
                e["part"],
                e["input"],
                context.recipe,
                chosen,
                {"input": e["input"], "bytes": e["bytes"]},
                len(entries) == 1,
            )
            for e in entries
        ]
        records = run_parts(context, ledger, chosen, ingest_part, tasks, progress)
        return cast(dict[str, Any], ledger.commit(settings, inputs, records)["counts"])


def ingest_part(task: IngestTask) -> dict[str, Any]:
    """Write the responses of one input; its record."""
    tally, reasons = Tally(), list[str]()
    with ExitStack() as stack:
        source = stack.enter_context(open_source(task.input, task.recipe.ingest, tally, alone=task.alone))
        pages = stack.enter_context(task.run.writing(f"pages/{part_name(task.part)}.parquet"))
        with PartWriter(pages.path, PAGES) as rows:
            for batch in source.pages:
                reasons += [r for r in batch.column("drop_reason").to_pylist() if r is not None]
                rows.write(batch)
        read = source.finish()
    counts = {
        "records": tally.records,
        "not_response": dict(tally.not_response),
        "dropped": count_values(reasons),
        "pages": rows.rows - len(reasons),
    }
    assert tally.records == sum(tally.not_response.values()) + rows.rows, f"{task.input}: records lost"
    return StageLedger(task.run, STAGE).write_record(
        task.part, settings_digest=task.settings_digest, inputs=task.inputs, outputs=[pages], counts=counts, read=read
    )
