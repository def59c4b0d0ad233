"""Within one cluster: for each document the most similar one of those preferred to it.

This is the maximum over the upper triangle of the similarity matrix that SemDeDup's published code takes (Abbas et al.
2023), by tiles, so that no cluster is too large for the memory.
"""

from __future__ import annotations

import numpy as np

from corpusmill.dedup.unit_vectors import fine

BLOCK_ROWS = 2048
"""A tile of similarities is at most this number squared: 32 MB, whatever the size of the cluster."""


def preferred_neighbours(
    vectors: np.ndarray, rows: np.ndarray, threshold: float, block_rows: int = BLOCK_ROWS
) -> tuple[np.ndarray, np.ndarray]:
    """For each of `vectors[rows]` (unit, float32; the most preferred first) its neighbour and their similarity.

    Returns (neighbour int64 [m], similarity float64 [m]): the place in `rows` of the most similar one before it, the
    first of equals, if their cosine is above `threshold`; else -1. Cost m^2 d / 2; memory a few tiles.
    """
    neighbour, similarity = np.full(len(rows), -1, np.int64), np.full(len(rows), -np.inf)
    for start in range(0, len(rows), block_rows):
        block = slice(start, start + block_rows)
        here = fine(vectors[rows[block]])
        _take_better(_below_diagonal(here @ here.T), start, neighbour[block], similarity[block])
        for before in range(0, start, block_rows):
            there = fine(vectors[rows[before : before + block_rows]])
            _take_better(here @ there.T, before, neighbour[block], similarity[block])
    neighbour[similarity <= threshold] = -1
    return neighbour, np.minimum(similarity, 1.0)  # of two equal vectors it can be 1 + 1e-7


def _below_diagonal(tile: np.ndarray) -> np.ndarray:
    """Leave of a block's similarities to itself those to earlier documents."""
    places = np.arange(len(tile))
    tile[places[None, :] >= places[:, None]] = -np.inf
    return tile


def _take_better(tile: np.ndarray, first: int, neighbour: np.ndarray, similarity: np.ndarray) -> None:
    """Where a row of `tile` has a larger similarity than known, or an equal one to an earlier document, take it."""
    place = tile.argmax(axis=1)
    value = tile[np.arange(len(tile)), place]
    better = (value > similarity) | ((value == similarity) & (place + first < neighbour))
    neighbour[better], similarity[better] = place[better] + first, value[better]
