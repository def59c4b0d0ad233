"""A signature's bands, each hashed to one key: rows that are equal in all of a band meet under it."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def band_keys(signatures, bands, rows):  # type: ignore[no-untyped-def]
    """64-bit hash of each band's rows, uint64 [texts, bands]."""
    out = np.empty((signatures.shape[0], bands), np.uint64)
    for d in range(signatures.shape[0]):
        for b in range(bands):
            key = np.uint64(0xCBF29CE484222325) ^ np.uint64(b)
            for r in range(rows):
                key = (key ^ np.uint64(signatures[d, b * rows + r])) * np.uint64(0x9E3779B97F4A7C15)
                key ^= key >> np.uint64(29)
            out[d, b] = key
    return out
