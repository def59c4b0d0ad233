"""Texts of a run's documents by address: only the row groups that they lie in are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
    bounds = [0, *(np.flatnonzero(np.diff(wanted // ADDRESS_STRIDE)) + 1).tolist(), len(wanted)]
    pieces = [wanted[a:b] for a, b in pairwise(bounds) if a < b]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # decompression, outside Python's lock
        found_in = pool.map(lambda some: [texts for _, texts in part_texts(run, some)], pieces)
        chunks = [texts for part in found_in for texts in part]
    found = pa.concat_arrays(chunks or [pa.array([], pa.large_string())])
    assert len(found) == len(wanted), f"{len(wanted) - len(found)} addresses are beyond the end of their part"
    return found.take(pa.array(places))


def part_texts(run: Folder, addresses: np.ndarray) -> Iterator[tuple[np.ndarray, pa.Array]]:
    """(addresses, their texts) of each row group; `addresses` ascend and are of one part. Memory is one row group."""
    rows, start = addresses % ADDRESS_STRIDE, 0
    with run.open(f"documents/{part_name(int(addresses[0]) // ADDRESS_STRIDE)}.parquet") as f:
        parquet = pq.ParquetFile(f)
        for group in range(parquet.num_row_groups):
            end = start + parquet.metadata.row_group(group).num_rows
            here = slice(*np.searchsorted(rows, (start, end)).tolist())
            if here.start < here.stop:
                column = parquet.read_row_group(group, columns=["text"]).column(0).cast(pa.large_string())
                yield addresses[here], column.combine_chunks().take(pa.array(rows[here] - start))
            start = end
