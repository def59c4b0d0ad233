"""litdata's StreamingDataset over TokensLoader chunks, in an environment of its own (.venv-loaders). Nothing of ours.

JSON lines, {"mode": m, ...} each, answered as `loader_clock` says:

    write   tokens, folder, sequence_length: the rows as chunks
    read    folder, sequence_length, batch_size, workers, seconds, warm_seconds: tokens a second, time to first batch
    resume  folder, sequence_length, batch_size, workers, sample: time to first batch from a state at that sample
    order   folder, sequence_length, batch_size, workers, sample: first token of each row, from a state if sample > 0
    epoch   samples, sequence_length, sample: what a start costs before any row is read, and its memory

How it is set, which is to be its best:
- TokensLoader and chunks of 64 MB, as its README does for tokens; uint16 NumPy arrays, of which a row is a copy out of
  the mapped chunk. A local folder is read where it lies, nothing is copied (its default).
- shuffle and drop_last; its default shuffle, which permutes chunks and, within a chunk, blocks of 256 rows and the rows
  in them. Rows of two chunks never mix, so this is a weaker shuffle than that of the others. A full permutation of
  the chunk is no faster; more chunks or batches ahead made no difference.
- Tokens become int64 in the worker, a batch in one step.
Rows have sequence_length tokens, not one more, as for the others.

`optimize` wipes a folder of the name "data" under the system's temporary folder; here it gets folders of its own.
"""

import json
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loader_clock import converse, first_batch, folder_bytes, memory, order, rate, rows_of

PACKAGE = "litdata"
CHUNK_BYTES = "64MB"
ROWS_IN_ITEM = 256
"""Rows that are handed to the writer together, which ends a chunk only between two of these."""
CACHES = {"DATA_OPTIMIZER_CACHE_FOLDER": "chunks", "DATA_OPTIMIZER_DATA_CACHE_FOLDER": "data"}


def write(tokens: str, folder: str, sequence_length: int) -> dict[str, Any]:
    import numpy as np
    from litdata import TokensLoader, optimize

    rows, began = rows_of(tokens, sequence_length), time.perf_counter()

    def item(first: int) -> Any:
        return np.array(rows[first : first + ROWS_IN_ITEM]).reshape(-1)

    with TemporaryDirectory(dir=Path(folder).absolute().parent) as own:
        os.environ |= {name: str(Path(own, part)) for name, part in CACHES.items()}
        optimize(
            fn=item,
            inputs=list(range(0, len(rows), ROWS_IN_ITEM)),
            output_dir=folder,
            chunk_bytes=CHUNK_BYTES,
            item_loader=TokensLoader(),
            num_workers=1,
            start_method="fork",
            reorder_files=False,
            keep_data_ordered=True,
            verbose=False,
        )
    return {"seconds": time.perf_counter() - began, "rows": len(rows), "bytes": folder_bytes(folder)}


def read(seconds: float, warm_seconds: float, **where: Any) -> dict[str, Any]:
    loader = Loader(**where)
    return rate(loader.open, seconds, warm_seconds) | {"settings": loader.settings}


def resume(sample: int, **where: Any) -> dict[str, Any]:
    loader = Loader(**where)
    state = loader.state(sample)
    found = first_batch(lambda: loader.open(state))
    return found | {"sample": state["num_samples_yielded"], "settings": loader.settings}


def order_from(sample: int = 0, **where: Any) -> dict[str, Any]:
    loader = Loader(**where)
    return order(loader.open(loader.state(sample) if sample else None))


class Loader:
    """Where the rows are and how they are read; `open` gives a fresh StreamingDataLoader."""

    def __init__(self, folder: str, sequence_length: int, batch_size: int, workers: int) -> None:
        self.folder, self.sequence_length = folder, sequence_length
        self.settings = {"batch_size": batch_size, "workers": workers, "shuffle": True, "drop_last": True}

    def open(self, state: dict[str, Any] | None = None) -> Any:
        from litdata import StreamingDataLoader

        size, workers = self.settings["batch_size"], self.settings["workers"]
        dataset = open_dataset(self.folder, self.sequence_length)
        loader = StreamingDataLoader(
            dataset, batch_size=size, num_workers=workers, collate_fn=self._collate, drop_last=True
        )
        if state:
            loader.load_state_dict(state)
        return loader

    def state(self, sample: int) -> dict[str, Any]:
        """What a checkpoint would hold after `sample` samples of the first epoch, down to whole batches."""
        size, workers = self.settings["batch_size"], self.settings["workers"]
        loader, batches = self.open(), sample // self.settings["batch_size"]
        next(iter(loader))  # an epoch has to be under way
        return loader.state_dict() | {
            "dataset": loader.dataset.state_dict(batches * size, workers, size),
            "num_samples_yielded": batches * size,
            "latest_worker_idx": (batches - 1) % max(workers, 1),  # the worker that gave the last of them
        }

    def _collate(self, rows: list[Any]) -> Any:
        import numpy as np
        import torch

        return torch.from_numpy(np.concatenate(rows, dtype=np.int64).reshape(len(rows), self.sequence_length))


def epoch(samples: int, sequence_length: int, sample: int = 0, batch_size: int = 8) -> dict[str, Any]:
    """Opening a dataset of so many samples, and what each start and each epoch begins with: which chunks go to which
    worker in which order. The rows of a chunk are permuted when it is reached.

    The index is real, the chunks that it names are not there: up to here nothing reads them.
    """

    def start() -> dict[str, Any]:
        began = time.perf_counter()
        dataset = open_dataset(folder, sequence_length)
        dataset.set_batch_size(batch_size)
        opened = time.perf_counter()
        if sample:
            dataset.load_state_dict(dataset.state_dict(sample, num_workers=1, batch_size=batch_size))
        iter(dataset)
        done = time.perf_counter()
        left = dataset.stop_length - sample
        return {"open_seconds": opened - began, "order_seconds": done - opened, "samples_left": int(left)}

    with TemporaryDirectory() as own:
        folder = str(Path(own, "chunks"))
        chunks = _write_index(Path(folder), samples, sequence_length)
        return memory(start) | {"samples": samples, "chunks": chunks}


def _write_index(folder: Path, samples: int, sequence_length: int) -> int:
    """The index of full chunks, after the one that the writer makes for a single row. Returns their number."""
    import numpy as np

    source = folder.with_name("row.npy")
    np.save(source, np.zeros(sequence_length, np.uint16))
    write(str(source), str(folder), sequence_length)
    path = folder / "index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    [chunk] = index["chunks"]
    in_chunk = 64_000_000 // (2 * sequence_length)
    sizes = [in_chunk] * (samples // in_chunk) + [samples % in_chunk] * (samples % in_chunk > 0)
    index["chunks"] = [
        chunk
        | {
            "filename": f"chunk-0-{i}.bin",
            "dim": size * sequence_length,
            "chunk_size": size,
            "chunk_bytes": 2 * size * sequence_length,
        }
        for i, size in enumerate(sizes)
    ]
    path.write_text(json.dumps(index), encoding="utf-8")
    return len(sizes)


def open_dataset(folder: str, sequence_length: int) -> Any:
    from litdata import StreamingDataset, TokensLoader

    return StreamingDataset(folder, item_loader=TokensLoader(block_size=sequence_length), shuffle=True, drop_last=True)


if __name__ == "__main__":
    import litdata  # noqa: F401 (before any clock)

    converse(PACKAGE, {"write": write, "read": read, "resume": resume, "order": order_from, "epoch": epoch})
