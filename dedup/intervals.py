"""How sure one can be of a share that a sample shows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Z_95 = 1.959963984540054
"""Standard deviations that 95% of a normal distribution lie within."""


def wilson(share: float, size: float) -> tuple[float, float]:
    """The 95% interval of a share seen in `size` draws (Wilson 1927): holds near 0 and 1, where others do not."""
    square = Z_95 * Z_95 / size
    middle, spread = share + square / 2, Z_95 * math.sqrt(share * (1 - share) / size + square / (4 * size))
    low, high = ((middle + sign * spread) / (1 + square) for sign in (-1, 1))
    return max(0.0, min(low, share)), min(1.0, max(high, share))


def share_of(yes: np.ndarray, groups: np.ndarray | None = None) -> dict[str, Any]:
    """`share` of `yes` (bool [n]) with its interval, `low` to `high`; all three null where there is nothing.

    Draws of one group (int [n]: the document that pairs belong to) are not independent. They count for as many as
    would give the variance between groups (a ratio estimator's: Cochran 1977, section 6.3), at most all of them; where
    all say the same, for the number of groups.
    """
    if not len(yes):
        return {"share": None, "low": None, "high": None}
    share = float(yes.mean())
    low, high = wilson(share, len(yes) if groups is None else _independent(yes, groups, share))
    return {"share": round(share, 6), "low": round(low, 6), "high": round(high, 6)}


def _independent(yes: np.ndarray, groups: np.ndarray, share: float) -> float:
    _, place = np.unique(groups, return_inverse=True)
    sizes = np.bincount(place).astype(np.float64)
    number = len(sizes)
    if share in (0.0, 1.0) or number == 1:
        return float(number)
    off = np.bincount(place, weights=yes) - share * sizes
    variance = float((off * off).sum()) / len(yes) ** 2 * number / (number - 1)
    return min(float(len(yes)), share * (1 - share) / variance) if variance > 0 else float(len(yes))
