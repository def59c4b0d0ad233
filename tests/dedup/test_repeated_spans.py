"""Exactly the words in a window that stood before go, but for a window's own first occurrence; on any engine."""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_runs import cuts_of, left_of

from corpusmill.columns import text_buffers
from corpusmill.dedup import repeated_spans
from corpusmill.dedup.key_table import KeyTable
from corpusmill.dedup.span_kernels import find_words, minimizers, window_keys
from corpusmill.engines import make_engine
from corpusmill.storage import Folder
from corpusmill.tokenize.survivors import survivors

NO_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "IDEOGRAPHIC")


def slow_words(text: str) -> list[tuple[int, int, str]]:
    """(start, end in characters, lower case) of each word."""
    found: list[list] = []
    open_word = alone = False
    for i, c in enumerate(text):
        kind, lower = unicodedata.category(c)[0], c.lower() if len(c.lower()) == 1 else c
        by_itself = kind in "LN" and unicodedata.name(c, "").startswith(NO_SPACES)
        if kind not in "LMN":
            open_word = False
        elif open_word and not by_itself and (not alone or kind == "M"):
            found[-1][1:] = [i + 1, found[-1][2] + lower]
        else:
            found.append([i, i + 1, lower])
            open_word, alone = True, by_itself
    return [(a, b, w) for a, b, w in found]


def slow_cut_words(texts: list[list[str]], size: int) -> list[list[bool]]:
    """Which words go, by a dictionary of all windows."""
    first: dict[tuple[str, ...], tuple[int, int]] = {}
    gone = [[False] * len(t) for t in texts]
    for d, words in enumerate(texts):
        for i in range(len(words) - size + 1):
            where = first.setdefault(tuple(words[i : i + size]), (d, i))
            if where != (d, i):
                begin = max(i, where[1] + size) if where[0] == d else i
                gone[d][begin : i + size] = [True] * (i + size - begin)
    return gone


def words_left(text: str) -> list[str]:
    return [w for *_, w in slow_words(text)]


def expected(texts: list[str], size: int) -> list[list[str]]:
    words = [words_left(t) for t in texts]
    return [
        [w for w, g in zip(ws, gs, strict=True) if not g]
        for ws, gs in zip(words, slow_cut_words(words, size), strict=True)
    ]


@given(st.text(st.sampled_from("aB é7中日のク๑กำ.,- \n𠀀̈1"), max_size=40) | st.text(st.characters(codec="utf-8")))
@settings(max_examples=300, deadline=None)
def test_words_are_those_of_a_slow_reading(text: str):
    if any(ord(c) >= 0x20000 and not unicodedata.name(c, "").startswith("CJK") for c in text):
        return  # beyond the table every character is taken for an ideograph
    found = find_words(*text_buffers(pa.array(["x", text], pa.large_string())))
    slow = [(len(text[:a].encode()), len(text[:b].encode())) for a, b, _ in slow_words(text)]
    assert list(zip(found.start[1:].tolist(), found.end[1:].tolist(), strict=True)) == slow
    said = words_left(text)
    assert len(set(found.hash[1:].tolist())) == len(set(said))
    assert found.offsets.tolist() == [0, 1, 1 + len(slow)]


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 9), st.integers(1, 6))
@settings(deadline=None)
def test_windows_have_equal_keys_where_their_words_are_equal_and_then_equal_minimizers(letters, size, count):
    texts = [" ".join("abcd"[i] for i in letters[:20]), " ".join("abcd"[i] for i in letters[20:])]
    words = find_words(*text_buffers(pa.array(texts, pa.large_string())))
    keys = window_keys(words, size)
    places = minimizers(words, keys, count)
    windows: dict[tuple[str, ...], int] = {}
    chosen: dict[tuple[str, ...], int] = {}
    for d, text in enumerate(t.split() for t in texts):
        base = int(words.offsets[d])
        for i in range(len(text)):
            whole = i + size <= len(text)
            assert (keys[base + i] != 0) == whole
            if whole:
                assert windows.setdefault(tuple(text[i : i + size]), keys[base + i]) == keys[base + i]
            long = i + size + count - 1 <= len(text)
            assert (places[base + i] >= 0) == long
            if long:
                offset = int(places[base + i]) - base - i
                assert chosen.setdefault(tuple(text[i : i + size + count - 1]), offset) == offset
                assert keys[places[base + i]].view(np.uint64) == keys[base + i : base + i + count].view(np.uint64).min()
    assert len(set(windows.values())) == len(windows)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=50), st.lists(st.integers(-3, 3), max_size=20))
@settings(deadline=None)
def test_a_key_table_finds_what_is_in_it(keys: list[int], others: list[int]):
    table = KeyTable(np.array(keys, np.int64), np.arange(len(keys)))
    wanted = np.array(keys + others, np.int64)
    assert [int(table.keys[p]) if p >= 0 else None for p in table.find(wanted)] == [
        k if k in set(keys) else None for k in wanted.tolist()
    ]
    assert [int(f) for f in table.first_address] == [keys.index(k) for k in table.keys.tolist()]


WORDS = st.lists(st.sampled_from(["a", "B", "b", "é", "中", "c."]), max_size=30).map(" ".join)
PHRASES = st.lists(
    st.sampled_from(["a b c d e", "x y z", "p, q (r) s", "one", "中文字", "la la la la la la"]), max_size=6
)


@given(st.lists(WORDS | PHRASES.map(". ".join), max_size=8), st.integers(2, 6), st.sampled_from([1, 2, 7]))
@settings(max_examples=50, deadline=None)
def test_what_is_left_is_what_a_dictionary_of_all_windows_leaves(texts: list[str], size: int, parts: int):
    with TemporaryDirectory() as run:
        cuts, counts = cuts_of(Path(run), {"spans": {"min_words": size}}, texts, parts=parts)
    left = left_of(texts, cuts)
    assert [words_left(t) for t in left] == expected(texts, size)
    assert counts["cut_bytes_in_all"] == sum(len(t.encode()) for t in texts) - sum(len(t.encode()) for t in left)
    assert counts["cut_bytes"] == {"repeated_span": counts["cut_bytes_in_all"]}
    assert [c[:2] for c in cuts] == sorted(c[:2] for c in cuts)


def test_the_first_occurrence_stays_with_its_punctuation_and_the_others_go_with_theirs(tmp_path: Path):
    texts = [
        "Said once: all rights are reserved by us. New.",
        "Old. (All rights are reserved by us.) And more.",
        "Ends so.\n\nAll rights are reserved by us!",
    ]
    cuts, _ = cuts_of(tmp_path, {"spans": {"min_words": 5}}, texts)
    assert left_of(texts, cuts) == [texts[0], "Old. And more.", "Ends so."]
    assert {why for *_, why in cuts} == {"repeated_span"}


@pytest.mark.parametrize(("period", "size"), [(1, 5), (2, 5), (3, 5), (7, 5)])
def test_of_a_text_that_repeats_itself_the_first_window_stays_whole(tmp_path: Path, period: int, size: int):
    words = [f"w{'x' * (i % period)}" for i in range(60)]
    cuts, _ = cuts_of(tmp_path, {"spans": {"min_words": size}}, [" ".join(words)])
    left = left_of([" ".join(words)], cuts)[0].split()
    assert left == words[: len(left)]
    assert len(left) == max(size, period)


def test_a_copy_of_a_whole_document_is_emptied_and_counted(tmp_path: Path):
    texts = ["One two three, four five six.\n"] * 2
    cuts, counts = cuts_of(tmp_path, {"spans": {"min_words": 4}}, texts)
    assert left_of(texts, cuts) == [texts[0], ""]
    assert (counts["emptied_documents"], counts["cut_documents"]) == (1, 1)


def test_removed_documents_take_no_part(tmp_path: Path):
    texts = ["one two three four five"] * 3
    cuts, _ = cuts_of(tmp_path, {"spans": {"min_words": 4}}, texts, gone=frozenset({0}))
    assert [d for d, *_ in cuts] == [2]


def test_chinese_is_compared_by_characters(tmp_path: Path):
    texts = ["本法自公布之日起施行。甲", "乙丙。本法自公布之日起施行。丁"]
    cuts, _ = cuts_of(tmp_path, {"spans": {"min_words": 10}}, texts)
    assert left_of(texts, cuts) == [texts[0], "乙丙。丁"]


@pytest.fixture
def collage() -> list[str]:
    """Texts of some sentences of a few dozen, in random order: repeats that begin and end anywhere."""
    rng = random.Random(3)
    sentences = [" ".join(f"w{rng.randrange(200)}" for _ in range(rng.randrange(3, 30))) for _ in range(60)]
    return [". ".join(rng.sample(sentences, 5)) for _ in range(60)]


@pytest.mark.parametrize("windows_per_pass", [10**9, 400])
def test_work_in_several_passes_and_slices_gives_the_same(
    tmp_path: Path, collage: list[str], windows_per_pass: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(repeated_spans, "WINDOWS_PER_PASS", windows_per_pass)
    monkeypatch.setattr(repeated_spans, "_SLICE_BYTES", 1000)
    cuts, counts = cuts_of(tmp_path, {"spans": {"min_words": 12}}, collage, parts=2)
    assert [words_left(t) for t in left_of(collage, cuts)] == expected(collage, 12)
    assert counts["cut_documents"] > 20


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_both_engines_cut_the_same_in_any_number_of_parts(java: str, tmp_path: Path, parts: int, collage: list[str]):
    settings = {"spans": {"min_words": 12}, "lines": {"min_corpus_documents": 2}}
    local = cuts_of(tmp_path / "local", settings, collage, parts=parts)
    spark = cuts_of(tmp_path / "spark", settings, collage, parts=parts, engine=make_engine("spark", 2))
    assert spark == local
    alone = [c for c in local[0] if c[3] == "repeated_span"]
    assert [words_left(t) for t in left_of(collage, alone)] == expected(collage, 12)


def test_bytes_in_two_spans_are_counted_once_in_all(tmp_path: Path):
    texts = ["one two three four five\nmine", "one two three four five\nyours"]
    both = {"spans": {"min_words": 5}, "lines": {"min_corpus_documents": 2}}
    cuts, counts = cuts_of(tmp_path, both, texts)
    assert left_of(texts, cuts) == ["mine", "yours"]
    assert counts["cut_bytes"] == {"frequent_line": 48, "repeated_span": 24}
    assert counts["cut_bytes_in_all"] == 48


def test_tokenising_reads_what_is_left_and_bytes_add_up(tmp_path: Path, collage: list[str]):
    texts = [*collage, collage[0], "é中 " * 3]
    both = {"spans": {"min_words": 12}, "lines": {"min_corpus_documents": 2, "keep": "first"}}
    cuts, counts = cuts_of(tmp_path, both, texts, parts=2)
    cut: Counter[str] = Counter()
    batches = [b for p in range(2) for b in survivors(Folder(str(tmp_path)), p, ("text",), cut)]
    read = [t for b in batches for t in b.column("text").to_pylist()]
    assert read == left_of(texts, cuts)
    assert cut["bytes"] == counts["cut_bytes_in_all"]
    assert read.count("") == counts["emptied_documents"]
    assert read[60] == ""  # the copy of the first


def test_nothing_is_asked_and_nothing_is_cut(tmp_path: Path):
    cuts, counts = cuts_of(tmp_path, {}, ["a", "a"], parts=2)
    assert (cuts, counts["cut_bytes_in_all"], counts["cut_spans"]) == ([], 0, {})
