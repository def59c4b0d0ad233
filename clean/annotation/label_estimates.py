"""What the labels say of the corpus: the share of drops that people call mistaken, and of pages kept by mistake.

Each labelled item stands for pages(stratum) / labelled(stratum) pages (times what a cap on hosts took away): items
without a label, and ties, are taken to be like the labelled ones of their stratum. A share is the weighted mean over a
group of strata; its 95% interval is Wilson's with Kish's effective number of items, (sum w)^2 / sum w^2. That is a
little wide: it leaves out what stratification gains, and that a small stratum may be labelled whole. Strata with no
labelled item are in no share; `covered` says how many pages the others hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpusmill.clean.annotation.agreement import wilson
from corpusmill.clean.annotation.questions import Question


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of a group of pages, the share whose keeping or dropping people call a mistake."""

    group: str
    """kept, dropped (all reasons that the question judges), or dropped/REASON."""
    answers: tuple[str, ...]
    """Those that call it a mistake."""
    pages: int
    """Of the run, with a text."""
    covered: int
    """Of these, in strata that have labelled items."""
    items: int
    mistakes: int
    """Labelled items that people call mistakes."""
    share: float | None
    low: float
    high: float
    effective_items: float

    @property
    def mistaken_pages(self) -> float | None:
        """About how many pages that makes, of those covered."""
        return None if self.share is None else self.share * self.covered


def estimates(
    question: Question, items: Sequence[Mapping[str, Any]], labels: np.ndarray, strata: Sequence[Mapping[str, Any]]
) -> list[Estimate]:
    """For kept, dropped, and each reason, as far as the question judges them. `labels`: resolve()'s, -1 unknown."""
    weights = weigh(items, labels >= 0, strata)
    groups: list[tuple[str, str, set[str], list[str]]] = []
    if question.keep is not None:
        groups.append(("kept", "kept", {""}, [c for c in question.choices if c != question.keep]))
    if question.rescue is not None:
        reasons = sorted({s["reason"] for s in strata if s["fate"] == "dropped" and question.judges(s["reason"])})
        groups += [("dropped", "dropped", set(reasons), [question.rescue])] if reasons else []
        groups += [(f"dropped/{r}", "dropped", {r}, [question.rescue]) for r in reasons]
    return [
        _estimate(
            name,
            answers,
            weights * np.array([i["fate"] == fate and i["reason"] in reasons for i in items], bool),
            np.isin(labels, [question.choices.index(a) for a in answers]),
            items,
            [s for s in strata if s["fate"] == fate and s["reason"] in reasons],
        )
        for name, fate, reasons, answers in groups
    ]


def weigh(items: Sequence[Mapping[str, Any]], labelled: np.ndarray, strata: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Pages that each item stands for, float64 [items]; 0 where it has no label. Sums to the pages of its stratum."""
    names = np.array([item["stratum"] for item in items])
    weights = np.array([item["weight"] for item in items], float) * labelled
    for stratum in strata:
        inside = names == stratum["stratum"]
        total = weights[inside].sum()
        if total > 0:
            weights[inside] *= stratum["pages"] / total
    return weights


def _estimate(
    name: str,
    answers: Sequence[str],
    weights: np.ndarray,
    mistaken: np.ndarray,
    items: Sequence[Mapping[str, Any]],
    strata: Sequence[Mapping[str, Any]],
) -> Estimate:
    """Of one group: `weights` are 0 for all other items, `strata` are its own."""
    seen = {i["stratum"] for i, w in zip(items, weights, strict=True) if w > 0}
    total = float(weights.sum())
    share = float(weights @ mistaken / total) if total else None
    effective = float(total**2 / (weights @ weights)) if total else 0.0
    low, high = wilson(share or 0.0, effective)
    return Estimate(
        group=name,
        answers=tuple(answers),
        pages=sum(s["pages"] for s in strata),
        covered=sum(s["pages"] for s in strata if s["stratum"] in seen),
        items=int((weights > 0).sum()),
        mistakes=int(((weights > 0) & mistaken).sum()),
        share=share,
        low=low,
        high=high,
        effective_items=effective,
    )
