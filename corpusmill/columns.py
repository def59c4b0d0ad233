"""Small tools for record batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from corpusmill.errors import InputError


def with_columns(batch: pa.RecordBatch, columns: Mapping[str, pa.Array], drop: tuple[str, ...] = ()) -> pa.RecordBatch:
    """`batch` with columns replaced or appended, and those named in `drop` left out. Nothing is copied."""
    merged = {n: batch.column(i) for i, n in enumerate(batch.schema.names) if n not in drop} | dict(columns)
    return pa.RecordBatch.from_arrays(list(merged.values()), names=list(merged))


def text_buffers(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 [n+1], bytes uint8) of a string column; nulls are empty. No copy for large_string.

    Kernels read `data[offsets[i]:offsets[i+1]]`, the UTF-8 of text i.
    """
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    texts = texts.cast(pa.large_string())
    if texts.null_count:
        texts = texts.fill_null("")
    _, offsets, data = texts.buffers()
    if len(texts) == 0:
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    start = texts.offset
    spans = np.frombuffer(offsets, np.int64)[start : start + len(texts) + 1]
    return spans, np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)


def byte_lengths(texts: pa.Array) -> np.ndarray:
    """Length of each text in UTF-8 bytes, int64 [n]."""
    offsets, _ = text_buffers(texts)
    return np.diff(offsets)


def batch_of(texts: Sequence[str | None] | pa.Array) -> pa.Array:
    """An Arrow array of texts, from one, a list or a pandas Series, categories included."""
    if isinstance(texts, str):
        raise InputError("expected a batch of texts, found one text: give a list, or use judge, edit or mask")
    try:
        column = texts if isinstance(texts, (pa.Array, pa.ChunkedArray)) else pa.array(texts, pa.large_string())
    except (pa.ArrowInvalid, pa.ArrowTypeError) as e:
        raise InputError(f"expected a batch of texts, found something else: {e}") from e
    if column.type in (pa.string(), pa.large_string()):
        return column
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if kind not in (pa.string(), pa.large_string(), pa.string_view(), pa.null()):
        raise InputError(f"expected a batch of texts, found a column of {kind}")
    return column.cast(pa.large_string())
