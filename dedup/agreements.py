"""Which signatures agree in enough places: many against few, block by block."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numba import njit

_RUN = 128
"""Places that are counted between two looks at what is still possible; a count of them fits a byte."""


def signature_matrix(signatures: pa.Array) -> np.ndarray:
    """A column of signatures of one length as uint32 [rows, hashes]; no copy."""
    if not len(signatures):
        return np.zeros((0, 1), np.uint32)
    packed = signatures.cast(pa.large_binary())
    _, offsets, data = packed.buffers()
    bounds = np.frombuffer(offsets, np.int64)[packed.offset : packed.offset + len(packed) + 1]
    return np.frombuffer(data, "<u4")[bounds[0] // 4 : bounds[-1] // 4].reshape(len(packed), -1)


def agreeing(block: np.ndarray, chosen: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """(i, j) of all pairs for which block[i] and chosen[j], uint32 [n, hashes] and [m, hashes], agree in at least
    `least` places; in order of i, then j.

    Some 4 ns for a pair of 112 hashes: lowest bytes are compared first, since those agree wherever hashes do.
    """
    if not block.size or not chosen.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    block, chosen = np.ascontiguousarray(block), np.ascontiguousarray(chosen)
    found = np.zeros((len(block), len(chosen)), np.bool_)
    _find(block, chosen, _lowest_bytes(block, 0), _lowest_bytes(chosen, 1), least, found)
    return np.divmod(np.flatnonzero(found), len(chosen))  # several times as fast as np.nonzero of two dimensions


def _lowest_bytes(signatures: np.ndarray, filler: int) -> np.ndarray:
    """uint8 [rows, runs, _RUN], the last run filled up."""
    rows, hashes = signatures.shape
    out = np.full((rows, -(-hashes // _RUN) * _RUN), filler, np.uint8)
    out[:, :hashes] = signatures & np.uint32(0xFF)
    return out.reshape(rows, -1, _RUN)


@njit(cache=True, nogil=True)
def _find(block, chosen, block_bytes, chosen_bytes, least, found):  # type: ignore[no-untyped-def]
    runs = block_bytes.shape[1]
    for i in range(block.shape[0]):
        for j in range(chosen.shape[0]):
            equal = 0
            for run in range(runs):
                here = np.uint8(0)
                for k in range(_RUN):
                    here = np.uint8(here + np.uint8(block_bytes[i, run, k] == chosen_bytes[j, run, k]))
                equal += here  # type: ignore[assignment]
                if equal + (runs - 1 - run) * _RUN < least:
                    break
            else:
                equal = 0
                for k in range(block.shape[1]):
                    equal += block[i, k] == chosen[j, k]
                found[i, j] = equal >= least
