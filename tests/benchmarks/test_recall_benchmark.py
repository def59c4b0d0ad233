"""`python -m benchmarks recall`: similarities exact, pairs where they were planted, tables that say what was found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted_pool import small_pool

from benchmarks.exact_jaccard import AllPairs, jaccard, shingle_sets, words_of
from benchmarks.intervals import percent, wilson
from benchmarks.natural_duplicates import exhaustive, show
from benchmarks.planted_pairs import TOLERANCE, planted_pairs
from benchmarks.planted_recall import curve, found, lay, measure, passed, true_similarity
from benchmarks.removed_rows import Removed, prepare, removed_from

WORDS = st.sampled_from(["mill", "grain", "stone", "wheel", "sack"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop: 3.5 Cafés!", ["don", "t", "stop", "3", "5", "cafes"]),
        ("中文 text。第2条", ["中", "文", "text", "第", "2", "条"]),
        ("ﷺ—", ["ﷺ"]),
        (" \n", []),
    ],
)
def test_words_are_folded_and_lone_characters_are_words(text: str, words: list[str]):
    assert words_of(text) == words


def test_jaccard_is_shared_over_all_shingles():
    a, b, short, none = shingle_sets(["a b c d e f g", "a b c d e f x", "a b", ""])
    assert jaccard(a, b) == 2 / 4
    assert [jaccard(short, short), jaccard(short, a), jaccard(none, none)] == [1.0, 0.0, 0.0]


@given(st.lists(st.lists(WORDS, max_size=12).map(" ".join), min_size=1, max_size=12), st.floats(0.01, 1))
def test_all_pairs_are_those_of_two_loops(texts: list[str], floor: float):
    sets = shingle_sets(texts)
    wanted = {
        (i, j): s
        for i in range(len(sets))
        for j in range(i + 1, len(sets))
        if (s := jaccard(sets[i], sets[j])) >= floor
    }
    pairs = AllPairs(texts, floor)
    ends = zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)
    assert dict(zip(ends, pairs.similarity.tolist(), strict=True)) == wanted


@pytest.mark.parametrize("point", [0.4, 0.6, 0.75, 0.9, 0.95])
def test_planted_pairs_have_the_similarity_they_say_and_it_is_at_the_point(point: float):
    for pair in planted_pairs(small_pool(), [point], 8, seed=1):
        assert jaccard(*shingle_sets([pair.left, pair.right])) == pair.similarity
        assert abs(pair.similarity - point) <= TOLERANCE


def test_planted_pairs_are_the_same_for_a_seed():
    first, again, other = (list(planted_pairs(small_pool(), [0.7, 0.9], 3, seed)) for seed in (1, 1, 2))
    assert first == again
    assert not {p.right for p in first} & {p.right for p in other}


def test_the_curve_is_that_of_14_bands_of_8():
    assert np.round(curve(np.array([0.5, 0.75, 0.8, 0.9])), 3).tolist() == [0.053, 0.772, 0.924, 1.0]


def test_a_pair_is_found_where_one_of_it_is_matched_with_the_other():
    pairs = list(planted_pairs(small_pool(), [0.6, 0.9], 2, seed=1))
    laid = lay(pairs, ["an unrelated document of a few words"], seed=1)
    assert [laid.texts[i] for i in laid.left] == [p.left for p in pairs]
    assert [laid.texts[i] for i in laid.right] == [p.right for p in pairs]
    gone = np.array([laid.left[0], laid.right[3], laid.left[1]])
    matched = np.array([laid.right[0], laid.left[3], laid.left[2]])
    removed = Removed(gone, matched, np.arange(len(laid.texts)))
    assert found(laid, removed).tolist() == [True, False, False, True]
    assert true_similarity(laid, removed).tolist() == [pairs[0].similarity, pairs[3].similarity, 0.0]


def test_the_product_finds_planted_pairs_and_leaves_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    facts = measure(small_pool(), each=6, unrelated=20, verify=0.65, folder=tmp_path)
    rows = {row["point"]: row for row in facts["points"]}
    assert rows[0.95]["after"]["hits"] == rows[0.95]["before"]["hits"] == 6
    assert rows[0.4]["after"]["hits"] == 0
    assert facts["removed_below"]["after"]["hits"] == 0
    assert "below 0.55 in truth" in capsys.readouterr().out


def test_it_passes_where_bands_find_the_curve_less_two_points():
    def facts(share: float, below: float) -> dict:
        points = [{"point": p, "curve": 0.8, "before": {"share": share}} for p in (0.75, 0.8, 0.85, 0.9)]
        return {"points": points, "removed_below": {"after": {"share": below}}}

    assert passed(facts(0.79, 0.009))
    assert not passed(facts(0.77, 0.0))
    assert not passed(facts(0.8, 0.01))


def test_of_a_cluster_the_longest_stays(capsys: pytest.CaptureFixture[str]):
    texts = ["a b c d e f g h", "a b c d e f g h i", "a b c d e f g h", "other words that stand alone"]
    pairs = AllPairs(texts, 0.3)
    assert exhaustive(texts, *pairs.at_least(0.65)).tolist() == [0, 2]
    removed = Removed(np.array([0, 3]), np.array([1, 1]), np.array([1, 1, 2, 1]))
    facts = show("four", texts, pairs, removed, 0.65)
    first = facts["thresholds"][0]
    assert [first[k]["hits"] for k in ("pairs", "precision", "recall")] == [1, 1, 1]
    assert facts["removed_below"]["hits"] == 1
    assert "four: 4 documents, 2 removed" in capsys.readouterr().out


def test_texts_come_back_by_their_number(tmp_path: Path):
    text = "a mill that grinds slowly and exceedingly fine " * 5
    prepare(tmp_path, ["nothing like it", text, "nor this", text + "indeed"])
    removed = removed_from(tmp_path, 4, 0.65, workers=1)
    assert [removed.gone.tolist(), removed.matched.tolist(), removed.cluster.tolist()] == [[1], [3], [0, 3, 2, 3]]


def test_wilson_intervals_are_those_of_the_book():
    assert [round(x, 4) for x in wilson(8, 10)] == [0.4902, 0.9433]
    assert percent(0, 100) == "0.00% (0.0 to 3.7)"
    assert percent(0, 0) == "–"
