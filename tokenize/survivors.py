"""What is left to tokenise: documents without the removed rows, and without the bytes that were cut."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from corpusmill.columns import with_columns
from corpusmill.ledger import part_name
from corpusmill.parquet_parts import read_part
from corpusmill.schemas import ADDRESS_STRIDE, CUTS, DOCUMENTS, REMOVED
from corpusmill.storage import Folder


def survivors(
    run: Folder, part: int, columns: tuple[str, ...], cut: Counter[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Surviving rows of one part, `columns` of DOCUMENTS and `address`, a row group at a time; `text` without its cuts.

    `cut["bytes"]` counts the bytes of text that were cut.
    """
    name = f"{part_name(part)}.parquet"
    gone = _addresses(run, f"removed/{name}")
    cuts = _cuts(run, f"cuts/{name}")
    row = 0
    for batch in read_part(run, f"documents/{name}", DOCUMENTS, columns):
        addresses = np.arange(row, row + batch.num_rows, dtype=np.int64) + part * ADDRESS_STRIDE
        row += batch.num_rows
        batch = with_columns(batch, {"address": pa.array(addresses)})
        batch = batch.filter(pa.array(~np.isin(addresses, gone)))
        yield _without_cuts(batch, cuts, cut if cut is not None else Counter()) if cuts and "text" in columns else batch


def _addresses(run: Folder, name: str) -> np.ndarray:
    found = [b.column("address").to_numpy() for b in read_part(run, name, REMOVED, ("address",))]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _cuts(run: Folder, name: str) -> dict[int, list[tuple[int, int]]]:
    spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for batch in read_part(run, name, CUTS, ("address", "start", "end")):
        for row in batch.to_pylist():
            spans[row["address"]].append((row["start"], row["end"]))
    return {address: sorted(s) for address, s in spans.items()}


def _without_cuts(batch: pa.RecordBatch, cuts: dict[int, list[tuple[int, int]]], cut: Counter[str]) -> pa.RecordBatch:
    texts = batch.column("text").to_pylist()
    for i, address in enumerate(batch.column("address").to_pylist()):
        if address in cuts:
            before = len(texts[i].encode())
            texts[i] = cut_text(texts[i], cuts[address])
            cut["bytes"] += before - len(texts[i].encode())
    return with_columns(batch, {"text": pa.array(texts, pa.large_string())})


def cut_text(text: str, spans: list[tuple[int, int]]) -> str:
    """`text` without the byte spans [start, end) of its UTF-8; spans are sorted and may overlap."""
    raw, kept, at = text.encode(), [], 0
    for start, end in spans:
        kept.append(raw[at : max(start, at)])
        at = max(at, end)
    return b"".join([*kept, raw[at:]]).decode()
