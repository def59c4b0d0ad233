"""A pool of invented sentences, for tests that need no real text."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from benchmarks.sentence_pool import Pool, make_pool


@lru_cache(maxsize=1)
def small_pool(sentences: int = 4000) -> Pool:
    rng = np.random.default_rng(5)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, rng.integers(3, 9))) for _ in range(3000)]
    lines = [" ".join(words[i] for i in rng.integers(0, len(words), rng.integers(8, 30))) for _ in range(sentences)]
    return make_pool([line.capitalize() + ("." if i % 3 else "?") for i, line in enumerate(lines)])
