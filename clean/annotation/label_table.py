"""Who gave which item which label: answers from any files, checked one by one; what is left out is counted with why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from corpusmill.clean.annotation.questions import Question
from corpusmill.errors import InputError

EXAMPLES = 5
SKIPS = {
    "empty": "cells left empty, or tasks without this answer",
    "unknown_item": "answers for items that are not of this sample",
    "not_a_choice": "answers that are none of the choices",
    "repeated": "answers given twice, alike: counted once",
    "contradiction": "answers of one annotator that contradict each other: none of them counts",
}
"""Why an answer may not count."""


class Answer(NamedTuple):
    """One cell of a sheet, or one result of an export, as it was found."""

    item: str
    annotator: str
    question: str
    value: str
    where: str


@dataclass
class Skipped:
    """Answers that do not count, by reason, with the first of each."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, reason: str, example: str) -> None:
        self.counts[reason] += 1
        if len(self.examples[reason]) < EXAMPLES:
            self.examples[reason].append(example)


@dataclass(frozen=True, slots=True)
class LabelTable:
    items: tuple[str, ...]
    annotators: tuple[str, ...]
    ratings: dict[str, np.ndarray]
    """Question to int16 [items, annotators]: the number of the choice, -1 where there is none."""
    skipped: Skipped


def tabulate(answers: Iterable[Answer], items: Sequence[str], questions: Sequence[Question]) -> LabelTable:
    """Raises InputError where nothing fits: then these are labels of another sample."""
    answers = list(answers)
    annotators = tuple(sorted({a.annotator for a in answers}))
    rows, columns = {n: i for i, n in enumerate(items)}, {n: i for i, n in enumerate(annotators)}
    choices = {q.name: _by_spelling(q) for q in questions}
    ratings = {q.name: np.full((len(items), len(annotators)), -1, np.int16) for q in questions}
    contradicted: set[tuple[str, int, int]] = set()
    skipped = Skipped()
    for one in answers:
        found = choices[one.question].get(_spelling(one.value))
        if not one.value:
            skipped.add("empty", f"{one.where}: {one.question}")
        elif one.item not in rows:
            skipped.add("unknown_item", f"{one.where}: {one.item!r}")
        elif found is None:
            skipped.add("not_a_choice", f"{one.where}: {one.question} {one.value!r}")
        else:
            at = (rows[one.item], columns[one.annotator])
            before = int(ratings[one.question][at])
            said = f"{one.where}: {one.annotator} on {one.item}, {one.question}"
            if (one.question, *at) in contradicted or before not in (-1, found):
                skipped.add("contradiction", said)
                contradicted.add((one.question, *at))
            elif before == found:
                skipped.add("repeated", said)
            ratings[one.question][at] = found
    for question, row, column in contradicted:
        ratings[question][row, column] = -1
        skipped.counts["contradiction"] += 1  # the first of them, taken back
    _require_some(answers, ratings, skipped, questions)
    return LabelTable(tuple(items), annotators, ratings, skipped)


def decided(table: LabelTable, question: str) -> np.ndarray:
    """One choice for each item, int16 [items]: the last annotator's who has one; -1 where none has.

    For files of decisions, which one person or one meeting wrote.
    """
    found = np.full(len(table.items), -1, np.int16)
    for column in table.ratings[question].T:
        found = np.where(column >= 0, column, found)
    return found


def _by_spelling(question: Question) -> Mapping[str, int]:
    return {_spelling(choice): i for i, choice in enumerate(question.choices)}


def _spelling(value: str) -> str:
    """What is left of a label when a spreadsheet has had it: TRUE for true, 1.0 for 1, an apostrophe in front."""
    value = value.strip().removeprefix("'").strip().casefold()
    whole, point, zeros = value.partition(".")
    return whole if point and whole.isdecimal() and not zeros.strip("0") else value


def _require_some(
    answers: Sequence[Answer], ratings: Mapping[str, np.ndarray], skipped: Skipped, questions: Sequence[Question]
) -> None:
    if any((r >= 0).any() for r in ratings.values()):
        return
    counts = skipped.counts
    if counts["unknown_item"]:
        raise InputError(
            f"none of the {counts['unknown_item']:,} answers is for an item of this sample "
            f"({skipped.examples['unknown_item'][0]}): they belong to another labels folder"
        )
    if counts["not_a_choice"]:
        expected = "; ".join(f"{q.name}: {', '.join(q.choices)}" for q in questions)
        raise InputError(
            f"none of the {counts['not_a_choice']:,} answers is one of the choices "
            f"({skipped.examples['not_a_choice'][0]}); expected {expected}"
        )
    raise InputError(f"no label in these files: {len(answers):,} cells, all empty")
