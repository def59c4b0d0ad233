"""Runs that consist of documents alone, and files of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.parquet_parts import PartWriter
from corpusmill.schemas import ADDRESS_STRIDE, DOCUMENTS, conform
from corpusmill.storage import Folder


def write_documents(run: Path, parts: Sequence[Sequence[dict[str, Any]]]) -> Folder:
    """A part for each list of {id, text, fetched_at}; the url follows from the id."""
    for number, rows in enumerate(parts):
        (run / "documents").mkdir(parents=True, exist_ok=True)
        fields = {"id": pa.string(), "url": pa.string(), "text": pa.large_string(), "fetched_at": pa.int64()}
        filled = [{"url": f"https://{r['id']}/", "text": "", "fetched_at": None} | r for r in rows]
        batch = pa.RecordBatch.from_pylist(filled, pa.schema(list(fields.items())))
        with PartWriter(run / f"documents/part-{number:05d}.parquet", DOCUMENTS) as out:
            out.write(conform(batch, DOCUMENTS))
    return Folder(str(run))


def write_embeddings(
    path: Path,
    ids: Sequence[Any],
    vectors: Any,
    kind: pa.DataType | None = None,
    names: tuple[str, str] = ("id", "embedding"),
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [None if v is None else list(v) for v in vectors]
    column = pa.array(rows, kind or pa.list_(pa.float32()))
    pq.write_table(pa.table({names[0]: pa.array(ids), names[1]: column}), path, row_group_size=50)
    return path


def address_of(part: int, row: int) -> int:
    return part * ADDRESS_STRIDE + row


def directions(*degrees: float) -> np.ndarray:
    """Points on the unit circle."""
    turned = np.radians(degrees)
    return np.stack([np.cos(turned), np.sin(turned)], axis=1)
