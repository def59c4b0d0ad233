"""Documents of a shard folder with their sidecars: tokens stay in the mapped files until they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.errors import DamagedError, InputError
from corpusmill.schemas import check_version
from corpusmill.storage import Folder, sha256_of

UNKNOWN = "unknown"
"""Language or host of a document whose sidecar says none."""

Tokens = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, slots=True)
class Document:
    """One held-out document. `tokens` ends with the end-of-text token; `text_bytes` is its text in UTF-8."""

    tokens: Tokens
    text_bytes: int
    language: str = UNKNOWN
    host: str = UNKNOWN


def read_manifest(shards: Folder) -> dict[str, Any]:
    manifest: dict[str, Any] = shards.read_json("manifest.json")
    check_version(manifest.get("format"), f"{shards.url}/manifest.json")
    return manifest


def read_heldout(run: Folder) -> tuple[dict[str, Any], list[Document]]:
    """The manifest of RUN/heldout and its documents, in shard order. Checksums are compared first."""
    heldout = run.sub("heldout")
    manifest: dict[str, Any] = {"num_documents": 0, "shards": []}
    if heldout.exists("manifest.json"):
        manifest = read_manifest(heldout)
    if manifest["num_documents"] == 0:
        raise InputError(
            f"{run.url}: no held-out documents, so there is nothing to score. Raise tokenize.heldout_permille in the "
            "recipe (thousandths of the sites; a small corpus needs more) and run tokenize again in a new folder"
        )
    return manifest, [d for entry in manifest["shards"] for d in _documents(heldout, entry)]


def choose(documents: list[Document], max_tokens: int, seed: int) -> list[int]:
    """Indices of documents to score, in shard order: all, or a seeded sample of at most `max_tokens` tokens.

    At least one is chosen. The order of the sample is that of a hash, so it is the same on every machine, and raising
    `max_tokens` only adds documents.
    """
    keys = [hashlib.sha256(f"{seed}:{i}".encode()).digest() for i in range(len(documents))]
    chosen: list[int] = []
    room = max_tokens
    for i in sorted(range(len(documents)), key=keys.__getitem__):
        room -= len(documents[i].tokens)
        if room < 0 and chosen:
            break
        chosen.append(i)
    return sorted(chosen)


def token_counts(shards: Folder) -> npt.NDArray[np.int64]:
    """How often each token id stands in a shard folder: int64[vocab_size]. Reads each shard once."""
    manifest = read_manifest(shards)
    counts = np.zeros(manifest["tokenizer"]["vocab_size"], dtype=np.int64)
    for entry in manifest["shards"]:
        for piece in _pieces(_map_shard(shards, entry).flatten().to_numpy()):
            found = np.bincount(piece, minlength=len(counts))
            if len(found) > len(counts):
                raise DamagedError(f"{shards.url}/{entry['name']} has token {len(found) - 1}; its manifest says less")
            counts += found
    return counts


def _pieces(values: Tokens, size: int = 1 << 22) -> Iterator[Tokens]:
    # bincount copies to int64: a shard of 64 million tokens would cost 512 MB at once
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _documents(shards: Folder, entry: dict[str, Any]) -> Iterator[Document]:
    for name, checksum in ((entry["name"], entry["sha256"]), (entry["docs"], entry["docs_sha256"])):
        if not shards.exists(name) or sha256_of(shards.local_path(name)) != checksum:
            raise DamagedError(f"{shards.url}/{name} is missing or changed since it was written. Run tokenize again")
    rows = _map_shard(shards, entry)
    docs = pq.read_table(shards.local_path(entry["docs"]), columns=["language", "host", "text_bytes"])
    if len(rows) != docs.num_rows:
        raise DamagedError(f"{shards.url}/{entry['name']} has {len(rows):,} documents, its sidecar {docs.num_rows:,}")
    offsets, values = rows.offsets.to_numpy(), rows.values.to_numpy()
    for i, row in enumerate(docs.to_pylist()):
        yield Document(
            tokens=values[offsets[i] : offsets[i + 1]],
            text_bytes=row["text_bytes"],
            language=row["language"] or UNKNOWN,
            host=row["host"] or UNKNOWN,
        )


def _map_shard(shards: Folder, entry: dict[str, Any]) -> pa.LargeListArray:
    path = shards.local_path(entry["name"])
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowInvalid) as e:
        raise DamagedError(f"{path} cannot be read as an Arrow file ({e}). Run tokenize again") from e
    column = table.column("tokens")
    if column.num_chunks != 1:  # a shard is one record batch; an empty one may have no batch at all
        return column.combine_chunks() if column.num_chunks == 0 else pa.concat_arrays(column.chunks)
    return column.chunk(0)
