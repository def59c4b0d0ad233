"""Which document of a planted corpus is a copy of which base, and how it was edited: three arrays for all of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmarks.corpus_kernels import EDITED, EXACT, EXTENDED, ORIGINAL, PUNCTUATION

KINDS: tuple[tuple[str, int, float, float], ...] = (
    ("original", ORIGINAL, 0.0, 0.0),
    ("exact", EXACT, 0.0, 0.25),
    ("punctuation", PUNCTUATION, 0.0, 0.15),
    ("words 1%", EDITED, 0.01, 0.20),
    ("words 2%", EDITED, 0.02, 0.15),
    ("words 3%", EDITED, 0.03, 0.10),
    ("boilerplate", EXTENDED, 0.0, 0.15),
    ("template", EDITED, 0.005, 0.0),
)
"""Name, edit, share of words edited, share of the copies. One edited word in a hundred leaves a Jaccard similarity of
about 0.91 over 5-word shingles, two leave 0.82, three 0.75: (1 - rate)^5 of the shingles are whole, u / (2 - u)."""
NAMES = tuple(name for name, *_ in KINDS)
TEMPLATE = NAMES.index("template")

DUPLICATE_SHARE = 0.30
TEMPLATE_SHARE = 0.01
"""Of all documents, within DUPLICATE_SHARE: one page that stands everywhere, its name and date filled in."""
MAX_CLUSTER = 50
LEAST = 200


class Plan(NamedTuple):
    """Of document number i: the base that it is made from, and the row of KINDS."""

    base: np.ndarray  # int64 [n]; equal for the members of a cluster
    kind: np.ndarray  # int8 [n]

    @property
    def edit(self) -> np.ndarray:
        return np.array([edit for _, edit, *_ in KINDS], np.int8)[self.kind]

    @property
    def rate(self) -> np.ndarray:
        return np.array([rate for _, _, rate, _ in KINDS])[self.kind]

    def at(self, rows: slice) -> Plan:
        return Plan(self.base[rows], self.kind[rows])


def planted(documents: int, seed: int) -> Plan:
    """Clusters of 2 to MAX_CLUSTER (a size s as often as 1/s^2), one template, the rest alone; in a random order."""
    assert documents >= LEAST, f"{documents} documents: a plan needs {LEAST}"
    rng = np.random.default_rng(seed)
    template = round(documents * TEMPLATE_SHARE)
    sizes = _cluster_sizes(rng, round(documents * DUPLICATE_SHARE) - template)
    alone = documents - template - int(sizes.sum())
    last = len(sizes) + alone
    base = np.r_[np.repeat(np.arange(len(sizes)), sizes), np.arange(len(sizes), last), np.full(template, last)]
    shares = np.array([share for *_, share in KINDS])
    kind = rng.choice(len(KINDS), documents, p=shares).astype(np.int8)
    kind[np.r_[0, np.cumsum(sizes)]] = 0  # the first of each cluster, and the first that is alone
    kind[int(sizes.sum()) :] = 0
    kind[documents - template + 1 :] = TEMPLATE
    order = rng.permutation(documents)
    return Plan(base[order].astype(np.int64), kind[order])


def _cluster_sizes(rng: np.random.Generator, copies: int) -> np.ndarray:
    """Sizes of clusters with `copies` documents in all beside their originals, int64."""
    sizes = np.arange(2, MAX_CLUSTER + 1)
    drawn = rng.choice(sizes, copies, p=1 / sizes**2 / (1 / sizes**2).sum())
    total = np.cumsum(drawn - 1)
    cut = int(np.searchsorted(total, copies))
    drawn = drawn[: cut + 1]
    drawn[cut] -= total[cut] - copies
    return drawn
