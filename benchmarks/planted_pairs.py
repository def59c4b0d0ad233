"""Pairs of documents whose exact Jaccard similarity is a stated one: a base, and a copy edited until it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from benchmarks.corpus_plan import Plan
from benchmarks.exact_jaccard import jaccard, shingles_of, words_of
from benchmarks.planted_corpus import texts_of
from benchmarks.sentence_pool import Pool

TOLERANCE = 0.01
_TRIES = 5


@dataclass(frozen=True, slots=True)
class PlantedPair:
    point: float
    similarity: float
    """Exact, of the two texts."""
    left: str
    right: str


def planted_pairs(pool: Pool, points: Sequence[float], each: int, seed: int) -> Iterator[PlantedPair]:
    """`each` pairs at every point, each of a base of its own; bases are numbered from 0."""
    vocabulary = pa.LargeStringArray.from_buffers(
        len(pool.word_offsets) - 1, pa.py_buffer(pool.word_offsets), pa.py_buffer(pool.word_data)
    ).to_pylist()
    bases = base_texts(pool, 0, each * len(points), seed)
    for i, text in enumerate(bases):
        yield edited_to(text, points[i // each], vocabulary, np.random.default_rng((seed, i)))


def base_texts(pool: Pool, first: int, count: int, seed: int) -> Iterator[str]:
    """Base documents number `first` and on."""
    numbers = np.arange(first, first + count, dtype=np.int64)
    for batch in texts_of(pool, Plan(numbers, np.zeros(count, np.int8)), numbers, seed, batch=2048):
        yield from batch.to_pylist()


def edited_to(text: str, point: float, vocabulary: Sequence[str], rng: np.random.Generator) -> PlantedPair:
    """A copy with words replaced, left out and put in, and a few appended, within TOLERANCE of the point.

    An edit in the text changes the similarity by up to 10 / n, one word appended by 1 / n: so as many edits as leave it
    at the point or above, found by bisection, then words appended until it is there.
    """
    tokens, shingles = text.split(" "), shingles_of(words_of(text))
    for _ in range(_TRIES):
        edits = _Edits(tokens, vocabulary, rng)
        low, high = 0, len(tokens)
        while low < high:  # the largest number of edits that stays at the point or above
            middle = (low + high + 1) // 2
            if jaccard(shingles, _shingles(edits.applied(middle))) >= point:
                low = middle
            else:
                high = middle - 1
        copy = edits.applied(low)
        theirs = _shingles(copy)
        shared = len(shingles & theirs)
        missing = round(shared / point) - (len(shingles) + len(theirs) - shared)
        copy += [vocabulary[i] for i in rng.integers(0, len(vocabulary), max(0, missing))]
        found = jaccard(shingles, _shingles(copy))
        if abs(found - point) <= TOLERANCE:
            return PlantedPair(point, found, text, " ".join(copy))
    raise AssertionError(f"no edits bring a document of {len(tokens)} words to a similarity of {point}")


class _Edits:
    """One possible edit for every token, in a random order."""

    def __init__(self, tokens: Sequence[str], vocabulary: Sequence[str], rng: np.random.Generator) -> None:
        self.tokens = tokens
        self.order = rng.permutation(len(tokens))
        kinds = rng.integers(0, 5, len(tokens))
        others = [vocabulary[i] for i in rng.integers(0, len(vocabulary), len(tokens))]
        self.instead = [
            [] if kind == 3 else [token, other] if kind == 4 else [other]
            for token, kind, other in zip(tokens, kinds, others, strict=True)
        ]

    def applied(self, count: int) -> list[str]:
        """The tokens with the first `count` edits done."""
        chosen = set(self.order[:count].tolist())
        return [t for i, token in enumerate(self.tokens) for t in (self.instead[i] if i in chosen else (token,))]


def _shingles(tokens: Sequence[str]) -> set[tuple[str, ...]]:
    return shingles_of(words_of(" ".join(tokens)))
