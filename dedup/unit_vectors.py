"""Unit vectors whose dot products have the same bits whoever adds them up.

A floating-point sum depends on its order, and a BLAS chooses the order by processor, shape and number of threads. Here
vectors of length 1 are rounded to multiples of 2^-p. Products are then multiples of 2^-2p, and every partial sum of
x . y is below 2 (Cauchy-Schwarz), so that with at most 2p + 1 bits of mantissa no addition ever rounds: any order gives
the same sum. `coarse` (p = 11) is exact in float32, fast, and right to about 2e-4: enough to choose a cluster. `fine`
(p = 26) is exact in float64 and right to 1e-6: it decides which documents are duplicates.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

COARSE_SCALE = 2.0**11
FINE_SCALE = 2.0**26
USABLE, NOT_FINITE, ZERO = 0, 1, 2
"""What `unit_vectors` says of a row."""


def unit_vectors(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows scaled to length 1, float32 [n, d]; USABLE, NOT_FINITE or ZERO, uint8 [n]). Unusable rows become zeros.

    `vectors` is float32 or float64 [n, d]; neither huge nor tiny numbers overflow.
    """
    out = np.empty(vectors.shape, np.float32)
    verdict = np.empty(len(vectors), np.uint8)
    scale_rows(np.ascontiguousarray(vectors), out, verdict)
    return out, verdict


def coarse(units: np.ndarray) -> np.ndarray:
    """Whole numbers in float32 [n, d], 2^11 to a length of 1. Their dot products are exact, 2^22 to a cosine of 1."""
    return np.rint(units * np.float32(COARSE_SCALE))


def fine(units: np.ndarray) -> np.ndarray:
    """Multiples of 2^-26 in float64 [n, d]. Their dot products are exact, and cosines to within 1e-6."""
    return np.rint(units.astype(np.float64) * FINE_SCALE) / FINE_SCALE


@njit(cache=True, nogil=True)
def scale_rows(vectors, out, verdict):  # type: ignore[no-untyped-def]
    """Fill `out` and `verdict`. Sums run from left to right: a vectorised norm would differ between processors."""
    for r in range(vectors.shape[0]):
        largest, finite = 0.0, True
        for c in range(vectors.shape[1]):
            size = abs(np.float64(vectors[r, c]))
            if not size < np.inf:  # NaN, too
                finite = False
            largest = max(largest, size)
        out[r] = 0.0
        verdict[r] = NOT_FINITE if not finite else ZERO if largest == 0.0 else USABLE
        if verdict[r] == USABLE:
            total = 0.0
            for c in range(vectors.shape[1]):
                part = np.float64(vectors[r, c]) / largest
                total += part * part
            norm = math.sqrt(total)
            for c in range(vectors.shape[1]):
                out[r, c] = np.float32(np.float64(vectors[r, c]) / largest / norm)


@njit(cache=True, nogil=True)
def add_rows(rows, labels, sums):  # type: ignore[no-untyped-def]
    """Add each of `rows`, whole numbers in float32, to `sums[label]`, int64 [k, d]: exact, so order does not matter."""
    for r in range(rows.shape[0]):
        total = sums[labels[r]]
        for c in range(rows.shape[1]):
            total[c] += np.int64(rows[r, c])
