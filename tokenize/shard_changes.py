"""Changes of a folder of sealed shards: documents blanked where they stand, shards added, blank documents left out.

Each ends with a new version of the manifest. What a training reads keeps its places: a blanked document has as many
tokens as before, all of them end-of-text, which the stream learns nothing from; added shards come after the others.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.block_sums import BLOCK_BYTES, sums_of, write_sums
from corpusmill.errors import InputError
from corpusmill.ownership import Owner
from corpusmill.parquet_parts import PartWriter, read_part
from corpusmill.schemas import SHARD_DOCS
from corpusmill.storage import Folder, sha256_of
from corpusmill.tokenize.encoded import Encoded
from corpusmill.tokenize.shard_files import ShardWriter, shards_manifest
from corpusmill.tokenize.token_shards import (
    MANIFEST,
    SETTLING,
    Shard,
    checked_shard,
    map_shard,
    open_shards,
    read_manifest,
    require_settled,
)

_KEPT = ("address", "language", "measures", "text_bytes", "token_start", "num_tokens")
"""Columns of a blanked document's row in the sidecar: numbers that say nothing of where it was from."""


def blank(shards: Folder, rows: Mapping[str, Sequence[int]], why: str = "forgotten") -> None:
    """Overwrite documents (by shard name and row) with end-of-text, and take their rows out of the sidecars.

    Interrupted, it is done again from the start; a training that reads meanwhile waits for a moment where it meets a
    block that is being changed.
    """
    manifest = read_manifest(shards)
    shards.write_json(SETTLING, {name: list(map(int, found)) for name, found in rows.items()})
    for entry in manifest["shards"]:
        if found := rows.get(entry["name"]):
            _blank_shard(shards, entry, sorted(found), int(manifest["tokenizer"]["eos_token_id"]))
    version = int(manifest.get("version", 1)) + 1
    told = {name: sorted(map(int, found)) for name, found in rows.items() if found}
    history = [*_history(manifest), {"version": version, "why": why, "blanked": told}]
    shards.write_json(MANIFEST, {**manifest, "version": version, "history": history})
    shards.remove(SETTLING)


def add_shards(shards: Folder, others: Sequence[Folder]) -> int:
    """Seal copies of other folders' shards after those of `shards`; how many.

    InputError where another tokenizer made them. Shards that are there already (by what they hold) are left out.
    """
    with Owner(shards, command="corpusmill shards add"):
        return _add(shards, others)


def _add(shards: Folder, others: Sequence[Folder]) -> int:
    require_settled(shards)
    manifest = read_manifest(shards)
    entries, known = list(manifest["shards"]), {_sealed(e) for e in manifest["shards"]}
    following, inputs = 1 + max((_number(e["name"]) for e in entries), default=-1), list(manifest.get("inputs", []))
    for other in others:
        require_settled(other)
        theirs = open_shards(other)
        if theirs.tokenizer["sha256"] != manifest["tokenizer"]["sha256"]:
            raise InputError(
                f"{other.url} was made with tokenizer {theirs.tokenizer['sha256'][:12]}, {shards.url} with "
                f"{manifest['tokenizer']['sha256'][:12]}: token ids would mean other words. Make its shards with "
                f"tokenize.tokenizer = the tokenizer of the run that {shards.url} is in"
            )
        for entry in theirs.entries:
            if _sealed(entry) not in known:
                known.add(_sealed(entry))
                entries.append(_copied(other, entry, shards, following))
                following += 1
        inputs += [i for i in theirs.manifest.get("inputs", []) if i not in inputs]
    added = len(entries) - len(manifest["shards"])
    if added:
        version = int(manifest.get("version", 1)) + 1
        remade = shards_manifest(manifest["tokenizer"], entries, inputs)
        sealed = {"version": version, "why": f"{added} shards added", "num_shards": len(entries)}
        history = [*_history(manifest), sealed | {"fingerprint": remade["fingerprint"]}]
        shards.write_json(MANIFEST, {**remade, "version": version, "history": history})
    return added


def compact(shards: Folder, output: Folder) -> tuple[int, int]:
    """Shards without their blank documents, in another folder: (documents, tokens) that were left out.

    A shard without any is copied. A training goes over to them where its source's next lap begins (the journal's
    `replace`), a new one starts with them.
    """
    if output.exists(MANIFEST):
        raise InputError(f"{output.url} has a {MANIFEST}: compact into a folder that is not there yet")
    require_settled(shards)
    opened = open_shards(shards)
    entries: list[dict[str, Any]] = []
    documents, tokens = 0, 0
    for entry in opened.entries:
        whole = checked_shard(shards, entry)
        whole.check_all()  # what is written anew gets checksums of its own
        shard = whole.shard
        gone = blank_documents(shard, opened.eos_token_id)
        documents += len(gone)
        tokens += int(np.diff(shard.offsets)[gone].sum())
        number = len(entries)
        if not len(gone):
            entries.append(_copied(shards, entry, output, number))
        elif len(gone) < len(shard.offsets) - 1:
            entries.append(_without(shards, entry, shard, gone, opened.manifest, output, number))
    output.write_json(
        MANIFEST, shards_manifest(opened.manifest["tokenizer"], entries, opened.manifest.get("inputs", ()))
    )
    return documents, tokens


def blank_documents(shard: Shard, end_of_text: int) -> np.ndarray:
    """Rows of documents that hold nothing but end-of-text tokens. int64."""
    first = np.flatnonzero(shard.tokens[shard.offsets[:-1]] == end_of_text)
    whole = [bool((shard.tokens[shard.offsets[d] : shard.offsets[d + 1]] == end_of_text).all()) for d in first]
    return np.asarray(first[np.array(whole, bool)])


def _blank_shard(shards: Folder, entry: dict[str, Any], rows: Sequence[int], end_of_text: int) -> None:
    shard = map_shard(shards, entry)
    path = shards.local_path(entry["name"])
    with path.open("r+b") as f:
        for row in rows:
            start, stop = int(shard.offsets[row]), int(shard.offsets[row + 1])
            f.seek(shard.token_byte + start * shard.tokens.itemsize)
            f.write(np.full(stop - start, end_of_text, shard.tokens.dtype).tobytes())
        f.flush()
        os.fsync(f.fileno())
    sums_name = entry.get("sums") or entry["name"].removesuffix(".arrow") + ".sums.npy"
    block_sums = sums_of(path)
    if "sums" in entry:  # of blocks that were not touched the old ones hold: a byte that flipped in one stays found out
        written = np.load(shards.local_path(sums_name), allow_pickle=False)
        touched = _touched(shard, rows)
        written[touched] = block_sums[touched]
        block_sums = written
    with shards.writing(sums_name) as sums:
        write_sums(sums.path, block_sums)
    with shards.writing(entry["docs"]) as sidecar, PartWriter(sidecar.path, SHARD_DOCS) as writer:
        at = 0
        for batch in list(read_part(shards, entry["docs"], SHARD_DOCS)):
            writer.write(_without_places(batch, [row - at for row in rows if at <= row < at + batch.num_rows]))
            at += batch.num_rows
    entry.setdefault("sealed_sha256", entry["sha256"])
    entry |= {
        "sums": sums_name,
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path),
        "docs_sha256": sidecar.sha256,
    }


def _touched(shard: Shard, rows: Sequence[int]) -> np.ndarray:
    """Blocks that hold tokens of documents. int64."""
    width = shard.tokens.itemsize
    first = (shard.token_byte + shard.offsets[list(rows)] * width) // BLOCK_BYTES
    last = (shard.token_byte + shard.offsets[[row + 1 for row in rows]] * width - 1) // BLOCK_BYTES
    return np.unique(np.concatenate([np.arange(a, b + 1) for a, b in zip(first, last, strict=True)]))


def _without_places(batch: pa.RecordBatch, rows: Sequence[int]) -> pa.RecordBatch:
    """Nulls in all columns but _KEPT of some rows."""
    mask = np.zeros(batch.num_rows, bool)
    mask[list(rows)] = True
    columns = [
        column if name in _KEPT else pc.if_else(pa.array(mask), pa.scalar(None, column.type), column)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _without(
    shards: Folder,
    entry: Mapping[str, Any],
    shard: Shard,
    gone: np.ndarray,
    manifest: Mapping[str, Any],
    output: Folder,
    number: int,
) -> dict[str, Any]:
    """A shard without some documents, written anew."""
    tokenizer = manifest["tokenizer"]
    writer = ShardWriter(
        tokenizer["vocab_size"], tokenizer["eos_token_id"], int(entry.get("weight", 1)), str(entry.get("source", ""))
    )
    kept = np.setdiff1d(np.arange(len(shard.offsets) - 1), gone)
    at = 0
    for batch in read_part(shards, entry["docs"], SHARD_DOCS):
        mine = kept[(kept >= at) & (kept < at + batch.num_rows)]
        rows = batch.take(pa.array(mine - at))
        texts = rows.column("text_bytes").fill_null(0).to_numpy()
        for start in range(0, len(mine), 1024):
            part = slice(start, start + 1024)
            writer.add(rows.slice(start, 1024), _documents(shard, mine[part]), texts[part])
        at += batch.num_rows
    _, made = writer.write(output, _numbered(str(entry["name"]), number))
    return made


def _documents(shard: Shard, rows: np.ndarray) -> Encoded:
    """Ids of documents without the end-of-text that closes each."""
    starts, stops = shard.offsets[rows], shard.offsets[rows + 1] - 1
    ids = [shard.tokens[a:b].astype(np.uint32) for a, b in zip(starts, stops, strict=True)]
    offsets = np.concatenate([[0], np.cumsum(stops - starts)]).astype(np.int64)
    return Encoded(offsets, np.concatenate([np.zeros(0, np.uint32), *ids]))


def _copied(source: Folder, entry: Mapping[str, Any], target: Folder, number: int) -> dict[str, Any]:
    """The shard's files under a number in another folder; its entry there.

    Never links: blanking a document in one folder would change the other's file, but not its checksums.
    """
    stem = _numbered(str(entry["name"]), number)
    names = {"name": f"{stem}.arrow", "docs": f"{stem}.docs.parquet"}
    if "sums" in entry:
        names["sums"] = f"{stem}.sums.npy"
    for key, name in names.items():
        with target.writing(name) as out:
            shutil.copyfile(source.local_path(entry[key]), out.path)
    return {**entry, **names, "weight": int(entry.get("weight", 1))}


def _numbered(name: str, number: int) -> str:
    """shard-00003-en-x2.arrow as shard-00017-en-x2."""
    return f"shard-{number:05d}" + name.removesuffix(".arrow")[len("shard-00000") :]


def _number(name: str) -> int:
    return int(name[len("shard-") : len("shard-00000")])


def _sealed(entry: Mapping[str, Any]) -> str:
    return str(entry.get("sealed_sha256", entry["sha256"]))


def _history(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    first = {
        "version": 1,
        "why": "sealed",
        "num_shards": len(manifest["shards"]),
        "fingerprint": manifest["fingerprint"],
    }
    return list(manifest.get("history", [first]))
