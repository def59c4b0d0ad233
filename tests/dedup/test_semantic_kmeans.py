"""Dot products are exact whatever their order; k-means is that of a slow reading, and finds planted pairs together."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from corpusmill.dedup.preferred_neighbours import preferred_neighbours
from corpusmill.dedup.spherical_kmeans import SphericalKMeans, assign, default_clusters, draw, spread
from corpusmill.dedup.unit_vectors import NOT_FINITE, USABLE, ZERO, coarse, fine, unit_vectors


def random_units(n: int, d: int, seed: int = 0) -> np.ndarray:
    return unit_vectors(np.random.default_rng(seed).standard_normal((n, d)))[0]


def planted_pairs(n: int, d: int, cosine: float, topics: int, seed: int = 0) -> np.ndarray:
    """2n unit vectors about some topics; row n + i is a near copy of row i, of about the given cosine."""
    rng = np.random.default_rng(seed)
    left = rng.standard_normal((topics, d))[rng.integers(0, topics, n)] + 1.2 * rng.standard_normal((n, d))
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    noise = rng.standard_normal((n, d))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    return unit_vectors(np.r_[left, cosine * left + math.sqrt(1 - cosine**2) * noise])[0]


@given(arrays.arrays(np.float64, (2, 6), elements=st.floats(-1e300, 1e300, allow_subnormal=True)))
@settings(max_examples=200, deadline=None)
def test_a_unit_vector_points_where_the_vector_does_whatever_its_size(vectors: np.ndarray):
    units, verdict = unit_vectors(vectors)
    for vector, unit, said in zip(vectors, units, verdict, strict=True):
        if not vector.any():
            assert (said, unit.any()) == (ZERO, False)
            continue
        largest = max(abs(v) for v in vector)
        parts = [Fraction(v) / Fraction(largest) for v in vector.tolist()]
        norm = math.sqrt(sum(p * p for p in parts))
        assert said == USABLE
        assert unit.tolist() == pytest.approx([float(p) / norm for p in parts], abs=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_makes_the_row_unusable(bad: float):
    units, verdict = unit_vectors(np.array([[1.0, bad, 0.0], [3.0, 0.0, 4.0]], np.float32))
    assert verdict.tolist() == [NOT_FINITE, USABLE]
    assert units.tolist() == [[0, 0, 0], [np.float32(0.6), 0, np.float32(0.8)]]


@pytest.mark.parametrize(("rounded", "unit"), [(coarse, 2.0**22), (fine, 1.0)])
@pytest.mark.parametrize("d", [3, 384, 4096])
def test_dot_products_are_exact_in_any_order(rounded, unit: float, d: int):
    x = rounded(random_units(40, d))
    product = x @ x.T
    order = np.random.default_rng(1).permutation(d)
    assert np.array_equal(product, x[:, order] @ x[:, order].T)
    assert np.array_equal(product, np.array([x[:, ::-1] @ row[::-1] for row in x]))
    assert float(product[0, 1]) == float(
        sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(*x[:2], strict=True))
    )
    assert np.allclose(np.diag(product) / unit, 1, atol=0.02 if rounded is coarse else 1e-6)


def test_fine_cosines_are_right_to_a_millionth():
    vectors = np.random.default_rng(2).standard_normal((50, 384))
    true = vectors @ vectors.T / np.outer(np.linalg.norm(vectors, axis=1), np.linalg.norm(vectors, axis=1))
    units = fine(unit_vectors(vectors)[0])
    assert np.abs(units @ units.T - true).max() < 1e-6


def slow_lloyd(units: np.ndarray, centroids: np.ndarray, iterations: int) -> np.ndarray:
    """Whole numbers all the way, one vector at a time."""
    rows = np.rint(units * np.float32(2048)).astype(int).tolist()
    now, before = centroids.astype(int).tolist(), None
    for _ in range(iterations):
        labels = []
        for row in rows:
            found = [sum(a * b for a, b in zip(row, c, strict=True)) for c in now]
            labels.append(found.index(max(found)))
        if labels == before:
            break
        before = labels
        for k in range(len(now)):
            total = [sum(r[c] for r, label in zip(rows, labels, strict=True) if label == k) for c in range(len(now[k]))]
            if any(total):
                norm = math.sqrt(sum(t * t for t in total))
                now[k] = [round(t / norm * 2048) for t in total]
    return np.array(now)


@pytest.mark.parametrize("init", ["random", "k-means++"])
def test_training_is_lloyds_algorithm(init):
    units = planted_pairs(60, 8, 0.9, topics=5)
    kmeans = SphericalKMeans(5, init, iterations=30, seed=3)
    rows = np.arange(len(units))
    first = kmeans._first_centroids(units, draw(len(rows), 3))
    assert np.abs(kmeans.train(units, rows) - slow_lloyd(units, first, 30)).max() <= 1  # a half may round either way


@given(st.integers(1, 9), st.integers(0, 5), st.integers(60, 2000))
@settings(max_examples=25, deadline=None)
def test_blocks_of_another_size_give_the_same_centroids_and_clusters(clusters: int, seed: int, block: int):
    units, rows = planted_pairs(40, 6, 0.9, topics=4), np.arange(3, 80)
    kmeans = SphericalKMeans(clusters, seed=seed, iterations=5, train_documents=50)
    whole, parts = kmeans.train(units, rows), kmeans.train(units, rows, block)
    assert np.array_equal(whole, parts)
    assert np.array_equal(assign(units, rows, whole), assign(units, rows, whole, block))


def test_each_vector_is_with_its_most_similar_centroid_and_ties_go_to_the_first():
    units = random_units(30, 4)
    centroids = coarse(np.r_[random_units(5, 4, seed=1), random_units(5, 4, seed=1)])
    labels = assign(units, np.arange(30), centroids)
    assert labels.max() < 5
    assert labels.tolist() == (coarse(units).astype(np.int64) @ centroids.T.astype(np.int64)).argmax(axis=1).tolist()


def test_seeds_of_kmeans_plus_plus_are_different_vectors_and_end_when_there_are_no_more():
    pool = coarse(random_units(7, 3)[np.arange(70) % 7])
    assert sorted(spread(pool, 20, seed=1) % 7) == list(range(7))
    assert len(spread(pool, 4, seed=1)) == 4


def test_seeds_are_spread_by_squared_distance():
    pool = coarse(unit_vectors(np.array([[1.0, 0, 0]] * 98 + [[0, 1.0, 0], [-1.0, 0, 0]]))[0])
    second = [int(c[1]) for c in (spread(pool, 2, seed) for seed in range(600)) if c[0] < 98]
    assert set(second) == {98, 99}  # squared distances 2 and 4, of the copies 0
    assert np.mean([s == 99 for s in second]) == pytest.approx(2 / 3, abs=0.08)


def test_a_sample_is_drawn_by_seed_and_is_a_permutation():
    assert sorted(draw(1000, 1)) == list(range(1000))
    assert draw(1000, 1).tolist() == draw(1000, 1).tolist() != draw(1000, 2).tolist()
    assert draw(6, 1).tolist() == [4, 0, 5, 3, 1, 2]  # no library's generator, which may change, is in it
    assert abs(np.corrcoef(draw(100_000, 7), np.arange(100_000))[0, 1]) < 0.02


def test_the_default_number_of_clusters_grows_with_the_corpus():
    assert [default_clusters(n) for n in (0, 1, 10**4, 10**5, 10**6, 10**8)] == [1, 1, 1, 316, 1000, 10**4]


@pytest.mark.parametrize(
    ("topics", "cosine", "floor"), [(60, 0.99, 0.99), (60, 0.95, 0.98), (1000, 0.99, 0.98), (1000, 0.95, 0.90)]
)
def test_planted_pairs_are_mostly_in_one_cluster(topics: int, cosine: float, floor: float):
    """Measured: 0.999, 0.991, 0.993, 0.920. What a partition separates, no threshold brings back."""
    n = 4000
    units = planted_pairs(n, 64, cosine, topics)
    rows = np.arange(2 * n)
    labels = assign(units, rows, SphericalKMeans(89).train(units, rows))
    assert len(np.unique(labels)) == 89
    assert (labels[:n] == labels[n:]).mean() >= floor


def slow_neighbours(units: np.ndarray, rows: np.ndarray, threshold: float) -> tuple[list[int], list[float]]:
    x = fine(units)
    found = [[float(x[r] @ x[q]) for q in rows[:i]] for i, r in enumerate(rows)]
    best = [max(cosines, default=-1.0) for cosines in found]
    at = [c.index(b) if c and b > threshold else -1 for c, b in zip(found, best, strict=True)]
    return at, [min(b, 1.0) for b in best]


@given(st.integers(1, 40), st.integers(1, 50), st.floats(-0.5, 0.99), st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_neighbours_are_those_of_a_slow_reading_for_blocks_of_any_size(n: int, block: int, threshold: float, seed: int):
    rng = np.random.default_rng(seed)
    units = random_units(20, 3, seed)
    rows = rng.integers(0, 20, n)  # equal vectors among them
    neighbour, similarity = preferred_neighbours(units, rows, threshold, block)
    at, best = slow_neighbours(units, rows, threshold)
    assert neighbour.tolist() == at
    assert similarity[neighbour >= 0].tolist() == [b for a, b in zip(at, best, strict=True) if a >= 0]


def test_the_threshold_itself_is_not_above_it():
    units, _ = unit_vectors(np.array([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8]]))
    cosine = float(fine(units[:1])[0] @ fine(units[2:])[0])
    neighbour, _ = preferred_neighbours(units, np.arange(3), cosine)
    assert neighbour.tolist() == [-1, 0, -1]


def test_a_large_cluster_of_equal_vectors_takes_tiles_and_not_its_square(tmp_path):
    """20,000 documents squared are 3.2 GB of float64; the process may have 1 GB beyond what it starts with."""
    code = (
        "import resource, numpy as np\n"
        "from corpusmill.dedup.preferred_neighbours import preferred_neighbours\n"
        "units = np.zeros((20_000, 4), np.float32); units[:, 0] = 1\n"
        "preferred_neighbours(units[:10], np.arange(10), 0.9)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "neighbour, _ = preferred_neighbours(units, np.arange(20_000), 0.9)\n"
        "print((neighbour[1:] == 0).all(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "True"]


def test_the_number_of_threads_and_the_processors_instructions_do_not_show():
    code = (
        "import hashlib, numpy as np\n"
        "from corpusmill.dedup.spherical_kmeans import SphericalKMeans, assign\n"
        "from corpusmill.dedup.preferred_neighbours import preferred_neighbours\n"
        "from corpusmill.dedup.unit_vectors import unit_vectors\n"
        "units, _ = unit_vectors(np.random.default_rng(0).standard_normal((3000, 96)) + 1)\n"
        "rows = np.arange(3000)\n"
        "centroids = SphericalKMeans(30).train(units, rows)\n"
        "outcome = [centroids, assign(units, rows, centroids), *preferred_neighbours(units, rows, 0.6)]\n"
        "print(hashlib.sha256(b''.join(x.tobytes() for x in outcome)).hexdigest())"
    )
    answers = set()
    for more in ({"OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "3"}, {"OPENBLAS_CORETYPE": "Nehalem"}):
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | more
        )
        answers.add(found.stdout)
    assert len(answers) == 1
