"""MosaicML's StreamingDataset, in an environment of its own (.venv-loaders). Nothing of ours.

JSON lines, {"mode": m, ...} each, answered as `loader_clock` says:

    write   tokens, folder, sequence_length: the rows as MDS shards
    read    folder, sequence_length, batch_size, workers, seconds, warm_seconds: tokens a second, time to first batch
    resume  folder, sequence_length, batch_size, workers, sample: time to first batch from a state at that sample
    order   folder, sequence_length, batch_size, workers, sample: first token of each row, from a state if sample > 0
    epoch   samples, sequence_length, sample: what a start costs before any row is read, and its memory

How it is set, which is to be its best:
- Rows are columns of `bytes`, one of the two forms that llm-foundry reads. The other, `ndarray:uint16:n`, parses that
  name again for each row, and is 2.7 times slower to read. Shards have the default 64 MB and no compression.
- `local` alone: the shards are read where they lie, nothing is copied.
- `batch_size` also to the dataset, drop_last, py1e, shuffle_block_size 4,000,000: all are defaults or what its
  documentation asks for. num_canonical_nodes is 1, the number of nodes and its default, but said: a state taken outside
  the workers otherwise lacks it.
- `predownload`: with the default, 8 batches, two threads beside each reader take its interpreter lock over and over,
  and wait in steps of 7 ms. As many as there are rows lets them run through the epoch once. With 2 workers that is 1.1
  times as fast at 200 M tokens and 1.4 times at 20 M, so it is taken; without workers 0.8 to 0.95 times at 200 M, so
  the default stays. Where an epoch is short the threads end within the warm-up, and what is then measured no long epoch
  reaches: 36 instead of 11 M tokens/s at 20 M. (llm-foundry's default was 100,000.) A question may name another.
- Tokens become int64 in the worker, a batch in one step.
Rows have sequence_length tokens, not one more: as in llm-foundry, the model shifts its labels.

Afterwards MosaicML's stale shared memory is removed, which it would trip over next time. Its function for that removes
what any run on the machine has in use, so nothing else with MosaicML's streaming may run beside this.
"""

import gc
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loader_clock import converse, first_batch, folder_bytes, memory, order, rate, rows_of

PACKAGE = "mosaicml-streaming"
SHARD_BYTES = 1 << 26
SHUFFLE = {"shuffle": True, "shuffle_algo": "py1e", "shuffle_block_size": 4_000_000, "num_canonical_nodes": 1}
_OPENED: list[Any] = []
"""Datasets of the present question, to be cleaned up after."""


def write(tokens: str, folder: str, sequence_length: int) -> dict[str, Any]:
    from streaming import MDSWriter

    rows, began = rows_of(tokens, sequence_length), time.perf_counter()
    with MDSWriter(out=folder, columns={"tokens": "bytes"}, size_limit=SHARD_BYTES) as writer:
        for row in rows:
            writer.write({"tokens": row.tobytes()})
    return {"seconds": time.perf_counter() - began, "rows": len(rows), "bytes": folder_bytes(folder)}


def read(seconds: float, warm_seconds: float, **where: Any) -> dict[str, Any]:
    loader = Loader(**where)
    return rate(loader.open, seconds, warm_seconds) | {"settings": loader.settings}


def resume(sample: int, **where: Any) -> dict[str, Any]:
    loader = Loader(**where)
    state = loader.state(sample)
    return first_batch(lambda: loader.open(state)) | {"sample": state["sample_in_epoch"], "settings": loader.settings}


def order_from(sample: int = 0, **where: Any) -> dict[str, Any]:
    loader = Loader(**where)
    return order(loader.open(loader.state(sample) if sample else None))


class Loader:
    """Where the rows are and how they are read; `open` gives a fresh StreamingDataLoader."""

    def __init__(
        self, folder: str, sequence_length: int, batch_size: int, workers: int, predownload: int | None = None
    ) -> None:
        self.folder, self.sequence_length = folder, sequence_length
        if predownload is None and workers:
            index = json.loads(Path(folder, "index.json").read_text(encoding="utf-8"))
            predownload = sum(shard["samples"] for shard in index["shards"])
        self.settings = {"batch_size": batch_size, "workers": workers, "predownload": predownload, **SHUFFLE}

    def open(self, state: dict[str, Any] | None = None) -> Any:
        from streaming import StreamingDataLoader

        size, workers = self.settings["batch_size"], self.settings["workers"]
        dataset = open_dataset(self.folder, batch_size=size, predownload=self.settings["predownload"])
        loader = StreamingDataLoader(
            dataset, batch_size=size, num_workers=workers, collate_fn=self._collate, drop_last=True
        )
        if state:
            loader.load_state_dict(state)
        return loader

    def state(self, sample: int) -> dict[str, Any]:
        """What a checkpoint would hold after `sample` samples of the first epoch, down to whole batches."""
        loader = self.open()
        next(iter(loader))  # an epoch has to be under way
        return dict(loader.dataset.state_dict(sample - sample % self.settings["batch_size"], from_beginning=True))

    def _collate(self, rows: list[dict[str, bytes]]) -> Any:
        import numpy as np
        import torch

        tokens = np.frombuffer(b"".join([row["tokens"] for row in rows]), np.uint16)
        return torch.from_numpy(tokens.astype(np.int64).reshape(len(rows), self.sequence_length))


def epoch(samples: int, sequence_length: int, sample: int = 0, batch_size: int = 8) -> dict[str, Any]:
    """Opening a dataset of so many samples, and what each start and each epoch begins with: the order of all its
    samples, as its first worker makes it for all workers of a node. Its copy in shared memory is left out.

    The index is real, the shards that it names are not there: up to here nothing reads them.
    """
    from streaming.base.batching import generate_work
    from streaming.base.world import World

    def start() -> dict[str, Any]:
        began = time.perf_counter()
        dataset = open_dataset(folder, batch_size=batch_size)
        opened = time.perf_counter()
        left = generate_work(dataset.batching_method, dataset, World.detect(), 0, sample)
        done = time.perf_counter()
        return {"open_seconds": opened - began, "order_seconds": done - opened, "samples_left": int((left >= 0).sum())}

    with TemporaryDirectory() as folder:
        shards = _write_index(Path(folder), samples, sequence_length)
        return memory(start) | {"samples": samples, "shards": shards, "settings": SHUFFLE}


def _write_index(folder: Path, samples: int, sequence_length: int) -> int:
    """The index of full shards, after the one that the writer makes for a single row. Returns their number."""
    from streaming import MDSWriter

    with MDSWriter(out=str(folder), columns={"tokens": "bytes"}, size_limit=SHARD_BYTES) as writer:
        writer.write({"tokens": bytes(2 * sequence_length)})
    path = folder / "index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    [shard] = index["shards"]
    in_shard = SHARD_BYTES // shard["raw_data"]["bytes"]
    sizes = [in_shard] * (samples // in_shard) + [samples % in_shard] * (samples % in_shard > 0)
    index["shards"] = [
        shard | {"samples": size, "raw_data": shard["raw_data"] | {"basename": f"shard.{i:05}.mds"}}
        for i, size in enumerate(sizes)
    ]
    path.write_text(json.dumps(index), encoding="utf-8")
    return len(sizes)


def open_dataset(folder: str, batch_size: int, predownload: int | None = None) -> Any:
    from streaming import StreamingDataset

    dataset = StreamingDataset(local=folder, batch_size=batch_size, predownload=predownload, **SHUFFLE)
    _OPENED.append(dataset)
    return dataset


def clean() -> None:
    """Ends what an epoch left in its middle keeps running, and removes what it leaves in shared memory and in the
    temporary folder."""
    from streaming.base.util import clean_stale_shared_memory

    locks = [Path(path) for d in _OPENED for path in (d._cache_filelock_path, d._shared_barrier.filelock_path)]
    for dataset in _OPENED:
        if hasattr(dataset, "_executor"):  # it was iterated in this process: without workers
            dataset._event.set()
            dataset._executor.shutdown()
    _OPENED.clear()
    gc.collect()
    clean_stale_shared_memory()
    for lock in locks:
        lock.unlink(missing_ok=True)


def let_torchvision_import() -> None:
    """`import streaming` brings torchvision for its image datasets, unused here. PyPI's build of that holds CUDA code,
    which a CPU torch cannot load; it then fails over two operators that are not there. Named, they let it in."""
    import torch

    if torch.version.cuda is None:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


if __name__ == "__main__":
    let_torchvision_import()
    import streaming  # noqa: F401 (before any clock)

    converse(PACKAGE, {"write": write, "read": read, "resume": resume, "order": order_from, "epoch": epoch}, clean)
