"""Agreement: the published examples, the libraries' values, what is undefined, and intervals that repeat."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.clean.annotation.agreement import (
    agree,
    cohen_kappa,
    compare,
    count_choices,
    fleiss_kappa,
    krippendorff_alpha,
    wilson,
)

FLEISS_1971 = np.array(
    [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]
)  # fmt: skip
"""Fleiss' kappa as it is taught: 10 subjects, 14 raters, 5 categories: 0.210."""
KRIPPENDORFF_2011 = np.array(
    [
        [-1, -1, -1, -1, -1, 2, 3, 0, 1, 0, 0, 2, 2, -1, 2],
        [0, -1, 1, 0, 2, 2, 3, 2, -1, -1, -1, -1, -1, -1, -1],
        [-1, -1, 1, 0, 2, 3, 3, -1, 1, 0, 0, 2, 2, -1, 3],
    ]
).T
"""Three observers with missing values: nominal alpha 0.691 (the worked example of Wikipedia's article)."""


def ratings(*columns: str) -> np.ndarray:
    """One string for each annotator: "01." is choice 0, choice 1, no label."""
    return np.array([[-1 if c == "." else int(c) for c in column] for column in columns], np.int16).T


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        ([[20, 5], [10, 15]], 0.4),  # the grant proposals of the textbooks
        ([[45, 15], [25, 15]], 0.1304),  # the same agreement, 0.60, and other margins
        ([[25, 35], [5, 35]], 0.2593),
        ([[88, 14, 18], [10, 40, 10], [2, 6, 12]], 0.492),  # Fleiss, Cohen & Everitt 1969, unweighted
        ([[10, 0], [0, 7]], 1.0),
        ([[0, 5], [5, 0]], -1.0),
    ],
)
def test_cohens_kappa_is_that_of_the_textbooks(table: list[list[int]], kappa: float):
    assert cohen_kappa(np.array(table)) == pytest.approx(kappa, abs=5e-4)


def test_fleiss_kappa_is_that_of_the_textbook():
    assert fleiss_kappa(FLEISS_1971) == pytest.approx(0.20993070442195522, abs=1e-12)  # statsmodels 0.14


def test_krippendorffs_alpha_is_his_own_with_missing_labels():
    assert krippendorff_alpha(count_choices(KRIPPENDORFF_2011, 4)) == pytest.approx(0.691, abs=5e-4)
    assert krippendorff_alpha(FLEISS_1971) == pytest.approx(0.21557405653322692, abs=1e-12)  # krippendorff 0.8


def test_the_standard_error_is_that_of_fleiss_cohen_and_everitt():
    table = np.array([[53, 5, 2], [11, 14, 5], [1, 6, 3]])
    first, second = (np.repeat(np.arange(9) // 3, table.ravel()), np.repeat(np.arange(9) % 3, table.ravel()))
    found = compare(first, second, 3, ("a", "b"))
    assert found.table == table.tolist()
    assert found.kappa == pytest.approx(0.42857142857142855)
    assert found.standard_error == pytest.approx(0.0759588315346638)  # statsmodels 0.14: cohens_kappa(table).std_kappa


def test_items_that_only_one_labelled_say_nothing():
    found = agree(ratings("0101..", "01.1.0"), 2, ("anna", "ben"))
    assert (found.items, found.labels) == (3, 6)
    assert found.pairs[0].items == 3
    assert found.pairs[0].kappa == 1.0


def test_two_annotators_with_all_labels_have_scotts_pi_as_fleiss_kappa():
    both = ratings("0011010010", "0011110000")
    found = agree(both, 2, ("a", "b"))
    share = (both == 1).mean()
    chance = share**2 + (1 - share) ** 2
    assert found.fleiss == pytest.approx(((both[:, 0] == both[:, 1]).mean() - chance) / (1 - chance))


def test_when_all_say_the_same_kappa_is_undefined_and_agreement_is_whole():
    found = agree(ratings("0000", "0000", "000."), 2, ("a", "b", "c"))
    assert (found.fleiss, found.alpha, found.fleiss_interval) == (None, None, None)
    assert found.percent == 1.0
    assert found.pairs[0].kappa is None
    assert found.by_choice == [1.0, None]


def test_no_common_item_is_no_agreement_and_no_error():
    found = agree(ratings("01..", "..01"), 2, ("a", "b"))
    assert (found.items, found.percent, found.fleiss, found.pairs) == (0, None, None, [])


def test_the_paradox_of_a_rare_choice_shows_in_agreement_by_choice():
    first, second = "0" * 95 + "11000", "0" * 95 + "00111"
    pair = agree(ratings(first, second), 2, ("a", "b")).pairs[0]
    assert pair.percent == 0.95
    assert pair.kappa < 0
    assert pair.pabak == pytest.approx(0.9)
    assert pair.by_choice[0] > 0.97
    assert pair.by_choice[1] == 0.0


def test_agreement_by_choice_over_all_equals_that_of_the_only_pair():
    found = agree(ratings("0011010012", "0011110020"), 3, ("a", "b"))
    assert found.by_choice == pytest.approx(found.pairs[0].by_choice)


def test_intervals_repeat_and_lie_about_the_estimate():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 150)
    labels = np.stack([np.where(rng.random(150) < 0.1, 1 - truth, truth) for _ in range(3)], axis=1)
    once, again = agree(labels, 2, ("a", "b", "c"), seed=5), agree(labels, 2, ("a", "b", "c"), seed=5)
    assert once == again
    assert agree(labels, 2, ("a", "b", "c"), seed=6).fleiss_interval != once.fleiss_interval
    for pair in once.pairs:
        low, high = pair.interval
        assert low < pair.kappa < high
        assert high - low == pytest.approx(2 * 1.96 * pair.standard_error, rel=0.2)


def test_agreement_without_exception_has_an_interval_all_the_same():
    low, high = agree(ratings("0101010101", "0101010101"), 2, ("a", "b")).pairs[0].interval
    assert high == 1.0
    assert 0.3 < low < 0.6  # ten items do not prove much


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Two annotators who are right in 90% of cases about halves: kappa is 0.64 in the long run."""
    rng, inside = np.random.default_rng(0), 0
    for seed in range(200):
        truth = rng.integers(0, 2, 100)
        labels = np.stack([np.where(rng.random(100) < 0.1, 1 - truth, truth) for _ in range(2)], axis=1)
        low, high = agree(labels, 2, ("a", "b"), seed=seed).pairs[0].interval
        inside += low <= 0.64 <= high
    assert 0.90 <= inside / 200 <= 0.99


def test_wilsons_interval_is_that_of_the_textbook():
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(15 / 148, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)  # Newcombe 1998, without correction
    assert wilson(0.5, 0) == (0.0, 1.0)


def slow_fleiss(labels: np.ndarray, choices: int) -> float | None:
    """Pair by pair, in plain Python."""
    within, used = [], [0] * choices
    for row in labels.tolist():
        given_ = [c for c in row if c >= 0]
        if len(given_) >= 2:
            pairs = [(i, j) for i in range(len(given_)) for j in range(len(given_)) if i != j]
            within.append(sum(given_[i] == given_[j] for i, j in pairs) / len(pairs))
            for c in given_:
                used[c] += 1
    if not within:
        return None
    chance = sum((n / sum(used)) ** 2 for n in used)
    return None if chance > 1 - 1e-12 else (sum(within) / len(within) - chance) / (1 - chance)


def slow_alpha(labels: np.ndarray, choices: int) -> float | None:
    """By the coincidence matrix (Krippendorff 2011)."""
    matrix = np.zeros((choices, choices))
    for row in labels.tolist():
        given_ = [c for c in row if c >= 0]
        for i, a in enumerate(given_):
            for j, b in enumerate(given_):
                if i != j:
                    matrix[a, b] += 1 / (len(given_) - 1)
    total, margins = matrix.sum(), matrix.sum(axis=0)
    expected = total * (total - 1) - (margins * (margins - 1)).sum()
    if total == 0 or expected < 1e-9:
        return None
    return 1 - (total - 1) * (total - np.trace(matrix)) / expected


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.integers(-1, 2), min_size=4, max_size=4), min_size=1, max_size=12),
)
def test_kappa_and_alpha_equal_a_slow_count_of_pairs(rows: list[list[int]]):
    labels = np.array(rows, np.int16)
    counts = count_choices(labels, 3)
    for fast, slow in (
        (fleiss_kappa(counts), slow_fleiss(labels, 3)),
        (krippendorff_alpha(counts), slow_alpha(labels, 3)),
    ):
        assert (fast is None) == (slow is None)
        assert fast is None or fast == pytest.approx(slow, abs=1e-9)
