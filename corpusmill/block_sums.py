"""Checksums of a file by blocks, so that a reader who maps it checks what it reads, when it first reads it.

Checking a whole shard before the first batch would read the corpus once for nothing; checking blocks as they are
touched costs one pass at the speed of memory (xxh3, 64 bits), and finds a flipped byte before anything is learned from
it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xxhash

BLOCK_BYTES = 65_536


def sums_of(path: Path) -> np.ndarray:
    """xxh3-64 of each block of a file. uint64 [blocks]; the last block may be short."""
    sums = []
    with path.open("rb") as f:
        while block := f.read(BLOCK_BYTES):
            sums.append(xxhash.xxh3_64_intdigest(block))
    return np.array(sums, np.uint64)


def write_sums(path: Path, sums: np.ndarray) -> None:
    """As little-endian .npy, which any NumPy opens."""
    with path.open("wb") as f:
        np.save(f, sums.astype("<u8"), allow_pickle=False)


def first_damaged(data: memoryview, sums: np.ndarray, blocks: np.ndarray) -> int:
    """The first of `blocks` (int64) whose bytes in `data`, the whole file, do not have their checksum; -1: none."""
    for block in blocks.tolist():
        start = block * BLOCK_BYTES
        if block >= len(sums) or xxhash.xxh3_64_intdigest(data[start : start + BLOCK_BYTES]) != int(sums[block]):
            return int(block)
    return -1
