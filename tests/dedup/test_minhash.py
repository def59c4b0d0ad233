"""Signatures estimate Jaccard as datasketch's do, and bands are found with the probability that is promised."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash as SketchHash

from corpusmill.dedup import MinHash, optimal_bands
from corpusmill.dedup.minhash_signatures import collision_probability


def planted(similarity: float, rng: random.Random, words: int = 600) -> tuple[str, str, float]:
    left = [f"w{rng.randrange(10**6)}x" for _ in range(words)]
    right = list(left)
    for _ in range(round(words * (1 - similarity) / 6)):
        right[rng.randrange(words)] = f"y{rng.randrange(10**6)}"
    shingles = [{tuple(t[i : i + 5]) for i in range(len(t) - 4)} for t in (left, right)]
    return " ".join(left), " ".join(right), len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95])
def test_agreement_estimates_jaccard_within_sampling_error_as_datasketchs_does(similarity: float):
    rng = random.Random(4)
    ours, theirs = [], []
    for _ in range(40):
        a, b, true = planted(similarity, rng)
        left, right = MinHash(bands=16, rows=8).sign([a, b])
        ours.append((left == right).mean() - true)
        sketches = [SketchHash(num_perm=128) for _ in range(2)]
        for sketch, text in zip(sketches, (a, b), strict=True):
            w = text.split()
            sketch.update_batch([" ".join(w[i : i + 5]).encode() for i in range(len(w) - 4)])
        theirs.append(sketches[0].jaccard(sketches[1]) - true)
    error = 4 * 0.5 / np.sqrt(128 * 40)  # four standard deviations of the mean, at worst
    assert abs(np.mean(ours)) < error
    assert abs(np.mean(ours) - np.mean(theirs)) < 2 * error
    assert np.std(ours) < 1.5 * max(np.std(theirs), 0.01)


def test_a_signature_depends_on_text_and_seed_alone():
    texts = ["one two three four five six", "", "seven"]
    assert np.array_equal(MinHash().sign(texts)[::-1], MinHash().sign(texts[::-1]))
    assert np.array_equal(MinHash().sign(pa.array(texts, pa.large_string()).slice(1)), MinHash().sign(texts)[1:])
    assert not np.array_equal(MinHash(seed=2).sign(texts)[0], MinHash().sign(texts)[0])
    assert MinHash().has_shingles(MinHash().sign(texts)).tolist() == [True, False, True]


def test_bands_are_equal_exactly_where_their_rows_are():
    rng = np.random.default_rng(0)
    signatures = rng.integers(0, 2, (200, 12), np.uint32)
    keys = MinHash(bands=4, rows=3).band(signatures)
    assert keys.dtype == np.int64
    for b in range(4):
        rows = signatures[:, 3 * b : 3 * b + 3]
        same = (rows[:, None] == rows[None]).all(axis=2)
        assert np.array_equal(same, keys[:, b][:, None] == keys[:, b][None])


def test_the_collision_curve_and_the_choice_of_bands():
    assert collision_probability(0.75, 14, 8) == pytest.approx(0.77, abs=0.01)  # FineWeb's table
    assert collision_probability(0.8, 14, 8) == pytest.approx(0.924, abs=0.001)
    from datasketch.lsh import _optimal_param

    bands, rows = optimal_bands(0.7, 128)
    assert (bands, rows) == tuple(_optimal_param(0.7, 128, 0.5, 0.5)[:2])
