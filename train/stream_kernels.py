"""Kernels of the stream, in one file: numba's cache does not notice edits of a helper that lives elsewhere."""

from __future__ import annotations

import numpy as np
from numba import njit

IGNORED = -100
"""The label that torch's cross_entropy leaves out by default."""

PADDING = -1
"""The document number of places after the last token of the corpus."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT_1 = np.uint64(29)
_SHIFT_2 = np.uint64(32)


@njit(cache=True, nogil=True)
def permute(first, count, size, half_bits, keys):  # type: ignore[no-untyped-def]
    """Images of `first` .. `first + count - 1` under a keyed bijection of range(size). int64[count].

    A Feistel network (one round per key) permutes the next even power of two; images beyond `size` are sent through
    again until they fall inside (cycle walking), fewer than four times on average.
    """
    images = np.empty(count, np.int64)
    for i in range(count):
        images[i] = _walk(first + i, size, half_bits, keys)
    return images


@njit(cache=True, nogil=True)
def _walk(index, size, half_bits, keys):  # type: ignore[no-untyped-def]
    mask = (np.int64(1) << half_bits) - 1
    while True:
        left, right = index >> half_bits, index & mask
        for key in keys:
            mixed = np.uint64(right) * _GOLDEN + key
            mixed = (mixed ^ (mixed >> _SHIFT_1)) * _MIX
            mixed ^= mixed >> _SHIFT_2
            left, right = right, left ^ np.int64(mixed & np.uint64(mask))
        index = (left << half_bits) | right
        if index < size:
            return index


@njit(cache=True, nogil=True)
def fill(tokens, offsets, first_document, pieces, batch):  # type: ignore[no-untyped-def]
    """Copy pieces of one shard into the batch arrays (ids, labels, positions, documents).

    `pieces` are four arrays (rows, columns, starts, counts): piece i is `counts[i]` tokens from `starts[i]` on, and
    goes to row `rows[i]` from column `columns[i]`. `offsets` are the shard's document borders, `first_document` the
    number of its first document. A label is the next token. An end-of-text token is predicted by the document it ends
    and, as an input, opens the next one: so a document's first token is learned from it, as evaluation and generation
    ask for it. Positions restart there, and at each row. The last token of a shard has no label.
    """
    rows, columns, starts, counts = pieces
    ids, labels, positions, documents = batch
    size = offsets[-1]
    last = len(offsets) - 2
    for i in range(len(rows)):
        row, column, place, end = rows[i], columns[i], starts[i], starts[i] + counts[i]
        document = min(np.searchsorted(offsets, place + 1, side="right") - 1, last)
        while place < end:
            border = offsets[document + 1] - 1 if document < last else size
            count = min(border, end) - place
            for k in range(count):
                ids[row, column + k] = tokens[place + k]
                positions[row, column + k] = k
                documents[row, column + k] = first_document + document
                following = place + k + 1
                labels[row, column + k] = np.int64(tokens[following]) if following < size else np.int64(IGNORED)
            column += count
            place += count
            document += 1
