"""Which documents stood in a batch: from a step of the training back to URLs and WARC offsets. Needs no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.parquet as pq

from corpusmill.errors import InputError
from corpusmill.storage import Folder
from corpusmill.train.stream import Batch, TokenStream
from corpusmill.train.stream_kernels import PADDING
from corpusmill.train.token_shards import TokenShards

SETTINGS = "train/settings.json"
_COLUMNS = ("address", "id", "url", "host", "warc_file", "warc_offset", "warc_length", "offset_kind", "language")


def documents_of_step(
    run: Folder, step: int, *, rank: int | None = None, row: int | None = None
) -> list[dict[str, Any]]:
    """Every stretch of one document in batch `step` (from 1), in the order of rows.

    A stretch has `row` (of the global batch), `shard`, `token_start` and `token_end` (half open, within the shard), and
    its document's `address`, `id`, `url`, `host`, `warc_file`, `warc_offset`, `warc_length`, `offset_kind`, `language`.
    `rank` and `row` leave only theirs. Reads the sidecars of the shards touched; InputError for what does not exist.
    """
    settings = _settings(run)
    train = settings["train"]
    stream = TokenStream(
        run.sub("shards"),
        seed=train["seed"],
        sequence_length=train["sequence_length"],
        batch_size=train["batch_size"],
    )
    _require_same_shards(run, settings, stream)
    batch = stream.batch(step) if rank is None else stream.batch(step, rank, int(settings["ranks"]))
    rows = range(batch.first_row, batch.first_row + len(batch.chunks))
    if row is not None and row not in rows:
        raise InputError(f"row {row} is not in this batch: it has rows {rows.start} to {rows.stop - 1}")
    stretches = _stretches(batch, stream)
    return _described(stream.shards, [s for s in stretches if row is None or s["row"] == row])


def _settings(run: Folder) -> dict[str, Any]:
    if not run.exists(SETTINGS):
        raise InputError(f"{run.url} has no {SETTINGS}: nothing was trained in this run yet. Run the train stage first")
    return dict(run.read_json(SETTINGS))


def _require_same_shards(run: Folder, settings: dict[str, Any], stream: TokenStream) -> None:
    trained, found = settings["fingerprint"], stream.shards.fingerprint
    if trained != found:
        raise InputError(
            f"{run.url}: the training used shards {trained[:12]}, the folder now holds {found[:12]}: its batches "
            "cannot be traced in these shards. Put the shards back that it was trained on"
        )


def _stretches(batch: Batch, stream: TokenStream) -> list[dict[str, Any]]:
    """Maximal stretches of equal document number, row by row."""
    found = []
    for i, documents in enumerate(batch.documents):
        borders = np.flatnonzero((np.diff(documents) != 0) | (batch.positions[i, 1:] == 0)) + 1
        starts, stops = np.r_[0, borders], np.r_[borders, len(documents)]
        begin = int(batch.chunks[i]) * stream.sequence_length
        for start, stop in zip(starts, stops, strict=True):
            if documents[start] != PADDING:
                found.append(
                    _stretch(stream.shards, batch.first_row + i, int(documents[start]), begin + start, begin + stop)
                )
    return found


def _stretch(shards: TokenShards, row: int, document: int, start: int, stop: int) -> dict[str, Any]:
    place = int(np.searchsorted(shards.first_tokens, start, side="right")) - 1
    index, first = shards.line[place], int(shards.first_tokens[place])
    return {
        "row": row,
        "shard": shards.shards[index].name,
        "token_start": int(start) - first,
        "token_end": int(stop) - first,
        "document": document - int(shards.first_documents[index]),
    }


def _described(shards: TokenShards, stretches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the sidecar's columns in place of the document's row in its shard."""
    sidecars = {entry["name"]: entry["docs"] for entry in shards.manifest["shards"]}
    wanted: dict[str, set[int]] = {}
    for stretch in stretches:
        wanted.setdefault(stretch["shard"], set()).add(stretch["document"])
    known = {name: _sidecar_rows(shards.folder, sidecars[name], rows) for name, rows in wanted.items()}
    described = []
    for stretch in stretches:
        document = stretch.pop("document")
        described.append({**stretch, **known[stretch["shard"]][document]})
    return described


def _sidecar_rows(folder: Folder, name: str, rows: set[int]) -> dict[int, dict[str, Any]]:
    with folder.open(name) as f:
        table = pq.read_table(f, columns=list(_COLUMNS))
    chosen = sorted(rows)
    return dict(zip(chosen, table.take(chosen).to_pylist(), strict=True))
