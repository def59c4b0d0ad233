"""Spherical k-means (Dhillon and Modha 2001) over vectors on disk, the same to the bit on every machine.

Lloyd's iterations over a sample drawn by seed, then one pass that assigns every vector. Vectors are read in blocks, so
memory is the centroids, one block, and 4 bytes a vector. Similarities are exact (unit_vectors.py), sums are whole
numbers, ties go to the smaller number of cluster: neither the size of a block nor the number of threads shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from corpusmill.dedup.unit_vectors import USABLE, add_rows, coarse, unit_vectors

BLOCK_NUMBERS = 1 << 24
"""Numbers in a block of vectors, or in its similarities to all centroids: 64 MB each."""
EXHAUSTIVE = 10_000
"""So few vectors are one cluster: to compare all of them takes seconds, and loses no pair."""
SAMPLE_PER_CLUSTER = 256
"""As in faiss."""
LEAST_SAMPLE = 1 << 16
"""For few clusters 256 each are too few: at 50 clusters of 50,000 vectors, 256 each keep 85% of the planted pairs of
cosine 0.95 together, and all of them 93%."""
_POOL_PER_CLUSTER = 32
_POOL_NUMBERS = 1 << 27  # 512 MB: k-means++ reads its pool once for each cluster, so the pool stays in memory
_FULL = 1 << 64


@dataclass(frozen=True)
class SphericalKMeans:
    """k-means for one choice of settings. `clusters` is an upper bound: there are no more than different vectors."""

    clusters: int
    init: Literal["k-means++", "random"] = "k-means++"
    train_documents: int | None = None  # by default LEAST_SAMPLE, or SAMPLE_PER_CLUSTER for each
    iterations: int = 20
    seed: int = 1

    def train(self, vectors: np.ndarray, rows: np.ndarray, block_numbers: int = BLOCK_NUMBERS) -> np.ndarray:
        """Centroids, coarse unit vectors float32 [clusters, d], from a sample of `vectors[rows]` (unit, float32).

        Stops when no vector of the sample changes its cluster, or after `iterations`. A cluster that loses all its
        vectors keeps its centroid.
        """
        size = self.train_documents or max(SAMPLE_PER_CLUSTER * self.clusters, LEAST_SAMPLE)
        drawn = draw(len(rows), self.seed)[:size]
        centroids = self._first_centroids(vectors, rows[drawn])
        sample, labels = rows[np.sort(drawn)], np.full(len(drawn), -1, np.int32)
        for _ in range(self.iterations):
            before, sums = labels.copy(), np.zeros(centroids.shape, np.int64)
            for block, numbers in _blocks(vectors, sample, len(centroids), block_numbers):
                labels[block] = nearest(numbers, centroids)
                add_rows(numbers, labels[block], sums)
            if np.array_equal(before, labels):
                break
            centroids = _moved(centroids, sums)
        return centroids

    def _first_centroids(self, vectors: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """The first of the sample, in the order drawn; or spread over it by k-means++ (Arthur, Vassilvitskii 2007)."""
        if self.init == "random":
            return coarse(vectors[drawn[: self.clusters]])
        size = max(self.clusters, min(_POOL_PER_CLUSTER * self.clusters, _POOL_NUMBERS // vectors.shape[1]))
        pool = coarse(vectors[drawn[:size]])
        return pool[spread(pool, self.clusters, self.seed)]


def default_clusters(vectors: int) -> int:
    """The square root, where both halves of the work grow alike; one cluster for up to EXHAUSTIVE vectors."""
    return 1 if vectors <= EXHAUSTIVE else math.isqrt(vectors)


def assign(
    vectors: np.ndarray, rows: np.ndarray, centroids: np.ndarray, block_numbers: int = BLOCK_NUMBERS
) -> np.ndarray:
    """The cluster of each of `vectors[rows]`: that of the most similar centroid, the first of equals. int32 [rows]."""
    labels = np.empty(len(rows), np.int32)
    for block, numbers in _blocks(vectors, rows, len(centroids), block_numbers):
        labels[block] = nearest(numbers, centroids)
    return labels


def nearest(numbers: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Place of the most similar centroid for each row, both coarse. argmax takes the first of equals."""
    return np.asarray((numbers @ centroids.T).argmax(axis=1), np.int32)


def draw(count: int, seed: int) -> np.ndarray:
    """0 ... count - 1 in an order drawn by seed (SplitMix64: numpy may change what its generators draw), int64."""
    return np.argsort(_random(seed, np.arange(count, dtype=np.uint64)), kind="stable")


def spread(pool: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows of `pool` (coarse) chosen one by one, with a chance proportional to the squared distance to those chosen.

    Squared distances are whole numbers, hence their sum is exact. Ends early where every row equals a chosen one.
    """
    lengths = np.einsum("ij,ij->i", pool, pool).astype(np.int64)  # exact as any dot product here
    chances = _random(seed ^ 0x5EED, np.arange(count, dtype=np.uint64))
    chosen = [int(chances[0]) * len(pool) // _FULL]
    distance = np.full(len(pool), np.iinfo(np.int64).max)
    while True:
        last = chosen[-1]
        np.minimum(distance, lengths + lengths[last] - 2 * (pool @ pool[last]).astype(np.int64), out=distance)
        total = np.cumsum(distance)
        if len(chosen) == count or total[-1] == 0:
            return np.array(chosen)
        at = int(chances[len(chosen)]) * int(total[-1]) // _FULL
        chosen.append(int(np.searchsorted(total, at, "right")))


def _blocks(
    vectors: np.ndarray, rows: np.ndarray, clusters: int, block_numbers: int
) -> Iterator[tuple[slice, np.ndarray]]:
    size = max(1, block_numbers // max(vectors.shape[1], clusters))
    for start in range(0, len(rows), size):
        block = slice(start, start + size)
        yield block, coarse(vectors[rows[block]])


def _moved(centroids: np.ndarray, sums: np.ndarray) -> np.ndarray:
    units, verdict = unit_vectors(sums.astype(np.float64))
    return np.where((verdict == USABLE)[:, None], coarse(units), centroids)


def _random(seed: int, places: np.ndarray) -> np.ndarray:
    """64 random bits for each place, uint64 (SplitMix64, jumped to)."""
    start = (seed * 0xD1342543DE82EF95 + 0x632BE59BD9B4E019) % _FULL
    z = (places + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))
