"""How many items each stratum gives, which ones, and the weight with which each stands for the corpus.

The weight of an item is one over the probability that it was drawn: pages of its stratum for each item drawn from it,
times what a cap on hosts took away. A share estimated with these weights is unbiased for all pages that had a text
(Horvitz & Thompson 1952; Cochran 1977, ch. 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import xxhash

from corpusmill.clean.annotation.sample_settings import SampleSettings
from corpusmill.clean.annotation.strata import KEPT, Group, Stratum, read_frame
from corpusmill.errors import InputError
from corpusmill.storage import Folder

_SHOWN_SALT = 0x53484F57


@dataclass(frozen=True, slots=True)
class Drawn:
    """One item: where it lies, and for how many pages it stands."""

    stratum: Stratum
    address: int
    weight: float

    @property
    def kind(self) -> str:
        return "documents" if self.stratum.fate == KEPT else "dropped"

    def place(self, seed: int) -> int:
        """Items are shown in this order: a hash of its own, since by that of the draw large strata would come first."""
        return int(xxhash.xxh3_64_intdigest(f"{self.kind}/{self.address}", seed=seed ^ _SHOWN_SALT))


@dataclass(frozen=True, slots=True)
class Draw:
    items: list[Drawn]
    strata: list[dict[str, Any]]
    """Every stratum, drawn from or not: stratum, fate, reason, language, range, pages, readable, drawn."""
    no_text: dict[str, int]
    removed: int


def draw(run: Folder, settings: SampleSettings) -> Draw:
    """The sample of a run: the same for a seed, however the run was made."""
    frame = read_frame(run, settings)
    strata = sorted(frame.groups)
    candidates = {s: _candidates(frame.groups[s], settings) for s in strata}
    if not any(candidates.values()):
        raise InputError(f"{run.url} has no page with a stored text, so there is nothing to label")
    numbers = allocate([frame.groups[s].pages for s in strata], [len(candidates[s]) for s in strata], settings)
    items, table = [], []
    for stratum, number in zip(strata, numbers, strict=True):
        group = frame.groups[stratum]
        share = number / _available(group, settings) if number else 0.0
        for _, address, host_share in candidates[stratum][:number]:
            items.append(Drawn(stratum, address, group.pages / group.readable / (share * host_share)))
        table.append(_row(stratum, group, number))
    items.sort(key=lambda i: i.place(settings.seed))
    return Draw(items, table, dict(sorted(frame.no_text.items())), frame.removed)


def allocate(pages: list[int], available: list[int], settings: SampleSettings) -> list[int]:
    """Items of each stratum: never more than it has, and `size` in all where there are so many."""
    there = np.asarray(available)
    size = min(settings.size, int(there.sum()))
    if settings.allocation == "equal":
        return _fill(np.zeros(len(there), np.int64), (there > 0).astype(float), there, size).tolist()
    least = np.minimum(there, settings.min_per_stratum if settings.allocation == "at_least" else 0)
    if least.sum() > size:
        raise InputError(
            f"{size} items are too few for {int((there > 0).sum())} strata with at least {settings.min_per_stratum} "
            f"each: that needs {int(least.sum())}. Give --size {int(least.sum())} or more, a smaller "
            "--min-per-stratum, or fewer strata (--languages 0)"
        )
    return _fill(least, np.where(there > 0, np.asarray(pages, float), 0.0), there, size).tolist()


def deal(number: int, settings: SampleSettings) -> list[tuple[str, ...]]:
    """The annotators of each item, in the order of the items.

    The first `overlap` share goes to several each, every combination of them in turn; the others to one each, in turn.
    Items come in the order of a hash, so the first ones are a random part of them.
    """
    people = settings.annotators
    if not people:
        return [()] * number
    several = list(combinations(people, settings.labels_per_item or len(people)))
    shared = round(number * settings.overlap)
    alone = [(people[i % len(people)],) for i in range(number - shared)]
    return [several[i % len(several)] for i in range(shared)] + alone


def _fill(start: np.ndarray, sizes: np.ndarray, there: np.ndarray, size: int) -> np.ndarray:
    """Numbers that grow from `start` towards `size` in all, in proportion to `sizes`, none beyond what is `there`.

    The common multiple is found by bisection; what rounding leaves goes to the largest remainders.
    """

    def at(multiple: float) -> np.ndarray:
        return np.clip(multiple * sizes, start, there)

    low, high = 0.0, 1.0
    while at(high).sum() < size:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle).sum() < size else (low, middle)
    exact = at(high)
    whole = np.floor(exact + 1e-9).astype(np.int64)
    by_remainder = np.lexsort((np.arange(len(exact)), -np.round(exact - whole, 9)))
    for i in [i for i in by_remainder if whole[i] < there[i]][: size - int(whole.sum())]:
        whole[i] += 1
    return whole


def _candidates(group: Group, settings: SampleSettings) -> list[tuple[int, int, float]]:
    """(order, address, share of its host that the cap lets through) of pages that may be drawn, in order."""
    if settings.max_per_host is None:
        return [(order, address, 1.0) for order, address in group.first]
    found = [
        (order, address, len(best) / group.hosts[host])
        for host, best in group.by_host.items()
        for _, order, address in best
    ]
    return sorted(found)[: settings.size]


def _available(group: Group, settings: SampleSettings) -> int:
    """Pages that the items of a stratum are drawn from."""
    return group.readable if settings.max_per_host is None else sum(map(len, group.by_host.values()))


def _row(stratum: Stratum, group: Group, drawn: int) -> dict[str, Any]:
    return {
        "stratum": str(stratum), "fate": stratum.fate, "reason": stratum.reason, "language": stratum.language,
        "range": stratum.range, "pages": group.pages, "readable": group.readable, "drawn": drawn,
    }  # fmt: skip
