"""`corpusmill inspect`: what is in a file, shown short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from corpusmill.errors import InputError
from corpusmill.inputs import open_input
from corpusmill.mill import RECIPE_NAME
from corpusmill.recipe import STAGES
from corpusmill.shard_view import ShardQuery, show_shard
from corpusmill.storage import Folder
from corpusmill.studio.plain_text import plain

_TEXT_CHARS = 400
_MANIFEST = "manifest.json"
_MAX_SHARDS = 200


def show(console: Console, path: str, rows: int, query: ShardQuery | None = None) -> None:
    """Print what `path` is and its first `rows` rows; of a shard, the documents of `query`.

    Raises InputError if it is nothing this program knows.
    """
    folder = Folder(path)
    if not folder.exists():
        raise InputError(f"{path}: there is no such file or folder")
    is_folder = folder.fs.isdir(folder.root)
    if not is_folder and path.endswith(".arrow") and _is_arrow_file(folder):
        show_shard(console, folder, rows, query or ShardQuery())
    elif query not in (None, ShardQuery()):
        raise InputError(f"{path} is no token shard: --document, --url, --ids and --tokenizer are for one")
    elif is_folder:
        _show_folder(console, folder)
    elif path.endswith(".parquet"):
        _show_parquet(console, path, rows)
    else:
        _show_pages(console, path, rows)


def _show_folder(console: Console, folder: Folder) -> None:
    manifest = folder.read_json(_MANIFEST) if folder.exists(_MANIFEST) else {}
    if {"shards", "tokenizer"} <= manifest.keys():
        _show_shards(console, folder, manifest)
    elif folder.exists(RECIPE_NAME):
        _show_run(console, folder)
    else:
        raise InputError(
            f"{folder.url} is not a run folder, which has a {RECIPE_NAME}, nor a folder of shards, whose {_MANIFEST} "
            "names them"
        )


def _show_run(console: Console, run: Folder) -> None:
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


def _is_arrow_file(file: Folder) -> bool:
    """A shard is an Arrow file; Arrow streams are the data sets of Hugging Face, which hold texts."""
    with file.fs.open(file.root, "rb") as f:
        return bool(f.read(6) == b"ARROW1")


def _show_shards(console: Console, folder: Folder, manifest: Mapping[str, Any]) -> None:
    """A folder of shards as its manifest has it, and whether the files are there."""
    entries = manifest["shards"]
    sizes = {str(f["name"]).rpartition("/")[2]: f["size"] for f in folder.fs.ls(folder.root, detail=True)}
    sources = any(e.get("source") is not None for e in entries)
    table = Table(title=f"shards {folder.url}", title_justify="left")
    for column in ("shard", *(["source"] if sources else [])):
        table.add_column(column, overflow="fold", min_width=8)
    for column in ("documents", "tokens", "weight", "text bytes", "file bytes"):
        table.add_column(column, justify="right", no_wrap=True)
    for entry in entries[:_MAX_SHARDS]:
        size = sizes.get(entry["name"])
        counts = [f"{entry.get(k, 0):,}" for k in ("num_documents", "num_tokens")]
        source = [plain(str(entry.get("source") or ""))] if sources else []
        weight, text = f"{entry.get('weight', 1):,}", f"{entry.get('text_bytes', 0):,}"
        table.add_row(entry["name"], *source, *counts, weight, text, "missing" if size is None else f"{size:,}")
    if len(entries) > _MAX_SHARDS:
        table.add_row(f"... {len(entries) - _MAX_SHARDS:,} more")
    table.add_section()
    totals = [f"{sum(e.get(k, 0) for e in entries):,}" for k in ("num_documents", "num_tokens")]
    text, there = sum(e.get("text_bytes", 0) for e in entries), sum(sizes.get(e["name"], 0) for e in entries)
    table.add_row(f"{len(entries):,} in all", *([""] if sources else []), *totals, "", f"{text:,}", f"{there:,}")
    console.print(table, markup=False)
    _show_identity(console, manifest, entries)


def _show_identity(console: Console, manifest: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> None:
    tokenizer, per_epoch = manifest["tokenizer"], sum(e.get("num_tokens", 0) * e.get("weight", 1) for e in entries)
    rows = {
        "tokens per epoch": f"{per_epoch:,}",
        "tokenizer": f"{tokenizer['sha256']}, {tokenizer['vocab_size']:,} tokens ({manifest['token_type']})",
        "end of text": plain(f"{tokenizer['eos_token']} ({tokenizer['eos_token_id']})"),
        "fingerprint": manifest["fingerprint"],
    }
    for name, value in rows.items():
        console.print(f"{name:<18}{value}", markup=False, highlight=False)


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
            text = f"{len(value):,} bytes" if isinstance(value, bytes) else plain(str(value)[: _TEXT_CHARS + 1])
            table.add_row(key, text if len(text) <= _TEXT_CHARS else f"{text[:_TEXT_CHARS]} ...")
    console.print(table, markup=False)
    console.print()
