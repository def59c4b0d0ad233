"""The clean stage: one task per WARC, from records to `documents` and `dropped`.

run_stage    all inputs, on an engine
clean_part   one input: the task itself
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from corpusmill.clean.components import make_rules, make_scorers
from corpusmill.clean.contamination_report import write_contamination_report
from corpusmill.clean.document_flow import DocumentFlow
from corpusmill.clean.languages import identity
from corpusmill.clean.scorers.scoring import identities
from corpusmill.clean.url_lists import lists_digest
from corpusmill.columns import byte_lengths, with_columns
from corpusmill.context import RunContext, run_parts
from corpusmill.ingest import Tally
from corpusmill.ingest.page_parts import DECIDING_SETTINGS
from corpusmill.ingest.page_sources import open_source
from corpusmill.ledger import PartRegistry, StageLedger, part_name
from corpusmill.parquet_parts import PartWriter
from corpusmill.recipe import Recipe
from corpusmill.schemas import DOCUMENTS, DROPPED
from corpusmill.storage import Folder, digest

STAGE = "clean"
_SAMPLE_ONE_IN = 16
_FIRST_OF_EACH = 5


@dataclass(frozen=True)
class CleanTask:
    run: Folder
    part: int
    input: str
    recipe: Recipe
    settings_digest: str
    inputs: Mapping[str, Any]
    alone: bool = True
    """The only input of the run: one that is no archive is then refused, and not counted as a damaged record."""

    def __str__(self) -> str:
        return f"part {self.part} ({self.input})"


def run_stage(context: RunContext) -> dict[str, Any]:
    """Clean all inputs of the run; its totals. Does only what is missing."""
    sizes = context.input_sizes()
    settings = clean_settings(context.recipe)
    context.folder.require_space(sum(sizes.values()) // 3 + 10_000_000, STAGE)
    entries = PartRegistry(context.folder).register(list(sizes), sizes)
    ledger = StageLedger(context.folder, STAGE)
    inputs = {e["input"]: {"part": e["part"], "bytes": e["bytes"]} for e in entries}
    with context.watch.stage(STAGE) as progress:
        if ledger.open(settings, inputs, STAGE in context.start_over):
            manifest = ledger.require_manifest()
            progress.begin(len(entries), "parts", done=len(entries))
            return cast(dict[str, Any], manifest["counts"])
        tasks = plan(context.folder, context.recipe, entries, settings)
        records = run_parts(context, ledger, digest(settings), clean_part, tasks, progress, _note)
        outputs = write_contamination_report(context.folder, context.recipe.clean, records)
        manifest = ledger.commit(settings, inputs, records, outputs=outputs)
    check_first_identity(manifest["counts"], context.folder.url)
    return cast(dict[str, Any], manifest["counts"])


def plan(
    run: Folder, recipe: Recipe, entries: Sequence[Mapping[str, Any]], settings: Mapping[str, Any] | None = None
) -> list[CleanTask]:
    """One task per registered input."""
    settings_digest = digest(settings or clean_settings(recipe))
    return [
        CleanTask(
            run,
            e["part"],
            e["input"],
            recipe,
            settings_digest,
            {"input": e["input"], "bytes": e["bytes"]},
            len(entries) == 1,
        )
        for e in entries
    ]


def clean_settings(recipe: Recipe) -> dict[str, Any]:
    """What decides this stage's output. Where a model or a list lies does not, what is in it does."""
    clean = recipe.clean.model_dump(mode="json")
    language = clean["language"]
    language["model"] = identity(recipe.clean.language.identifier, recipe.clean.language.model)
    clean["url"]["lists"] = lists_digest(recipe.clean.url.lists)
    clean["scorers"] = identities(recipe.clean.scorers, make_scorers(recipe.clean.scorers))
    clean["rules"] = identities(recipe.clean.rules, make_rules(recipe.clean.rules))
    return {"clean": clean, "ingest": recipe.ingest.model_dump(mode="json", include=DECIDING_SETTINGS)}


def clean_part(task: CleanTask) -> dict[str, Any]:
    """Clean one input; its record. Reads the file once; memory is a batch of pages and a row group of documents."""
    name = part_name(task.part)
    flow = DocumentFlow(task.recipe.clean)
    tally = Tally()
    counts, seen = PartCounts(), Counter[str]()
    with ExitStack() as stack:
        source = stack.enter_context(open_source(task.input, task.recipe.ingest, tally, alone=task.alone))
        documents = stack.enter_context(task.run.writing(f"documents/{name}.parquet"))
        dropped = stack.enter_context(task.run.writing(f"dropped/{name}.parquet"))
        with PartWriter(documents.path, DOCUMENTS) as kept_rows, PartWriter(dropped.path, DROPPED) as dropped_rows:
            for batch in flow(source.pages):
                kept, gone = split(batch)
                counts.add(kept, gone)
                kept_rows.write(kept)
                dropped_rows.write(with_columns(gone, {"text": kept_texts(gone, task.recipe.clean.dropped_text, seen)}))
        read = source.finish()
    summary = counts.summary(tally, flow)
    check_first_identity(summary, task.input)
    return StageLedger(task.run, STAGE).write_record(
        task.part,
        settings_digest=task.settings_digest,
        inputs=task.inputs,
        outputs=[documents, dropped],
        counts=summary,
        read=read,
    )


def split(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """(kept rows, dropped rows)."""
    kept = batch.column("drop_reason").is_null()
    return batch.filter(kept), batch.filter(pc.invert(kept))


def kept_texts(gone: pa.RecordBatch, policy: str, seen: Counter[str] | None = None) -> pa.Array:
    """Texts of dropped rows as the recipe says. The sample is drawn by id, so that it is the same in every run.

    `seen` counts the texts of each reason so far: the first few of each are in the sample, however rare it is.
    """
    texts = gone.column("text")
    if policy == "all":
        return texts
    chosen = np.zeros(gone.num_rows, bool)
    if policy == "sample":
        seen = Counter() if seen is None else seen
        rows = zip(gone.column("id").to_pylist(), gone.column("drop_reason").to_pylist(), strict=True)
        for i, (key, reason) in enumerate(rows):
            seen[reason] += texts[i].is_valid
            chosen[i] = seen[reason] <= _FIRST_OF_EACH or xxhash.xxh3_64_intdigest(key) % _SAMPLE_ONE_IN == 0
    return pc.if_else(pa.array(chosen), texts, pa.scalar(None, pa.large_string()))


def check_first_identity(counts: Mapping[str, Any], what: str) -> None:
    """records = not_response + dropped + documents, in records and in bytes of the archive."""
    for unit, whole in ((counts, counts["records"]), (counts["archive_bytes"], counts["archive_bytes"]["read"])):
        parts = sum(unit["not_response"].values()) + sum(unit["dropped"].values()) + unit["documents"]
        assert parts == whole, f"{what}: {whole} read, but {parts} accounted for"


@dataclass
class PartCounts:
    """Every record of a part, by fate."""

    documents: int = 0
    document_bytes: int = 0
    text_bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    dropped_bytes: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)

    def add(self, kept: pa.RecordBatch, gone: pa.RecordBatch) -> None:
        self.documents += kept.num_rows
        self.document_bytes += pc.sum(kept.column("warc_length")).as_py() or 0
        self.text_bytes += int(byte_lengths(kept.column("text")).sum())
        self.languages.update(kept.column("language").to_pylist())
        reasons = gone.column("drop_reason").to_pylist()
        self.dropped.update(reasons)
        for reason, length in zip(reasons, gone.column("warc_length").to_pylist(), strict=True):
            self.dropped_bytes[reason] += length

    def summary(self, tally: Tally, flow: DocumentFlow) -> dict[str, Any]:
        return {
            "records": tally.records,
            "not_response": dict(tally.not_response),
            "dropped": dict(self.dropped),
            "documents": self.documents,
            "archive_bytes": {
                "read": tally.bytes,
                "not_response": dict(tally.not_response_bytes),
                "dropped": dict(self.dropped_bytes),
                "documents": self.document_bytes,
            },
            "text_bytes": self.text_bytes,
            "languages": dict(self.languages),
            "edited": dict(flow.edited),
            "cut_by_crawler": dict(tally.cut_by_crawler),
            "extracted_again": dict(Counter(flow.extractor.retried)),
            "edits": dict(sorted(flow.edits.items())),
        }


def _note(record: Mapping[str, Any]) -> str:
    return f"{record['counts']['documents']:,} of {record['counts']['records']:,} records kept"
