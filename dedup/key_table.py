"""A read-only map of 64-bit keys, in 24 bytes a key: open addressing over sorted keys, looked up a batch at a time."""

from __future__ import annotations

import numpy as np
from numba import njit


class KeyTable:
    """Distinct keys with the address of each one's first occurrence; `find` gives their places in `keys`."""

    def __init__(self, keys: np.ndarray, first_address: np.ndarray) -> None:
        self.keys, first = np.unique(keys, return_index=True)  # int64 [n]
        self.first_address = first_address[first]  # int64 [n]
        bits = max(4, (2 * len(self.keys)).bit_length())
        self._slots = _fill(self.keys.view(np.uint64), bits)
        self._shift = np.uint64(64 - bits)

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """The place of each of `keys` (int64 [m]) in `self.keys`, -1 where it is not there; int64 [m]."""
        found: np.ndarray = _find(keys.view(np.uint64), self.keys.view(np.uint64), self._slots, self._shift)
        return found


@njit(cache=True, nogil=True)
def _fill(keys, bits):  # type: ignore[no-untyped-def]
    """Slots with the place of a key and one more, 0 where free; at most half of them are taken."""
    slots = np.zeros(1 << bits, np.int64)
    shift = np.uint64(64 - bits)
    for i in range(keys.shape[0]):
        at = np.int64((keys[i] * np.uint64(0x9E3779B97F4A7C15)) >> shift)
        while slots[at] != 0:
            at = (at + 1) & (slots.shape[0] - 1)
        slots[at] = i + 1
    return slots


@njit(cache=True, nogil=True)
def _find(wanted, keys, slots, shift):  # type: ignore[no-untyped-def]
    found = np.empty(wanted.shape[0], np.int64)
    for i in range(wanted.shape[0]):
        at = np.int64((wanted[i] * np.uint64(0x9E3779B97F4A7C15)) >> shift)
        while slots[at] != 0 and keys[slots[at] - 1] != wanted[i]:
            at = (at + 1) & (slots.shape[0] - 1)
        found[i] = slots[at] - 1
    return found
