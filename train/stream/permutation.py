"""A keyed permutation of any range, one image at a time: the order of an epoch without a list of it.

A Feistel network permutes the next even power of two; images beyond the range are sent through again until they fall
inside (cycle walking; Black and Rogaway 2002, "Ciphers with arbitrary finite domains"), fewer than four times on
average. The inverse runs the rounds backwards.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numba import njit

_ROUNDS = 8
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT_1 = np.uint64(29)
_SHIFT_2 = np.uint64(32)


@lru_cache(maxsize=64)
def round_keys(*what: object) -> np.ndarray:
    """Eight 64-bit keys, one for each round, from whatever the order is to depend on."""
    hashed = hashlib.sha512(":".join(map(str, what)).encode()).digest()
    return np.frombuffer(hashed, dtype="<u8", count=_ROUNDS).astype(np.uint64)


def permute(first: int, count: int, size: int, keys: np.ndarray) -> np.ndarray:
    """Images of `first` .. `first + count - 1` under the permutation of range(size). int64[count]."""
    found: np.ndarray = _permute(first, count, size, _half_bits(size), keys)
    return found


def inverse(images: np.ndarray, size: int, keys: np.ndarray) -> np.ndarray:
    """The indices that `images` (int64) are the images of. int64, of the same shape."""
    found: np.ndarray = _inverse(images, size, _half_bits(size), keys[::-1].copy())
    return found


def _half_bits(size: int) -> int:
    return max(1, (max(size - 1, 1).bit_length() + 1) // 2)


@njit(cache=True, nogil=True)
def _permute(first, count, size, half_bits, keys):  # type: ignore[no-untyped-def]
    images = np.empty(count, np.int64)
    mask = (np.int64(1) << half_bits) - 1
    for i in range(count):
        index = np.int64(first + i)
        while True:
            left, right = index >> half_bits, index & mask
            for key in keys:
                left, right = right, left ^ _mixed(right, key, mask)
            index = (left << half_bits) | right
            if index < size:
                break
        images[i] = index
    return images


@njit(cache=True, nogil=True)
def _inverse(images, size, half_bits, backwards):  # type: ignore[no-untyped-def]
    found = np.empty(len(images), np.int64)
    mask = (np.int64(1) << half_bits) - 1
    for i in range(len(images)):
        index = images[i]
        while True:
            left, right = index >> half_bits, index & mask
            for key in backwards:
                left, right = right ^ _mixed(left, key, mask), left
            index = (left << half_bits) | right
            if index < size:
                break
        found[i] = index
    return found


@njit(cache=True, nogil=True)
def _mixed(half, key, mask):  # type: ignore[no-untyped-def]
    mixed = np.uint64(half) * _GOLDEN + key
    mixed = (mixed ^ (mixed >> _SHIFT_1)) * _MIX
    mixed ^= mixed >> _SHIFT_2
    return np.int64(mixed & np.uint64(mask))
