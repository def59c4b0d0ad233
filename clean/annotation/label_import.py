"""Labels that come back: read, compared, reported; written for training where annotators agree well enough.

LABELS/agreement.json          all figures
LABELS/annotation.html         the same for people, with confusion matrices and the items to discuss
LABELS/discuss.csv             items that annotators label differently
LABELS/training/QUESTION.jsonl labels that may train; not there for a question that is refused
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

import fsspec
import numpy as np

from corpusmill.clean.annotation.adjudication import (
    Standard,
    discussion,
    disputed,
    kappa_of,
    refusal,
    resolve,
    training_lines,
)
from corpusmill.clean.annotation.agreement import Agreement, agree
from corpusmill.clean.annotation.label_estimates import Estimate, estimates
from corpusmill.clean.annotation.label_studio import read_export
from corpusmill.clean.annotation.label_table import Answer, LabelTable, decided, tabulate
from corpusmill.clean.annotation.labels_folder import Labels, read_labels
from corpusmill.clean.annotation.questions import Question
from corpusmill.clean.annotation.sheets import read_sheet
from corpusmill.errors import InputError
from corpusmill.recipe import nearest
from corpusmill.storage import Folder

FIGURES, DISCUSS = "agreement.json", "discuss.csv"


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one question."""

    question: Question
    agreement: Agreement
    ratings: np.ndarray
    labels: np.ndarray
    """Of each item the choice that counts, -1 where there is none or a tie."""
    refused: str | None
    estimates: list[Estimate]
    decided: int
    """Labels that decisions gave."""

    @property
    def ties(self) -> int:
        return int(np.sum((self.labels < 0) & (self.ratings >= 0).any(axis=1)))


@dataclass(frozen=True, slots=True)
class Findings:
    labels: Labels
    table: LabelTable
    questions: list[Finding]
    standard: Standard
    written: list[str]
    """Files with labels to train on."""

    @property
    def refusals(self) -> list[str]:
        return [f.refused for f in self.questions if f.refused is not None]


def import_labels(
    folder: Folder,
    sources: Sequence[str],
    *,
    decisions: str | None = None,
    standard: Standard | None = None,
    names: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    seed: int = 0,
) -> Findings:
    """Read `sources` (paths or URLs, or NAME=path), write figures, report, discussion, and what may train.

    `names` renames annotators (Label Studio's numbers). A refused question is not an error here: see `refusals`.
    """
    labels = read_labels(folder)
    standard = standard or Standard()
    chosen = _chosen(labels.questions, only)
    items = [item["item"] for item in labels.items]
    answers = [a for source in sources for a in read_answers(source, labels.questions)]
    renamed = [a._replace(annotator=(names or {}).get(a.annotator, a.annotator)) for a in answers]
    table = tabulate(renamed, items, labels.questions)
    final = tabulate(read_answers(decisions, labels.questions), items, labels.questions) if decisions else None
    findings = [_find(q, labels, table, final, standard, seed) for q in chosen]
    written = _write(folder, labels, table, findings)
    done = Findings(labels, table, findings, standard, written)
    folder.write_json(FIGURES, figures(done))
    from corpusmill.studio.annotation_report import write_annotation_report

    write_annotation_report(folder, done)
    return done


def read_answers(source: str, questions: Sequence[Question]) -> list[Answer]:
    """The answers of one file: a sheet, or an export of Label Studio's."""
    name, separator, path = source.partition("=")
    if not separator or "/" in name:
        name, path = "", source
    data = _bytes(path)
    shown = PurePosixPath(path).name
    if data.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"[", b"{"):
        return read_export(data, shown, questions)
    return read_sheet(data, shown, name or PurePosixPath(path).stem, questions)


def figures(done: Findings) -> dict[str, Any]:
    """All figures, as JSON values."""
    return {
        "annotators": list(done.table.annotators),
        "items": len(done.table.items),
        "standard": asdict(done.standard),
        "skipped": dict(sorted(done.table.skipped.counts.items())),
        "questions": {f.question.name: _figures_of(f) for f in done.questions},
    }


def _figures_of(found: Finding) -> dict[str, Any]:
    return {
        "choices": list(found.question.choices),
        "refused": found.refused,
        "decides": dict(zip(("coefficient", "value"), kappa_of(found.agreement), strict=True)),
        "agreement": asdict(found.agreement),
        "labels": {choice: int((found.labels == i).sum()) for i, choice in enumerate(found.question.choices)},
        "ties": found.ties,
        "decided": found.decided,
        "estimates": [asdict(e) | {"mistaken_pages": e.mistaken_pages} for e in found.estimates],
    }


def _find(
    question: Question, labels: Labels, table: LabelTable, final: LabelTable | None, standard: Standard, seed: int
) -> Finding:
    ratings = table.ratings[question.name]
    decisions = decided(final, question.name) if final is not None else None
    found = agree(ratings, len(question.choices), table.annotators, seed)
    resolved = resolve(ratings, len(question.choices), decisions)
    return Finding(
        question=question,
        agreement=found,
        ratings=ratings,
        labels=resolved,
        refused=refusal(question, found, standard),
        estimates=estimates(question, labels.items, resolved, labels.design["strata"]),
        decided=int((decisions >= 0).sum()) if decisions is not None else 0,
    )


def _write(folder: Folder, labels: Labels, table: LabelTable, findings: Sequence[Finding]) -> list[str]:
    written = []
    for found in findings:
        name = f"training/{found.question.name}.jsonl"
        folder.remove(name)  # of an earlier import, which may have passed where this one does not
        if found.refused is None:
            folder.write_bytes(name, training_lines(found.question, labels.items, found.ratings, found.labels))
            written.append(name)
    folder.remove(DISCUSS)
    if any(len(disputed(f.ratings)) for f in findings):
        asked = [f.question for f in findings]
        folder.write_bytes(DISCUSS, discussion(asked, labels.items, table.ratings, table.annotators))
    return written


def _chosen(questions: Sequence[Question], only: Sequence[str]) -> list[Question]:
    names = [q.name for q in questions]
    for name in only:
        if name not in names:
            raise InputError(f"--question {name}: no such question{nearest(name, names)}")
    return [q for q in questions if not only or q.name in only]


def _bytes(path: str) -> bytes:
    try:
        with fsspec.open(path, "rb") as f:
            data: bytes = f.read()
    except (FileNotFoundError, IsADirectoryError, ValueError) as e:
        raise InputError(f"--from {path}: there is no such file") from e
    if not data.strip():
        raise InputError(f"--from {path}: the file is empty")
    return data
