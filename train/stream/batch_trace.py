"""From a step of the training to the documents in its batch, with URLs and WARC offsets; and from a document to the
steps that it is in. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.errors import InputError
from corpusmill.parquet_parts import damage_named
from corpusmill.recipe import stored_train
from corpusmill.storage import Folder
from corpusmill.tokenize.token_shards import TokenShards
from corpusmill.train.stream.document_steps import Place, places, shard_at, steps_of
from corpusmill.train.stream.stream_kernels import COUNT, DOCUMENT, MIDDLE, OUT, SLOT, TOKEN
from corpusmill.train.stream.token_stream import Batch, TokenStream
from corpusmill.train.train_settings import SETTINGS, open_stream

SETTINGS_FILE = f"train/{SETTINGS}"
_COLUMNS = ("address", "id", "url", "host", "warc_file", "warc_offset", "warc_length", "offset_kind", "language")


def documents_of_step(
    run: Folder, step: int, *, rank: int | None = None, row: int | None = None
) -> list[dict[str, Any]]:
    """Every stretch of one document in batch `step` (from 1), in the order of rows.

    A stretch has `row` (of the global batch), `shards` (the folder), `shard`, `token_start` and `token_end` (half open,
    within the shard), and its document's `document_tokens` (its own start and end), `address`, `id`, `url`, `host`,
    `warc_file`, `warc_offset`, `warc_length`, `offset_kind`, `language`. `rank` and `row` leave only theirs. Reads the
    sidecars of the shards touched; InputError for what does not exist.
    """
    settings, stream = traced_stream(run)
    batch = stream.batch(step) if rank is None else stream.batch(step, rank, int(settings["ranks"]))
    rows = range(batch.first_row, batch.first_row + len(batch.input_ids))
    if row is not None and row not in rows:
        raise InputError(f"row {row} is not in this batch: it has rows {rows.start} to {rows.stop - 1}")
    return _described([s for s in _stretches(batch, stream) if row is None or s["row"] == row])


def document_of_token(run: Folder, shard: str, token: int) -> dict[str, Any]:
    """The document that a shard's token is of (as `documents_of_step`), with the `steps` that it is trained on in."""
    settings, stream = traced_stream(run)
    place, shards = _place_of(stream, shard)
    offsets = shard_at(stream, place).offsets
    if not 0 <= token < offsets[-1]:
        raise InputError(f"{shard} has no token {token}: it has tokens 0 to {int(offsets[-1]) - 1}")
    document = int(np.searchsorted(offsets, token, side="right")) - 1
    return _with_steps(stream, settings, place, shards, document, offsets)


def documents_of_url(run: Folder, url: str) -> list[dict[str, Any]]:
    """Documents of a URL (or record id) in the shards, each with the `steps` that it is trained on in."""
    settings, stream = traced_stream(run)
    found = []
    for place, shards in places(stream):
        if rows := sidecar_rows(shards, place.shard, url=url):
            offsets = shard_at(stream, place).offsets
            found += [_with_steps(stream, settings, place, shards, document, offsets) for document in rows]
    return found


def sidecar_rows(shards: TokenShards, shard: int, **wanted: str) -> list[int]:
    """Rows of a shard's sidecar in which a column has a value; `url` may be a record id as well."""
    columns = list(wanted) + (["id"] if "url" in wanted else [])
    table = _read(shards, shard, columns)
    mask: Any = pa.nulls(table.num_rows, pa.bool_())
    for name, value in wanted.items():
        mask = pc.or_kleene(mask, pc.equal(table.column(name), value))
    if "url" in wanted:
        mask = pc.or_kleene(mask, pc.equal(table.column("id"), wanted["url"]))
    return [int(row) for row in np.flatnonzero(pc.fill_null(mask, False).to_numpy())]


def traced_stream(run: Folder) -> tuple[dict[str, Any], TokenStream]:
    """(settings of a run's training, the stream that it reads). InputError where that cannot be had any more."""
    if not run.exists(SETTINGS_FILE):
        raise InputError(f"{run.url} has no {SETTINGS_FILE}: nothing was trained in this run yet. Train it first")
    settings = dict(run.read_json(SETTINGS_FILE))
    stream = open_stream(run, stored_train({**settings["train"], "ranks": settings["ranks"]}))
    if stream.pins != settings["sources"]:
        raise InputError(
            f"{run.url}: the training used shards {_short(settings['sources'])}, the folders now hold "
            f"{_short(stream.pins)}: its batches cannot be traced in these. Put the shards back that it was trained on"
        )
    return settings, stream


def _short(pins: dict[str, Any]) -> str:
    return ", ".join(f"{name} {pin['fingerprint'][:12]}" for name, pin in pins.items())


def _stretches(batch: Batch, stream: TokenStream) -> Iterator[dict[str, Any]]:
    length = batch.input_ids.shape[1]
    for segment in batch.segments:
        if segment[SLOT] < 0:
            continue
        shards, index = stream.shard_of(int(segment[SLOT]))
        start, count = int(segment[TOKEN]), int(segment[COUNT])
        yield {
            "row": batch.first_row + int(segment[OUT]) // length,
            "shards": shards.folder.url,
            "shard": shards.entries[index]["name"],
            "token_start": start,
            "token_end": None if segment[MIDDLE] else start + count,  # of all its document, in another order
            "document": int(segment[DOCUMENT]),
            "entry": (shards, index),
        }


def _described(stretches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the sidecar's columns in place of the document's row in its shard."""
    wanted: dict[tuple[str, str], set[int]] = {}
    entries: dict[tuple[str, str], tuple[TokenShards, int]] = {}
    for stretch in stretches:
        key = stretch["shards"], stretch["shard"]
        wanted.setdefault(key, set()).add(stretch["document"])
        entries[key] = stretch.pop("entry")
    known = {key: _sidecar(entries[key][0], entries[key][1], rows) for key, rows in wanted.items()}
    described = []
    for stretch in stretches:
        document = known[stretch["shards"], stretch["shard"]][stretch.pop("document")]
        whole = document["token_start"], document["token_start"] + document["num_tokens"]
        columns = {name: document[name] for name in _COLUMNS}
        described.append(
            {**stretch, "token_end": stretch["token_end"] or whole[1], "document_tokens": whole, **columns}
        )
    return described


def _sidecar(shards: TokenShards, index: int, rows: set[int]) -> dict[int, dict[str, Any]]:
    chosen = sorted(rows)
    table = _read(shards, index, [*_COLUMNS, "token_start", "num_tokens"])
    return dict(zip(chosen, table.take(chosen).to_pylist(), strict=True))


def _read(shards: TokenShards, index: int, columns: list[str]) -> pa.Table:
    """Columns of a shard's sidecar. Without read-ahead: its threads, if alive when Python ends, abort the process."""
    name = shards.entries[index]["docs"]
    with shards.folder.open(name) as f, damage_named(f"{shards.folder.url}/{name}"):
        return pq.ParquetFile(f, pre_buffer=False).read(columns=columns, use_threads=False)


def _place_of(stream: TokenStream, shard: str) -> tuple[Place, TokenShards]:
    """The place of a shard that is named, or given by its path."""
    name = shard.rpartition("/")[2]
    name = name if name.endswith(".arrow") else f"{name}.arrow"
    found = [(p, s) for p, s in places(stream) if s.entries[p.shard]["name"] == name]
    folder = shard.rpartition("/")[0]
    if folder and len(found) > 1:
        found = [(p, s) for p, s in found if s.folder.local_path() == Folder(folder).local_path()]
    if len(found) != 1:
        what = "several sources have a shard" if found else "no source of this training has a shard"
        raise InputError(f"{what} {name}; give its path. The sources are {', '.join(stream.sources)}")
    return found[0]


def _with_steps(
    stream: TokenStream,
    settings: dict[str, Any],
    place: Place,
    shards: TokenShards,
    document: int,
    offsets: np.ndarray,
) -> dict[str, Any]:
    last = int(settings["train"]["steps"])
    steps = steps_of(stream, place, document, last, offsets)
    start, stop = int(offsets[document]), int(offsets[document + 1])
    (described,) = _sidecar(shards, place.shard, {document}).values()
    return {
        "source": place.source,
        "shards": shards.folder.url,
        "shard": shards.entries[place.shard]["name"],
        **{name: described[name] for name in _COLUMNS},
        "token_start": start,
        "token_end": stop,
        "document_tokens": (start, stop),
        "steps": steps,
    }
