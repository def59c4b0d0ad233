"""How many planted pairs are found at each similarity, before and after verification, and what is removed wrongly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.exact_jaccard import jaccard, shingles_of, words_of
from benchmarks.intervals import fact, percent
from benchmarks.planted_pairs import PlantedPair, base_texts, planted_pairs
from benchmarks.removed_rows import Removed, prepare, removed_from
from benchmarks.sentence_pool import Pool

POINTS = (0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""The two lowest are there for precision: what verification must keep from being removed."""
BANDS, ROWS = 14, 8


@dataclass(frozen=True)
class Laid:
    """Pairs and unrelated documents in one list: `left` and `right` are the places of the pairs' texts in it."""

    texts: list[str]
    left: np.ndarray
    right: np.ndarray
    point: np.ndarray
    similarity: np.ndarray


def measure(pool: Pool, each: int, unrelated: int, verify: float, folder: Path, seed: int = 1) -> dict[str, Any]:
    """Plant, deduplicate twice, print the table; its facts."""
    laid = lay(list(planted_pairs(pool, POINTS, each, seed)), base_texts_after(pool, each, unrelated, seed), seed)
    prepare(folder, laid.texts)
    before, after = (removed_from(folder, len(laid.texts), v) for v in (0.0, verify))
    return show(laid, before, after, verify, unrelated)


def base_texts_after(pool: Pool, each: int, unrelated: int, seed: int) -> list[str]:
    return list(base_texts(pool, each * len(POINTS), unrelated, seed))


def lay(pairs: Sequence[PlantedPair], unrelated: Sequence[str], seed: int) -> Laid:
    """All texts in a random order."""
    texts = [*(p.left for p in pairs), *(p.right for p in pairs), *unrelated]
    order = np.random.default_rng(seed).permutation(len(texts))
    place = np.empty(len(texts), np.int64)
    place[order] = np.arange(len(texts))
    n = len(pairs)
    return Laid(
        [texts[i] for i in order],
        place[:n],
        place[n : 2 * n],
        np.array([p.point for p in pairs]),
        np.array([p.similarity for p in pairs]),
    )


def curve(similarity: np.ndarray) -> np.ndarray:
    """Probability that a pair shares a band (Leskovec, Rajaraman, Ullman 2014, section 3.4)."""
    return np.asarray(1 - (1 - similarity**ROWS) ** BANDS)


def found(laid: Laid, removed: Removed) -> np.ndarray:
    """Which pairs were found: one of the two is gone, and matched with the other. bool [pairs]."""
    matched = np.full(len(laid.texts), -1, np.int64)
    matched[removed.gone] = removed.matched
    return np.asarray((matched[laid.left] == laid.right) | (matched[laid.right] == laid.left))


def true_similarity(laid: Laid, removed: Removed) -> np.ndarray:
    """Exact similarity of each removed document with the neighbour it was matched with, float64."""
    known = {**_by_place(laid.left, laid.right, laid.similarity), **_by_place(laid.right, laid.left, laid.similarity)}

    def one(pair: tuple[int, int]) -> float:
        if pair in known:
            return known[pair]
        return jaccard(*(shingles_of(words_of(laid.texts[i])) for i in pair))

    return np.array([one(pair) for pair in zip(removed.gone.tolist(), removed.matched.tolist(), strict=True)])


def _by_place(ends: np.ndarray, others: np.ndarray, values: np.ndarray) -> dict[tuple[int, int], float]:
    return dict(zip(zip(ends.tolist(), others.tolist(), strict=True), values.tolist(), strict=True))


def show(laid: Laid, before: Removed, after: Removed, verify: float, unrelated: int) -> dict[str, Any]:
    """Print the table, with the removals below the bound under it; its facts."""
    table = Table(
        *("similarity", "pairs", "mean", "1-(1-s^8)^14", "found by bands", "less the curve", "and verified"),
        title_justify="left",
    )
    table.title = f"recall: planted pairs among {unrelated:,} unrelated documents; exact Jaccard of 5-word shingles"
    hits_before, hits_after, expected = found(laid, before), found(laid, after), curve(laid.similarity)
    rows = []
    for point in np.unique(laid.point):
        at = laid.point == point
        n, first, second = int(at.sum()), int(hits_before[at].sum()), int(hits_after[at].sum())
        wanted = float(expected[at].mean())
        table.add_row(
            f"{point:g}", f"{n:,}", f"{laid.similarity[at].mean():.4f}", f"{wanted:.2%}",
            percent(first, n), f"{100 * (first / n - wanted):+.1f}", percent(second, n),
        )  # fmt: skip
        rows.append(
            {
                "point": float(point),
                "mean": round(float(laid.similarity[at].mean()), 5),
                "curve": round(wanted, 5),
                "before": fact(first, n),
                "after": fact(second, n),
            }
        )
    bound = verify - 0.1
    wrong = {"before": _below(laid, before, bound), "after": _below(laid, after, bound)}
    console = Console(width=120)
    console.print(table)
    for name, (low, n) in wrong.items():
        console.print(f"{name} verification: {percent(low, n)} of {n:,} removed are below {bound:.2f} in truth")
    return {"points": rows, "below": bound, "removed_below": {k: fact(*v) for k, v in wrong.items()}}


def _below(laid: Laid, removed: Removed, bound: float) -> tuple[int, int]:
    true = true_similarity(laid, removed)
    return int((true < bound).sum()), len(true)


def passed(facts: Mapping[str, Any], points: Sequence[float] = (0.75, 0.8, 0.85, 0.9)) -> bool:
    """Whether bands find at least the curve's share less two points, and under 1% of what is removed is far below."""
    rows = {row["point"]: row for row in facts["points"]}
    enough = all(rows[p]["before"]["share"] >= rows[p]["curve"] - 0.02 for p in points)
    return enough and (facts["removed_below"]["after"]["share"] or 0.0) < 0.01
