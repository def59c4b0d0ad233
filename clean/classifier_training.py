"""Training a fastText quality classifier as DCLM did (Li et al. 2024), and choosing its threshold.

    train_classifier      labelled texts to a model, with precision and recall on texts it has not seen
    threshold_for_share   the score above which a given share of a sample lies

The same texts give the same model, byte for byte, in whatever order they come.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import xxhash
from pydantic import ConfigDict, Field

from corpusmill.clean.scorers.fasttext_scorer import LABEL_PREFIX, label_probabilities, load_classifier, one_line
from corpusmill.clean.text_files import field_texts, read_rows
from corpusmill.errors import InputError
from corpusmill.storage import sha256_of

POSITIVE, NEGATIVE = "hq", "cc"
"""DCLM's names: high quality, Common Crawl."""
_SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
# fastText 0.9 initialises a tenth of its matrix per thread and leaves the rest as malloc gave it: NaN in about half of
# the runs. glibc fills memory with ~255 = 0 on request, and one thread makes the result repeatable.
_ENVIRONMENT = {"MALLOC_PERTURB_": "255"}
_SUBPROCESS = """
import json, sys, fasttext
options = json.loads(sys.argv[1])
output = options.pop("output")
fasttext.train_supervised(**options).save_model(output)
"""


@dataclass(frozen=True, kw_only=True)
class Training:
    """Settings of fastText's trainer. DCLM: words and pairs of words, the trainer's defaults otherwise."""

    epochs: Annotated[int, Field(gt=0)] = 5
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    word_ngrams: Annotated[int, Field(gt=0)] = 2
    dimensions: Annotated[int, Field(gt=0)] = 64
    buckets: Annotated[int, Field(gt=0)] = 500_000
    """For pairs of words. A model has 4 * dimensions bytes for each bucket and each word: 128 MB by default."""
    min_count: Annotated[int, Field(gt=0)] = 1
    heldout: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the texts that the model is judged by; drawn by a hash, so that copies of a text stay together."""
    seed: int = 0

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)


def train_classifier(
    examples: Iterable[tuple[str, str]], output: str | Path, settings: Training | None = None, positive: str = POSITIVE
) -> dict[str, Any]:
    """Train on (text, label) pairs, write the model to `output` and what it is worth to `output`.json; the latter.

    All texts are held in memory. Raises InputError where a side of the split lacks a label.
    """
    settings = settings or Training()
    output = Path(output)
    train, heldout = _split(examples, settings)
    _check_labels(train, heldout, positive)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="classifier-", dir=output.parent) as folder:
        made = _train(train, settings, Path(folder))
        report = _judged(made, heldout, positive) | {
            "label": positive,
            "train": dict(sorted(Counter(label for _, label in train).items())),
            "heldout": dict(sorted(Counter(label for _, label in heldout).items())),
            "settings": asdict(settings),
            "sha256": sha256_of(made),
        }
        made.replace(output)
    output.with_name(output.name + ".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def threshold_for_share(scores: Sequence[float] | np.ndarray, share: float) -> tuple[float, float]:
    """(threshold, share of `scores` at or above it): the lowest threshold that keeps no more than `share`.

    Where scores tie at the bound, the share kept is smaller than asked for. At least the highest score is kept.
    """
    descending = np.sort(np.asarray(scores, np.float64))[::-1]
    if not len(descending) or np.isnan(descending).any():
        raise InputError("a threshold needs scores of at least one text, and none that is NaN")
    count = max(1, math.floor(share * len(descending) + 1e-9))
    threshold = float(descending[count - 1])
    if count < len(descending) and descending[count] == threshold:  # a tie: what is above it, if anything is
        above = descending[descending > threshold]
        threshold = float(above[-1]) if len(above) else threshold
    return threshold, float((descending >= threshold).mean())


def score_texts(model: str | Path, texts: Iterable[str], label: str = POSITIVE) -> np.ndarray:
    """float64 [texts]: the probability of `label`."""
    return label_probabilities(load_classifier(str(model), label), texts, label)


def labelled(paths: Iterable[str], label: str, field: str = "text") -> Iterator[tuple[str, str]]:
    """(text, `label`) of every row of the files."""
    return ((text, label) for text in texts_in(paths, field))


def labelled_rows(paths: Iterable[str], label_field: str, field: str = "text") -> Iterator[tuple[str, str]]:
    """(text, label) of the rows of files that hold both, as annotators write them."""
    for path in paths:
        for number, row in enumerate(read_rows(path), 1):
            where = f"{path}: row {number}"
            texts, labels = field_texts(row, [field], where), field_texts(row, [label_field], where)
            if len(texts) != 1 or len(labels) != 1:
                raise InputError(f"{where}: expected one text in {field!r} and one label in {label_field!r}")
            yield texts[0], labels[0]


def texts_in(paths: Iterable[str], field: str = "text") -> Iterator[str]:
    for path in paths:
        for number, row in enumerate(read_rows(path), 1):
            yield from field_texts(row, [field], f"{path}: row {number}")


def _split(examples: Iterable[tuple[str, str]], settings: Training) -> tuple[list[tuple[str, str]], ...]:
    """(train, held out), each sorted by a hash of the text: as good as shuffled, and the same for any order."""
    keyed = []
    for text, label in examples:
        if not label or any(c.isspace() for c in label):
            raise InputError(f"a label is one word; found {label!r}")
        line = one_line(text)
        if line:
            keyed.append((xxhash.xxh3_64_intdigest(line.encode("utf-8", "replace"), settings.seed), label, line))
    keyed.sort()
    bound = int(settings.heldout * 2**64)
    return [(t, n) for key, n, t in keyed if key >= bound], [(t, n) for key, n, t in keyed if key < bound]


def _check_labels(train: list[tuple[str, str]], heldout: list[tuple[str, str]], positive: str) -> None:
    labels = {label for _, label in train}
    if positive not in labels or len(labels) < 2:
        found = ", ".join(sorted(labels)) or "none"
        raise InputError(f"a classifier needs texts labelled {positive!r} and others; found the labels: {found}")
    if positive not in {n for _, n in heldout} or len({n for _, n in heldout}) < 2:
        raise InputError(
            f"of {len(train) + len(heldout)} texts {len(heldout)} are held out, which leaves a label without any: "
            "give more texts, or a larger share with --heldout"
        )


def _train(train: list[tuple[str, str]], settings: Training, folder: Path) -> Path:
    """Run fastText's trainer in a process of its own, since its memory must be initialised (see above)."""
    lines = folder / "train.txt"
    with lines.open("w", encoding="utf-8", errors="replace") as f:
        for text, label in train:  # a word that looks like a label would be taken for one
            f.write(f"{LABEL_PREFIX}{label} {text.replace(LABEL_PREFIX, 'label ')}\n")
    model = folder / "model.bin"
    options = {
        "input": str(lines),
        "output": str(model),
        "epoch": settings.epochs,
        "lr": settings.learning_rate,
        "wordNgrams": settings.word_ngrams,
        "dim": settings.dimensions,
        "bucket": settings.buckets,
        "minCount": settings.min_count,
        "seed": settings.seed,
        "thread": 1,
        "verbose": 0,
    }
    ended = subprocess.run(
        [sys.executable, "-c", _SUBPROCESS, json.dumps(options)],
        env=os.environ | _ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    if ended.returncode != 0 or not model.is_file():
        said = (ended.stderr.strip() or f"it ended with {ended.returncode}").splitlines()[-1]
        raise InputError(f"fastText could not train on {len(train)} texts: {said}. A lower --learning-rate may help")
    return model


def _judged(model: Path, heldout: list[tuple[str, str]], positive: str) -> dict[str, Any]:
    """Precision and recall of `positive` on texts the model has not seen: at 0.5, and by share kept."""
    scores = score_texts(model, (text for text, _ in heldout), positive)
    if not np.isfinite(scores).all():
        raise InputError("the trained model answers NaN: fastText's memory was not initialised. Train again")
    right = np.array([label == positive for _, label in heldout])
    rows = [{"keep": share, **_at(threshold_for_share(scores, share)[0], scores, right)} for share in _SHARES]
    return {"at_half": _at(0.5, scores, right), "by_share_kept": rows}


def _at(threshold: float, scores: np.ndarray, right: np.ndarray) -> dict[str, float]:
    kept = scores >= threshold
    hits = int((kept & right).sum())
    return {
        "threshold": threshold,
        "kept": float(kept.mean()),
        "precision": hits / int(kept.sum()) if kept.any() else 0.0,
        "recall": hits / int(right.sum()),
    }
