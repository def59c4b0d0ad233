"""Rows of a stratum: the shards that came to a source together, as rows of tokens that can be numbered and found.

Two ways to make rows. `ChunkedRows` cuts the line of all tokens every `length` of them; where the line ends it begins
again, so the row at the end of a lap takes the tail and goes on with the head of the next lap: no token is padded or
left out, and later laps are cut elsewhere. `PackedRows` are packed by best fit; a lap has each of them once.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from corpusmill.tokenize.token_shards import TokenShards
from corpusmill.train.stream.packing import PackedIndex
from corpusmill.train.stream.shard_table import ShardTable
from corpusmill.train.stream.stream_kernels import chunk_segments, packed_segments


class Rows(Protocol):
    shards: TokenShards

    def before(self, lap: int) -> int:
        """Rows of all laps before `lap`."""
        ...

    def segments(self, rows: np.ndarray, out_rows: np.ndarray) -> np.ndarray:
        """Segments (see stream_kernels) of `rows`, numbered through all laps, as `out_rows` of a batch."""
        ...

    def holding(self, shard: int, start: int, stop: int, lap: int) -> np.ndarray:
        """Rows, numbered through all laps, of a lap's tokens [start, stop) of a shard. int64, ascending.

        A chunk that a lap begins in is a row of the lap before.
        """
        ...


class ChunkedRows:
    def __init__(self, shards: TokenShards, length: int, table: ShardTable) -> None:
        self.shards = shards
        self._length, self._table, self._slot = length, table, table.add(shards)

    def before(self, lap: int) -> int:
        return -(-lap * self.shards.num_tokens // self._length)

    def segments(self, rows: np.ndarray, out_rows: np.ndarray) -> np.ndarray:
        line = (self.shards.first_tokens, self.shards.line + self._slot)
        while True:
            known = self._table.slots.offsets_at, self._table.slots.documents
            found, missing = chunk_segments(rows, out_rows, self._length, line, known)
            if not len(missing):
                return np.asarray(found)
            self._table.map(np.unique(missing).tolist())

    def holding(self, shard: int, start: int, stop: int, lap: int) -> np.ndarray:
        places = self.shards.first_tokens[:-1][self.shards.line == shard] + lap * self.shards.num_tokens
        ranges = [np.arange((at + start) // self._length, -(-(at + stop) // self._length)) for at in places.tolist()]
        return np.unique(np.concatenate(ranges))


class PackedRows:
    def __init__(self, shards: TokenShards, index: PackedIndex, table: ShardTable) -> None:
        self.shards = shards
        self._index, self._table, self._slot = index, table, table.add(shards)

    def before(self, lap: int) -> int:
        return lap * self._index.num_rows

    def segments(self, rows: np.ndarray, out_rows: np.ndarray) -> np.ndarray:
        line = (self.shards.first_tokens, self.shards.line + self._slot)
        index, slots = self._index, self._table.slots
        rows = rows % index.num_rows
        while True:
            known = slots.offsets_at, slots.documents
            found, missing, unread = packed_segments(
                rows, out_rows, index.length, line, index.blocks, known, slots.keys, index.middles
            )
            if not len(missing) and not len(unread):
                return np.asarray(found)
            self._table.map(np.unique(missing).tolist())
            index.map(np.unique(unread).tolist())

    def holding(self, shard: int, start: int, stop: int, lap: int) -> np.ndarray:
        places = np.flatnonzero(self.shards.line == shard)
        found = [self._index.rows_of(place, start, stop, self.shards) for place in places.tolist()]
        return np.unique(np.concatenate(found)) + self.before(lap)
