"""Probability of a label by a fastText classifier: the quality filter of DCLM (Li et al. 2024, section 4.4).

The text is given to the model as DCLM gives it: stripped, its lines joined by blanks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from corpusmill.clean.scorers.scorer import Scorer, Scores
from corpusmill.errors import InputError

LABEL_PREFIX = "__label__"


@dataclass(frozen=True, kw_only=True)
class FastTextScorer(Scorer):
    """`model` is any supervised fastText model (.bin or .ftz); `label` the one whose probability is the score."""

    model: str
    label: str = "hq"
    """DCLM's published model says hq (high quality) and cc; so does `corpusmill classifier train`."""

    def files(self) -> dict[str, Path]:
        return {"model": Path(self.model)}

    def score_texts(self, texts: list[str], languages: list[str | None]) -> Scores:
        model = load_classifier(self.model, self.label)
        return {"": np.array([probability(model, text, self.label) for text in texts], np.float64)}


def one_line(text: str) -> str:
    """DCLM's normalisation (baselines/mappers/enrichers/quality_prediction_enrichment_models.py)."""
    return " ".join(text.strip().splitlines())


def probability(model: Any, text: str, label: str) -> float:
    """P(label | text), between 0 and 1. fastText's own float32 softmax may exceed 1 by a rounding error."""
    # "replace": lone surrogates cannot come from Parquet, but may from a caller's string
    line = one_line(text).encode("utf-8", "replace").decode() + "\n"
    for found, name in model.f.predict(line, -1, 0.0, "strict"):
        if name == LABEL_PREFIX + label:
            return min(float(found), 1.0)
    return 0.0


def load_classifier(path: str, label: str) -> Any:
    """The model, loaded once per process; an error if it is none, or does not know `label`."""
    if not Path(path).is_file():
        raise InputError(f"model: there is no file {path}; give the path of a fastText classifier (.bin or .ftz)")
    model = _load(path)
    labels = [name.removeprefix(LABEL_PREFIX) for name in model.labels]
    if label not in labels:
        raise InputError(f"{path}: the model has no label {label!r}; it has {', '.join(sorted(labels)[:20])}")
    return model


@lru_cache(maxsize=8)
def _load(path: str) -> Any:
    import fasttext

    try:
        model = fasttext.load_model(path)
    except (ValueError, RuntimeError, MemoryError) as e:
        raise InputError(f"{path} is not a fastText model: {e}") from e
    if not model.f.getArgs().model.name == "supervised":
        raise InputError(f"{path} is a fastText model of word vectors, not a classifier: train one with labels")
    return model
