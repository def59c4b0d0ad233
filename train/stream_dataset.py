"""The stream as a torch IterableDataset: a rank's micro-batches, the same for any number of DataLoader workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from corpusmill.errors import InputError
from corpusmill.train.stream import Batch, TokenStream


class StreamDataset(IterableDataset[dict[str, Any]]):
    """Micro-batches of `micro_batch_size` samples of one rank, from the stream's next step on, without end.

    Each is a dict of tensors: `input_ids`, `labels`, `position_ids` int64[rows, length]; `cu_seqlens` int32[segments +
    1], where stretches of one document begin in the flat micro-batch; `documents` int64[rows, length], which stretch a
    place is of; `samples` int64, and `step`. Give it to `DataLoader(dataset, batch_size=None, num_workers=...)`:
    worker w makes micro-batches w, w + workers, ..., which the loader puts in order again.

    Workers read ahead, so where training stands only the training knows: it saves `state_dict(step)` after a step, and
    a stream that loads it goes on with the very next batch.
    """

    def __init__(self, stream: TokenStream, micro_batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        samples = stream.batch_size // world_size
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
        since = self.stream.next_step
        while True:
            step, part = since + number // self._per_step, number % self._per_step
            first = self._first + part * self.micro_batch_size
            yield _tensors(self.stream.part(step, first, self.micro_batch_size), step)
            number += workers

    def state_dict(self, step: int) -> dict[str, Any]:
        """The stream's state after `step`, the last one that was trained on."""
        return self.stream.state_after(step)


def _tensors(batch: Batch, step: int) -> dict[str, Any]:
    arrays = {
        "input_ids": batch.input_ids,
        "labels": batch.labels,
        "position_ids": batch.positions,
        "documents": batch.documents,
        "cu_seqlens": batch.cu_seqlens,
        "samples": batch.samples,
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()} | {"step": step}
