"""How far annotators agree beyond chance: Cohen's kappa by pair, Fleiss' kappa over all, and agreement by class.

Ratings of one question are int16 [items, annotators]: the number of the choice, or -1 where there is no label.

Intervals are 95% percentile intervals of a bootstrap over items (Efron & Tibshirani 1993, ch. 13), seeded, so the same
labels always give the same interval. Resamples in which kappa is undefined are left out. Where nobody disagreed all
resamples agree too, and the interval would be a point: the lower end is then formed from the Wilson bound on the share
of agreement, at the chance agreement found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import xxhash

RESAMPLES = 2000
_TAIL = 2.5
Z = 1.959963984540054
"""Of the normal distribution, two-sided 95%."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two annotators on the items that both labelled."""

    annotators: tuple[str, str]
    table: list[list[int]]
    """`table[i][j]`: items that the first called choice i and the second choice j."""
    items: int
    percent: float
    kappa: float | None
    """Cohen (1960). None where both gave one and the same label to all: chance alone explains that agreement."""
    standard_error: float | None
    """For large samples (Fleiss, Cohen & Everitt 1969)."""
    interval: Interval | None
    pabak: float
    """Kappa as it would be if all choices were used equally often (Byrt, Bishop & Carlin 1993)."""
    by_choice: list[float | None]
    """Of all uses of a choice, the share that the other one answered with the same (Cicchetti & Feinstein 1990)."""

    @property
    def disagreements(self) -> int:
        return self.items - sum(self.table[i][i] for i in range(len(self.table)))


@dataclass(frozen=True, slots=True)
class Agreement:
    """All annotators on one question."""

    items: int
    """Items with two labels or more: the others say nothing about agreement."""
    labels: int
    shares: list[float]
    """How often each choice was used, over those labels."""
    percent: float | None
    """Share of agreeing pairs of labels within an item, mean over items."""
    fleiss: float | None
    fleiss_interval: Interval | None
    alpha: float | None
    """Krippendorff's, nominal."""
    alpha_interval: Interval | None
    by_choice: list[float | None]
    pairs: list[Pair]


def agree(ratings: np.ndarray, num_choices: int, names: Sequence[str], seed: int = 0) -> Agreement:
    """Everything about one question. Takes some milliseconds; bootstraps draw counts, not items."""
    counts = count_choices(ratings, num_choices)
    rated = counts[counts.sum(axis=1) >= 2]
    pairs = [
        compare(ratings[:, i], ratings[:, j], num_choices, (names[i], names[j]), seed)
        for i, j in combinations(range(len(names)), 2)
        if np.any((ratings[:, i] >= 0) & (ratings[:, j] >= 0))
    ]
    if not len(rated):
        return Agreement(0, 0, [0.0] * num_choices, None, None, None, None, None, [None] * num_choices, pairs)
    kinds, times = np.unique(rated, axis=0, return_counts=True)
    draws = _resample(times, _rng(seed, *names))
    fleiss, alpha = (float(f(kinds, times[None])[0]) for f in (_fleiss, _alpha))
    percent = float(_within(kinds) @ times / len(rated))
    chance = float(np.sum((times @ kinds / rated.sum()) ** 2))
    return Agreement(
        items=len(rated),
        labels=int(rated.sum()),
        shares=(rated.sum(axis=0) / rated.sum()).tolist(),
        percent=percent,
        fleiss=_number(fleiss),
        fleiss_interval=_interval(fleiss, _fleiss(kinds, draws), percent, chance, len(rated)),
        alpha=_number(alpha),
        alpha_interval=_interval(alpha, _alpha(kinds, draws), percent, chance, len(rated)),
        by_choice=_by_choice(rated),
        pairs=pairs,
    )


def compare(first: np.ndarray, second: np.ndarray, num_choices: int, names: tuple[str, str], seed: int = 0) -> Pair:
    """Two annotators; items that only one of them labelled do not count."""
    both = (first >= 0) & (second >= 0)
    table = np.zeros((num_choices, num_choices), np.int64)
    np.add.at(table, (first[both], second[both]), 1)
    items = int(both.sum())
    kappa, percent, chance = (float(v[0]) for v in _cohen(table[None]))
    draws = _resample(table.ravel(), _rng(seed, *names)).reshape(-1, num_choices, num_choices)
    used = table.sum(axis=0) + table.sum(axis=1)
    return Pair(
        annotators=names,
        table=table.tolist(),
        items=items,
        percent=percent,
        kappa=_number(kappa),
        standard_error=_standard_error(table, kappa),
        interval=_interval(kappa, _cohen(draws)[0], percent, chance, items),
        pabak=(num_choices * percent - 1) / (num_choices - 1),
        by_choice=[float(2 * table[c, c] / used[c]) if used[c] else None for c in range(num_choices)],
    )


def count_choices(ratings: np.ndarray, num_choices: int) -> np.ndarray:
    """Labels of each item by choice, int64 [items, choices]."""
    return np.stack([(ratings == c).sum(axis=1) for c in range(num_choices)], axis=1)


def fleiss_kappa(counts: np.ndarray) -> float | None:
    """Fleiss (1971) of labels by choice [items, choices]; None where it is undefined.

    Items may have different numbers of labels: agreement within an item is over its own pairs of labels, every item
    with two or more counts once, and chance agreement comes from all their labels together. With the same number for
    each item this is Fleiss' formula.
    """
    rated = counts[counts.sum(axis=1) >= 2]
    return _number(float(_fleiss(rated, np.ones((1, len(rated)), np.int64))[0])) if len(rated) else None


def krippendorff_alpha(counts: np.ndarray) -> float | None:
    """Krippendorff's alpha for nominal data, of labels by choice [items, choices]; None where it is undefined."""
    rated = counts[counts.sum(axis=1) >= 2]
    return _number(float(_alpha(rated, np.ones((1, len(rated)), np.int64))[0])) if len(rated) else None


def cohen_kappa(table: np.ndarray) -> float | None:
    """Cohen (1960) of a square table of counts; None where it is undefined."""
    return _number(float(_cohen(np.asarray(table)[None])[0][0]))


def wilson(share: float, number: float) -> Interval:
    """Wilson's (1927) 95% interval for a share of `number` observations, which need not be whole."""
    if number <= 0:
        return 0.0, 1.0
    middle = share + Z**2 / (2 * number)
    half = Z * np.sqrt(share * (1 - share) / number + Z**2 / (4 * number**2))
    below = 1 + Z**2 / number
    return float(max((middle - half) / below, 0.0)), float(min((middle + half) / below, 1.0))


def _cohen(tables: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(kappa, agreement, chance agreement) of each table [draws, choices, choices]; kappa is NaN where undefined."""
    total = tables.sum(axis=(1, 2)).astype(np.float64)
    percent = np.trace(tables, axis1=1, axis2=2) / total
    chance = np.sum(tables.sum(axis=1) * tables.sum(axis=2), axis=1) / total**2
    return _beyond_chance(percent, chance), percent, chance


def _fleiss(kinds: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Of items of these kinds [kinds, choices], each so many times [draws, kinds]."""
    percent = times @ _within(kinds) / times.sum(axis=1)
    shares = times @ kinds
    shares = shares / shares.sum(axis=1, keepdims=True)
    return _beyond_chance(percent, np.sum(shares**2, axis=1))


def _alpha(kinds: np.ndarray, times: np.ndarray) -> np.ndarray:
    labels = kinds.sum(axis=1)
    used = times @ kinds
    total = used.sum(axis=1).astype(np.float64)
    found = 1 - times @ (labels * _within(kinds)) / total
    expected = 1 - np.sum(used * (used - 1.0), axis=1) / (total * (total - 1))
    return np.where(expected > 1e-12, 1 - found / np.where(expected > 1e-12, expected, 1), np.nan)


def _within(kinds: np.ndarray) -> np.ndarray:
    """Share of agreeing pairs of labels of an item."""
    labels = kinds.sum(axis=1)
    return np.sum(kinds * (kinds - 1.0), axis=1) / (labels * (labels - 1.0))


def _beyond_chance(percent: np.ndarray, chance: np.ndarray) -> np.ndarray:
    room = 1 - chance
    return np.where(room > 1e-12, (percent - chance) / np.where(room > 1e-12, room, 1), np.nan)


def _by_choice(rated: np.ndarray) -> list[float | None]:
    """Specific agreement over any number of labels: of the partners of a label of this choice, how many agree."""
    partners = rated * (rated.sum(axis=1, keepdims=True) - 1.0)
    agreeing, all_ = (rated * (rated - 1.0)).sum(axis=0), partners.sum(axis=0)
    return [float(a / b) if b else None for a, b in zip(agreeing, all_, strict=True)]


def _standard_error(table: np.ndarray, kappa: float) -> float | None:
    if np.isnan(kappa):
        return None
    n = table.sum()
    shares = table / n
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    chance = float(rows @ columns)
    either = rows[None, :] + columns[:, None]  # [i, j]: column share of i plus row share of j
    on = float(np.sum(np.diag(shares) * (1 - (rows + columns) * (1 - kappa)) ** 2))
    off = (1 - kappa) ** 2 * float(np.sum((shares - np.diag(np.diag(shares))) * either**2))
    variance = (on + off - (kappa - chance * (1 - kappa)) ** 2) / (n * (1 - chance) ** 2)
    return float(np.sqrt(max(variance, 0.0)))


def _resample(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts of RESAMPLES samples of as many items, drawn with replacement: [RESAMPLES, kinds]."""
    return rng.multinomial(counts.sum(), counts / counts.sum(), RESAMPLES)


def _interval(found: float, resampled: np.ndarray, percent: float, chance: float, items: int) -> Interval | None:
    if np.isnan(found):
        return None
    if percent == 1.0:
        return (wilson(1.0, items)[0] - chance) / (1 - chance), 1.0
    low, high = np.nanpercentile(resampled, (_TAIL, 100 - _TAIL))
    return float(low), float(high)


def _rng(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng([seed, xxhash.xxh3_64_intdigest("\0".join(names))])


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
