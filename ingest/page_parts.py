"""Pages kept as Parquet between ingest and clean, for those who want to read the archive once and clean it often."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.context import RunContext, run_parts
from corpusmill.errors import InputError
from corpusmill.ingest.warc_pages import Tally, read_pages
from corpusmill.inputs import Digesting, expand, open_input
from corpusmill.ledger import PartRegistry, StageLedger, count_values, part_name
from corpusmill.parquet_parts import PartWriter
from corpusmill.recipe import Recipe
from corpusmill.schemas import PAGES
from corpusmill.storage import Folder, digest

STAGE = "ingest"
_ROWS_PER_BATCH = 256


def is_pages_part(name: str) -> bool:
    return name.endswith(".parquet")


def read_pages_part(name: str, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The pages that `corpusmill ingest` wrote to one Parquet part, counted as records."""
    import pyarrow.parquet as pq

    with open_input(name) as f:
        try:
            parquet = pq.ParquetFile(f)
        except pa.ArrowInvalid as e:
            raise InputError(f"{name} is not a Parquet file: {e}") from e
        missing = [n for n in PAGES.names if n not in parquet.schema_arrow.names]
        if missing:
            raise InputError(f"{name} has no column {missing[0]!r}: expected pages as `corpusmill ingest` writes them")
        for batch in parquet.iter_batches(_ROWS_PER_BATCH, columns=PAGES.names):
            tally.records += batch.num_rows
            tally.bytes += pc.sum(batch.column("warc_length")).as_py() or 0
            yield batch.cast(PAGES)


@dataclass(frozen=True)
class IngestTask:
    run: Folder
    part: int
    input: str
    recipe: Recipe
    settings_digest: str
    inputs: Mapping[str, Any]


def run_stage(context: RunContext) -> dict[str, Any]:
    """Write the pages of all inputs to `pages/`; totals. Does only what is missing."""
    sizes = expand(context.inputs)
    settings = {"ingest": {"max_page_bytes": context.recipe.ingest.max_page_bytes}}
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
            )
            for e in entries
        ]
        records = run_parts(context, ledger, chosen, ingest_part, tasks, progress)
        return cast(dict[str, Any], ledger.commit(settings, inputs, records)["counts"])


def ingest_part(task: IngestTask) -> dict[str, Any]:
    """Write the responses of one input; its record."""
    tally, reasons = Tally(), list[str]()
    with ExitStack() as stack:
        stream = Digesting(stack.enter_context(open_input(task.input)))
        pages = stack.enter_context(task.run.writing(f"pages/{part_name(task.part)}.parquet"))
        with PartWriter(pages.path, PAGES) as rows:
            limit = task.recipe.ingest.max_page_bytes
            for batch in read_pages(cast(IO[bytes], stream), task.input, tally, max_page_bytes=limit):
                reasons += [r for r in batch.column("drop_reason").to_pylist() if r is not None]
                rows.write(batch)
        read = stream.finish()
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
