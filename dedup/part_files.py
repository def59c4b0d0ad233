"""Rows in order of address to one file for each part of documents."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, pairwise

import numpy as np
import pyarrow as pa

from corpusmill.ledger import part_name
from corpusmill.parquet_parts import PartWriter
from corpusmill.schemas import ADDRESS_STRIDE
from corpusmill.storage import Folder, Output

Seen = Callable[[pa.RecordBatch], None]


def write_parts(
    run: Folder,
    kind: str,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    parts: Sequence[int] | None = None,
    seen: Seen = lambda batch: None,
) -> dict[int, Output]:
    """Write `kind/part-NNNNN.parquet` for each of `parts`, empty ones too (a missing file is damage); for those with
    rows alone if `parts` is None.

    `batches` have an `address` of the run, which ascends; `seen` is given each as it is written. Memory is one batch.
    """
    outputs: dict[int, Output] = {}
    waiting = deque(sorted(parts or ()))
    for part, found in groupby(_by_part(batches), key=lambda cut: cut[0]):
        while waiting and waiting[0] < part:
            empty = waiting.popleft()
            outputs[empty] = _write(run, kind, empty, schema, (), seen)
        assert parts is None or (waiting and waiting.popleft() == part), f"rows of {kind} are of part {part}: not there"
        outputs[part] = _write(run, kind, part, schema, (batch for _, batch in found), seen)
    return outputs | {part: _write(run, kind, part, schema, (), seen) for part in waiting}


def _write(
    run: Folder, kind: str, part: int, schema: pa.Schema, batches: Iterable[pa.RecordBatch], seen: Seen
) -> Output:
    with run.writing(f"{kind}/{part_name(part)}.parquet") as out, PartWriter(out.path, schema) as writer:
        for batch in batches:
            writer.write(batch)
            seen(batch)
    return out


def _by_part(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches cut where the part changes."""
    for batch in batches:
        part = batch.column("address").to_numpy() // ADDRESS_STRIDE
        bounds = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(part)]
        for start, end in pairwise(bounds):
            if start < end:
                yield int(part[start]), batch.slice(start, end - start)
