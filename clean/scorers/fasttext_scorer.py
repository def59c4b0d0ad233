"""Probability of a label by a fastText classifier: the quality filter of DCLM (Li et al. 2024, section 4.4).

The text is given to the model as DCLM gives it: stripped, its lines joined by blanks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpusmill.clean.fasttext_predictor import FastTextModel, load_fasttext
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
        return {"": label_probabilities(load_classifier(self.model, self.label), texts, self.label)}


def one_line(text: str) -> str:
    """DCLM's normalisation (baselines/mappers/enrichers/quality_prediction_enrichment_models.py)."""
    return " ".join(text.strip().splitlines())


def label_probabilities(model: FastTextModel, texts: Iterable[str], label: str) -> np.ndarray:
    """P(label | text) of each text, float64 between 0 and 1. fastText's own may exceed 1 by a rounding error."""
    # "replace": lone surrogates cannot come from Parquet, but may from a caller's string
    lines = [one_line(text).encode("utf-8", "replace") for text in texts]
    offsets = np.zeros(len(lines) + 1, np.int64)
    np.cumsum([len(line) for line in lines], out=offsets[1:])
    found = model.probabilities(offsets, np.frombuffer(b"".join(lines), np.uint8))
    return np.minimum(found[:, model.labels.index(label)], np.float32(1)).astype(np.float64)


def load_classifier(path: str, label: str) -> FastTextModel:
    """The model, loaded once per process; an error if it is none, or does not know `label`."""
    if not Path(path).is_file():
        raise InputError(f"model: there is no file {path}; give the path of a fastText classifier (.bin or .ftz)")
    model = load_fasttext(path)
    if label not in model.labels:
        raise InputError(f"{path}: the model has no label {label!r}; it has {', '.join(sorted(model.labels)[:20])}")
    return model
