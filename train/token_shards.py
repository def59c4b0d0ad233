"""The shards of a corpus, memory-mapped and checked against their manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.errors import DamagedError, InputError
from corpusmill.schemas import check_version
from corpusmill.storage import Folder

MANIFEST = "manifest.json"
_REMAKE = "Run the tokenize stage again: it makes the shards it lacks"


@dataclass(frozen=True)
class Shard:
    """One mapped shard. `tokens` (uint16 or uint32) and `offsets` (int64) are views of the file, not copies.

    `weight` is how often an epoch has its documents.
    """

    name: str
    tokens: np.ndarray
    offsets: np.ndarray
    weight: int = 1


@dataclass(frozen=True)
class TokenShards:
    """All shards of a manifest, in its order, and the line in which an epoch has their tokens.

    A shard of weight 3 stands in the line three times, as evenly as its length allows. Documents are numbered through
    the shards, each once.
    """

    folder: Folder
    manifest: dict[str, Any]
    shards: Sequence[Shard]

    @cached_property
    def line(self) -> np.ndarray:
        """Which shard stands at each place of the line. int64[places]."""
        weights = np.array([s.weight for s in self.shards], np.int64)
        shard = np.repeat(np.arange(len(weights)), weights)
        turn = np.arange(len(shard)) - np.repeat(np.cumsum(weights) - weights, weights)
        rank, alike = np.zeros(len(weights)), np.ones(len(weights))  # place among shards of one weight; their number
        for weight in np.unique(weights):
            same = np.flatnonzero(weights == weight)
            rank[same], alike[same] = np.arange(len(same)), len(same)
        place = (turn + (rank[shard] + 0.5) / alike[shard]) / weights[shard]
        return shard[np.argsort(place, kind="stable")]

    @cached_property
    def first_tokens(self) -> np.ndarray:
        """Number in the line of each place's first token, and the number of tokens. int64[places + 1]."""
        return _running_sums([len(self.shards[i].tokens) for i in self.line])

    @cached_property
    def first_documents(self) -> np.ndarray:
        """Number of each shard's first document, and the number of documents. int64[shards + 1]."""
        return _running_sums([len(s.offsets) - 1 for s in self.shards])

    @property
    def fingerprint(self) -> str:
        return str(self.manifest["fingerprint"])

    @property
    def num_tokens(self) -> int:
        """Of an epoch."""
        return int(self.first_tokens[-1])

    @property
    def eos_token_id(self) -> int:
        return int(self.manifest["tokenizer"]["eos_token_id"])

    @property
    def vocab_size(self) -> int:
        return int(self.manifest["tokenizer"]["vocab_size"])


def open_shards(folder: Folder) -> TokenShards:
    """Map every shard that the manifest names. Raises DamagedError where a file is not what the manifest says."""
    if not folder.exists(MANIFEST):
        raise InputError(
            f"{folder.url} has no {MANIFEST}: it holds no finished token shards. Run the tokenize stage first"
        )
    manifest = folder.read_json(MANIFEST)
    check_version(manifest.get("format"), f"{folder.url}/{MANIFEST}")
    shards = TokenShards(folder, manifest, [_open_shard(folder, entry) for entry in manifest["shards"]])
    if shards.num_tokens == 0:
        raise InputError(
            f"{folder.url} holds no tokens: nothing was kept to train on. See the report for what was dropped"
        )
    return shards


def _open_shard(folder: Folder, entry: dict[str, Any]) -> Shard:
    name = entry["name"]
    path = folder.local_path(name)
    if not path.is_file():
        raise DamagedError(f"{folder.url}/{name} is missing; {MANIFEST} names it. {_REMAKE}")
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        column = reader.get_batch(0).column("tokens")
    except (pa.ArrowInvalid, OSError, KeyError) as e:
        raise DamagedError(
            f"{folder.url}/{name} cannot be read ({_first_line(e)}): it is cut or changed. {_REMAKE}"
        ) from e
    offsets = column.offsets.to_numpy(zero_copy_only=True)
    tokens = column.values.to_numpy(zero_copy_only=True)[: int(offsets[-1])]
    _compare(folder, entry, reader.num_record_batches, len(offsets) - 1, len(tokens))
    return Shard(name, tokens, offsets, int(entry.get("weight", 1)))


def _compare(folder: Folder, entry: dict[str, Any], batches: int, documents: int, tokens: int) -> None:
    found = {"record batches": (batches, 1)}
    found["documents"] = (documents, int(entry["num_documents"]))
    found["tokens"] = (tokens, int(entry["num_tokens"]))
    for what, (is_there, expected) in found.items():
        if is_there != expected:
            raise DamagedError(
                f"{folder.url}/{entry['name']} has {is_there:,} {what}, {MANIFEST} says {expected:,}. {_REMAKE}"
            )


def _running_sums(sizes: Sequence[int]) -> np.ndarray:
    sums = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=sums[1:])
    return sums


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
