"""Bad words are found as C4 finds them, in the language of the text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.clean.components import make_rules, make_scorers
from corpusmill.clean.scorers.bad_words import ALLOWED, UNSPACED, BadWords, available, compile_list
from corpusmill.errors import InputError
from corpusmill.recipe import Component

LANGUAGES = ("en", "de", "fr", "es", "ru", "it", "fi", "nl", "ar", "hi", "ko", "ja", "th", "zh")


@pytest.fixture
def lists(tmp_path: Path) -> str:
    (tmp_path / "en").write_text("darn\nheck no\nheck\n\n")
    (tmp_path / "de").write_text("Mist\nverflixt\n")
    (tmp_path / "zh").write_text("坏话\n性\n")
    (tmp_path / "no").write_text("fanden\n")
    (tmp_path / "LICENSE").write_text("mist")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("language", "text", "count"),
    [
        ("en", "Darn it, darn!", 2),
        ("en", "darn darn darn", 3),
        ("en", "darned socks", 0),
        ("en", "Oh HECK NO, what the heck", 2),
        ("en", "heck-no darn_it", 1),
        ("de", "Verflixt, so ein MIST", 2),
        ("zh", "这是坏话坏话", 2),
        ("zh", "性别", 0),
        ("nb", "Fanden!", 1),
        ("fr", "darn", np.nan),
        (None, "darn", np.nan),
    ],
)
def test_the_score_is_the_number_of_matches(lists: str, language: str | None, text: str, count: float):
    np.testing.assert_equal(BadWords(lists=lists).score(text, language), count)


def test_a_default_list_is_for_texts_in_languages_without_one(lists: str):
    assert BadWords(lists=lists, language="en").score("darn", "fr") == 1
    assert BadWords(lists=lists, language="en", languages=("fr",)).judge("darn", "de") is None


def test_as_a_rule_it_names_the_first_word(lists: str):
    rule = make_rules([Component(use="bad_words", lists=lists, max=1)])["bad_words"]
    batch = pa.RecordBatch.from_pydict(
        {"text": pa.array(["one darn", "two heck, darn", None], pa.large_string()), "language": ["en", "en", None]}
    )
    assert rule.judge_rows(batch).to_pylist() == [
        {"reason": None, "detail": None},
        {"reason": "bad_words", "detail": "heck"},
        {"reason": None, "detail": None},
    ]


def test_the_share_that_is_kept_is_drawn_by_the_text_alone(lists: str):
    texts = [f"darn number {i}" for i in range(2000)]
    rule = BadWords(lists=lists, keep_share=0.25)
    kept = [rule.judge(text, "en") is None for text in texts]
    assert 0.22 < np.mean(kept) < 0.28
    assert kept[::-1] == [rule.judge(text, "en") is None for text in reversed(texts)]


ANY = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])  # no line ends


@given(
    entries=st.sets(
        (st.text("ab c", max_size=5) | st.text(ANY, max_size=3)).map(lambda e: e.lower().strip()).filter(bool),
        min_size=1,
        max_size=8,
    ),
    text=st.text("ab c.", max_size=30) | st.text(ANY, max_size=12).map(str.lower),
)
def test_a_tree_of_entries_finds_what_trying_each_finds(
    tmp_path_factory: pytest.TempPathFactory, entries: set[str], text: str
):
    folder = tmp_path_factory.mktemp("lists")
    for language in ("en", "zh"):
        (folder / language).write_text("\n".join(entries))
    either = "|".join(sorted(map(re.escape, entries), key=lambda e: (-len(e), e)))
    for language, pattern in (("en", rf"(?<!\w)(?:{either})(?!\w)"), ("zh", either)):
        assert compile_list(str(folder), language).findall(text) == re.findall(pattern, text)


def theirs(lists: Path, language: str, lower: bool) -> Any:
    """datatrove's filter, fed the same list; it would download it."""
    from datatrove.pipeline.filters import C4BadWordsFilter

    block = C4BadWordsFilter(default_language=language)
    words = {line.strip() for line in (lists / language).read_text().splitlines()} - ALLOWED
    escaped = [re.escape(w.lower() if lower else w) for w in words]
    block._badwords_regex[language] = (
        re.compile("|".join(escaped))
        if language in UNSPACED
        else re.compile(r"(?:\W|^)({})(?:\W|$)".format("|".join(escaped)))
    )
    return block


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_agrees_with_datatrove(data_folder: Path, language: str):
    from datatrove.data import Document

    lists = data_folder / "lists" / "ldnoobw"
    rule, reference = BadWords(lists=str(lists)), theirs(lists, language, lower=True)
    declared = (line.strip() for line in (lists / language).read_text().splitlines())
    entries = sorted(e for e in declared if e)
    carriers = (
        "{}",
        "well, {}!",
        "x{}",
        "{}x",
        "a {} b {}",
        "{}\n",
        "«{}»",
        "the plain mill",
        "{}{}",
        "_{}_",
        "\u0301{}",
    )
    for i, entry in enumerate(entries):
        for carrier in carriers if i < 40 else carriers[:4]:
            for shape in (str, str.upper):
                text = shape(carrier.format(entry, entry))
                answer = reference.filter(Document(text, "x", metadata={"language": language}))
                assert (rule.judge(text, language) is None) is (answer is True), text


def test_entries_with_capitals_are_found_which_datatrove_misses(data_folder: Path):
    from datatrove.data import Document

    lists = data_folder / "lists" / "ldnoobw"
    entry = next(e for e in (lists / "es").read_text().split("\n") if e != e.lower())
    assert theirs(lists, "es", lower=False).filter(Document(f"eso, {entry}", "x", metadata={"language": "es"})) is True
    assert BadWords(lists=str(lists)).judge(f"eso, {entry}", "es") == "bad_words"


def test_every_published_list_is_read(data_folder: Path):
    lists = str(data_folder / "lists" / "ldnoobw")
    assert len(available(lists)) == 27
    for language in available(lists):
        assert not compile_list(lists, language).search("")


def test_mistakes_in_a_recipe_are_said(lists: str, tmp_path: Path):
    with pytest.raises(InputError, match=r"clean\.scorers\[0\]\.lists: there is no file or folder .*nowhere"):
        make_scorers([Component(use="bad_words", lists=str(tmp_path / "nowhere"))])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no list; expected files named by language code"):
        make_scorers([Component(use="bad_words", lists=str(tmp_path / "empty"))])
    with pytest.raises(InputError, match="has no list xx"):
        make_scorers([Component(use="bad_words", lists=lists, language="xx")])
