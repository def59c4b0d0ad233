"""Measures are what a slow reading gives; rules hold at their bounds."""

from __future__ import annotations

import pytest

from corpusmill.clean import GopherQuality, measure
from corpusmill.clean.components import make_editors, make_rules
from corpusmill.errors import InputError
from corpusmill.recipe import Component


@pytest.mark.parametrize(
    ("text", "words", "non_symbol"),
    [
        ("", 0, 0),
        ("one two  three", 3, 3),
        ("Yes, no.", 4, 2),
        ("don't", 2, 2),
        ("it’s 3.14 at example.com", 5, 5),
        ("mod_rewrite me@example.com", 2, 2),
        ("wait... what", 3, 2),
        ("well-known", 3, 2),
        ("中文文本", 2, 2),
        ("e\u0301tude", 1, 1),
    ],
)
def test_words_are_counted_as_the_module_says(text: str, words: int, non_symbol: int):
    found = measure([text])[0].as_py()
    assert (found["words"], found["non_symbol_words"]) == (words, non_symbol)


def test_a_null_text_has_no_measures_and_batches_equal_single_texts():
    import pyarrow as pa

    texts = ["the cat and the dog", None, "", "x" * 5000, "中文。\n\n…"]
    found = measure(pa.array(texts, pa.large_string())).to_pylist()
    assert found[1] is None
    assert [f for i, f in enumerate(found) if i != 1] == [measure([t])[0].as_py() for t in texts if t is not None]
    assert measure(pa.array(texts, pa.large_string()).slice(2, 2)).to_pylist() == found[2:4]


GOOD = "those cats and the dogs were sitting on mats "


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("word the and " * 16 + "word", "too_few_words"),
        ("word the and " * 16 + "word the", None),
        ("the and word " * 33_333 + "word", None),
        ("the and word " * 33_333 + "word word", "too_many_words"),
        ("a to be I " * 20, "words_too_short"),
        ("the and " * 2 + "extraordinarily " * 60, "words_too_long"),
        (GOOD * 10 + "# " * 10, None),
        (GOOD * 10 + "# " * 11, "too_many_hashes"),
        ("- " + GOOD + "\n" + ("- " + GOOD + "\n") * 9, "too_many_bullets"),
        (GOOD + "\n" + ("- " + GOOD + "\n") * 9, None),
        ("cats dogs sit mats " * 20, "too_few_stop_words"),
    ],
)
def test_gopher_bounds_are_inclusive(text: str, reason: str | None):
    assert GopherQuality().judge(text) == reason


def test_a_rules_settings_are_checked():
    assert make_rules([Component(use="gopher_quality", min_words=40)])["gopher_quality"] == GopherQuality(min_words=40)
    with pytest.raises(InputError, match=r"clean\.rules\[0\]\.min_word: no such setting; did you mean 'min_words'\?"):
        make_rules([Component(use="gopher_quality", min_word=40)])
    with pytest.raises(InputError, match="min_words: found '40'"):
        make_rules([Component(use="gopher_quality", min_words="40")])
    with pytest.raises(InputError, match="a name of its own"):
        make_rules([Component(use="gopher_quality"), Component(use="gopher_quality")])
    with pytest.raises(InputError, match="no editor named 'ftfi'; did you mean 'ftfy'"):
        make_editors([Component(use="ftfi")])


def test_a_datatrove_filter_stands_in_a_recipe():
    import pyarrow as pa

    use = "datatrove.pipeline.filters:GopherQualityFilter"
    rule = make_rules([Component(use=use, name="theirs", min_doc_words=5)])["theirs"]
    texts = pa.array(["some text", GOOD * 2], pa.large_string())
    batch = pa.RecordBatch.from_pydict({"id": ["a", "b"], "text": texts})
    assert rule.judge_rows(batch).to_pylist() == ["gopher_short_doc", None]


def test_a_rule_is_a_datatrove_filter():
    from datatrove.data import Document

    from corpusmill.clean.datatrove_filter import as_datatrove

    step = as_datatrove(GopherQuality())
    documents = [Document(GOOD * 10, "good"), Document("too short", "bad")]
    assert [d.id for d in step.run(documents)] == ["good"]
    assert step.stats.stats["dropped_too_few_words"].total == 1
