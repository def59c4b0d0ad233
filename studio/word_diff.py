"""Two texts word by word: what stands in both, and what in one of them only."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice
from typing import Literal

MAX_WORDS = 1500
"""Compared on each side, from the first difference on: matching takes time that grows with the square of this."""
_MAX_WORD_CHARS = 80

Kind = Literal["same", "left", "right"]


@dataclass(frozen=True, slots=True)
class WordDiff:
    """`runs` in reading order, each a kind and its words. `more`: words beyond, on either side, not compared."""

    runs: list[tuple[Kind, list[str]]]
    more: tuple[int, int]


def word_diff(left: str, right: str, max_words: int = MAX_WORDS) -> WordDiff:
    """Every word of both texts once, in order, up to `max_words` behind the shared beginning."""
    a, b = ([w[:_MAX_WORD_CHARS] for w in text.split()] for text in (left, right))
    first = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    last = 0
    while last < min(len(a), len(b)) - first and a[-1 - last] == b[-1 - last]:
        last += 1
    ours, theirs = a[first : len(a) - last], b[first : len(b) - last]
    more = (max(0, len(ours) - max_words), max(0, len(theirs) - max_words))
    runs = [("same", a[:first]), *_matched(ours[:max_words], theirs[:max_words])]
    if more == (0, 0):
        runs.append(("same", a[len(a) - last :]))
    return WordDiff(_joined(runs), more)


def _matched(ours: list[str], theirs: list[str]) -> list[tuple[Kind, list[str]]]:
    runs: list[tuple[Kind, list[str]]] = []
    for kind, i, j, k, m in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        runs += [("same", ours[i:j])] if kind == "equal" else [("left", ours[i:j]), ("right", theirs[k:m])]
    return runs


def _joined(runs: list[tuple[Kind, list[str]]]) -> list[tuple[Kind, list[str]]]:
    """Empty runs left out, and neighbours of one kind made one."""
    joined: list[tuple[Kind, list[str]]] = []
    for kind, words in runs:
        if joined and joined[-1][0] == kind:
            joined[-1] = (kind, joined[-1][1] + words)
        elif words:
            joined.append((kind, words))
    return joined


def shortened(words: list[str], before: bool, after: bool, context: int = 20) -> list[str]:
    """Of words that are the same, `context` next to a difference `before` or `after` them; the rest as a number."""
    head, tail = context * before, context * after
    left_out = len(words) - head - tail
    if left_out < 10:
        return words
    return [*islice(words, head), f"… {left_out:,} words the same …", *words[len(words) - tail :]]
