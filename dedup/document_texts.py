"""Texts of a run's documents by address: only the row groups that they lie in are read."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.ledger import part_name
from corpusmill.schemas import ADDRESS_STRIDE
from corpusmill.storage import Folder


def document_texts(run: Folder, addresses: np.ndarray) -> pa.Array:
    """The text of each address, large_string, in the order given; an address may come twice."""
    wanted, places = np.unique(addresses, return_inverse=True)
    chunks = [_of_part(run, int(p), wanted[a:b]) for p, a, b in _runs(wanted // ADDRESS_STRIDE)]
    found = pa.concat_arrays([c for part in chunks for c in part] or [pa.array([], pa.large_string())])
    assert len(found) == len(wanted), f"{len(wanted) - len(found)} addresses are beyond the end of their part"
    return found.take(pa.array(places))


def _of_part(run: Folder, part: int, addresses: np.ndarray) -> list[pa.Array]:
    rows, start, chunks = addresses % ADDRESS_STRIDE, 0, []
    with run.open(f"documents/{part_name(part)}.parquet") as f:
        parquet = pq.ParquetFile(f)
        for group in range(parquet.num_row_groups):
            end = start + parquet.metadata.row_group(group).num_rows
            inside = rows[np.searchsorted(rows, start) : np.searchsorted(rows, end)] - start
            if len(inside):
                column = parquet.read_row_group(group, columns=["text"]).column(0).cast(pa.large_string())
                chunks.append(column.combine_chunks().take(pa.array(inside)))
            start = end
    return chunks


def _runs(values: np.ndarray) -> list[tuple[int, int, int]]:
    """(value, start, end) of each run of equal ones."""
    bounds = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return [(int(values[a]), a, b) for a, b in pairwise(bounds) if a < b]
