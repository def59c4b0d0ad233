"""Each domain term is one token, alone and after a blank, for every family and encoder, whatever else is a term."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from corpusmill.errors import InputError
from corpusmill.recipe import load_recipe
from corpusmill.tokenize import bpe_tokenizer
from corpusmill.tokenize.domain_terms import Term, read_terms
from corpusmill.tokenize.encoders import ADVERSARIAL, HuggingFaceEncoder, TiktokenEncoder, choose_encoder, spelled
from corpusmill.tokenize.kernel_encoder import KernelEncoder, byte_characters
from corpusmill.tokenize.pretokenizers import FAMILIES
from corpusmill.tokenize.tokenizer_sources import read_sources

CORPUS = [
    "the patient was given acetyl and salt; the bank has sub prime loans, 3.14 of them, isn't it\n\n  def f(x):",
    "患者的糖和尿, the cat sat on the mat",
    "naïve café Ελληνικά кириллица 🙂",
] * 30
WORDS = "EBITDA ebitda acetylsalicylic subprime cat 糖尿病 naïveté banana ana aaaa Ärzte"
TERMS = [Term(text, f"terms.txt, line {i}") for i, text in enumerate(WORDS.split(), 1)]
SPECIAL = ["<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"]
SIZE = 460


def forms(family: str) -> list[str]:
    """Of DeepSeek's family the blank before an ideograph is a token by itself."""
    apart = {"糖尿病"} if family == "deepseek" else set()
    return [t for term in TERMS for t in (term.text, f" {term.text}") if t.strip() not in apart or t == t.strip()]


@pytest.mark.parametrize("family", FAMILIES)
def test_each_term_is_one_token_for_every_encoder(family: str):
    tokenizer = bpe_tokenizer.train(CORPUS, SIZE, family, SPECIAL, TERMS)
    fast = [KernelEncoder(tokenizer)] + ([TiktokenEncoder(tokenizer)] if family == "gpt2" else [])
    for text in forms(family):
        (ids,) = HuggingFaceEncoder(tokenizer).encode([text]).lists()
        assert len(ids) == 1, text
        assert tokenizer.decode(ids) == text
        assert all(encoder.encode([text]).lists() == [ids] for encoder in fast)
    assert tokenizer.encode("The EBITDA and acetylsalicylic").tokens[-1] == "Ġacetylsalicylic"
    assert tokenizer.encode("a 糖尿病").tokens[-1] == ("ç³ĸå°¿çĹħ" if family == "deepseek" else "Ġç³ĸå°¿çĹħ")


@pytest.mark.parametrize("family", FAMILIES)
def test_our_encoder_takes_a_tokenizer_with_special_tokens_and_terms(family: str):
    tokenizer = bpe_tokenizer.train(CORPUS, SIZE, family, SPECIAL, TERMS)
    assert choose_encoder(tokenizer, CORPUS[:3]).name == "corpusmill"
    assert choose_encoder(tokenizer, CORPUS[:3], special=True).name == "corpusmill"


def test_the_vocabulary_has_the_size_asked_for_and_begins_as_without_terms():
    """What was learned last makes room; ids of special tokens, bytes and the first merges stay."""
    size = len(bpe_tokenizer.train(CORPUS, 1000, "gpt2", SPECIAL).get_vocab())  # all that these texts teach
    plain = bpe_tokenizer.train(CORPUS, size, "gpt2", SPECIAL)
    termed = bpe_tokenizer.train(CORPUS, size, "gpt2", SPECIAL, TERMS[:4])
    before, after = ({i: t for t, i in made.get_vocab().items()} for made in (plain, termed))
    assert sorted(after) == sorted(before) == list(range(size))
    kept = next(i for i in range(size) if before[i] != after[i])
    assert kept > 4 + 256 + 20
    assert {i for i in range(size) if before[i] == after[i]} == set(range(kept))
    assert [after[i] for i in range(4)] == ["<|endoftext|>", *SPECIAL]


def test_every_token_is_what_its_own_bytes_make():
    """So Llama 3's ignore_merges, which llama.cpp applies to the whole family, changes nothing."""
    tokenizer = bpe_tokenizer.train(CORPUS, SIZE, "llama3", SPECIAL, TERMS)
    spec = json.loads(tokenizer.to_str())
    spec["model"]["ignore_merges"] = True
    whole = Tokenizer.from_str(json.dumps(spec))
    tokens = [tokenizer.decode([i]) for i in range(4, tokenizer.get_vocab_size())]
    texts = [*tokens, *forms("llama3"), *ADVERSARIAL, *CORPUS[:3], *spelled(SPECIAL)]
    assert [one.ids for one in whole.encode_batch(texts)] == [one.ids for one in tokenizer.encode_batch(texts)]


def test_no_token_of_a_term_holds_parts_of_two_characters():
    """糖尿病 has been met in bytes only; its characters are put together first."""
    learned = set(bpe_tokenizer.train(CORPUS[:1] * 9, 300).get_vocab())
    to_byte = {c: b for b, c in enumerate(byte_characters())}
    made = bpe_tokenizer.train(CORPUS[:1] * 9, 300, "gpt2", (), [Term("糖尿病", "x")]).get_vocab()
    for token in set(made) - learned:
        data = bytes(to_byte[c] for c in token)
        within_one = data.strip() in "糖尿病".encode() and len(data) < 3
        assert within_one or data.decode().strip() in "糖尿病"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("abAB", min_size=1, max_size=12), min_size=1, max_size=12),
    st.sampled_from(["gpt2", "qwen2", "deepseek"]),
)
def test_no_term_undoes_another(words: list[str], family: str):
    tokenizer = bpe_tokenizer.train(["ab ba aab abab b a"] * 5, 700, family, (), [Term(w, "x") for w in words])
    for word in words:
        assert len(tokenizer.encode(word).ids) == len(tokenizer.encode(f" {word}").ids) == 1
    assert max(tokenizer.get_vocab().values()) < 700
    text = " ".join(words) + "".join(words)
    assert KernelEncoder(tokenizer).encode([text]).lists() == [tokenizer.encode(text).ids]


@pytest.mark.parametrize(
    ("family", "term", "cut"),
    [
        ("gpt2", "COVID-19", "'COVID', '-', '19'"),
        ("gpt2", "net income", "'net', ' income'"),
        ("o200k", "eBay", "'e', 'Bay'"),
        ("llama3", "-based", "after a blank the family llama3 cuts it into ' -', 'based'"),
    ],
)
def test_a_term_that_the_family_cuts_is_refused_with_where_it_stands(family: str, term: str, cut: str, tmp_path: Path):
    file = tmp_path / "terms.txt"
    file.write_text(f"# drugs\ncat\n\n{term}  # this one\n")
    with pytest.raises(InputError) as caught:
        bpe_tokenizer.train(CORPUS, 400, family, (), read_terms(str(file)))
    assert f"{file}, line 4: {term!r} cannot be one token" in str(caught.value)
    assert cut in str(caught.value)


def test_too_many_terms_for_a_vocabulary_are_refused():
    with pytest.raises(InputError, match=r"vocab_size: found 262; 1 domain terms need \d+ tokens beside the 257"):
        bpe_tokenizer.train(CORPUS, 262, "gpt2", (), [Term("pharmacokinetics", "x")])


def test_terms_are_read_a_line_each_without_comments(tmp_path: Path):
    file = tmp_path / "terms.txt"
    file.write_text("\ufeff# finance\nEBITDA\n\n  C#  \nsubprime\t# of 2008\n", encoding="utf-8")
    assert [(t.text, t.where.rpartition(" ")[2]) for t in read_terms(str(file))] == [
        ("EBITDA", "2"),
        ("C#", "4"),
        ("subprime", "5"),
    ]
    file.write_text("# nothing\n")
    with pytest.raises(InputError, match="has no term; write one to a line"):
        read_terms(str(file))
    with pytest.raises(InputError, match="cannot be read as UTF-8 text"):
        read_terms(str(tmp_path / "nowhere.txt"))


def test_settings_name_the_terms_and_not_the_file(tmp_path: Path):
    for name, text in (("a", "cat\n"), ("b", "# the same\ncat\n"), ("c", "dog\n")):
        (tmp_path / name).write_text(text)
    a, b, c = (
        read_sources(load_recipe("sample", [f"tokenize.domain_terms={tmp_path / n}"]).tokenize).describe(0)
        for n in "abc"
    )
    assert a == b != c


def test_settings_of_a_recipe_that_names_none_are_those_of_older_runs():
    chosen = read_sources(load_recipe("sample").tokenize).describe(0)
    keys = "family heldout_permille rehydration sample_bytes seed tokenizer tokens_per_shard vocab_size"
    assert sorted(chosen) == keys.split()
