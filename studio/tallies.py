"""Summaries of columns that grow with what is shown, not with what is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import xxhash

WORD_EDGES = np.unique(np.round(10 ** (np.arange(0, 56) / 10)))
"""Ten bins to a factor of ten, at whole words: 1, 2, 3, 4, 5, 6, 8, 10, 13 ... 50 ... 316,228."""
TOKEN_EDGES = np.unique(np.round(10 ** (np.arange(0, 76) / 10)))
"""The same up to 31,622,777: a document is one page, and pages have no more than some megabytes."""
_MAX_DISTINCT = 10_000


class Bins:
    """A histogram: `counts[i]` values in [edges[i], edges[i+1]); what lies outside counts at its end."""

    def __init__(self, edges: np.ndarray) -> None:
        self.edges = edges
        self.counts = np.zeros(len(edges) - 1, np.int64)

    def add(self, values: np.ndarray) -> None:
        place = np.searchsorted(self.edges, values, side="right") - 1
        self.counts += np.bincount(np.clip(place, 0, len(self.counts) - 1), minlength=len(self.counts))

    @property
    def total(self) -> int:
        return int(self.counts.sum())


class IntegerCounts:
    """How often each whole number occurs: exact quantiles at the cost of the distinct values."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def add(self, values: np.ndarray) -> None:
        found, times = np.unique(values, return_counts=True)
        self.counts.update(dict(zip(found.tolist(), times.tolist(), strict=True)))

    def quantile(self, share: float) -> int:
        """The smallest value that at least `share` of the values do not exceed; 0 where there are none."""
        values = sorted(self.counts)
        if not values:
            return 0
        reached = np.cumsum([self.counts[v] for v in values])
        return values[int(np.searchsorted(reached, share * reached[-1]))]

    def share_above(self, bound: int) -> float:
        """Of the sum of all values, the share of those that are greater; 0 where there are none."""
        whole = sum(value * times for value, times in self.counts.items())
        return sum(value * times for value, times in self.counts.items() if value > bound) / (whole or 1)

    def bins(self, edges: np.ndarray) -> Bins:
        bins = Bins(edges)
        for value, times in self.counts.items():
            bins.counts[np.clip(np.searchsorted(edges, value, side="right") - 1, 0, len(bins.counts) - 1)] += times
        return bins


class Names(Counter[str]):
    """Counts of strings; beyond some thousand distinct ones, new ones are counted together as `rest`."""

    rest = 0

    def count(self, name: str, times: int) -> None:
        if name in self or len(self) < _MAX_DISTINCT:
            self[name] += times
        else:
            self.rest += times

    def top(self, number: int) -> list[tuple[str, int]]:
        return sorted(self.items(), key=lambda item: (-item[1], item[0]))[:number]


def id_hashes(ids: pa.Array) -> np.ndarray:
    """xxh3 of each id, uint64 [n]: an order that no person chose and every run repeats."""
    names: Sequence[str | None] = ids.to_pylist()
    return np.fromiter((xxhash.xxh3_64_intdigest(n or "") for n in names), np.uint64, len(names))


def smallest(hashes: np.ndarray, number: int, later: np.ndarray | None = None) -> np.ndarray:
    """Places of the `number` smallest hashes; those marked `later` come after all others."""
    keys = [hashes] if later is None else [hashes, later]
    return np.lexsort(keys)[:number]
