"""Gopher's quality rule: each bound is inclusive, the first reason wins, settings are checked."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pytest

from corpusmill.clean.components import make_editors, make_rules
from corpusmill.clean.rules import GopherQuality
from corpusmill.clean.text_measures import measure
from corpusmill.errors import InputError
from corpusmill.recipe import Component

STOPS = "the be "
"""Two of the eight, which is enough."""


def rule(**settings: object) -> GopherQuality:
    """A rule with all thresholds wide open but those given."""
    wide = {f.name: (0 if f.name.startswith("min_") else 10**9) for f in dataclasses.fields(GopherQuality)}
    floats = {"min_mean_word_chars", "max_mean_word_chars", "min_alpha_word_ratio"} | {
        n for n in wide if n.endswith("_ratio")
    }
    return GopherQuality(**{n: float(v) if n in floats else v for n, v in wide.items()} | settings)


@pytest.mark.parametrize(
    ("threshold", "at_the_bound", "beyond", "reason"),
    [
        ({"min_words": 50}, "word " * 50, "word " * 49, "too_few_words"),
        ({"min_words": 50}, "word , " * 50, "word , , , " * 49, "too_few_words"),
        ({"max_words": 100_000}, "w " * 100_000, "w " * 100_001, "too_many_words"),
        ({"min_mean_word_chars": 3.0}, "abc " * 9, "abc " * 9 + "ab", "words_too_short"),
        ({"max_mean_word_chars": 10.0}, "a" * 10, "a" * 11, "words_too_long"),
        ({"max_hash_ratio": 0.1}, "# " * 5 + "word " * 45, "# " * 5 + "word " * 44, "too_many_hashes"),
        ({"max_ellipsis_ratio": 0.1}, "… " * 5 + "word " * 45, "... " * 5 + "word " * 44, "too_many_ellipses"),
        ({"max_bullet_line_ratio": 0.9}, "- a\n" * 9 + "a", "• a\n" * 10 + "a", "too_many_bullets"),
        ({"max_ellipsis_line_ratio": 0.3}, "a…\n" * 3 + "a\n" * 7, "a...\n" * 4 + "a\n" * 9, "too_many_ellipsis_lines"),
        ({"min_alpha_word_ratio": 0.8}, "word " * 8 + "12 !", "word " * 7 + "12 !", "too_few_alpha_words"),
        ({"min_stop_words": 2}, "the be", "the the The THE", "too_few_stop_words"),
    ],
)
def test_bounds_are_inclusive(threshold: dict[str, object], at_the_bound: str, beyond: str, reason: str):
    assert rule(**threshold).judge(at_the_bound) is None
    assert rule(**threshold).judge(beyond) == reason


def test_the_defaults_are_those_of_the_paper():
    assert GopherQuality().judge(STOPS + "word " * 48) is None
    assert GopherQuality().judge(STOPS + "word " * 47) == "too_few_words"
    assert dataclasses.astuple(GopherQuality()) == (50, 100_000, 3.0, 10.0, 0.1, 0.1, 0.9, 0.3, 0.8, 2)


def test_the_first_reason_wins():
    assert GopherQuality().judge("# # #") == "too_few_words"
    assert GopherQuality(min_words=0).judge("# a a") == "words_too_short"


def test_one_text_is_judged_as_in_a_batch_and_from_stored_measures():
    texts = [STOPS + "word " * 60, "word", "", "# " * 60, "aa " * 99]
    batch = GopherQuality().judge_batch(texts).to_pylist()
    assert batch == [GopherQuality().judge(t) for t in texts]
    assert batch == GopherQuality().judge_measures(measure(texts)).to_pylist()
    rows = pa.record_batch([measure(texts)], names=["measures"])
    assert batch == GopherQuality().judge_rows(rows).to_pylist()


@pytest.mark.parametrize(
    ("component", "sentence"),
    [
        ({"use": "gopher_qualty"}, "clean.rules[0].use: no rule named 'gopher_qualty'; did you mean 'gopher_quality'?"),
        (
            {"use": "gopher_quality", "min_wrds": 4},
            "clean.rules[0].min_wrds: no such setting; did you mean 'min_words'?",
        ),
        ({"use": "gopher_quality", "min_words": "40"}, "clean.rules[0].min_words: found '40': input should be a valid"),
        ({"use": "gopher_quality", "min_words": 40.5}, "clean.rules[0].min_words: found 40.5: "),
        ({"use": "gopher_quality", "min_words": True}, "clean.rules[0].min_words: found True: "),
        ({"use": "no_such_package.rules:Rule"}, "clean.rules[0].use: 'no_such_package.rules:Rule' cannot be imported"),
        ({"use": "corpusmill.clean.rules:RULES"}, "clean.rules[0].use: 'corpusmill.clean.rules:RULES' is not a class"),
        (
            {"use": "pathlib:Path"},
            "clean.rules[0].use: pathlib:Path is neither a corpusmill Rule nor a datatrove filter",
        ),
    ],
)
def test_a_wrong_rule_is_refused_in_a_sentence(component: dict[str, object], sentence: str):
    with pytest.raises(InputError) as caught:
        make_rules([Component(**component)])
    assert str(caught.value).startswith(sentence)


def test_a_whole_number_will_do_for_a_ratio_and_names_keep_two_of_a_kind_apart():
    made = make_rules(
        [
            Component(use="gopher_quality", max_hash_ratio=1),
            Component(use="corpusmill.clean.rules:GopherQuality", name="loose", min_words=1),
        ]
    )
    assert made == {"gopher_quality": GopherQuality(max_hash_ratio=1.0), "loose": GopherQuality(min_words=1)}
    with pytest.raises(InputError, match="there is a rule named 'gopher_quality' already"):
        make_rules([Component(use="gopher_quality"), Component(use="gopher_quality")])


def test_editors_change_what_they_say_and_no_more():
    editors = make_editors([Component(use="ftfy"), Component(use="whitespace", max_blank_lines=1)])
    assert editors["ftfy"].edit("schÃ¶n &amp; gut “so”").text == "schön & gut “so”"
    assert editors["ftfy"].edit("plain, 100% ASCII.\n").text == "plain, 100% ASCII.\n"
    assert editors["whitespace"].edit("  a \t b  \n\n\n\n c\u00a0 d \n").text == "a b\n\nc d"
    with pytest.raises(InputError, match=r"clean\.editors\[0\]\.use: no editor named 'ftyf'; did you mean 'ftfy'"):
        make_editors([Component(use="ftyf")])
    with pytest.raises(InputError, match=r"clean\.editors\[0\]\.uncurl: no such setting"):
        make_editors([Component(use="ftfy", uncurl=True)])
