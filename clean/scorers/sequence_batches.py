"""What the two kinds of neural classifier share: token ids into batches of fixed shapes, logits into scores.

A sum in floating point depends on the shape it is computed in. So that a text's score does not depend on its
neighbours, every batch has one of a few lengths and always the same number of rows, the last filled up with padding;
and scores are rounded to `DECIMALS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from corpusmill.errors import InputError

DECIMALS = 4
SHORTEST = 16
Forward = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(token ids int64 [rows, length], attention mask int64 [rows, length]) to logits float [rows, labels]."""


def logits_of(ids: Sequence[Sequence[int]], forward: Forward, *, rows: int, longest: int, pad: int) -> np.ndarray:
    """float64 [texts, labels], in the order of `ids`. Texts of like length share a batch."""
    lengths = np.array([len(one) for one in ids], np.int64)
    assert not len(lengths) or lengths.max() <= longest, "token ids are to be cut before"
    result: np.ndarray | None = None
    for shape, members in _buckets(lengths, longest):
        for at in range(0, len(members), rows):
            chosen = members[at : at + rows]
            tokens, mask = np.full((rows, shape), pad, np.int64), np.zeros((rows, shape), np.int64)
            mask[:, 0] = 1  # a row without any token to look at would be NaN
            for row, text in enumerate(chosen.tolist()):
                tokens[row, : lengths[text]] = ids[text]
                mask[row, : lengths[text]] = 1
            found = np.asarray(forward(tokens, mask), np.float64)[: len(chosen)]
            if result is None:
                result = np.zeros((len(ids), found.shape[1]))
            result[chosen] = found
    return result if result is not None else np.zeros((0, 1))


def scores_from(logits: np.ndarray, labels: dict[int, str], label: str | None, several: bool, where: str) -> np.ndarray:
    """float64 [texts]. Without `label` the one logit (a regression); with it the label's probability.

    `several`: labels do not exclude each other, so each has a probability of its own.
    """
    if label is None:
        if logits.shape[1] != 1:
            raise InputError(
                f"{where}: the model has {logits.shape[1]} labels; name one, label = ..., of {_list(labels)}"
            )
        return np.round(logits[:, 0], DECIMALS)
    numbers = [i for i, name in labels.items() if name == label] or ([int(label)] if label.isdecimal() else [])
    if not numbers or numbers[0] >= logits.shape[1]:
        raise InputError(f"{where}: the model has no label {label!r}; it has {_list(labels)}")
    if several or logits.shape[1] == 1:
        values = 1.0 / (1.0 + np.exp(-logits))
    else:
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        values = shifted / shifted.sum(axis=1, keepdims=True)
    return np.round(values[:, numbers[0]], DECIMALS)


def labels_in(config: dict[str, Any]) -> dict[int, str]:
    """Number to name, from a Hugging Face config."""
    return {int(i): str(name) for i, name in (config.get("id2label") or {}).items()}


def _buckets(lengths: np.ndarray, longest: int) -> list[tuple[int, np.ndarray]]:
    """(padded length, the texts that get it), shortest first. Lengths double from SHORTEST up to `longest`."""
    shapes = [SHORTEST]
    while shapes[-1] < longest:
        shapes.append(shapes[-1] * 2)
    shapes = [min(s, longest) for s in shapes]
    place = np.searchsorted(shapes, lengths)
    return [(s, np.flatnonzero(place == i)) for i, s in enumerate(shapes) if (place == i).any()]


def _list(labels: dict[int, str]) -> str:
    return ", ".join(labels.values()) or "numbers only: 0, 1, ..."
