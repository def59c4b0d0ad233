"""From nats per document to the numbers a reader compares: perplexity, bits per byte, with their uncertainty."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from corpusmill.evaluate.heldout_documents import Document

RESAMPLES = 1000
CONFIDENCE = 0.95
TOP_HOSTS = 20
_SHOWN_DIGITS = 8
"""Sums over batches differ in the last places of a float between machines; more digits would promise too much."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A document and what it cost: `nats` over `num_tokens` tokens, `broken` of them without a finite value."""

    document: Document
    nats: float
    num_tokens: int
    broken: int = 0


def summarise(scored: Sequence[Scored]) -> dict[str, Any]:
    """documents, tokens, bytes, nll (nats), perplexity (per token), bits_per_byte; null where it is not a number."""
    tokens = sum(s.num_tokens for s in scored)
    text_bytes = sum(s.document.text_bytes for s in scored)
    nats = math.fsum(s.nats for s in scored) if all(math.isfinite(s.nats) for s in scored) else math.nan
    return {
        "documents": len(scored),
        "tokens": tokens,
        "bytes": text_bytes,
        "nll": shown(nats),
        "perplexity": shown(perplexity(nats, tokens)),
        "bits_per_byte": shown(bits_per_byte(nats, text_bytes)),
        "nonfinite_tokens": sum(s.broken for s in scored),
    }


def by_language(scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """A summary per language, the one with most text first."""
    return _grouped("language", ((s.document.language, s) for s in scored))


def by_host(scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """A summary of each of the hosts with most text."""
    return _grouped("host", ((s.document.host, s) for s in scored))[:TOP_HOSTS]


def _grouped(key: str, pairs: Iterable[tuple[str, Scored]]) -> list[dict[str, Any]]:
    groups: dict[str, list[Scored]] = defaultdict(list)
    for name, s in pairs:
        groups[name].append(s)
    rows = [{key: name, **summarise(group)} for name, group in groups.items()]
    return sorted(rows, key=lambda row: (-row["bytes"], row[key]))


def interval(scored: Sequence[Scored], seed: int) -> list[float] | None:
    """Percentile bootstrap of bits per byte over documents: [low, high], or null if a document has no finite value.

    Documents are drawn with replacement. Pages of one site resemble each other, so the true uncertainty is wider when
    few sites are held out.
    """
    nats = np.array([s.nats for s in scored])
    text_bytes = np.array([s.document.text_bytes for s in scored], dtype=np.int64)
    if not np.isfinite(nats).all() or text_bytes.sum() == 0:
        return None
    values = _resample(nats, text_bytes, seed)
    tail = 100 * (1 - CONFIDENCE) / 2
    return [float(f"{v:.{_SHOWN_DIGITS}g}") for v in np.percentile(values, [tail, 100 - tail])]


def _resample(nats: npt.NDArray[np.float64], text_bytes: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.float64]:
    # RandomState, since its stream is frozen for good; that of default_rng may change between NumPy versions
    draws = np.random.RandomState(seed % (1 << 32))
    values: list[float] = []
    while len(values) < RESAMPLES:
        rows = draws.randint(0, len(nats), size=len(nats))
        if total := text_bytes[rows].sum():
            values.append(nats[rows].sum() / total / math.log(2))
    return np.array(values)


def perplexity(nats: float, tokens: int) -> float:
    """exp of the mean surprise per token."""
    try:
        return math.exp(nats / tokens)
    except OverflowError:
        return math.inf


def bits_per_byte(nats: float, text_bytes: int) -> float:
    """Bits of an ideal code per byte of UTF-8 text: the same measure under any tokenizer."""
    return nats / math.log(2) / text_bytes if text_bytes else math.nan


def shown(value: float) -> float | None:
    """The value as it is stored; JSON has no word for nan and inf, so they become null."""
    return float(f"{value:.{_SHOWN_DIGITS}g}") if math.isfinite(value) else None
