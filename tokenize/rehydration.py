"""How often an epoch has a survivor, by how many documents it stands for (FineWeb-2, Penedo et al. 2025, section 3.4).

A page that was copied a few times is often a good one, one that was copied a thousand times seldom is: instead of once
each, survivors of larger clusters are seen more often, up to where boilerplate begins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from corpusmill.errors import InputError
from corpusmill.ledger import part_name
from corpusmill.parquet_parts import read_part
from corpusmill.schemas import CLUSTER_SIZES
from corpusmill.storage import Folder

FINEWEB_2 = ((1, 1), (2, 2), (3, 3), (5, 5), (100, 8), (1000, 1))
"""(documents at least, times): each holds up to the next."""


class Weights:
    """The weights of one part's documents."""

    def __init__(self, run: Folder, part: int, steps: Sequence[tuple[int, int]]) -> None:
        name = f"cluster_sizes/{part_name(part)}.parquet"
        if not run.exists(name):
            raise InputError(
                f"{run.url}/{name} is missing, which tokenize.rehydration needs: run the dedup stage again, with "
                "--start-over dedup if it says that nothing is to do"
            )
        batches = list(read_part(run, name, CLUSTER_SIZES))
        self._address = np.concatenate([np.zeros(0, np.int64), *(b.column("address").to_numpy() for b in batches)])
        sizes = np.concatenate([np.zeros(0, np.int64), *(b.column("documents").to_numpy() for b in batches)])
        self._weight = _weight(sizes, steps)
        self._alone = int(_weight(np.ones(1, np.int64), steps)[0])

    def of(self, addresses: np.ndarray) -> np.ndarray:
        """int64 [documents]."""
        places = np.searchsorted(self._address, addresses).clip(max=max(len(self._address) - 1, 0))
        if not len(self._address):
            return np.full(len(addresses), self._alone)
        return np.where(self._address[places] == addresses, self._weight[places], self._alone)


def _weight(sizes: np.ndarray, steps: Sequence[tuple[int, int]]) -> np.ndarray:
    least, times = np.array(steps, np.int64).T
    place = np.searchsorted(least, sizes, side="right") - 1
    return np.where(place >= 0, times[place], 1)
