"""Precision and recall over runs of four words, as the article extraction benchmark counts them."""

from __future__ import annotations

import pytest

from benchmarks.text_scores import precision_recall, score, shingles

GOLD = "one two three four five"


@pytest.mark.parametrize(
    ("text", "precision", "recall"),
    [
        (GOLD, 1.0, 1.0),
        ("One, two; THREE four five!", 0.0, 0.0),  # case counts, punctuation does not
        ("one, two - three (four) five.", 1.0, 1.0),
        ("one two three four", 1.0, 0.5),
        ("zero one two three four five", 2 / 3, 1.0),
        (f"{GOLD} {GOLD}", 2 / 7, 1.0),  # said twice is found once
        ("", 0.0, 0.0),
        ("one two", 0.0, 0.0),  # a short text is one run, and no run of the article is as short
    ],
)
def test_runs_of_four_words_count(text: str, precision: float, recall: float):
    assert precision_recall(GOLD, text) == (pytest.approx(precision), pytest.approx(recall))


def test_where_there_is_nothing_to_find_nothing_is_missed():
    assert precision_recall("", "") == (0.0, 1.0)


def test_chinese_is_counted_by_character():
    assert len(shingles("今年的秋天来了")) == 4
    assert precision_recall("今年的秋天来了", "今年的秋天") == (1.0, 0.5)


def test_f1_is_that_of_the_means_over_pages():
    found = score([GOLD, GOLD], [GOLD, ""])
    assert (found.precision, found.recall, found.f1) == (0.5, 0.5, 0.5)


def test_finding_nothing_at_all_is_zero():
    assert score([GOLD], [""]).f1 == 0.0
