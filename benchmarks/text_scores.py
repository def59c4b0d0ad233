"""How much of an article an extractor finds, and how much else: precision and recall over runs of four words."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

WORDS = 4
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_TOKEN = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")
"""A word, or a character of the scripts that write without spaces. Equal to `\\w+` for all else, as in the scoring of
the article extraction benchmark (scrapinghub)."""


@dataclass(frozen=True, slots=True)
class Score:
    f1: float
    precision: float
    recall: float


def score(golds: Sequence[str], texts: Sequence[str]) -> Score:
    """Precision and recall are means over pages, F1 is that of the means, as the benchmark has it."""
    pairs = [precision_recall(gold, text) for gold, text in zip(golds, texts, strict=True)]
    precision, recall = (statistics.fmean(p[i] for p in pairs) for i in (0, 1))
    both = precision + recall
    return Score(2 * precision * recall / both if both else 0.0, precision, recall)


def precision_recall(gold: str, text: str) -> tuple[float, float]:
    """Of one page. Nothing found where there is something: precision 0. Nothing to be found: recall 1."""
    wanted, found = shingles(gold), shingles(text)
    common = sum((wanted & found).values())
    return common / found.total() if found else 0.0, common / wanted.total() if wanted else 1.0


def shingles(text: str) -> Counter[tuple[str, ...]]:
    """Runs of four tokens with their counts; a shorter text is one run, an empty one has none."""
    tokens = _TOKEN.findall(text)
    if not tokens:
        return Counter()
    return Counter(tuple(tokens[i : i + WORDS]) for i in range(max(len(tokens) - WORDS + 1, 1)))
