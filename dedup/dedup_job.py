"""The dedup stage: signatures by part, then statements: pairs that may be duplicates, verified; clusters; `removed`.

Text is read once, never rewritten: dedup says which rows go and why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from corpusmill.context import RunContext, run_parts
from corpusmill.dedup.components import cluster
from corpusmill.dedup.dedup_files import STAGE, WORK
from corpusmill.dedup.duplicate_pairs import find_pairs, run_corpus
from corpusmill.dedup.removal import count_clusters, removed_rows, write_removed
from corpusmill.dedup.signing import plan, sign_part
from corpusmill.ledger import StageLedger, part_name, verify_outputs
from corpusmill.parquet_parts import PartWriter
from corpusmill.progress import StageProgress
from corpusmill.schemas import CUTS
from corpusmill.storage import Folder, Output, digest


def run_stage(context: RunContext) -> dict[str, Any]:
    """Deduplicate the documents of the run; its totals. Signs only parts that are new."""
    run, settings = context.folder, context.recipe.dedup.model_dump(mode="json")
    cleaned = StageLedger(run, "clean").require_manifest()
    verify_outputs(run, cleaned)
    inputs = {name: out for name, out in cleaned["outputs"].items() if name.startswith("documents/")}
    ledger = StageLedger(run, STAGE)
    run.require_space(cleaned["counts"]["documents"] * 1000 + 10_000_000, STAGE)
    with context.watch.stage(STAGE) as progress:
        if ledger.open(settings, inputs, STAGE in context.start_over):
            progress.begin(len(cleaned["parts"]), "parts", done=len(cleaned["parts"]))
            return cast(dict[str, Any], ledger.require_manifest()["counts"])
        tasks = plan(run, context.recipe.dedup, cleaned)
        records = run_parts(context, ledger, digest(settings), sign_part, tasks, progress)
        outputs, counts = _remove(context, [r["part"] for r in records], progress)
        counts |= _survivors(records, counts, cleaned)
        manifest = ledger.commit(settings, inputs, records, outputs=outputs, counts=counts)
        run.remove(WORK)
    return cast(dict[str, Any], manifest["counts"])


def _remove(context: RunContext, parts: Sequence[int], progress: StageProgress) -> tuple[list[Output], dict[str, Any]]:
    """Write `removed` and `cuts`; the files and the counts."""
    engine, run, settings = context.engine, context.folder, context.recipe.dedup
    corpus = run_corpus(run, [part_name(p) for p in parts])
    progress.say(f"{STAGE}: looking for duplicates")
    found = find_pairs(engine, run, corpus, settings)
    labels = cluster(engine, run, found.pairs, settings.max_edges_in_memory)
    rows = removed_rows(engine, run, corpus, found.pairs, [labels])
    outputs, counts = write_removed(run, rows, parts)
    return [*outputs, *_no_cuts(run, parts)], counts | {"clusters": count_clusters(engine, rows)}


def _no_cuts(run: Folder, parts: Sequence[int]) -> list[Output]:
    outputs = []
    for part in parts:
        with run.writing(f"cuts/{part_name(part)}.parquet") as out, PartWriter(out.path, CUTS):
            pass
        outputs.append(out)
    return outputs


def _survivors(
    records: Sequence[Mapping[str, Any]], counts: Mapping[str, Any], cleaned: Mapping[str, Any]
) -> dict[str, int]:
    documents = sum(r["counts"]["documents"] for r in records)
    assert documents == cleaned["counts"]["documents"], f"{documents} documents signed"
    return {"documents": documents, "survivors": documents - sum(counts["removed"].values())}
