"""Texts without the spans that were cut, over Arrow buffers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numba import njit

from corpusmill.columns import text_buffers


def cut_texts(texts: pa.Array, spans: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[pa.Array, int]:
    """(large_string texts without the bytes of their spans, -1), or the texts and the number of the first bad span.

    Text i loses [starts[j], ends[j]) of its UTF-8 for j in spans[i]:spans[i + 1], int64 each, sorted by start; they may
    overlap. A span is bad if it ends outside its text, or begins or ends within a character.
    """
    offsets, data = text_buffers(texts)
    kept = np.empty(int(offsets[-1] - offsets[0]), np.uint8)
    new_offsets = np.empty(len(offsets), np.int64)
    bad = _cut(offsets, data, spans, starts, ends, kept, new_offsets)
    if bad >= 0:
        return texts, int(bad)
    kept = kept[: new_offsets[-1]].copy()  # a view would hold what was cut in memory
    buffers = [None, pa.py_buffer(new_offsets), pa.py_buffer(kept)]
    return pa.LargeStringArray.from_buffers(len(texts), buffers[1], buffers[2]), -1


@njit(cache=True, nogil=True)
def _cut(offsets, data, spans, starts, ends, kept, new_offsets):  # type: ignore[no-untyped-def]
    """Fill `kept` and `new_offsets`; -1, or the first bad span."""
    size = 0
    new_offsets[0] = 0
    for d in range(offsets.shape[0] - 1):
        base, length = offsets[d], offsets[d + 1] - offsets[d]
        at = np.int64(0)
        for j in range(spans[d], spans[d + 1]):
            start, end = starts[j], ends[j]
            if start < 0 or end > length or start > end:
                return j
            if _within(data, base, length, start) or _within(data, base, length, end):
                return j
            for p in range(at, start):
                kept[size] = data[base + p]
                size += 1
            at = max(at, end)
        for p in range(at, length):
            kept[size] = data[base + p]
            size += 1
        new_offsets[d + 1] = size
    return -1


@njit(cache=True, nogil=True, inline="always")
def _within(data, base, length, place):  # type: ignore[no-untyped-def]
    """Whether a place in a text is inside a character: its byte continues one."""
    return place < length and (data[base + place] & 0xC0) == 0x80
