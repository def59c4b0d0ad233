"""Where the shards of a stream lie in memory: a slot for each, filled when a batch first needs it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from corpusmill.block_sums import BLOCK_BYTES
from corpusmill.errors import DamagedError
from corpusmill.tokenize.token_shards import CheckedBlocks, Shard, TokenShards, checked_shard
from corpusmill.train.stream.stream_kernels import unchecked_blocks


class Slots:
    """Columns of the table; addresses (int64) are 0, and documents too, while a shard is not mapped."""

    def __init__(self) -> None:
        self.offsets_at, self.documents, self.tokens_at, self.token_bytes, self.checked_at = (
            np.zeros(0, np.int64) for _ in range(5)
        )
        self.keys = np.zeros(0, np.uint64)  # tell shards apart, wherever they stand


class ShardTable:
    """Slots of all shards, in the order in which their strata were added. Mapping costs nothing until it is needed."""

    def __init__(self, token_type: np.dtype) -> None:
        self.like = np.zeros(0, token_type)
        self._strata: list[tuple[int, TokenShards]] = []
        self._mapped: dict[int, CheckedBlocks] = {}
        self._size = 0
        self.slots = Slots()

    def add(self, shards: TokenShards) -> int:
        """Give slots to the shards, in their order; the first one's number."""
        first, count = self._size, len(shards.entries)
        self._strata.append((first, shards))
        keys = [int(str(e.get("sealed_sha256", e["sha256"]))[:16], 16) for e in shards.entries]
        for name, column in vars(self.slots).items():
            more = np.array(keys, np.uint64) if name == "keys" else np.zeros(count, np.int64)
            setattr(self.slots, name, np.concatenate([column, more]))
        self._size += count
        return first

    def map(self, slots: Iterable[int]) -> None:
        """Map the shards of `slots` that are not mapped. DamagedError names a shard that is not what was written."""
        for slot in slots:
            if slot in self._mapped:
                continue
            shards, index = self.place(slot)
            self._mapped[slot] = checked_shard(shards.folder, shards.entries[index])  # keeps what addresses point to
            shard, table = self._mapped[slot].shard, self.slots
            if shard.tokens.dtype != self.like.dtype:
                raise DamagedError(
                    f"{shards.folder.url}/{shard.name} holds {shard.tokens.dtype} tokens, the first source "
                    f"{self.like.dtype}: they are not of one vocabulary"
                )
            table.offsets_at[slot] = _address(shard.offsets)
            table.tokens_at[slot] = _address(shard.tokens)
            table.checked_at[slot] = _address(shard.checked)
            table.token_bytes[slot] = shard.token_byte
            table.documents[slot] = len(shard.offsets) - 1

    def place(self, slot: int) -> tuple[TokenShards, int]:
        """The shards that a slot's is among, and its number there."""
        first, shards = next((f, s) for f, s in reversed(self._strata) if f <= slot)
        return shards, slot - first

    def check(self, segments: np.ndarray) -> None:
        """Compare what segments read with its checksums, where that was not done before."""
        table = self.slots
        found = unchecked_blocks(segments, BLOCK_BYTES, self.like.itemsize, table.token_bytes, table.checked_at)
        for slot in np.unique(found[:, 0]).tolist():
            self._mapped[slot].check(np.unique(found[found[:, 0] == slot, 1]))

    def shard(self, slot: int) -> Shard:
        self.map([slot])
        return self._mapped[slot].shard


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])
