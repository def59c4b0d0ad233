"""Batches of packed tokens, in an order that is a pure function of (shards, seed, epoch).

All tokens of all shards stand in one line, those of a shard that has a weight as often as that says. The line is cut
into chunks of `sequence_length` (the last one padded). Sample n is chunk `permutation(n % chunks)` under a permutation
keyed by the manifest's fingerprint, the seed and the epoch `n // chunks`. No list of samples exists, so opening is
immediate at any size, the state is a handful of integers, and the same global batches come out for any number of ranks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from corpusmill.errors import InputError
from corpusmill.storage import Folder
from corpusmill.train.stream_kernels import IGNORED, PADDING, fill, permute
from corpusmill.train.token_shards import TokenShards, open_shards

_ROUNDS = 8
_PINNED = ("fingerprint", "seed", "sequence_length", "batch_size")


@dataclass(frozen=True)
class Batch:
    """Rows of one global batch. Arrays are int64[rows, sequence_length].

    `labels` are the next tokens, -100 where there is none; an end-of-text token opens a document; `positions` restart
    at each document; `documents` number the documents through all shards, -1 after the end of the corpus; `chunks`
    (int64[rows]) say which chunk of the corpus each row is.
    """

    input_ids: np.ndarray
    labels: np.ndarray
    positions: np.ndarray
    documents: np.ndarray
    chunks: np.ndarray
    first_row: int

    @property
    def num_tokens(self) -> int:
        return int((self.documents != PADDING).sum())

    @property
    def num_targets(self) -> int:
        return int((self.labels != IGNORED).sum())

    def rows(self, start: int, stop: int) -> Batch:
        """Rows `start` to `stop`, as views."""
        ids, labels, positions = self.input_ids[start:stop], self.labels[start:stop], self.positions[start:stop]
        documents, chunks = self.documents[start:stop], self.chunks[start:stop]
        return Batch(ids, labels, positions, documents, chunks, self.first_row + start)


class TokenStream:
    """The training batches of a shard folder. Steps count from 1; step k holds samples [(k-1)*B, k*B)."""

    def __init__(self, shards: Folder, *, seed: int, sequence_length: int, batch_size: int) -> None:
        """Map the shards. Raises InputError or DamagedError, by name, where one is not what the manifest says."""
        self.shards: TokenShards = open_shards(shards)
        self.seed = seed
        self.sequence_length = sequence_length
        self.batch_size = batch_size
        self.next_step = 1

    @property
    def num_chunks(self) -> int:
        """Samples in an epoch."""
        return -(-self.shards.num_tokens // self.sequence_length)

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on with the very next batch."""
        return {"next_step": self.next_step, **self._pins()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken. Raises InputError if it belongs to other shards or settings."""
        for key, value in self._pins().items():
            if state.get(key) != value:
                raise InputError(
                    f"the stream's state was saved with {key} {state.get(key)!r}, this stream has {value!r}: the "
                    f"batches would not be the same. Give it the same {key}, or start again in a new run folder"
                )
        self.next_step = int(state["next_step"])

    def next_batch(self, rank: int = 0, world_size: int = 1) -> Batch:
        """The rank's rows of the next global batch; the state moves on by one step."""
        batch = self.batch(self.next_step, rank, world_size)
        self.next_step += 1
        return batch

    def __iter__(self) -> Iterator[Batch]:
        """Whole global batches, without end: epoch follows epoch, each in an order of its own."""
        while True:
            yield self.next_batch()

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """Rows of global batch `step` that belong to `rank`: contiguous, the same batch for any `world_size`."""
        if step < 1:
            raise InputError(f"step {step} does not exist: steps count from 1")
        if self.batch_size % world_size or not 0 <= rank < world_size:
            raise InputError(
                f"a batch of {self.batch_size} cannot be dealt to rank {rank} of {world_size}: train.batch_size must "
                "be a multiple of the number of ranks, and ranks count from 0"
            )
        rows = self.batch_size // world_size
        first = (step - 1) * self.batch_size + rank * rows
        return self._fill(self.chunks(first, rows), rank * rows)

    def chunks(self, first: int, count: int) -> np.ndarray:
        """Which chunks of the corpus samples `first` .. `first + count - 1` are. int64[count]."""
        found, size = [], self.num_chunks
        while count:
            epoch, index = divmod(first, size)
            here = min(count, size - index)
            found.append(permute(index, here, size, _half_bits(size), self._keys(epoch)))
            first, count = first + here, count - here
        return np.concatenate(found)

    @property
    def _tokens_in_last_chunk(self) -> int:
        return self.shards.num_tokens - (self.num_chunks - 1) * self.sequence_length

    def _keys(self, epoch: int) -> np.ndarray:
        return _round_keys(self.shards.fingerprint, self.seed, epoch)

    def _pins(self) -> dict[str, Any]:
        values = (self.shards.fingerprint, self.seed, self.sequence_length, self.batch_size)
        return dict(zip(_PINNED, values, strict=True))

    def _fill(self, chunks: np.ndarray, first_row: int) -> Batch:
        shape = (len(chunks), self.sequence_length)
        ids, labels, positions, documents = (np.empty(shape, np.int64) for _ in range(4))
        beyond = (chunks == self.num_chunks - 1).nonzero()[0], slice(self._tokens_in_last_chunk, None)
        for array, padding in (
            (ids, self.shards.eos_token_id),
            (labels, IGNORED),
            (positions, 0),
            (documents, PADDING),
        ):
            array[beyond] = padding
        for index, (rows, columns, starts, counts) in self._pieces(chunks):
            number = self.shards.line[index]
            shard, first = self.shards.shards[number], self.shards.first_documents[number]
            fill(
                shard.tokens, shard.offsets, first, (rows, columns, starts, counts), (ids, labels, positions, documents)
            )
        return Batch(ids, labels, positions, documents, chunks, first_row)

    def _pieces(self, chunks: np.ndarray) -> Iterator[tuple[int, tuple[np.ndarray, ...]]]:
        """Per place of the line touched: rows, columns, starts within its shard, counts."""
        borders = self.shards.first_tokens
        begins = chunks * self.sequence_length
        ends = np.minimum(begins + self.sequence_length, borders[-1])
        low = np.searchsorted(borders, begins, side="right") - 1
        high = np.searchsorted(borders, ends, side="left")
        opened = np.bincount(low, minlength=len(borders)) - np.bincount(high, minlength=len(borders))
        for index in np.flatnonzero(np.cumsum(opened)):
            start, stop = np.maximum(begins, borders[index]), np.minimum(ends, borders[index + 1])
            rows = np.flatnonzero(stop > start)
            start, stop = start[rows], stop[rows]
            yield int(index), (rows, start - begins[rows], start - borders[index], stop - start)


def _half_bits(size: int) -> int:
    return max(1, (max(size - 1, 1).bit_length() + 1) // 2)


@lru_cache(maxsize=8)
def _round_keys(fingerprint: str, seed: int, epoch: int) -> np.ndarray:
    """Eight 64-bit keys, one for each round of the permutation."""
    hashed = hashlib.sha512(f"{fingerprint}:{seed}:{epoch}".encode()).digest()
    return np.frombuffer(hashed, dtype="<u8", count=_ROUNDS).astype(np.uint64)
