"""Pages to judged documents: one plain function over record batches, the same under every engine and in a test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.clean.components import Judge, make_editors, make_rules, make_scorers
from corpusmill.clean.editors import Editor
from corpusmill.clean.languages import Identifier, language_verdicts, make_identifier
from corpusmill.clean.page_text import Extractor, extract
from corpusmill.clean.scorers.scoring import check_rules_on_scores, scored
from corpusmill.clean.text_measures import measure
from corpusmill.clean.url_rules import UrlFilter
from corpusmill.columns import with_columns
from corpusmill.recipe import Clean


class DocumentFlow:
    """The clean stage of one recipe, ready to be applied to batches of PAGES."""

    def __init__(self, settings: Clean) -> None:
        language = settings.language
        self.wanted = dict(language.wanted)
        self.identifier = make_identifier(
            language.identifier, language.model, wanted=self.wanted, max_chars=language.max_chars
        )
        self.editors = make_editors(settings.editors)
        self.scorers = make_scorers(settings.scorers)
        self.rules = make_rules(settings.rules)
        check_rules_on_scores(self.rules, self.scorers)
        self.edited: Counter[str] = Counter(dict.fromkeys(self.editors, 0))
        """Texts changed so far, by editor."""
        self.edits: Counter[str] = Counter()
        """Changes made so far, by editor and kind."""
        self.extractor = Extractor(
            settings.extract.engine,
            screen=settings.extract.screen,
            fast=settings.extract.fast,
            markdown=settings.extract.markdown,
            guard_seconds=settings.extract.guard_seconds,
            identifier=self.identifier,
            wanted=self.wanted,
            urls=UrlFilter(**settings.url.model_dump()),
        )

    def __call__(self, pages: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Batches of PAGES in; the columns of DROPPED out. Every row flows on; `drop_reason` is null where kept."""
        batches = edit(extract(pages, self.extractor), self.editors, self.edited, self.edits)
        batches = scored(identified(batches, self.identifier, self.wanted), self.scorers)
        return judge(measured(batches), self.rules)


def edit(
    batches: Iterable[pa.RecordBatch],
    editors: Mapping[str, Editor],
    edited: Counter[str],
    edits: Counter[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Apply each editor, in order, to the texts that are still kept; add `edits`, and drop what an editor says.

    `edited` counts texts changed by editor, `edits` changes by editor and kind. Later editors see dropped texts, too:
    what is stored of them is masked as well.
    """
    for batch in batches:
        texts = batch.column("text").to_pylist()
        changes: list[dict[str, int] | None] = [None] * batch.num_rows
        dropped: dict[int, tuple[str, str]] = {}
        for i in _kept_rows(batch):
            counted: dict[str, int] = {}
            for name, editor in editors.items():
                found = editor.edit(texts[i])
                edited[name] += found.text != texts[i]
                counted |= {f"{name}.{kind}": count for kind, count in found.changes.items()}
                reason = found.drop_reason if found.text.strip() else found.drop_reason or "edited_away"
                if reason is not None:
                    dropped.setdefault(i, (reason, name))
                texts[i] = found.text if found.text.strip() else texts[i]
            changes[i] = counted
            if edits is not None:
                edits.update(counted)
        reasons, details = ([dropped.get(i, (None, None))[j] for i in range(batch.num_rows)] for j in (0, 1))
        made = pa.array([None if c is None else list(c.items()) for c in changes], pa.map_(pa.string(), pa.int32()))
        batch = with_columns(batch, {"text": pa.array(texts, pa.large_string()), "edits": made})
        yield _drop(batch, pa.array(reasons, pa.string()), pa.array(details, pa.string()))


def identified(
    batches: Iterable[pa.RecordBatch], identifier: Identifier, wanted: Mapping[str, float]
) -> Iterator[pa.RecordBatch]:
    """Add `language` and `language_score` where there is text; drop what is in no wanted language, or not surely."""
    for batch in batches:
        languages: list[str | None] = [None] * batch.num_rows
        scores: list[float | None] = [None] * batch.num_rows
        rows = _kept_rows(batch)
        found = identifier.identify_batch(batch.column("text").take(pa.array(rows, pa.int64())))
        for i, language, score in zip(rows, *found, strict=True):
            languages[i], scores[i] = language, score
        batch = with_columns(
            batch, {"language": pa.array(languages, pa.string()), "language_score": pa.array(scores, pa.float64())}
        )
        reasons = language_verdicts(batch.column("language"), batch.column("language_score"), wanted)
        yield _drop(batch, reasons, batch.column("language"))


def measured(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Add `measures` wherever there is text, kept or not: thresholds can then be tried on what was dropped, too."""
    for batch in batches:
        yield with_columns(batch, {"measures": measure(batch.column("text"))})


def judge(batches: Iterable[pa.RecordBatch], rules: Mapping[str, Judge]) -> Iterator[pa.RecordBatch]:
    """Set `drop_reason` where a rule has one. The first rule in recipe order wins; a dropped row flows on."""
    for batch in batches:
        for name, rule in rules.items():
            kept = np.asarray(_kept_rows(batch), np.int64)
            if not len(kept):
                break
            found = rule.judge_rows(batch.take(pa.array(kept)))
            reasons, details = np.full(batch.num_rows, None, object), np.full(batch.num_rows, name, object)
            if pa.types.is_struct(found.type):
                details[kept] = found.field("detail").to_numpy(zero_copy_only=False)
                found = found.field("reason")
            reasons[kept] = found.to_numpy(zero_copy_only=False)
            batch = _drop(batch, pa.array(reasons, pa.string()), pa.array(details, pa.string()))
        yield batch


def _drop(batch: pa.RecordBatch, reasons: pa.Array, details: pa.Array) -> pa.RecordBatch:
    """Mark the rows that have a reason now and had none before."""
    new = pc.and_(pc.is_valid(reasons), pc.is_null(batch.column("drop_reason")))
    values = {"drop_reason": reasons, "drop_detail": details, "drop_stage": pa.scalar("clean")}
    return with_columns(batch, {n: pc.if_else(new, v, batch.column(n)) for n, v in values.items()})


def _kept_rows(batch: pa.RecordBatch) -> list[int]:
    rows: list[int] = np.flatnonzero(batch.column("drop_reason").is_null().to_numpy(zero_copy_only=False)).tolist()
    return rows
