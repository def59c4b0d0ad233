"""Scorers by name, and the step of the flow that applies them.

Adding one is its file and one line here. A recipe may also name any class on the path that has `score_batch`
(`use = "their_pkg.scorers:Toxicity"`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.clean.contamination import Contamination, Decontaminate
from corpusmill.clean.rules.score_bounds import ScoreBounds
from corpusmill.clean.scorers.bad_words import BadWords
from corpusmill.clean.scorers.fasttext_scorer import FastTextScorer
from corpusmill.clean.scorers.kenlm_scorer import KenlmScorer
from corpusmill.clean.scorers.onnx_scorer import OnnxScorer
from corpusmill.clean.scorers.scorer import TextScorer
from corpusmill.clean.scorers.transformer_scorer import TransformerScorer
from corpusmill.columns import with_columns
from corpusmill.errors import InputError
from corpusmill.recipe import Component, nearest
from corpusmill.schemas import DOCUMENTS

SCORERS: dict[str, type] = {
    "bad_words": BadWords,
    "contamination": Contamination,
    "fasttext_quality": FastTextScorer,
    "kenlm": KenlmScorer,
    "onnx": OnnxScorer,
    "transformer": TransformerScorer,
}

JUDGES: dict[str, type] = {"bad_words": BadWords, "decontaminate": Decontaminate, "score": ScoreBounds}
"""Rules that look at more than measures: at scores, or at the text itself."""


def check_files(component: Any, where: str) -> None:
    """Say now, with the place in the recipe, that a file is missing; the work begins hours later."""
    if hasattr(component, "check"):
        try:
            component.check()
        except InputError as e:
            raise InputError(f"{where}.{e}") from e


def check_rules_on_scores(rules: Mapping[str, Any], scorers: Collection[str]) -> None:
    """A bound on a score that nothing gives would keep everything, silently."""
    for name, rule in rules.items():
        if isinstance(rule, ScoreBounds) and not any(rule.of == s or rule.of.startswith(s + ".") for s in scorers):
            raise InputError(f"clean.rules: {name}: no scorer is named {rule.of!r}{nearest(rule.of, list(scorers))}")


def identities(components: Sequence[Component], built: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each component as its settings say, with checksums for paths where it has an identity of its own."""
    told = []
    for component, made in zip(components, built.values(), strict=True):
        settings = component.model_dump(mode="json")
        if hasattr(made, "identity"):
            settings = {"use": component.use, "name": component.name, **made.identity()}
        told.append(settings)
    return told


def scored(batches: Iterable[pa.RecordBatch], scorers: Mapping[str, TextScorer]) -> Iterator[pa.RecordBatch]:
    """Add `scores`: by default for rows still kept, with `rows = "all"` wherever there is text."""
    for batch in batches:
        values: dict[str, np.ndarray] = {}
        for name, scorer in scorers.items():
            for key, scores in _score(batch, scorer).items():
                values[f"{name}.{key}" if key else name] = scores
        yield with_scores(batch, values) if scorers else batch


def with_scores(batch: pa.RecordBatch, values: Mapping[str, np.ndarray]) -> pa.RecordBatch:
    """`batch` with float64 values [rows] by key put into its `scores`. NaN is left out; no value at all is null."""
    there: Iterable[Any] = [None] * batch.num_rows
    if "scores" in batch.schema.names:
        there = batch.column("scores").to_pylist()
    columns = {key: scores.tolist() for key, scores in values.items()}
    maps = []
    for i, old in enumerate(there):
        new = dict(old or ()) | {key: column[i] for key, column in columns.items() if not math.isnan(column[i])}
        maps.append(list(new.items()) or None)
    return with_columns(batch, {"scores": pa.array(maps, DOCUMENTS.field("scores").type)})


def _score(batch: pa.RecordBatch, scorer: TextScorer) -> dict[str, np.ndarray]:
    present = batch.column("text").is_valid()
    wanted = present if getattr(scorer, "rows", "kept") == "all" else batch.column("drop_reason").is_null()
    rows = np.flatnonzero(wanted.to_numpy(zero_copy_only=False) & present.to_numpy(zero_copy_only=False))
    if not len(rows):
        return {}
    chosen = batch.take(pa.array(rows))
    found = scorer.score_batch(chosen.column("text"), chosen.column("language"))
    spread: dict[str, np.ndarray] = {}
    for key, scores in found.items():
        if len(scores) != len(rows):
            raise InputError(f"{type(scorer).__name__}.score_batch gave {len(scores)} scores for {len(rows)} texts")
        spread[key] = np.full(batch.num_rows, np.nan)
        spread[key][rows] = scores
    return spread
