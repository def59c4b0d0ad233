"""Real near-duplicates: what the product removes beside what comparing every pair would."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from benchmarks.exact_jaccard import AllPairs
from benchmarks.intervals import fact, percent
from benchmarks.planted_corpus import document_id
from benchmarks.removed_rows import Removed, prepare, removed_from
from benchmarks.sentence_pool import archive
from corpusmill.clean.main_text import MainText

THRESHOLDS = (0.65, 0.75, 0.8)
_FLOOR = 0.3
"""Pairs below are not kept, and count as this far below."""


def sample_pages(data: Path) -> list[str]:
    """Every page of the sample archive, whatever its language, by Resiliparse."""
    return archive(data, "clean.language.wanted={}", "clean.rules=[]", 'clean.dropped_text="none"')


def git_manuals(data: Path) -> list[str]:
    extract = MainText("resiliparse")
    pages = sorted((data / "text/git-manual-versions").rglob("*"))
    texts = [extract(p.read_text(encoding="utf-8", errors="replace"))[0] for p in pages if p.is_file()]
    return [text for text in texts if text]


def chinese_laws(data: Path) -> list[str]:
    return [p.read_text(encoding="utf-8") for p in sorted((data / "text/laws-zh").rglob("*.md"))]


CORPORA: dict[str, Callable[[Path], list[str]]] = {
    "sample": sample_pages,
    "git-manual-versions": git_manuals,
    "laws-zh": chinese_laws,
}


def measure(name: str, texts: Sequence[str], verify: float, folder: Path) -> dict[str, Any]:
    """Deduplicate, compare all pairs, print the table; its facts."""
    prepare(folder, texts)
    removed = removed_from(folder, len(texts), verify)
    return show(name, texts, AllPairs(texts, _FLOOR), removed, verify)


def show(name: str, texts: Sequence[str], pairs: AllPairs, removed: Removed, verify: float) -> dict[str, Any]:
    table = Table("at least", "pairs", "in one cluster", "would go", "precision", "recall", title_justify="left")
    table.title = f"{name}: {len(texts):,} documents, {len(removed.gone):,} removed; beside comparing every pair"
    rows = []
    for threshold in THRESHOLDS:
        left, right = pairs.at_least(threshold)
        together = int((removed.cluster[left] == removed.cluster[right]).sum())
        wanted = exhaustive(texts, left, right)
        right_ones = len(np.intersect1d(removed.gone, wanted))
        table.add_row(
            f"{threshold:g}", f"{len(left):,}", percent(together, len(left)), f"{len(wanted):,}",
            percent(right_ones, len(removed.gone)), percent(right_ones, len(wanted)),
        )  # fmt: skip
        shares = {"precision": fact(right_ones, len(removed.gone)), "recall": fact(right_ones, len(wanted))}
        rows.append({"threshold": threshold, "pairs": fact(together, len(left)), "removed": len(wanted), **shares})
    bound = verify - 0.1
    low = int((true_similarity(pairs, removed) < bound).sum())
    console = Console(width=120)
    console.print(table)
    console.print(
        f"{percent(low, len(removed.gone))} of the removed are below {bound:.2f} with their neighbour in truth"
    )
    facts = {"corpus": name, "documents": len(texts), "removed": len(removed.gone), "thresholds": rows}
    return facts | {"below": bound, "removed_below": fact(low, len(removed.gone))}


def exhaustive(texts: Sequence[str], left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Numbers of the texts that go if these pairs are the duplicates: of a cluster the longest stays, in bytes, the
    first by id among equals."""
    size = len(texts)
    graph = coo_matrix((np.ones(len(left), np.int8), (left, right)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1]
    lengths = [len(t.encode()) for t in texts]
    order = sorted(range(size), key=lambda i: (labels[i], -lengths[i], document_id(i)))
    ordered = labels[order]
    stays = np.r_[True, ordered[1:] != ordered[:-1]]
    return np.sort(np.array(order)[~stays])


def true_similarity(pairs: AllPairs, removed: Removed) -> np.ndarray:
    """Exact similarity of each removed text with its neighbour; 0 where it is below the floor."""
    known = {
        (a, b): s for a, b, s in zip(pairs.left.tolist(), pairs.right.tolist(), pairs.similarity.tolist(), strict=True)
    }
    ends = zip(removed.gone.tolist(), removed.matched.tolist(), strict=True)
    return np.array([known.get((min(p), max(p)), 0.0) for p in ends])
