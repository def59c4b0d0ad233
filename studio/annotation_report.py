"""LABELS/annotation.html: how far annotators agree, where they do not, and what the mill got wrong, in one file.

Pages are strangers' text: it goes through the same filters as the corpus report, under the same policy.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from corpusmill.clean.annotation.adjudication import disputed, kappa_of
from corpusmill.clean.annotation.label_table import SKIPS
from corpusmill.storage import Folder
from corpusmill.studio.charts import number
from corpusmill.studio.corpus_report import environment
from corpusmill.studio.plain_text import excerpt
from corpusmill.studio.reasons import explain

if TYPE_CHECKING:
    from corpusmill.clean.annotation.label_import import Finding, Findings

REPORT = "annotation.html"
MAX_DISPUTED = 20
_HEATS = 5


def write_annotation_report(folder: Folder, done: Findings) -> None:
    folder.write_bytes(REPORT, render(done).encode())


def render(done: Findings) -> str:
    """The page as a string; the same labels give the same bytes."""
    files = resources.files("corpusmill.studio")
    css = "".join((files / f"templates/{n}.css").read_text(encoding="utf-8") for n in ("report", "annotation"))
    page = environment()
    page.filters |= {"interval_bar": interval_bar, "share": lambda v: "–" if v is None else f"{100 * v:.1f}%"}
    template = page.from_string((files / "templates/annotation.html").read_text(encoding="utf-8"))
    return template.render(
        css=Markup(css),  # noqa: S704 (our own files)
        style_hash=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        done=done,
        design=done.labels.design,
        standard=done.standard,
        questions=[_question(done, found) for found in done.questions],
        skipped=[
            (reason, SKIPS[reason], count, done.table.skipped.examples[reason])
            for reason, count in sorted(done.table.skipped.counts.items())
        ],
        labelled=int(np.any([(r >= 0).any(axis=1) for r in done.table.ratings.values()], axis=0).sum()),
        given=[(name, int(n)) for name, n in zip(done.table.annotators, _given(done), strict=True)],
    )


def interval_bar(low: float, high: float, at: float) -> Markup:
    """An interval within 0 to 1, with a mark at the estimate."""
    left, width = number(100 * low), number(max(100 * (high - low), 0.8))
    return Markup(  # noqa: S704 (numbers only)
        '<svg class="share" aria-hidden="true" viewBox="0 0 100 10" preserveAspectRatio="none">'
        f'<rect class="track" width="100" height="10"/><rect class="flow" x="{left}" width="{width}" height="10"/>'
        f'<rect class="bar" x="{number(min(max(100 * at - 0.5, 0.0), 99.0))}" width="1" height="10"/></svg>'
    )


def _question(done: Findings, found: Finding) -> dict[str, Any]:
    name, kappa = kappa_of(found.agreement)
    rows = disputed(found.ratings)
    return {
        "found": found,
        "coefficient": name,
        "kappa": kappa,
        "pairs": [_matrix(found, pair) for pair in found.agreement.pairs],
        "num_disputed": len(rows),
        "disputed": [_disputed(done, found, int(i)) for i in rows[:MAX_DISPUTED]],
        "estimates": [(e, _title(e.group)) for e in found.estimates],
        "counts": [(c, int((found.labels == i).sum())) for i, c in enumerate(found.question.choices)],
    }


def _matrix(found: Finding, pair: Any) -> dict[str, Any]:
    """A confusion matrix: each cell with its count, and a shade from 0 to 4 for its share of the items."""
    table = np.array(pair.table)
    shades = np.ceil(table / max(int(table.max()), 1) * (_HEATS - 1)).astype(int)
    rows = [
        (choice, [(int(n), int(s), i == j) for j, (n, s) in enumerate(zip(table[i], shades[i], strict=True))])
        for i, choice in enumerate(found.question.choices)
    ]
    return {"pair": pair, "rows": rows, "choices": found.question.choices}


def _disputed(done: Findings, found: Finding, row: int) -> dict[str, Any]:
    item = done.labels.items[row]
    said = [
        (name, found.question.choices[c])
        for name, c in zip(done.table.annotators, found.ratings[row].tolist(), strict=True)
        if c >= 0
    ]
    return {"item": item, "said": said, "text": excerpt(item["text"] or "")}


def _title(group: str) -> str:
    fate, _, reason = group.partition("/")
    if reason:
        return explain(reason, "clean").title
    return "Kept" if fate == "kept" else "Dropped, for any of these reasons"


def _given(done: Findings) -> np.ndarray:
    """Labels of each annotator, all questions together."""
    return np.sum([(r >= 0).sum(axis=0) for r in done.table.ratings.values()], axis=0)
