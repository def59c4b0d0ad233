"""Spans of surviving documents that are left out when tokens are made: frequent lines and repeated runs of words.

Both look at the text as it was written, so neither depends on the other. Text is never rewritten: `cuts` says which
bytes go, and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.columns import byte_lengths
from corpusmill.context import RunContext
from corpusmill.dedup.frequent_lines import FrequentFiles, LineCutter, find_frequent_lines
from corpusmill.dedup.repeated_keys import WORK, Files, run_all
from corpusmill.dedup.repeated_spans import SpanCutter, find_repeated_spans
from corpusmill.dedup.span_rows import Spans, covered_bytes, joined
from corpusmill.ledger import add_counts, part_name
from corpusmill.parquet_parts import PartWriter
from corpusmill.recipe import Dedup
from corpusmill.schemas import CUTS
from corpusmill.storage import Folder, Output
from corpusmill.surviving_rows import surviving_rows


@dataclass(frozen=True)
class CutTask:
    run: Folder
    part: int
    settings: Dedup
    frequent: FrequentFiles
    repeated: Files


def write_cuts(context: RunContext, parts: Sequence[int], settings: Dedup) -> tuple[list[Output], dict[str, Any]]:
    """Write `cuts/part-NNNNN.parquet` for every part, rows sorted by address and start; the files, and what was cut.

    Needs `removed/` of the same parts. The counts: `cut_documents`, of which `emptied_documents` have no byte left
    (those are tokenised as empty ones), `cut_spans` and `cut_bytes` by why, and `cut_bytes_in_all`, where bytes in
    several spans count once.
    """
    context.folder.remove(WORK)
    frequent = find_frequent_lines(context, parts, settings.lines) if settings.lines else {}
    repeated = find_repeated_spans(context, parts, settings.spans) if settings.spans else {}
    tasks = [CutTask(context.folder, p, settings, frequent.get(p, FrequentFiles()), repeated.get(p, ())) for p in parts]
    answers = run_all(context, cut_part, tasks)
    context.folder.remove(WORK)
    return [a["output"] for a in answers], add_counts([_nothing(settings), *(a["counts"] for a in answers)])


def cut_part(task: CutTask) -> dict[str, Any]:
    """Write the spans of one part. Memory is one row group, and 24 bytes for each frequent line or repeated window."""
    run, cutters = task.run, _cutters(task)
    counts = [_nothing(task.settings)]
    with (
        run.writing(f"cuts/{part_name(task.part)}.parquet") as out,
        PartWriter(out.path, CUTS) as writer,
    ):
        for batch in surviving_rows(run, task.part, ("host", "text")) if cutters else ():
            found = {why: cutter.spans(batch) for why, cutter in cutters.items()}
            writer.write(_rows(found))
            counts.append(_counts(found, batch))
    return {"part": task.part, "output": out, "counts": add_counts(counts)}


def _cutters(task: CutTask) -> dict[str, LineCutter | SpanCutter]:
    settings = task.settings
    cutters: dict[str, LineCutter | SpanCutter] = {}
    if settings.lines:
        cutters[f"frequent_{settings.lines.unit}"] = LineCutter(task.run, task.part, settings.lines, task.frequent)
    if settings.spans:
        cutters["repeated_span"] = SpanCutter(task.run, task.part, settings.spans, task.repeated)
    return cutters


def _rows(found: dict[str, Spans]) -> pa.RecordBatch:
    spans = joined(list(found.values()))
    why = pa.array([w for w, s in found.items() for _ in range(len(s.address))], pa.string())
    order = np.lexsort((spans.end, spans.start, spans.address))
    arrays = [pa.array(c[order], pa.int64()) for c in spans]
    return pa.RecordBatch.from_arrays([*arrays, why.take(pa.array(order))], names=CUTS.names)


def _counts(found: dict[str, Spans], batch: pa.RecordBatch) -> dict[str, Any]:
    address, covered = covered_bytes(joined(list(found.values())))
    rows = np.searchsorted(batch.column("address").to_numpy(), address)
    return {
        "cut_documents": len(address),
        "emptied_documents": int((covered == byte_lengths(batch.column("text"))[rows]).sum()),
        "cut_spans": {why: len(s.address) for why, s in found.items()},
        "cut_bytes": {why: int((s.end - s.start).sum()) for why, s in found.items()},
        "cut_bytes_in_all": int(covered.sum()),
    }


def _nothing(settings: Dedup) -> dict[str, Any]:
    whys = ([f"frequent_{settings.lines.unit}"] if settings.lines else []) + (
        ["repeated_span"] if settings.spans else []
    )
    zeros = dict.fromkeys(whys, 0)
    return {
        "cut_documents": 0,
        "emptied_documents": 0,
        "cut_spans": zeros,
        "cut_bytes": zeros,
        "cut_bytes_in_all": 0,
    }
