"""Arrays that are used again once nobody looks at them: fresh pages cost a batch four times what filling them does."""

from __future__ import annotations

import sys

import numpy as np

_KEPT = 4


def _references_of_ours() -> int:
    """What getrefcount says of an array that a list has, and a loop over it: how Python counts differs by version."""
    for array in [np.empty(1, np.int64)]:
        return sys.getrefcount(array)
    return 0


_OURS_ALONE = _references_of_ours()


class BufferPool:
    """Hands out int64 arrays. One comes again when it and all views of it are gone; until then it is the caller's."""

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        """An array with any content."""
        for buffer in self._kept:
            if buffer.shape == shape and sys.getrefcount(buffer) <= _OURS_ALONE:
                return buffer
        made = np.empty(shape, np.int64)
        self._kept = [*self._kept, made][-_KEPT:]
        return made
