"""Texts that contain evaluation items are found, with set and item; others are not."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.clean.components import make_rules, make_scorers
from corpusmill.clean.contamination import Contamination, Decontaminate, EvaluationSet, matches_in_detail
from corpusmill.clean.ngram_index import normal_words
from corpusmill.clean.text_files import field_texts, read_rows
from corpusmill.errors import InputError
from corpusmill.recipe import Component

ITEM = (
    "A robe takes 2 bolts of blue fiber and half that much white fiber. How many bolts in total does it take to make?"
)
SHORT = "Which organ of the body makes insulin for us?"
FILLER = "The miller carries corn to the wheel by the river every morning before the market opens in town. "


def jsonl(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, EvaluationSet]:
    quiz = [
        {"q": "Name the colour of a clear sky at noon in summer.", "a": "none"},
        {"q": ITEM, "a": "It takes three bolts."},
    ]
    short = [{"text": SHORT}, {"text": "Who are you?"}]
    return {
        "quiz": EvaluationSet(path=jsonl(tmp_path / "quiz.jsonl", quiz), fields=("q", "a")),
        "short": EvaluationSet(path=jsonl(tmp_path / "short.jsonl", short)),
    }


def judge_rows(rule: Any, texts: list[str | None]) -> list[dict[str, str | None]]:
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.large_string())})
    return rule.judge_rows(batch).to_pylist()


def test_a_text_with_an_item_is_dropped_and_names_set_item_and_words(sets: dict[str, EvaluationSet]):
    rule = Decontaminate(sets=sets)
    found = judge_rows(rule, [FILLER + ITEM + FILLER, FILLER, None, SHORT + " " + ITEM])
    assert [row["reason"] for row in found] == ["contaminated", None, None, "contaminated"]
    assert found[0]["detail"] == "quiz: item 2: 'a robe takes 2 bolts of blue fiber and half that much white'"
    assert list(matches_in_detail(str(found[3]["detail"]))) == [("quiz", "2"), ("short", "1")]


@pytest.mark.parametrize(
    "text",
    [
        ITEM.upper(),
        ITEM.replace(" ", "\n"),
        ITEM.replace(" ", ", "),
        "…" + ITEM.replace("i", "í"),
        ITEM.replace("i", "i\u0301"),
        ITEM.replace("fiber", "fi\u00adber"),
    ],
)
def test_case_punctuation_blanks_and_accents_hide_nothing(sets: dict[str, EvaluationSet], text: str):
    assert Decontaminate(sets=sets).judge(FILLER + text + FILLER) == "contaminated"


def test_thirteen_words_in_a_row_are_needed_of_a_long_item_and_all_words_of_a_short_one(sets: dict[str, EvaluationSet]):
    words = ITEM.split()
    rule = Decontaminate(sets=sets)
    assert rule.judge("so " + " ".join(words[3:16])) == "contaminated"
    assert rule.judge("so " + " ".join(words[3:15])) is None
    assert rule.judge("so " + SHORT) == "contaminated"
    assert rule.judge("so " + SHORT.rpartition(" ")[0]) is None
    assert rule.judge("so Who are you?") is None


def test_question_and_answer_joined_are_looked_for_too(sets: dict[str, EvaluationSet]):
    words = (ITEM + " It takes three bolts.").split()
    assert Decontaminate(sets=sets).judge(" ".join(words[-13:])) == "contaminated"


def test_a_chinese_character_is_a_word(tmp_path: Path):
    path = jsonl(tmp_path / "zh.jsonl", [{"text": "下列注重卖方需要的市场营销管理哲学是"}])
    rule = Decontaminate(sets={"zh": EvaluationSet(path=path)})
    assert rule.judge("问题：下列注重卖方需要的市场，营销管理哲学是什么？") == "contaminated"
    assert rule.judge("问题：下列注重卖方需要的市场很多。") is None


def test_the_scorer_counts_ngrams_by_set_and_drops_nothing(sets: dict[str, EvaluationSet]):
    scorer = Contamination(sets=sets)
    texts = pa.array([ITEM, FILLER, SHORT + FILLER + SHORT], pa.large_string())
    scores = scorer.score_batch(texts, None)
    windows = len(ITEM.split()) - 13 + 1
    np.testing.assert_array_equal(scores[""], [windows, 0, 2])
    np.testing.assert_array_equal(scores["quiz"], [windows, np.nan, np.nan])
    np.testing.assert_array_equal(scores["short"], [np.nan, np.nan, 2])


def test_an_item_in_several_sets_is_reported_of_each_and_the_first_of_a_set_is_named(tmp_path: Path):
    rows = [{"text": ITEM}, {"text": ITEM}]
    both = {n: EvaluationSet(path=jsonl(tmp_path / f"{n}.jsonl", rows)) for n in ("one", "two")}
    (found,) = Decontaminate(sets=both).find_batch([ITEM])
    assert [(m.set, m.item) for m in found] == [("one", "1"), ("two", "1")]


@pytest.mark.parametrize("item", ["a | b", "x | y: item z", "it's: 'so'", "line\nfeed"])
def test_an_item_may_have_any_name_and_its_set_is_still_known(tmp_path: Path, item: str):
    path = jsonl(tmp_path / "set.jsonl", [{"text": ITEM, "id": item}])
    one = EvaluationSet(path=path, id="id")
    (detail,) = (
        Decontaminate(sets={"one": one, "two": one})
        .judge_rows(pa.RecordBatch.from_pydict({"text": pa.array([ITEM], pa.large_string())}))
        .field("detail")
        .to_pylist()
    )
    assert list(matches_in_detail(detail)) == [("one", item), ("two", item)]


def test_more_matches_than_were_made_room_for_are_all_counted(sets: dict[str, EvaluationSet]):
    (found,) = Decontaminate(sets=sets).find_batch([(SHORT + " ") * 5000])
    assert found[0].ngrams == 5000


WORDS = st.sampled_from(
    ["a", "b", "cc", "É", "ü", "don't", "3.5", "中", "文字", "x-y", "…", "\u00ad", "\u0301", "😀", "\u200b", "𠀀"]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=3)


@settings(max_examples=150, deadline=None)
@given(
    items=st.lists(st.lists(WORDS, max_size=9), min_size=1, max_size=4),
    texts=st.lists(st.lists(WORDS, max_size=25), max_size=4),
    ngram=st.integers(2, 5),
    min_words=st.integers(2, 6),
)
def test_the_kernel_finds_what_sets_of_tuples_find(
    tmp_path_factory: pytest.TempPathFactory,
    items: list[list[str]],
    texts: list[list[str]],
    ngram: int,
    min_words: int,
):
    lines = [" ".join(item) for item in items]
    path = jsonl(tmp_path_factory.mktemp("set") / "set.jsonl", [{"text": line} for line in lines])
    rule = Decontaminate(sets={"s": EvaluationSet(path=path)}, ngram=ngram, min_words=min_words)
    least = min(ngram, min_words)
    wanted: set[tuple[str, ...]] = set()
    for line in lines:
        words = normal_words(line)
        length = min(len(words), ngram)
        if length >= least:
            wanted |= {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}
    documents = [" ".join(text) for text in texts]
    for document, found in zip(documents, rule.find_batch(documents), strict=True):
        words = normal_words(document)
        windows = [tuple(words[i : i + n]) for n in range(least, ngram + 1) for i in range(len(words) - n + 1)]
        assert sum(m.ngrams for m in found) == sum(w in wanted for w in windows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't STOP—me, now!", ["don", "t", "stop", "me", "now"]),
        ("Élan naïve ﬁn", ["elan", "naive", "ﬁn"]),
        ("東京タワーabc", ["東", "京", "タ", "ワ", "ー", "abc"]),
        ("１２ x\u200by a\u00adb", ["12", "x", "y", "ab"]),
        ("한국어 हिन्दी", ["한국어", "हिनदी"]),
        ("", []),
    ],
)
def test_words_are_compared_without_case_accents_and_punctuation(text: str, words: list[str]):
    assert normal_words(text) == words


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "parquet", "jsonl.gz", "txt"])
def test_sets_are_read_in_every_format(tmp_path: Path, ending: str):
    import pyarrow.parquet as pq

    path = tmp_path / f"set.{ending}"
    line = json.dumps({"text": ITEM})
    if ending.endswith(".gz"):
        path.write_bytes(gzip.compress(line.encode()))
    elif ending == "parquet":
        pq.write_table(pa.table({"text": [ITEM]}), path)
    else:
        contents = {"jsonl": line, "json": f"[{line}]", "csv": f'text,n\n"{ITEM}",1\n', "txt": ITEM}
        path.write_text(contents.get(path.suffix[1:], f"text\tn\n{ITEM}\t1\n"))
    assert Decontaminate(sets={"s": EvaluationSet(path=str(path))}).judge(ITEM) == "contaminated"


def test_fields_reach_into_tables_and_lists():
    row = {"question": {"stem": "s", "choices": [{"text": "x"}, {"text": "y"}]}, "n": 3, "none": None}
    assert field_texts(row, ["question.stem", "question.choices.text", "n", "none"], "here") == ["s", "x", "y", "3"]
    with pytest.raises(InputError, match="here: no field 'answer'; there is question, n, none"):
        field_texts(row, ["answer"], "here")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", '{"text": 1}\n{bad', r"a\.jsonl: line 2: not JSON"),
        ("a.json", '{"x": 1}', "a list of rows"),
        ("a.jsonl", "[1]", "line 1: found list; expected a table of fields"),
        ("a.xml", "", r"found \.xml; expected \.jsonl"),
        ("a.parquet", "PAR0", "not a Parquet file"),
        ("a.jsonl.gz", "plain", "expected UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_read_says_so(tmp_path: Path, name: str, content: str, said: str):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said):
        list(read_rows(tmp_path / name))


def test_mistakes_in_a_recipe_are_said_before_anything_runs(tmp_path: Path):
    def rule(**one: Any) -> Component:
        return Component(use="decontaminate", sets={"s": one})

    with pytest.raises(InputError, match=r"clean\.rules\[0\]\.sets\.s\.path: there is no file .*nowhere\.jsonl"):
        make_rules([rule(path=str(tmp_path / "nowhere.jsonl"))])
    path = jsonl(tmp_path / "s.jsonl", [{"text": "short"}])
    with pytest.raises(InputError, match="no field of any item has 8 words"):
        make_rules([rule(path=path)])
    with pytest.raises(
        InputError, match=r"clean\.rules\[0\]\.sets: .*s\.jsonl: item 1: no field 'question'; there is text"
    ):
        make_rules([rule(path=path, fields=["question"])])
    with pytest.raises(InputError, match="no such setting"):
        make_rules([Component(use="decontaminate", sets={"s": {"path": path}}, n=3)])
    with pytest.raises(InputError, match="at least one set"):
        make_scorers([Component(use="contamination", sets={})])


def test_thresholds_by_language_are_refused(sets: dict[str, EvaluationSet]):
    named = {n: {"path": s.path, "fields": list(s.fields)} for n, s in sets.items()}
    with pytest.raises(InputError, match=r"clean\.rules\[0\]\.languages: decontaminate has one setting for all"):
        make_rules([Component(use="decontaminate", sets=named, languages={"zh": {"ngram": 20}})])


def test_where_a_set_lies_is_no_part_of_its_identity_and_what_is_in_it_is(tmp_path: Path):
    def identity(folder: str, text: str) -> dict[str, Any]:
        (tmp_path / folder).mkdir(exist_ok=True)
        path = jsonl(tmp_path / folder / "s.jsonl", [{"text": text}])
        return Decontaminate(sets={"s": EvaluationSet(path=path)}).identity()

    assert identity("a", ITEM) == identity("b", ITEM) != identity("c", SHORT)
    assert "sha256:" in json.dumps(identity("a", ITEM))


def real_sets(data_folder: Path) -> dict[str, EvaluationSet]:
    folder = data_folder / "eval"
    return {
        "gsm8k": EvaluationSet(path=str(folder / "gsm8k/test.jsonl"), fields=("question", "answer")),
        "arc": EvaluationSet(
            path=str(folder / "arc-challenge/ARC-Challenge-Test.jsonl"),
            fields=("question.stem", "question.choices.text"),
            id="id",
        ),
        "humaneval": EvaluationSet(
            path=str(folder / "humaneval/HumanEval.jsonl.gz"), fields=("prompt", "canonical_solution"), id="task_id"
        ),
        "cmmlu": EvaluationSet(path=str(folder / "cmmlu/test/*.csv"), fields=("Question",)),
    }


def test_items_planted_in_wikipedia_are_found_and_nothing_else_is(data_folder: Path):
    rule = Decontaminate(sets=real_sets(data_folder))
    rule.check()
    pages = [p.read_text() for p in sorted((data_folder / "text/wikipedia-en").glob("*"))[:300]]
    assert [found for found in rule.find_batch(pages) if found] == []
    planted: dict[int, tuple[str, str]] = {}
    for name, one in rule.sets.items():
        rows = list(read_rows(sorted(Path("/").glob(one.path.lstrip("/")))[0]))
        for number in (0, 7, len(rows) - 1):
            text = max(field_texts(rows[number], one.fields, name), key=len)
            if len(normal_words(text)) < 13:
                continue
            page = 20 * len(planted)
            middle = pages[page].find(" ", len(pages[page]) // 2)
            pages[page] = f"{pages[page][:middle]} {text}\n{pages[page][middle:]}"
            planted[page] = (name, field_texts(rows[number], [one.id], name)[0] if one.id else str(number + 1))
    assert len(planted) >= 10
    found = {i: [(m.set, m.item.split(" ")[-1]) for m in ms] for i, ms in enumerate(rule.find_batch(pages)) if ms}
    assert found == {page: [origin] for page, origin in planted.items()}
