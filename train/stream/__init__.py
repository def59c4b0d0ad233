"""The stream: which tokens of which documents stand in which batch, as a pure function of shards, seed and journal.

    token_stream.py     TokenStream: batches by step, its state, its journal
    stream_dataset.py   StreamDataset: the same as a torch IterableDataset of micro-batches
    sample_order.py     a step's samples, from: journal.py, source_order.py, mixture.py, permutation.py
    strata.py           a sample's tokens, from: packing.py, shard_table.py, sources.py
    stream_kernels.py   the loops over mapped shards
    batch_trace.py      which documents stood in a batch; document_steps.py: which batches a document stood in

Importing this package loads nothing until one of its names is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from corpusmill.train.stream.stream_dataset import StreamDataset
    from corpusmill.train.stream.token_stream import Batch, Middles, TokenStream

__all__ = ["Batch", "Middles", "StreamDataset", "TokenStream"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = "stream_dataset" if name == "StreamDataset" else "token_stream"
    return getattr(import_module(f"{__name__}.{module}"), name)
