"""Ids of a batch of texts: one flat array and where each text's begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Encoded(NamedTuple):
    """Text i has `ids[offsets[i]:offsets[i + 1]]`; int64 [texts + 1] from 0, and uint32."""

    offsets: np.ndarray
    ids: np.ndarray

    def arrays(self) -> list[np.ndarray]:
        """The ids of each text."""
        return np.split(self.ids, self.offsets[1:-1]) if len(self.offsets) > 1 else []

    def lists(self) -> list[list[int]]:
        """The same as lists of numbers."""
        return [ids.tolist() for ids in self.arrays()]

    def chosen(self, mask: np.ndarray) -> Encoded:
        """Those of the texts that a bool [texts] chooses."""
        lengths = np.diff(self.offsets)
        return Encoded(np.r_[0, np.cumsum(lengths[mask])], self.ids[np.repeat(mask, lengths)])

    def closed(self, end: int) -> Encoded:
        """With the token `end` after each text."""
        texts = len(self.offsets) - 1
        offsets = self.offsets + np.arange(texts + 1)
        ids = np.empty(len(self.ids) + texts, np.uint32)
        ids[np.arange(len(self.ids)) + np.repeat(np.arange(texts), np.diff(self.offsets))] = self.ids
        ids[offsets[1:] - 1] = end
        return Encoded(offsets, ids)


def from_lists(ids: Sequence[Sequence[int] | np.ndarray]) -> Encoded:
    lengths = np.array([len(one) for one in ids], np.int64)
    flat = np.concatenate([np.zeros(0, np.uint32), *(np.asarray(one, np.uint32) for one in ids)])
    return Encoded(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), flat)
