"""Best-fit packing: which documents share a row, decided once for each block of shards and kept as an index.

A block is a run of whole shards of the line with at least 2**24 tokens, so that among its documents some always fit
what is left of a row. Its file lists the rows' pieces by their first token, four bytes each: a row's documents are
looked up, never replayed, and a stream opens at once whatever the size. A document that fits a row is never cut; a
longer one fills whole rows, and its rest is packed like a document (Ding et al. 2024, "Fewer truncations improve
language modeling").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.errors import DamagedError, InputError
from corpusmill.storage import Folder, canonical_json, digest, sha256_of
from corpusmill.tokenize.token_shards import MANIFEST, TokenShards
from corpusmill.train.stream.shard_table import ShardTable
from corpusmill.train.stream.stream_kernels import best_fit, pieces

BLOCK_TOKENS = 1 << 24
_FORMAT = 1
_SCHEMA = pa.schema([pa.field("starts", pa.large_list(pa.field("item", pa.uint32(), nullable=False)), nullable=False)])


@dataclass(frozen=True)
class Packing:
    """How rows are packed: their length in tokens, and the share of documents whose middle is filled in."""

    length: int
    middle_rate: float = 0.0

    @property
    def middles(self) -> np.uint64:
        """The share of 2**64."""
        return np.uint64(min(int(self.middle_rate * 2**64), 2**64 - 1))

    def folder(self, shards: TokenShards) -> Folder:
        """Beside the shards; its name says what it is the index of."""
        name = f"rows-{self.length}" + (f"-middle-{self.middle_rate:g}" if self.middle_rate else "")
        return shards.folder.sub(f"packed/{name}-{_named(shards)[:12]}")

    def identity(self, shards: TokenShards) -> dict[str, Any]:
        """What an index of these shards says that it is."""
        rows = {"length": self.length, "middle_rate": self.middle_rate}
        return {"format": _FORMAT, "shards": _named(shards), **rows}


class PackedIndex:
    """The index of a stratum's rows; a block's file is mapped when it is first needed."""

    def __init__(self, folder: Folder, manifest: dict[str, Any], packing: Packing) -> None:
        self._folder, self._entries, self._mapped = folder, manifest["blocks"], {}  # type: ignore[var-annotated]
        self.length, self.middles = packing.length, packing.middles
        self.first_rows = _running_sums([e["rows"] for e in self._entries])
        self.first_places = np.array([e["first_place"] for e in self._entries], np.int64)
        self._offsets_at, self._starts_at = (np.zeros(len(self._entries), np.int64) for _ in range(2))

    @property
    def num_rows(self) -> int:
        return int(self.first_rows[-1])

    @property
    def blocks(self) -> tuple[np.ndarray, ...]:
        """As packed_segments takes them."""
        return self.first_rows, self.first_places, self._offsets_at, self._starts_at

    def map(self, blocks: list[int]) -> None:
        """Map blocks' files. DamagedError names one that is not what was written."""
        for block in blocks:
            starts = _read_block(self._folder, self._entries[block])
            self._mapped[block] = starts
            self._offsets_at[block] = starts.offsets.to_numpy().__array_interface__["data"][0]
            self._starts_at[block] = starts.values.to_numpy().__array_interface__["data"][0]

    def rows_of(self, place: int, start: int, stop: int, shards: TokenShards) -> np.ndarray:
        """Rows with pieces that begin among tokens [start, stop) of the shard at a place of the line."""
        block = int(np.searchsorted(self.first_places, place, side="right")) - 1
        if block not in self._mapped:
            self.map([block])
        starts = self._mapped[block]
        at = int(shards.first_tokens[place] - shards.first_tokens[self.first_places[block]])
        values = starts.values.to_numpy()
        found = np.flatnonzero((values >= at + start) & (values < at + stop))
        rows = np.searchsorted(starts.offsets.to_numpy(), found, side="right") - 1
        return np.asarray(np.unique(rows) + self.first_rows[block])

    @cached_property
    def facts(self) -> dict[str, int]:
        """rows, pieces, tokens and padding (places) of a lap."""
        return {k: sum(e[k] for e in self._entries) for k in ("rows", "pieces", "tokens", "padding")}


def open_index(shards: TokenShards, packing: Packing) -> PackedIndex:
    """The index of these shards' rows. InputError if there is none: `prepare` makes it."""
    folder = packing.folder(shards)
    if not folder.exists(MANIFEST):
        raise InputError(
            f"{shards.folder.url}: its documents are not packed into rows of {packing.length} tokens yet. Run "
            "`corpusmill pack` with this recipe, or `corpusmill train`, which does it before it starts"
        )
    manifest = folder.read_json(MANIFEST)
    wanted = packing.identity(shards)
    if any(manifest.get(k) != v for k, v in wanted.items()):
        raise DamagedError(f"{folder.url}/{MANIFEST} is the index of other shards. Remove the folder and pack again")
    return PackedIndex(folder, manifest, packing)


def prepare(
    shards: TokenShards, packing: Packing, progress: Callable[[int, int], None] = lambda done, of: None
) -> None:
    """Pack the shards, unless that is done. Memory is a block's documents, 24 bytes each. `progress(done, of)`."""
    folder = packing.folder(shards)
    if folder.exists(MANIFEST):
        return
    first_places = block_places(shards.first_tokens)
    table = ShardTable(np.dtype(str(shards.manifest["token_type"])))
    table.add(shards)
    entries = []
    for number, first in enumerate(first_places):
        last = first_places[number + 1] if number + 1 < len(first_places) else len(shards.line)
        name = f"block-{number:05d}.arrow"
        entries.append({"name": name, "first_place": first} | _pack_block(shards, table, packing, first, last, name))
        progress(number + 1, len(first_places))
    with folder.writing(MANIFEST) as out:
        out.path.write_bytes(canonical_json(packing.identity(shards) | {"blocks": entries}))


def block_places(borders: np.ndarray) -> list[int]:
    """The first place of each block of a line, whose places begin at `borders` and end at the last of them.

    A block has at least BLOCK_TOKENS, unless all places together have fewer.
    """
    found = [0]
    while True:
        following = int(np.searchsorted(borders, borders[found[-1]] + BLOCK_TOKENS))
        if following >= len(borders) - 1 or borders[-1] - borders[following] < BLOCK_TOKENS:
            return found
        found.append(following)


def _pack_block(
    shards: TokenShards, table: ShardTable, packing: Packing, first: int, last: int, name: str
) -> dict[str, Any]:
    starts, sizes = [], []
    for place in range(first, last):
        slot = int(shards.line[place])
        table.map([slot])
        offsets = table.shard(slot).offsets
        here, size = pieces(offsets, packing.length, table.slots.keys[slot], packing.middles)
        starts.append(here + (shards.first_tokens[place] - shards.first_tokens[first]))
        sizes.append(size)
    all_starts, all_sizes = np.concatenate(starts), np.concatenate(sizes)
    if all_starts[-1] >= 1 << 32:
        raise InputError(f"{shards.folder.url}: a shard has more than 4,294,967,295 tokens; make smaller ones")
    row_offsets, items = best_fit(all_sizes, packing.length)
    values = pa.array(all_starts[items].astype(np.uint32))
    column = pa.LargeListArray.from_arrays(pa.array(row_offsets), values, type=_SCHEMA.field(0).type)
    with (
        packing.folder(shards).writing(name) as out,
        pa.OSFile(str(out.path), "wb") as sink,
        pa.ipc.new_file(sink, _SCHEMA) as writer,
    ):
        writer.write_batch(pa.RecordBatch.from_arrays([column], schema=_SCHEMA))
    rows, used = len(row_offsets) - 1, int(all_sizes.sum())
    tokens = int(shards.first_tokens[last] - shards.first_tokens[first])
    counts = {"rows": rows, "pieces": len(items), "tokens": tokens, "padding": rows * packing.length - used}
    return counts | {"bytes": out.bytes, "sha256": out.sha256}


def _named(shards: TokenShards) -> str:
    return digest([shards.fingerprint, [e["name"] for e in shards.entries]])


def _read_block(folder: Folder, entry: dict[str, Any]) -> pa.LargeListArray:
    name, path = entry["name"], folder.local_path(entry["name"])
    if not path.is_file() or sha256_of(path) != entry["sha256"]:
        raise DamagedError(f"{folder.url}/{name} is missing or changed. Remove the folder and pack again")
    starts = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0).column(0)
    assert isinstance(starts, pa.LargeListArray)
    return starts


def _running_sums(sizes: list[int]) -> np.ndarray:
    sums = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=sums[1:])
    return sums
