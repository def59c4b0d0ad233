"""The shards of a corpus, checked against their manifest and mapped when they are first read."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.block_sums import BLOCK_BYTES, first_damaged
from corpusmill.errors import DamagedError, InputError
from corpusmill.schemas import check_version
from corpusmill.storage import Folder, digest, sha256_of

MANIFEST = "manifest.json"
SETTLING = "settling.json"
"""In a folder of shards while documents of it are being blanked: which."""

_REMAKE = "Run the tokenize stage again: it makes the shards it lacks"


_UNSETTLED = "forgetting documents was interrupted. Run `corpusmill forget` on the run again: it ends what was begun"
_PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds that a reader waits for documents to be blanked."""


@dataclass(frozen=True)
class Shard:
    """One mapped shard. `tokens` (uint16 or uint32) and `offsets` (int64) are views of the file, not copies.

    `weight` is how often an epoch has its documents. `data` is the whole file and `token_byte` where its tokens begin;
    `checked` (uint8 [blocks]) says which of its blocks have been compared with their checksums.
    """

    name: str
    tokens: np.ndarray
    offsets: np.ndarray
    weight: int
    data: memoryview
    token_byte: int
    checked: np.ndarray


class CheckedBlocks:
    """Compares what is read of a mapped shard with its checksums."""

    def __init__(self, folder: Folder, entry: dict[str, Any], shard: Shard) -> None:
        self._folder, self._entry, self.shard = folder, entry, shard
        self._sums = _sums(folder, entry, len(shard.checked))

    def check(self, blocks: np.ndarray) -> None:
        """Compare blocks (int64, ascending). DamagedError names the first that differs."""
        if self._sums is None:
            return
        bad = first_damaged(self.shard.data, self._sums, blocks)
        for pause in _PAUSES if bad >= 0 else ():  # documents may have been blanked since, or just now
            time.sleep(pause)
            self._sums = _sums(self._folder, self._entry, len(self.shard.checked))
            bad = -1 if self._sums is None else first_damaged(self.shard.data, self._sums, blocks)
            if bad < 0 or not self._folder.exists(SETTLING):
                break
        if bad >= 0:
            end = min((bad + 1) * BLOCK_BYTES, len(self.shard.data))
            raise DamagedError(
                f"{self._folder.url}/{self.shard.name}: bytes {bad * BLOCK_BYTES:,} to {end - 1:,} are not those that "
                "were written (their checksum differs): "
                + (_UNSETTLED if self._folder.exists(SETTLING) else f"the disk or a person changed them. {_REMAKE}")
            )
        self.shard.checked[blocks] = 1

    def check_all(self) -> None:
        """Compare the whole file."""
        self.check(np.arange(len(self.shard.checked)))


@dataclass(frozen=True)
class TokenShards:
    """Shards of one manifest, in its order, and the line in which an epoch has their tokens.

    A shard of weight 3 stands in the line three times, as evenly as its length allows. `fingerprint` names what the
    shards held when they were sealed, and so the order of training.
    """

    folder: Folder
    manifest: dict[str, Any]
    entries: Sequence[dict[str, Any]]
    fingerprint: str

    @cached_property
    def line(self) -> np.ndarray:
        """Which shard stands at each place of the line. int64[places]."""
        return line_of(np.array([int(e.get("weight", 1)) for e in self.entries], np.int64))

    @cached_property
    def first_tokens(self) -> np.ndarray:
        """Number in the line of each place's first token, and the number of tokens. int64[places + 1]."""
        sizes = np.array([int(e["num_tokens"]) for e in self.entries], np.int64)
        return np.concatenate([[0], np.cumsum(sizes[self.line])]).astype(np.int64)

    @property
    def num_tokens(self) -> int:
        """Of an epoch."""
        return int(self.first_tokens[-1])

    @property
    def tokenizer(self) -> dict[str, Any]:
        return dict(self.manifest["tokenizer"])

    @property
    def eos_token_id(self) -> int:
        return int(self.manifest["tokenizer"]["eos_token_id"])

    @property
    def vocab_size(self) -> int:
        return int(self.manifest["tokenizer"]["vocab_size"])

    @cached_property
    def shards(self) -> list[Shard]:
        """All of them, mapped. A reader that needs a few maps these with `map_shard`."""
        return [map_shard(self.folder, entry) for entry in self.entries]


def fingerprint_of(tokenizer_sha256: str, entries: Sequence[dict[str, Any]]) -> str:
    """Names what shards held when they were sealed, in order, and how often an epoch has each."""
    contents = [[e.get("sealed_sha256", e["sha256"]), e.get("weight", 1)] for e in entries]
    return digest({"tokenizer": tokenizer_sha256, "shards": contents})


def line_of(weights: np.ndarray) -> np.ndarray:
    """Each of len(weights) as often as its weight, spread evenly. int64[sum of weights]."""
    shard = np.repeat(np.arange(len(weights)), weights)
    turn = np.arange(len(shard)) - np.repeat(np.cumsum(weights) - weights, weights)
    rank, alike = np.zeros(len(weights)), np.ones(len(weights))  # place among shards of one weight; their number
    for weight in np.unique(weights):
        same = np.flatnonzero(weights == weight)
        rank[same], alike[same] = np.arange(len(same)), len(same)
    place = (turn + (rank[shard] + 0.5) / alike[shard]) / weights[shard]
    return shard[np.argsort(place, kind="stable")]


def open_shards(folder: Folder) -> TokenShards:
    """All shards that the manifest names. Raises InputError without a manifest or a token, and DamagedError, by name,
    where a file is missing or of another size; what is in a file is checked when it is read."""
    manifest = read_manifest(folder)
    shards = TokenShards(folder, manifest, tuple(manifest["shards"]), str(manifest["fingerprint"]))
    if shards.num_tokens == 0:
        raise InputError(
            f"{folder.url} holds no tokens: nothing was kept to train on. See the report for what was dropped"
        )
    require_files(shards)
    return shards


def read_manifest(folder: Folder) -> dict[str, Any]:
    if not folder.exists(MANIFEST):
        raise InputError(
            f"{folder.url} has no {MANIFEST}: it holds no finished token shards. Run the tokenize stage first"
        )
    manifest = folder.read_json(MANIFEST)
    check_version(manifest.get("format"), f"{folder.url}/{MANIFEST}")
    return dict(manifest)


def require_files(shards: TokenShards) -> None:
    """Compare the sizes of the files with the manifest's, in one listing."""
    with os.scandir(shards.folder.local_path()) as listing:
        sizes = {entry.name: entry.stat().st_size for entry in listing}
    for entry in shards.entries:
        name, expected = entry["name"], entry.get("bytes")
        if name not in sizes:
            raise DamagedError(f"{shards.folder.url}/{name} is missing; {MANIFEST} names it. {_REMAKE}")
        if expected is not None and sizes[name] != expected:
            raise DamagedError(
                f"{shards.folder.url}/{name} has {sizes[name]:,} bytes, {MANIFEST} says {expected:,}: it is cut or "
                f"changed. {_REMAKE}"
            )


def require_settled(folder: Folder) -> None:
    """InputError while documents of a folder of shards are being blanked, or were when that was interrupted."""
    if folder.exists(SETTLING):
        raise InputError(f"{folder.url}: {_UNSETTLED}")


def map_shard(folder: Folder, entry: dict[str, Any]) -> Shard:
    """Map one shard and check that it is what its entry says, but for what is in it: `checked_shard` does."""
    name = entry["name"]
    path = folder.local_path(name)
    try:
        buffer = pa.memory_map(str(path)).read_buffer()
        reader = pa.ipc.open_file(buffer)
        column = reader.get_batch(0).column("tokens")
        offsets = column.offsets.to_numpy(zero_copy_only=True)
        tokens = column.values.to_numpy(zero_copy_only=True)[: int(offsets[-1])]
    except (pa.ArrowException, OSError, KeyError, AttributeError, TypeError, ValueError, IndexError) as e:
        raise DamagedError(
            f"{folder.url}/{name} cannot be read ({_first_line(e)}): it is cut or changed. {_REMAKE}"
        ) from e
    _compare(folder, entry, reader.num_record_batches, len(offsets) - 1, len(tokens))
    token_byte = tokens.__array_interface__["data"][0] - buffer.address
    checked = np.zeros(-(-buffer.size // BLOCK_BYTES), np.uint8)
    return Shard(name, tokens, offsets, int(entry.get("weight", 1)), memoryview(buffer), token_byte, checked)


def checked_shard(folder: Folder, entry: dict[str, Any]) -> CheckedBlocks:
    """Map one shard and check all of it but its tokens, which are to be checked when they are read."""
    shard = map_shard(folder, entry)
    found = CheckedBlocks(folder, entry, shard)
    if entry.get("sums") is None:
        shard.checked[:] = 1
    else:
        first, end = shard.token_byte, shard.token_byte + shard.tokens.nbytes
        found.check(
            np.setdiff1d(np.arange(len(shard.checked)), np.arange(-(-first // BLOCK_BYTES), end // BLOCK_BYTES))
        )
    return found


def _sums(folder: Folder, entry: dict[str, Any], blocks: int) -> np.ndarray | None:
    """The shard's block checksums; None of one that was sealed without them, which is then checked as a whole."""
    name = entry.get("sums")
    if name is None:
        if (found := sha256_of(folder.local_path(entry["name"]))) != entry["sha256"]:
            raise DamagedError(
                f"{folder.url}/{entry['name']} has SHA-256 {found[:12]}, {MANIFEST} says {entry['sha256'][:12]}: it is "
                f"not the file that was written. {_REMAKE}"
            )
        return None
    path = folder.local_path(name)
    if not path.is_file():
        raise DamagedError(f"{folder.url}/{name} is missing; {MANIFEST} names it. {_REMAKE}")
    try:
        sums: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as e:
        raise DamagedError(f"{folder.url}/{name} holds no checksums ({_first_line(e)}). {_REMAKE}") from e
    if sums.dtype != np.uint64 or sums.shape != (blocks,):
        raise DamagedError(
            f"{folder.url}/{name} holds {sums.dtype}{list(sums.shape)}, expected uint64[{blocks}]. {_REMAKE}"
        )
    return sums


def _compare(folder: Folder, entry: dict[str, Any], batches: int, documents: int, tokens: int) -> None:
    found = {"record batches": (batches, 1)}
    found["documents"] = (documents, int(entry["num_documents"]))
    found["tokens"] = (tokens, int(entry["num_tokens"]))
    for what, (is_there, expected) in found.items():
        if is_there != expected:
            raise DamagedError(
                f"{folder.url}/{entry['name']} has {is_there:,} {what}, {MANIFEST} says {expected:,}. {_REMAKE}"
            )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
