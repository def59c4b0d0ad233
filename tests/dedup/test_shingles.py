"""Signatures, digests and true Jaccard are those of a slow reading on any text, and fold what reads the same."""

from __future__ import annotations

import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_shingles import folded_words, shingles, slow_digest, slow_sign

from corpusmill.dedup import MinHash
from corpusmill.dedup.minhash_signatures import NO_WORDS

WORDS = MinHash("words", 3, bands=3, rows=2, seed=9)
CHARS = MinHash("chars", 4, bands=3, rows=2, seed=9)

PIECES = st.one_of(
    st.sampled_from(
        ["a", "B", "7", "é", "e\u0301", "abcdefg", "ABCDEFGH", "abcdefghi", "naïve", "x" * 40, "ß", "ς", "İ"]
    ),
    st.sampled_from(
        [" ", ", ", ".", "\n", "_", "'", "—", "\u00ad", "\u200b", "\u200d", "\u0301", "\ufe0f", "\x00", "\x10"]
    ),
    st.sampled_from(
        ["ﾊﾟ", "국어", "ไทย", "น้ำ", "မြန်", "ខ្មែរ", "བོད་", "हिन्दी", "কো", "мир", "Ωμέγα", *"中文かが한ກဦ豈½²ſ"]
    ),
    st.sampled_from([*"𠀀😀𝐀", *"\U0002f800\U00030000\U000323b0\U000e0101\U000f0000\U0010ffff"]),
)
TEXTS = st.lists(PIECES | st.text(max_size=12), max_size=25).map("".join)


@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_signatures_and_digests_are_those_of_a_slow_reading(texts: list[str]):
    for minhash in (WORDS, CHARS):
        signatures, digests = minhash.sign_with_digests(texts)
        assert signatures.tolist() == [slow_sign(minhash, t) for t in texts]
        assert [tuple(d) for d in digests.tolist()] == [slow_digest(t) for t in texts]
        assert np.array_equal(minhash.sign(texts), signatures)


@given(text=st.text(st.characters(codec="utf-8"), max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_unicode_is_read_as_the_slow_reading_does(text: str):
    assert WORDS.sign([text])[0].tolist() == slow_sign(WORDS, text)
    assert tuple(WORDS.sign_with_digests([text])[1][0].tolist()) == slow_digest(text)
    assert CHARS.sign([text])[0].tolist() == slow_sign(CHARS, text)


@given(left=st.lists(st.text("ab é中", max_size=30), max_size=5), seed=st.randoms())
@settings(max_examples=200, deadline=None)
def test_true_jaccard_is_that_of_sets_of_shingles(left: list[str], seed):
    right = ["".join(seed.sample(t, len(t))) if seed.random() < 0.5 else t + " b a b" for t in left]
    for minhash in (MinHash("words", 2), MinHash("chars", 3)):
        found = minhash.true_jaccard(left, right)
        sets = [(set(shingles(minhash, a)), set(shingles(minhash, b))) for a, b in zip(left, right, strict=True)]
        assert found.tolist() == [len(a & b) / len(a | b) if a | b else 0.0 for a, b in sets]


@given(left=TEXTS, right=TEXTS, cut=st.integers(0, 30))
@settings(max_examples=300, deadline=None)
def test_digests_are_equal_exactly_where_the_folded_words_are(left: str, right: str, cut: int):
    texts = [left, right, left[:cut], left[:cut] + " " + left[cut:], left.upper(), left.replace(" ", "")]
    digests = [tuple(d) for d in MinHash().sign_with_digests(texts)[1].tolist()]
    words = [folded_words(t) for t in texts]
    for i in range(len(texts)):
        for j in range(i):
            assert (digests[i] == digests[j]) == (words[i] == words[j])


@given(text=TEXTS | st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_canonically_equivalent_texts_fold_alike(text: str):
    forms = [text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)]
    for minhash in (WORDS, CHARS):
        signatures, digests = minhash.sign_with_digests(forms)
        assert (signatures == signatures[0]).all()
        assert (digests == digests[0]).all()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("One, two; THREE four-five ÉTÉ", "«one» two\nthree\tfour five été!"),
        ("résumé naïve", "RESUME NAI\u0308VE"),
        ("ΟΔΟΣ Ωμέγα", "οδος ωμεγα"),
        ("co\u00adoperate می\u200cخواهم", "cooperate میخواهم"),
        ("\ufeff中文，字", "中文字"),
        ("한국어", unicodedata.normalize("NFD", "한국어")),
        ("zero\u200bwidth", "zero width"),
    ],
)
def test_case_accents_punctuation_and_format_characters_make_no_difference(one: str, other: str):
    assert folded_words(one) == folded_words(other)
    signatures, digests = MinHash(shingle_size=1).sign_with_digests([one, other])
    assert np.array_equal(*signatures)
    assert np.array_equal(*digests)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("in 2023 at 5", "in 2024 at 5"),
        ("ab c", "a bc"),
        ("कमल", "कोमल"),
        ("snake_case", "snakecase"),
        ("a b", "a a b"),
    ],
)
def test_numbers_vowel_signs_order_and_the_ends_of_words_make_one(one: str, other: str):
    digests = MinHash().sign_with_digests([one, other])[1]
    assert (digests[0] != digests[1]).all()


@pytest.mark.parametrize(
    "text", ["今天天气很好", "ひらがなカナ", "ภาษาไทย", "ພາສາລາວ", "ខ្មែរ", "မြန်မာ", "𠀀𠀁", "ㄅㄆㄇ"]
)
def test_characters_of_scripts_without_blanks_are_words(text: str):
    words = folded_words(text)
    assert [len(w) for w in words] == [1] * len(words)
    both = MinHash(shingle_size=2).true_jaccard([text], [" ".join(words)])
    assert both.tolist() == [1.0]
    cut = MinHash(shingle_size=1).true_jaccard([text], [words[0]])
    assert cut[0] == 1 / len(set(words))


@pytest.mark.parametrize("text", ["한국어 문장", "བོད་ཡིག", "हिन्दी भाषा", "русский язык", "العربية لغة"])
def test_scripts_with_blanks_or_marks_between_words_are_cut_there(text: str):
    assert len(folded_words(text)) == 2


def test_chars_see_what_lies_between_words_as_one_blank():
    minhash = MinHash("chars", 24, 20, 13)
    texts = ["The quick brown fox jumps, over the lazy dog.", "  the QUICK brown\n\nfox — jumps over the lazy dog"]
    assert np.array_equal(*minhash.sign(texts))
    assert minhash.true_jaccard(texts[:1], texts[1:]).tolist() == [1.0]
    assert minhash.true_jaccard(["thequickbrownfoxjumpsoverthelazydog"], texts[1:])[0] == 0.0


@pytest.mark.parametrize(
    "text", ["", "   ", "!!! ... ???", "\n\n", "—", "\u0301\u0300", "\ufe0f", "😀😀", "\x00" * 9, "\ufeff"]
)
@pytest.mark.parametrize("minhash", [MinHash(), CHARS])
def test_texts_without_words_have_one_digest_and_match_nothing(minhash: MinHash, text: str):
    signatures, digests = minhash.sign_with_digests([text, "a"])
    assert minhash.has_shingles(signatures).tolist() == [False, True]
    assert (signatures[0] == 0xFFFFFFFF).all()
    assert tuple(digests[0]) == NO_WORDS != tuple(digests[1])
    assert minhash.true_jaccard([text], [text]).tolist() == [0.0]


@pytest.mark.parametrize("count", [1, 4, 5, 6, 4095, 4096, 4100, 4101, 9000])
def test_texts_of_few_words_are_one_shingle_and_blocks_of_many_have_no_seam(count: int):
    minhash = MinHash(bands=2, rows=2)
    text = " ".join(f"w{i}" for i in range(count))
    assert minhash.sign([text])[0].tolist() == slow_sign(minhash, text)
    assert minhash.true_jaccard([text], [text + " z"])[0] == (max(1, count - 4) / (count - 3) if count >= 5 else 0.0)


@pytest.mark.parametrize(
    "word", ["x" * n for n in (7, 8, 9, 15, 16, 17, 100_000)] + ["é" * 100_001, "я" * 50_001, "ß𝐀" * 333]
)
def test_one_word_of_any_length(word: str):
    minhash = MinHash(bands=2, rows=2)
    signatures, digests = minhash.sign_with_digests([word, word[:-1], word + " " + word])
    assert signatures[0].tolist() == slow_sign(minhash, word)
    assert len({tuple(d) for d in digests.tolist()}) == 3


def test_a_text_is_read_to_its_end_and_no_further_wherever_it_lies():
    texts = ["abcdefgh", "ijklmnop", "é", "中", "abc", "", "𠀀", "a"]
    column = pa.array(texts, pa.large_string())
    alone = np.concatenate([WORDS.sign_with_digests([t])[1] for t in texts])
    assert np.array_equal(WORDS.sign_with_digests(column)[1], alone)
    for start in range(len(texts)):
        assert np.array_equal(WORDS.sign_with_digests(column.slice(start, 3))[1], alone[start : start + 3])
    nulls = WORDS.sign_with_digests(pa.array(["abc", None, "abc"]))[1]
    assert nulls.tolist() == [alone[4].tolist(), list(NO_WORDS), alone[4].tolist()]


def test_pairs_need_as_many_texts_on_both_sides():
    with pytest.raises(ValueError, match="2 left texts and 1 right ones"):
        MinHash().true_jaccard(["a", "b"], ["a"])
