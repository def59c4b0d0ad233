"""Gopher repetition, C4, FineWeb, lengths and symbols: each bound is inclusive, the first reason wins, nulls stay."""

from __future__ import annotations

import dataclasses
from typing import Any

import pyarrow as pa
import pytest

from corpusmill.clean.components import make_rules
from corpusmill.clean.rules import RULES, C4Quality, FineWebQuality, GopherRepetition, Lengths, Rule, Symbols
from corpusmill.clean.text_measures import measure
from corpusmill.recipe import Component
from corpusmill.schemas import MEASURES


def at(**measures: Any) -> pa.StructArray:
    """One row of measures, all 0 but those given."""
    row = dict.fromkeys(MEASURES.names, 0) | {"chars": 1, "lines": 1} | measures
    return pa.array([row], MEASURES)


def wide(kind: type[Rule], **settings: Any) -> Rule:
    """A rule with all thresholds open but those given."""
    types = {f.name: f.type for f in dataclasses.fields(kind)}
    names = {n: (0 if n.startswith("min_") else 10**9) for n, t in types.items() if t != "bool"}
    return kind(**{n: float(v) if types[n] == "float" else v for n, v in names.items()} | settings)


REPETITION = [
    ("duplicate_paragraphs", "duplicate_paragraph_ratio", "max_duplicate_paragraph_ratio", 0.3),
    ("duplicate_paragraph_chars", "duplicate_paragraph_char_ratio", "max_duplicate_paragraph_char_ratio", 0.2),
    ("duplicate_lines", "duplicate_raw_line_ratio", "max_duplicate_line_ratio", 0.3),
    ("duplicate_line_chars", "duplicate_raw_line_char_ratio", "max_duplicate_line_char_ratio", 0.2),
    ("top_2_gram", "top_2_gram_char_ratio", "max_top_2_gram_char_ratio", 0.2),
    ("top_3_gram", "top_3_gram_char_ratio", "max_top_3_gram_char_ratio", 0.18),
    ("top_4_gram", "top_4_gram_char_ratio", "max_top_4_gram_char_ratio", 0.16),
    *(
        (f"duplicate_{n}_grams", f"duplicate_{n}_gram_char_ratio", f"max_duplicate_{n}_gram_char_ratio", limit)
        for n, limit in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.1))
    ),
]


@pytest.mark.parametrize(("reason", "ratio", "threshold", "default"), REPETITION)
def test_repetition_is_bounded_by_table_a1(reason: str, ratio: str, threshold: str, default: float):
    rule = wide(GopherRepetition, **{threshold: getattr(GopherRepetition(), threshold)})
    assert getattr(GopherRepetition(), threshold) == default
    assert rule.judge_measures(at(**{ratio: default})).to_pylist() == [None]
    assert rule.judge_measures(at(**{ratio: default + 1e-12})).to_pylist() == [reason]


def test_repetition_names_paragraphs_first_as_datatrove_does():
    ratios = {ratio: 1.0 for _, ratio, _, _ in REPETITION}
    for reason, ratio, _, _ in REPETITION:
        assert GopherRepetition().judge_measures(at(**ratios)).to_pylist() == [reason]
        ratios[ratio] = 0.0


LINES = {"max_duplicate_paragraph_ratio": 0.3, "max_duplicate_line_ratio": 0.3}


@pytest.mark.parametrize(
    ("rule", "text", "reason"),
    [
        (GopherRepetition(), "", "empty"),
        (wide(GopherRepetition, **LINES), "a b\n\na b\n\nc d\n\ne f", None),
        (wide(GopherRepetition, **LINES), "a b\n\na b\n\nc d\n\na b", "duplicate_paragraphs"),
        (wide(GopherRepetition, **LINES), "x y\n" * 3 + "\n".join("abc"), "duplicate_lines"),
        (wide(GopherRepetition, **LINES), "x y\n" * 3 + "\n".join("abcde"), None),
        (GopherRepetition(), "one two three. " * 9, "top_2_gram"),
        (GopherRepetition(), " ".join(f"w{i}" for i in range(400)), None),
    ],
)
def test_repetition_is_found_in_text(rule: Rule, text: str, reason: str | None):
    assert rule.judge(text) == reason


PROSE = "This is a sentence of some words. "


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PROSE * 5, None),
        (PROSE * 4, "too_few_sentences"),
        ((PROSE + "\n") * 4 + "Two words.", "too_few_sentences"),
        (PROSE * 4 + "\nAnd a last one without an end", None),
        (PROSE * 9 + "\nPlease enable JavaScript to read on.", None),
        (PROSE * 4 + "\nPlease enable JavaScript to read on.", "too_few_sentences"),
        (PROSE * 4 + "\nPlease read our Privacy Policy first.", "too_few_sentences"),
        (PROSE * 9 + "\nHere is Lorem Ipsum text", "lorem_ipsum"),
        (PROSE * 9 + "\nfunction of x { return", "curly_bracket"),
        (PROSE * 9 + "\na lorem ipsum { at once", "lorem_ipsum"),
        ("x { y z\n" + PROSE * 9 + "lorem ipsum", "curly_bracket"),
        (PROSE * 9 + "\n{ javascript in a line that goes", None),
        (PROSE * 9 + "\n{ short", None),
        (PROSE * 4 + "x" * 1001, "too_few_sentences"),
        (PROSE * 4 + "x" * 1000, None),
    ],
)
def test_c4_judges_the_lines_it_would_keep(text: str, reason: str | None):
    assert C4Quality().judge(text) == reason


def test_c4_can_ask_for_closed_lines_and_be_told_to_let_brackets_pass():
    text = (PROSE.strip() + "\n") * 4 + "And a last one without an end"
    assert C4Quality().judge(text) is None
    assert C4Quality(closed_lines_only=True).judge(text) == "too_few_sentences"
    assert C4Quality(closed_lines_only=True).judge(text + '."') is None
    assert C4Quality(closed_lines_only=True).judge(text + "...") == "too_few_sentences"
    code = PROSE * 9 + "\na lorem ipsum line\nfunction of x { return"
    assert C4Quality(lorem_ipsum=False).judge(code) == "curly_bracket"
    assert C4Quality(lorem_ipsum=False, curly_brackets=False).judge(code) is None
    assert C4Quality(curly_brackets=False).judge(code) == "lorem_ipsum"


def test_citations_are_no_words_of_a_sentence():
    assert C4Quality(min_sentences=2).judge("It was so.[1] And it was not.[citation needed]") is None
    assert C4Quality(min_sentences=2).judge("It was so [12].[3]") == "too_few_sentences"


@pytest.mark.parametrize(
    ("rule", "inside", "beyond", "reason"),
    [
        (FineWebQuality(), {"terminal_line_ratio": 0.12}, {"terminal_line_ratio": 0.119}, "too_few_closed_lines"),
        (wide(FineWebQuality, max_short_line_ratio=0.67), {"short_line_ratio": 0.67}, {"short_line_ratio": 0.671}, "too_many_short_lines"),  # noqa: E501
        (wide(FineWebQuality, max_duplicate_line_char_ratio=0.01), {"duplicate_line_char_ratio": 0.01}, {"duplicate_line_char_ratio": 0.011}, "duplicate_line_chars"),  # noqa: E501
        (wide(FineWebQuality, max_newline_ratio=0.3), {"newline_ratio": 0.3}, {"newline_ratio": 0.31}, "too_many_newlines"),  # noqa: E501
        (wide(Lengths, min_chars=300), {"chars": 300}, {"chars": 299}, "too_few_chars"),
        (wide(Lengths, max_chars=300), {"chars": 300}, {"chars": 301}, "too_many_chars"),
        (wide(Lengths, min_words=50), {"non_symbol_words": 50}, {"non_symbol_words": 49}, "too_few_words"),
        (wide(Lengths, max_words=50), {"non_symbol_words": 50}, {"non_symbol_words": 51}, "too_many_words"),
        (wide(Lengths, min_sentences=3), {"sentences": 3}, {"sentences": 2}, "too_few_sentences"),
        (wide(Lengths, min_mean_line_chars=10.0), {"mean_line_chars": 10.0}, {"mean_line_chars": 9.9}, "lines_too_short"),  # noqa: E501
        (wide(Lengths, max_mean_line_chars=10.0), {"mean_line_chars": 10.0}, {"mean_line_chars": 10.1}, "lines_too_long"),  # noqa: E501
        (wide(Lengths, min_longest_line_chars=9), {"longest_line_chars": 9}, {"longest_line_chars": 8}, "longest_line_too_short"),  # noqa: E501
        (wide(Lengths, max_longest_line_chars=9), {"longest_line_chars": 9}, {"longest_line_chars": 10}, "longest_line_too_long"),  # noqa: E501
        (wide(Lengths, max_longest_word_chars=1000), {"longest_word_chars": 1000}, {"longest_word_chars": 1001}, "word_too_long"),  # noqa: E501
        (wide(Symbols, max_non_alnum_ratio=0.25), {"non_alnum_ratio": 0.25}, {"non_alnum_ratio": 0.26}, "too_many_symbols"),  # noqa: E501
        (wide(Symbols, max_digit_ratio=0.15), {"digit_ratio": 0.15}, {"digit_ratio": 0.16}, "too_many_digits"),
        (wide(Symbols, max_upper_ratio=0.5), {"upper_ratio": 0.5}, {"upper_ratio": 0.51}, "too_many_capitals"),
        (wide(Symbols, max_space_ratio=0.25), {"space_ratio": 0.25}, {"space_ratio": 0.26}, "too_many_blanks"),
        (wide(Symbols, max_parenthesis_ratio=0.1), {"parenthesis_ratio": 0.1}, {"parenthesis_ratio": 0.11}, "too_many_brackets"),  # noqa: E501
        (wide(Symbols, max_url_ratio=0.2), {"url_ratio": 0.2}, {"url_ratio": 0.21}, "too_many_urls"),
        (wide(Symbols, min_terminal_line_ratio=0.15), {"terminal_line_ratio": 0.15}, {"terminal_line_ratio": 0.14}, "too_few_closed_lines"),  # noqa: E501
    ],
)  # fmt: skip
def test_bounds_are_inclusive(rule: Rule, inside: dict[str, Any], beyond: dict[str, Any], reason: str):
    assert rule.judge_measures(at(**inside)).to_pylist() == [None]
    assert rule.judge_measures(at(**beyond)).to_pylist() == [reason]


def test_the_defaults_are_the_published_ones():
    assert dataclasses.astuple(FineWebQuality()) == (0.12, 0.67, 0.01, 0.3)
    assert dataclasses.astuple(C4Quality()) == (5, False, True, True)
    assert dataclasses.astuple(Symbols()) == (0.25, 0.15, 1.0, 0.25, 0.1, 0.2, 0.15)


def test_an_address_counts_by_its_characters():
    found = measure(["see http://example.com/a?b=1 or me@example.com, not example"])[0].as_py()
    assert found["url_chars"] == len("http://example.com/a?b=1") + len("me@example.com")


@pytest.mark.parametrize("name", sorted(RULES))
def test_rows_without_measures_are_given_no_reason(name: str):
    old = {f.name: (0 if f.name in MEASURES.names[:26] else None) for f in MEASURES}
    rows = pa.array([None, dict.fromkeys(MEASURES.names), old], MEASURES)
    rule: Any = make_rules([Component(use=name)])[name]
    judged = rule.judge_measures(rows).to_pylist()
    assert judged[:2] == [None, None]
    assert judged[2] is None or judged[2] in ("empty", "too_few_words", "too_few_closed_lines")
