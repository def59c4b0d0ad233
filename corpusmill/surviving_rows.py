"""Documents that dedup left: the rows of a part without those in `removed`, their text as it was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from corpusmill.columns import with_columns
from corpusmill.ledger import part_name
from corpusmill.parquet_parts import read_part
from corpusmill.schemas import ADDRESS_STRIDE, DOCUMENTS, REMOVED
from corpusmill.storage import Folder


def surviving_rows(run: Folder, part: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Surviving rows of one part, `columns` of DOCUMENTS and `address`, a row group at a time, in order of address."""
    name = f"{part_name(part)}.parquet"
    gone = _removed_addresses(run, f"removed/{name}")
    row = 0
    for batch in read_part(run, f"documents/{name}", DOCUMENTS, columns):
        addresses = np.arange(row, row + batch.num_rows, dtype=np.int64) + part * ADDRESS_STRIDE
        row += batch.num_rows
        batch = with_columns(batch, {"address": pa.array(addresses)})
        yield batch.filter(pa.array(~np.isin(addresses, gone)))


def _removed_addresses(run: Folder, name: str) -> np.ndarray:
    found = [b.column("address").to_numpy() for b in read_part(run, name, REMOVED, ("address",))]
    return np.concatenate(found) if found else np.zeros(0, np.int64)
