"""Spans of texts as columns, and what they cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Spans(NamedTuple):
    """Bytes [start, end) of documents, in order of address, then start; int64 [n] each."""

    address: np.ndarray
    start: np.ndarray
    end: np.ndarray


def joined(spans: Sequence[Spans]) -> Spans:
    """All of the spans, one list after the other."""
    if not spans:
        return Spans(*(np.zeros(0, np.int64) for _ in Spans._fields))
    return Spans(*(np.concatenate(c) for c in zip(*spans, strict=True)))


def covered_bytes(spans: Spans) -> tuple[np.ndarray, np.ndarray]:
    """(addresses, int64 [m], ascending; bytes of each document in at least one span, int64 [m])."""
    order = np.lexsort((spans.start, spans.address))
    found, document = np.unique(spans.address[order], return_inverse=True)
    if not len(found):
        return found, np.zeros(0, np.int64)
    base = document * (int(spans.end.max()) + 1)  # documents one after the other on one line, none touching the next
    start, end = spans.start[order] + base, spans.end[order] + base
    reached = np.r_[0, np.maximum.accumulate(end)[:-1]]
    return found, np.bincount(document, np.maximum(end - np.maximum(start, reached), 0)).astype(np.int64)
