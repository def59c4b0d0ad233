"""MosaicML Streaming's data sets (MDS): a folder of shard.NNNNN.mds and an index.json that names them.

A shard, little endian: the number of samples (uint32), where each begins and the last ends, in bytes of the file
(uint32 each), the columns as JSON, the samples. A sample: the sizes of those columns that have none of their own
(uint32 each), then the columns' bytes, sorted by name. An `ndarray:uint16` of one dimension is 4, 5 or 6 (one
dimension, its length as uint8, uint16 or uint32), the length, the numbers. From mosaicml/streaming, base/format/mds
and base/format/base/writer.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from corpusmill.columns import text_buffers
from corpusmill.errors import InputError
from corpusmill.schemas import SHARD_DOCS
from corpusmill.storage import Folder, Output
from corpusmill.tokenize.foreign_documents import PROVENANCE, WEIGHT, smallest_type
from corpusmill.tokenize.shard_exports import Described, Export, described
from corpusmill.whole_folders import whole_folder

INDEX = "index.json"
VERSION = 2
TOKENS = "tokens"
SIZE_LIMIT = 1 << 26
"""Bytes of a shard; MDSWriter has the same."""
_HASH = "sha256"
_LARGEST = (1 << 32) - 1


def write(export: Export, to: str) -> list[Output]:
    """A folder of shards, a sample for each document. Memory: the columns of one shard's documents, not its tokens."""
    kind = export.kind(smallest_type(export.shards.vocab_size))
    columns = {name: "str" if pa.types.is_string(SHARD_DOCS.field(name).type) else "int" for name in PROVENANCE}
    columns |= {WEIGHT: "int"} if export.with_weights else {}
    layout = _Layout.of(columns | {TOKENS: f"ndarray:{kind.name}"}, kind)
    outputs: list[Output] = []
    shards: list[dict[str, Any]] = []
    with whole_folder(to, last=INDEX) as folder:
        pending = _Pending(layout)
        for documents in described(export):
            for full in pending.add(documents):
                outputs.append(_write_shard(folder, len(shards), layout, full, shards))
        if pending.documents:
            outputs.append(_write_shard(folder, len(shards), layout, pending.documents, shards))
        with folder.writing(INDEX) as index:
            index.path.write_text(json.dumps({"version": VERSION, "shards": shards}, sort_keys=True), encoding="utf-8")
    return [*outputs, index]


@dataclass(frozen=True)
class _Layout:
    """The columns of a data set, sorted by name. `size` is None where each sample says it."""

    columns: Sequence[tuple[str, str, int | None]]  # name, encoding, size
    kind: np.dtype

    @classmethod
    def of(cls, encodings: dict[str, str], kind: np.dtype) -> _Layout:
        return cls([(n, encodings[n], 8 if encodings[n] == "int" else None) for n in sorted(encodings)], kind)

    @property
    def config(self) -> dict[str, Any]:
        names, encodings, sizes = (list(values) for values in zip(*self.columns, strict=True))
        shard = {
            "version": VERSION,
            "format": "mds",
            "compression": None,
            "hashes": [_HASH],
            "size_limit": SIZE_LIMIT,
        }
        return shard | {"column_names": names, "column_encodings": encodings, "column_sizes": sizes}

    @property
    def config_bytes(self) -> bytes:
        return json.dumps(self.config, sort_keys=True).encode()

    @property
    def sizes_at_head(self) -> int:
        return sum(size is None for _, _, size in self.columns)

    def sample_sizes(self, documents: Described) -> np.ndarray:
        """Bytes of each document's sample. int64."""
        lengths = np.diff(documents.offsets)
        total = lengths * self.kind.itemsize + 1 + _length_bytes(lengths) + 4 * self.sizes_at_head
        for name, encoding, _ in self.columns:
            if name != TOKENS:
                total += pc.binary_length(_texts(documents, name)).to_numpy() if encoding == "str" else 8
        return total

    def encode(self, documents: Described) -> np.ndarray:
        """The samples, one after the other. uint8."""
        ends = np.cumsum(self.sample_sizes(documents))
        out = np.empty(int(ends[-1]), np.uint8)
        heads = np.r_[0, ends[:-1]]
        at = heads + 4 * self.sizes_at_head
        head = 0
        for name, encoding, size in self.columns:
            began = at
            for data, starts, stops in self._parts(documents, name, encoding):
                copy_spans(data, starts, stops, out, at)
                at = at + (stops - starts)
            if size is None:
                sizes = (at - began).astype(np.uint32)
                copy_spans(*_rows(sizes), out, heads + 4 * head)
                head += 1
        return out

    def _parts(self, documents: Described, name: str, encoding: str) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Bytes, and where in them each document's begin and end: what follows each other in a column."""
        if name == TOKENS:
            size, offsets = self.kind.itemsize, documents.offsets.astype(np.int64)
            tokens = np.ascontiguousarray(documents.tokens.astype(self.kind, copy=False)).view(np.uint8)
            return [_shapes(np.diff(offsets)), (tokens, offsets[:-1] * size, offsets[1:] * size)]
        if encoding == "str":
            offsets, data = text_buffers(_texts(documents, name))
            return [(data, offsets[:-1], offsets[1:])]
        return [_rows(documents.rows.column(name).fill_null(-1).to_numpy().astype(np.int64))]


def _texts(documents: Described, name: str) -> pa.Array:
    return documents.rows.column(name).fill_null("")


def _rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One number for each document, as bytes."""
    starts = np.arange(len(values)) * values.itemsize
    return np.ascontiguousarray(values).view(np.uint8), starts, starts + values.itemsize


def _length_bytes(lengths: np.ndarray) -> np.ndarray:
    return np.where(lengths < 1 << 8, 1, np.where(lengths < 1 << 16, 2, 4))


def _shapes(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What stands before the numbers: how long the length is, and the length."""
    size = _length_bytes(lengths)
    heads = np.zeros((len(lengths), 5), np.uint8)
    heads[:, 0] = 4 + size // 2
    heads[:, 1:] = lengths.astype("<u4").view(np.uint8).reshape(-1, 4)
    starts = np.arange(len(lengths)) * 5
    return heads.reshape(-1), starts, starts + 1 + size


class _Pending:
    """Documents that will be in the next shard, as views."""

    def __init__(self, layout: _Layout) -> None:
        self.documents: list[Described] = []
        self._layout = layout
        self._empty = 8 + len(layout.config_bytes)
        self._bytes = self._empty

    def add(self, documents: Described) -> list[list[Described]]:
        """Take documents; the shards that are full."""
        full = []
        sums = np.cumsum(self._layout.sample_sizes(documents) + 4)
        at = 0
        while at < len(sums):
            before = int(sums[at - 1]) if at else 0
            stop = int(np.searchsorted(sums, before + SIZE_LIMIT - self._bytes, side="right"))
            if stop <= at and self.documents:
                full.append(self.documents)
                self.documents, self._bytes = [], self._empty
                continue
            stop = max(stop, at + 1)  # a sample that is larger than a shard is a shard
            self.documents.append(documents.slice(at, stop))
            self._bytes += int(sums[stop - 1]) - before
            at = stop
        return full


def _write_shard(
    folder: Folder, number: int, layout: _Layout, documents: Sequence[Described], shards: list[dict[str, Any]]
) -> Output:
    """Write one shard, and add what the index says of it to `shards`."""
    sizes = np.concatenate([layout.sample_sizes(d) for d in documents])
    config = layout.config_bytes
    begins = np.r_[0, np.cumsum(sizes)] + 4 + 4 * (len(sizes) + 1) + len(config)
    if begins[-1] > _LARGEST:
        raise InputError(f"a document of {int(sizes.max()):,} bytes is too large for a shard of MDS, which has 4 GB")
    with folder.writing(f"shard.{number:05d}.mds") as out, out.path.open("wb") as f:
        f.write(np.r_[len(sizes), begins].astype("<u4").data)
        f.write(config)
        for some in documents:
            f.write(layout.encode(some).data)
    data = {"basename": out.name, "bytes": out.bytes, "hashes": {_HASH: out.sha256}}
    shards.append({"samples": len(sizes), "raw_data": data, "zip_data": None} | layout.config)
    return out


@njit(cache=True, nogil=True)
def copy_spans(source, starts, stops, target, places):  # type: ignore[no-untyped-def]
    """Copy `source[starts[i]:stops[i]]` to `target[places[i]:]` for each i."""
    for i in range(len(starts)):
        at = places[i]
        for k in range(starts[i], stops[i]):
            target[at] = source[k]
            at += 1
