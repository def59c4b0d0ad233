"""The stream as a torch IterableDataset: a rank's micro-batches, the same for any number of DataLoader workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from corpusmill.errors import InputError
from corpusmill.train.stream.token_stream import TokenStream


class StreamDataset(IterableDataset[dict[str, Any]]):
    """Micro-batches of `micro_batch_size` samples of one rank, from the stream's next step on, without end.

    Each is a dict of tensors: `input_ids`, `labels`, `position_ids` int64[rows, length]; `cu_seqlens` int32[segments +
    1], where stretches of one document begin in the flat micro-batch; `samples` int64; and `step`, a number. Give it to
    `DataLoader(dataset, batch_size=None, num_workers=...)`: worker w makes micro-batches w, w + workers, ..., which the
    loader puts in order again.

    Workers read ahead, so where training stands only the training knows: it saves `state_dict(step)` after a step, and
    a stream that loads it goes on with the very next batch.
    """

    def __init__(self, stream: TokenStream, micro_batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        samples = stream.batch_size // world_size
        if not 0 <= rank < world_size:
            raise InputError(f"there is no rank {rank} of {world_size}: ranks count from 0")
        if stream.batch_size % world_size or samples % micro_batch_size:
            raise InputError(
                f"a batch of {stream.batch_size} cannot be dealt to {world_size} ranks in micro-batches of "
                f"{micro_batch_size}: it must be a multiple of ranks times micro-batch"
            )
        self.stream, self.micro_batch_size = stream, micro_batch_size
        self._first, self._per_step = rank * samples, samples // micro_batch_size

    def __iter__(self) -> Iterator[dict[str, Any]]:
        info = get_worker_info()
        number, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        since, size = self.stream.next_step, self.micro_batch_size * self.stream.sequence_length
        while True:
            step, part = since + number // self._per_step, number % self._per_step
            first = self._first + part * self.micro_batch_size
            # a worker's batch goes to the trainer in shared memory: filled there, it need not be copied
            block = _shared(size) if info is not None else torch.from_numpy(self.stream.buffer(size))
            batch = self.stream.part(step, first, self.micro_batch_size, block.numpy())
            yield _Made(_tensors(block, len(batch.input_ids), batch.cu_seqlens, batch.samples, step))
            number += workers

    def state_dict(self, step: int) -> dict[str, Any]:
        """The stream's state after `step`, the last one that was trained on."""
        return self.stream.state_after(step)


def documents(cu_seqlens: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Which stretch of one document each place of a micro-batch is of, by number: int64 of its `shape`."""
    lengths = torch.diff(cu_seqlens)
    return torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths).view(shape)


class _Made(dict[str, Any]):
    """A micro-batch that is sent as one block: each tensor that is sent by itself costs a connection."""

    def __copy__(self) -> _Made:
        return _Made(self)

    def __reduce__(self) -> tuple[Any, ...]:
        ids = self["input_ids"]
        block = ids.as_strided((3, ids.numel()), (ids.numel(), 1))  # rows of one block, which ids are the first of
        return _tensors, (block, len(ids), self["cu_seqlens"].numpy(), self["samples"].numpy(), self["step"])


def _tensors(block: torch.Tensor, rows: int, cu_seqlens: np.ndarray, samples: np.ndarray, step: int) -> dict[str, Any]:
    ids, labels, positions = (row.view(rows, -1) for row in block)
    known = {"cu_seqlens": torch.from_numpy(cu_seqlens), "samples": torch.from_numpy(samples), "step": step}
    return {"input_ids": ids, "labels": labels, "position_ids": positions, **known}


def _shared(size: int) -> torch.Tensor:
    """int64[3, size] in shared memory."""
    storage = torch.UntypedStorage._new_shared(3 * 8 * size, device="cpu")
    return torch.empty(0, dtype=torch.int64).set_(storage, 0, (3, size), (size, 1))
