"""What a contender removed, against what was planted. The same for all: it needs only which documents are gone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.corpus_plan import NAMES, TEMPLATE
from benchmarks.planted_corpus import Corpus, document_id, part_size
from corpusmill.schemas import ADDRESS_STRIDE


@dataclass(frozen=True)
class Score:
    """Of a cluster of m documents m - 1 should go, whichever stays: those that did are `found`."""

    removed: int
    planted: int
    found: int
    lost: int
    """False removals: clusters, or lone documents, of which nothing is left."""
    by_kind: dict[str, float]
    """Share of pairs found, by the edit of the copy; over clusters of two, where it is known which pair it was."""

    @property
    def recall(self) -> float:
        return self.found / max(1, self.planted)

    def facts(self) -> dict[str, Any]:
        counts = {"removed": self.removed, "planted": self.planted, "found": self.found, "lost": self.lost}
        return counts | {"recall": round(self.recall, 4), "recall_by_kind": self.by_kind}


def score(truth: pa.Table, gone: np.ndarray) -> Score:
    """`truth` as Corpus.truth() gives it; `gone` bool [documents] in the same order."""
    base, kind = truth.column("base").to_numpy(), truth.column("kind").to_numpy()
    size, removed = np.bincount(base), np.bincount(base, gone).astype(np.int64)
    found = np.minimum(removed, size - 1)[size > 0]
    shares = {}
    for k in range(1, len(NAMES)):
        if k == TEMPLATE:
            pairs = size[base] > 0
            pairs &= np.isin(base, base[kind == k])
            wanted = max(1, int(pairs.sum()) - 1)
        else:
            of_two = np.zeros(len(size), bool)
            of_two[base[(kind == k) & (size[base] == 2)]] = True
            pairs = of_two[base]
            wanted = max(1, int(pairs.sum()) // 2)
        if pairs.any():
            shares[NAMES[k]] = round(min(int(gone[pairs].sum()), wanted) / wanted, 4)
    planted = int((size[size > 0] - 1).sum())
    lost = int(((removed == size) & (size > 0)).sum())
    return Score(int(gone.sum()), planted, int(found.sum()), lost, shares)


def gone_from_run(corpus: Corpus) -> np.ndarray:
    """Which documents the run removed, bool [documents]."""
    gone = np.zeros(corpus.documents, bool)
    for part in sorted(Path(corpus.run).glob("removed/part-*.parquet")):
        address = pq.read_table(part, columns=["address"]).column("address").to_numpy()
        gone[address // ADDRESS_STRIDE * part_size(corpus.documents) + address % ADDRESS_STRIDE] = True
    return gone


def gone_from_kept(corpus: Corpus, kept: Path) -> np.ndarray:
    """Which documents are not among the ids of a peer's file."""
    gone = np.ones(corpus.documents, bool)
    prefix = len(document_id(0).rstrip("0"))
    with kept.open(encoding="utf-8") as f:
        numbers = np.array([int(line[prefix:]) for line in f], np.int64)
    assert len(np.unique(numbers)) == len(numbers), f"{kept}: a document is there twice"
    gone[numbers] = False
    return gone
