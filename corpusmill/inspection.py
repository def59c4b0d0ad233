"""`corpusmill inspect`: what is in a file, shown short."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from corpusmill.errors import InputError
from corpusmill.inputs import open_input
from corpusmill.mill import RECIPE_NAME
from corpusmill.recipe import STAGES
from corpusmill.storage import Folder

_TEXT_CHARS = 400


def show(console: Console, path: str, rows: int) -> None:
    """Print what `path` is and its first `rows` rows. Raises InputError if it is nothing this program knows."""
    folder = Folder(path)
    if not folder.exists():
        raise InputError(f"{path}: there is no such file or folder")
    if folder.fs.isdir(folder.root):
        _show_run(console, folder)
    elif path.endswith(".parquet"):
        _show_parquet(console, path, rows)
    elif path.endswith(".arrow") and _is_shard(folder):
        _show_shard(console, folder, path, rows)
    else:
        _show_pages(console, path, rows)


def _show_run(console: Console, run: Folder) -> None:
    if not run.exists(RECIPE_NAME):
        raise InputError(f"{run.url} is not a run folder: it has no {RECIPE_NAME}")
    table = Table("stage", "state", "counts", title=f"run {run.url}", title_justify="left")
    for stage in STAGES:
        records = run.names(f"{stage}/records/*.json")
        if run.exists(f"{stage}/manifest.json"):
            counts = run.read_json(f"{stage}/manifest.json")["counts"]
            table.add_row(stage, "done", ", ".join(f"{k} {v:,}" for k, v in counts.items() if isinstance(v, int)))
        elif records:
            table.add_row(stage, "begun", f"{len(records)} parts done")
    console.print(table)
    for name in ("train/final.json", "evaluate/evaluation.json", "model/config.json", "report.html"):
        if run.exists(name):
            console.print(f"{run.url}/{name}", highlight=False)


def _show_parquet(console: Console, path: str, rows: int) -> None:
    with open_input(path) as f:
        parquet = pq.ParquetFile(f)
        console.print(
            f"{path}: {parquet.metadata.num_rows:,} rows, {parquet.num_row_groups} row groups", highlight=False
        )
        batch = next(parquet.iter_batches(rows), None)
    for row in batch.to_pylist() if batch is not None else []:
        _show_row(console, row)


def _is_shard(file: Folder) -> bool:
    """A shard is an Arrow file; Arrow streams are the data sets of Hugging Face, which hold texts."""
    with file.fs.open(file.root, "rb") as f:
        return bool(f.read(6) == b"ARROW1")


def _show_shard(console: Console, file: Folder, path: str, rows: int) -> None:
    with pa.memory_map(str(file.local_path()), "r") as source:
        batch = pa.ipc.open_file(source).get_batch(0)
        lengths = [len(batch.column(0)[i]) for i in range(min(rows, batch.num_rows))]
        total = len(batch.column(0).flatten())
        console.print(f"{path}: {batch.num_rows:,} documents, {total:,} tokens", highlight=False)
        decode = _decoder(path)
        for i, length in enumerate(lengths):
            ids = batch.column(0)[i].as_py()
            console.print(f"[dim]document {i}, {length:,} tokens[/dim]", highlight=False)
            console.print(decode(ids[:120]), markup=False, highlight=False)


def _decoder(path: str) -> Any:
    """The run's own tokenizer, if the shard lies in a run."""
    run = Folder(path.rpartition("/")[0] or ".").sub("..")
    if not run.exists("tokenizer/tokenizer.json"):
        return str
    from corpusmill.tokenize.bpe_tokenizer import load_from_run

    tokenizer = load_from_run(run)
    return lambda ids: tokenizer.decode(ids, skip_special_tokens=False)


def _show_pages(console: Console, path: str, rows: int) -> None:
    from corpusmill.ingest import Tally
    from corpusmill.ingest.page_sources import open_source
    from corpusmill.recipe import Ingest

    tally, fates = Tally(), Counter[str]()
    with open_source(path, Ingest(), tally) as source:
        for batch in source.pages:
            for row in batch.drop_columns(["body"]).to_pylist():
                if fates.total() < rows:
                    _show_row(console, row)
                fates[row["drop_reason"] or "pages"] += 1
    counted = ", ".join(
        f"{count:,} {fate}" for fate, count in [*fates.most_common(), *tally.not_response.most_common()]
    )
    console.print(f"{path}: {tally.records:,} records: {counted}", highlight=False)


def _show_row(console: Console, row: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    for key, value in row.items():
        if value is not None:
            text = f"{len(value):,} bytes" if isinstance(value, bytes) else str(value)
            table.add_row(key, text if len(text) <= _TEXT_CHARS else f"{text[:_TEXT_CHARS]} ...")
    console.print(table, markup=False)
    console.print()
