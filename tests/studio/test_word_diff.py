"""Two texts word by word: nothing lost on either side, and what is the same is found."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from corpusmill.studio.word_diff import shortened, word_diff

WORDS = st.lists(st.sampled_from("abcd"), max_size=30)


@given(WORDS, WORDS)
def test_each_side_can_be_read_from_the_runs(left: list[str], right: list[str]):
    diff = word_diff(" ".join(left), " ".join(right))
    for side, words in (("left", left), ("right", right)):
        assert [w for kind, run in diff.runs if kind in ("same", side) for w in run] == words
    kinds = [kind for kind, _ in diff.runs]
    assert all(a != b for a, b in pairwise(kinds))
    assert diff.more == (0, 0)


def test_only_what_differs_is_marked():
    diff = word_diff("one two old three four", "one two new three four")
    assert diff.runs == [("same", ["one", "two"]), ("left", ["old"]), ("right", ["new"]), ("same", ["three", "four"])]


def test_words_beyond_the_bound_are_counted_and_not_compared():
    diff = word_diff("same " + "a " * 10, "same " + "b " * 20, max_words=4)
    assert diff.more == (6, 16)
    assert diff.runs == [("same", ["same"]), ("left", ["a"] * 4), ("right", ["b"] * 4)]


def test_long_runs_become_a_number_but_next_to_a_difference():
    words = [str(i) for i in range(100)]
    assert shortened(words, before=True, after=True, context=2) == ["0", "1", "… 96 words the same …", "98", "99"]
    assert shortened(words, before=False, after=True, context=2) == ["… 98 words the same …", "98", "99"]
    assert shortened(words[:12], before=True, after=True, context=2) == words[:12]
