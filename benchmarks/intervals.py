"""Shares with their uncertainty."""

from __future__ import annotations

import math

_Z = 1.959964  # 95%


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927); (0, 1) where nothing was seen."""
    if of == 0:
        return 0.0, 1.0
    share, z2 = hits / of, _Z * _Z
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def percent(hits: int, of: int) -> str:
    """`97.1% (96.0 to 97.9)`, or a dash where nothing was seen."""
    if of == 0:
        return "–"
    low, high = wilson(hits, of)
    return f"{hits / of:.2%} ({100 * low:.1f} to {100 * high:.1f})"


def fact(hits: int, of: int) -> dict[str, float | int | list[float] | None]:
    """The same, for the last line of a benchmark."""
    return {
        "hits": hits,
        "of": of,
        "share": round(hits / of, 5) if of else None,
        "interval": [round(x, 5) for x in wilson(hits, of)],
    }
