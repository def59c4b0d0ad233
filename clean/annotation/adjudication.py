"""From many labels of an item to one: by majority, or by a decision; and whether they are good enough to train on.

Labels may train where annotators agree well beyond chance: kappa of at least 0.8, which Krippendorff (2004, ch. 11)
asks of reliable data and Landis & Koch (1977) call almost perfect. Below it a model would learn how annotators differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import ConfigDict

from corpusmill.clean.annotation.agreement import Agreement, Pair, count_choices
from corpusmill.clean.annotation.questions import Question
from corpusmill.clean.annotation.sheets import table

_SKEWED = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """What labels must reach to train a model."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    min_kappa: float = 0.8
    """Of two annotators Cohen's, of more Fleiss'."""
    min_items: int = 30
    """Items with two labels or more: on fewer, kappa says little."""


def kappa_of(found: Agreement) -> tuple[str, float | None]:
    """The coefficient that decides, and its name."""
    if len(found.pairs) == 1:
        return "Cohen's kappa", found.pairs[0].kappa
    return "Fleiss' kappa", found.fleiss


def refusal(question: Question, found: Agreement, standard: Standard) -> str | None:
    """Why the labels of this question may not train a model; None where they may."""
    opening = f"{question.name}: these labels are not used for training: "
    if found.items < standard.min_items:
        return (
            f"{opening}{found.items:,} items have labels of two annotators, and at least {standard.min_items} are "
            "needed to tell how far they agree. Let another annotator label the same items, or lower --min-items"
        )
    name, kappa = kappa_of(found)
    if kappa is None:
        only = question.choices[int(np.argmax(found.shares))]
        return (
            f"{opening}all {found.labels:,} labels are {only!r}, so {name} is undefined and nothing can be learned. "
            "Draw a sample that has the other kind (--allocation equal, or another --measure)"
        )
    if kappa >= standard.min_kappa:
        return None
    return (
        f"{opening}{name} is {kappa:.2f}, below {standard.min_kappa:g}. {_worst(found.pairs)}"
        f"{_paradox(question, found)} Discuss the items in discuss.csv, sharpen the question, and label again"
    )


def resolve(ratings: np.ndarray, num_choices: int, decisions: np.ndarray | None = None) -> np.ndarray:
    """The label of each item, int16 [items]: the decision, else what most annotators said; -1 for a tie or no label."""
    counts = count_choices(ratings, num_choices)
    most = counts.max(axis=1, initial=0)
    clear = (most > 0) & ((counts == most[:, None]).sum(axis=1) == 1)
    found = np.where(clear, counts.argmax(axis=1), -1).astype(np.int16)
    return found if decisions is None else np.where(decisions >= 0, decisions, found).astype(np.int16)


def disputed(ratings: np.ndarray) -> np.ndarray:
    """Rows that annotators label differently."""
    given = ratings >= 0
    highest = np.where(given, ratings, -1).max(axis=1, initial=-1)
    lowest = np.where(given, ratings, np.iinfo(np.int16).max).min(axis=1, initial=np.iinfo(np.int16).max)
    return np.flatnonzero(given.any(axis=1) & (highest != lowest))


def training_lines(
    question: Question, items: Sequence[Mapping[str, Any]], ratings: np.ndarray, labels: np.ndarray
) -> bytes:
    """JSONL for a classifier: id, url, text (whole), label, weight, votes and the share of votes for the label."""
    lines = []
    for item, row, label in zip(items, ratings, labels.tolist(), strict=True):
        if label >= 0:
            votes = int((row >= 0).sum())
            lines.append(
                {
                    "id": item["id"],
                    "url": item["url"],
                    "text": item["text"],
                    "label": question.choices[label],
                    "weight": item["weight"],
                    "votes": votes,
                    "agreeing": round(float((row == label).sum() / votes), 4) if votes else None,
                }
            )
    return "".join(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in lines).encode()


def discussion(
    questions: Sequence[Question],
    items: Sequence[Mapping[str, Any]],
    ratings: Mapping[str, np.ndarray],
    annotators: Sequence[str],
) -> bytes:
    """A sheet of the items that are disputed: what each said, and empty columns for what the meeting decides.

    Filled in, it is read with `--decisions`.
    """
    rows = [["item", "url", "disputed", *(q.name for q in questions), "text"]]
    chosen = sorted({i for q in questions for i in disputed(ratings[q.name]).tolist()})
    for i in chosen:
        said = [
            f"{q.name}: "
            + ", ".join(f"{n} {q.choices[c]}" for n, c in zip(annotators, ratings[q.name][i], strict=True) if c >= 0)
            for q in questions
            if i in disputed(ratings[q.name])
        ]
        text = items[i]["text"] or ""
        rows.append([items[i]["item"], items[i]["url"] or "", "; ".join(said), *("" for _ in questions), text[:3000]])
    return table(rows)


def _worst(pairs: Sequence[Pair], number: int = 3) -> str:
    """The pairs that disagree most, as a sentence."""
    found = sorted((p for p in pairs if p.kappa is not None), key=lambda p: (p.kappa, p.annotators))[:number]
    said = [
        f"{' and '.join(p.annotators)} ({p.kappa:.2f}: they differ on {p.disagreements:,} of {p.items:,} items)"
        for p in found
    ]
    lead = "Furthest apart are " if len(pairs) > 1 else "These are "
    return f"{lead}{', then '.join(said)}." if said else "No pair has labelled the same items."


def _paradox(question: Question, found: Agreement) -> str:
    """Much agreement with a small kappa: one choice is so frequent that chance explains most of it."""
    top = int(np.argmax(found.shares))
    if found.percent is None or found.percent < _SKEWED or found.shares[top] < _SKEWED:
        return ""
    return (
        f" Two labels of an item agree in {found.percent:.0%} of cases, but {found.shares[top]:.0%} of all labels are "
        f"{question.choices[top]!r}, which agree by chance: the sample has too few of the others to judge by."
    )
