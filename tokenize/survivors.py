"""What is left to tokenise: documents without the removed rows, and without the bytes that were cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.columns import byte_lengths, with_columns
from corpusmill.errors import DamagedError
from corpusmill.ledger import part_name
from corpusmill.parquet_parts import read_part
from corpusmill.schemas import CUTS
from corpusmill.storage import Folder
from corpusmill.surviving_rows import surviving_rows
from corpusmill.tokenize.cut_texts import cut_texts


class Cuts(NamedTuple):
    """Spans of one part, sorted by address, then start; int64 [n] each."""

    name: str  # of the file, for errors
    address: np.ndarray
    start: np.ndarray
    end: np.ndarray


def survivors(
    run: Folder, part: int, columns: tuple[str, ...], cut: Counter[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Surviving rows of one part, `columns` of DOCUMENTS and `address`, a row group at a time; `text` without its cuts.

    A document of which everything was cut is there, with an empty text. `cut["bytes"]` counts the bytes of text that
    were cut. Memory is one row group, and 24 bytes for each span of the part.
    """
    cuts = read_cuts(run, part)
    for batch in surviving_rows(run, part, columns):
        if "text" in columns and len(cuts.address):
            before = int(byte_lengths(batch.column("text")).sum())
            batch = with_columns(batch, {"text": without_cuts(batch.column("text"), batch.column("address"), cuts)})
            if cut is not None:
                cut["bytes"] += before - int(byte_lengths(batch.column("text")).sum())
        yield batch


def read_cuts(run: Folder, part: int) -> Cuts:
    """The spans of one part."""
    name = f"cuts/{part_name(part)}.parquet"
    table = pa.Table.from_batches(
        list(read_part(run, name, CUTS, ("address", "start", "end"))),
        pa.schema([CUTS.field(n) for n in ("address", "start", "end")]),
    )
    address, start, end = (table.column(n).to_numpy() for n in ("address", "start", "end"))
    order = np.lexsort((start, address))
    return Cuts(f"{run.url}/{name}", address[order], start[order], end[order])


def without_cuts(texts: pa.Array, addresses: pa.Array, cuts: Cuts) -> pa.Array:
    """Texts, whose addresses ascend, without their spans."""
    rows = addresses.to_numpy()
    first = np.searchsorted(cuts.address, rows)
    last = np.searchsorted(cuts.address, rows, side="right")
    chosen = np.repeat(first - np.r_[0, np.cumsum(last - first)][:-1], last - first) + np.arange((last - first).sum())
    spans = np.r_[0, np.cumsum(last - first)]
    found, bad = cut_texts(texts, spans, cuts.start[chosen], cuts.end[chosen])
    if bad >= 0:
        row = chosen[bad]
        raise DamagedError(
            f"{cuts.name}: the span {cuts.start[row]} to {cuts.end[row]} of document {cuts.address[row]} does not lie "
            "between characters of its text: spans and documents are not of one run. Run dedup again"
        )
    return found
