"""Our encoder's ids are Hugging Face's: for every family, whatever the text, whatever the cache holds."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from published_tokenizers import published, real_texts, trained
from tokenizers import Tokenizer, models, pre_tokenizers

from corpusmill.tokenize import bpe_tokenizer, encode_kernels, kernel_encoder
from corpusmill.tokenize.domain_terms import Term
from corpusmill.tokenize.encoded import Encoded, from_lists
from corpusmill.tokenize.encoders import ADVERSARIAL, HuggingFaceEncoder, make_encoder
from corpusmill.tokenize.kernel_encoder import KernelEncoder, reason_against
from corpusmill.tokenize.pretokenizers import FAMILIES, ask_classes, character_classes, class_borders

CORPUS = [
    "the cat sat on the mat, and the dog's bone isn't here: 3.14159 or 2,000,000 of them!\n\n  def f(x):\n\treturn x",
    "日本語のテキストと中文文本，没有空格。カタカナも 한국어 텍스트",
    "naïve café Ελληνικά кириллица עברית العربية हिन्दी ไทย 🙂👍🏽",
    "CamelCase HTTPServer snake_case it's WE'LL I'd don'T 'tis",
] * 20
ALPHABET = "aZsStTdDmMlLvVeErR'ſ 0١½\n\r\t\u00a0\u2003.,/-_=§€中の゠・ー々한é\u0301\u0e34ǅʰªΑΩ\u200b\u0000🙂"
BYTES = st.binary(max_size=60)
TEXTS = (
    st.text(max_size=60)
    | st.text(st.sampled_from(ALPHABET), max_size=60)
    | BYTES.map(lambda data: data.decode("utf-8", "replace"))
    | BYTES.map(lambda data: data.decode("latin-1"))
    | BYTES.map(lambda data: data.decode("utf-16-le", "replace"))
)
TOKENIZERS = {name: trained(name, CORPUS) for name in FAMILIES}
TOKENIZERS["llama3, tokens first"] = trained("llama3", CORPUS, ignore_merges=True)
IDEOGRAPHS = "一丁七万中丈三上下不"


def with_words(family: str) -> Tokenizer:
    """Of words of ideographs, some of which no merges make."""
    draw = random.Random(family)
    words = ["".join(draw.choices(IDEOGRAPHS, k=draw.randint(1, 5))) for _ in range(3000)]
    spec = json.loads(trained(family, words, ignore_merges=True).to_str())
    vocab = spec["model"]["vocab"]
    for word in words[::50]:
        vocab.setdefault("".join(kernel_encoder.byte_characters()[b] for b in word.encode()), len(vocab))
    return Tokenizer.from_str(json.dumps(spec))


for family in ("gpt2", "llama3", "deepseek"):
    TOKENIZERS[f"{family}, words of ideographs"] = with_words(family)
ENCODERS = {name: KernelEncoder(tokenizer) for name, tokenizer in TOKENIZERS.items()}
SLOW = {name: HuggingFaceEncoder(tokenizer) for name, tokenizer in TOKENIZERS.items()}


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=250, deadline=None)
@given(text=TEXTS)
@example(text="".join(ADVERSARIAL))
@example(text=class_borders())
def test_ids_are_hugging_faces(name: str, text: str):
    assert ENCODERS[name].encode([text]).lists() == SLOW[name].encode([text]).lists()


@pytest.mark.parametrize("name", [name for name in TOKENIZERS if "ideographs" in name])
@settings(max_examples=250, deadline=None)
@given(texts=st.lists(st.text(st.sampled_from(IDEOGRAPHS + "， aé🙂1"), max_size=40), max_size=6))
def test_ideographs_are_encoded_part_by_part_to_the_same_ids(name: str, texts: list[str]):
    assert len(ENCODERS[name]._bpe[encode_kernels.WHOLE_IDS]), "no token is taken whole: nothing is tested"
    assert ENCODERS[name].encode(texts).lists() == SLOW[name].encode(texts).lists()


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=250, deadline=None)
@given(text=TEXTS)
def test_pre_tokens_are_hugging_faces(name: str, text: str):
    tokenizer = TOKENIZERS[name]
    normal = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
    pieces = tokenizer.pre_tokenizer.pre_tokenize_str(normal)
    assert ENCODERS[name].split(text) == [normal[start:end] for _, (start, end) in _merged(pieces)]


def _merged(pieces: list[tuple[str, tuple[int, int]]]) -> list[tuple[str, tuple[int, int]]]:
    return [p for p in pieces if p[1][0] < p[1][1]]


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("unit", ["a", "ab", "=", "-=", " ", "\n", "1", "中", "の国", "é", "the", "🙂"])
def test_long_runs_are_merged_by_the_heap_to_the_same_ids(name: str, unit: str):
    for length in (encode_kernels.MOST_PLACES - 1, encode_kernels.MOST_PLACES, encode_kernels.MOST_PLACES + 1, 3000):
        text = "x " + (unit * length)[:length]
        assert ENCODERS[name].encode([text]).lists() == SLOW[name].encode([text]).lists()


@pytest.mark.parametrize("slots", [2, 16])
def test_a_cache_that_is_too_small_changes_no_id(slots: int, monkeypatch: pytest.MonkeyPatch):
    """Two slots: nearly every pre-token meets another's, and takes its place."""
    monkeypatch.setattr(kernel_encoder, "CACHE_SLOTS", slots)
    monkeypatch.setattr(kernel_encoder, "LONG_CACHE_SLOTS", slots)
    chance = random.Random(1)
    words = [w for text in CORPUS[:4] for w in text.split()] + ["internationalisation" * 2, "中文文本" * 3, "x" * 47]
    texts = [" ".join(chance.choices(words, k=80)) for _ in range(40)]
    for name in ("gpt2", "o200k"):
        encoder = KernelEncoder(TOKENIZERS[name])
        assert encoder.encode(texts).lists() == SLOW[name].encode(texts).lists()


def test_batches_slices_and_nulls():
    encoder, texts = ENCODERS["cl100k"], ["one", None, "", "two words", "中文"]
    array = pa.array(texts, pa.large_string())
    whole = encoder.encode(array).lists()
    assert whole == [encoder.encode([t or ""]).ids.tolist() for t in texts]
    assert encoder.encode(array.slice(1, 3)).lists() == whole[1:4]
    assert encoder.encode(array.slice(4)).lists() == whole[4:]
    assert encoder.encode(pa.array(texts)).lists() == whole
    assert encoder.encode([]).lists() == []
    assert encoder.encode(array.slice(2, 1)).lists() == [[]]


def test_the_classes_on_file_are_the_librarys():
    assert np.array_equal(character_classes()[:0x110000], ask_classes())


def test_tokenizers_that_are_not_known_are_refused_with_the_reason():
    def changed(**model: object) -> Tokenizer:
        spec = json.loads(TOKENIZERS["gpt2"].to_str())
        spec["model"] |= model
        return Tokenizer.from_str(json.dumps(spec))

    assert "WordLevel" in (reason_against(Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))) or "")
    assert "dropout" in (reason_against(changed(dropout=0.1)) or "")
    assert "byte_fallback" in (reason_against(changed(byte_fallback=True)) or "")
    other = Tokenizer.from_str(TOKENIZERS["gpt2"].to_str())
    other.pre_tokenizer = pre_tokenizers.Whitespace()
    assert "pre-tokeniser" in (reason_against(other) or "")
    added = Tokenizer.from_str(TOKENIZERS["gpt2"].to_str())
    added.add_tokens(["miller"])
    assert "added tokens" in (reason_against(added) or "")
    vocab = {c: i for c, i in json.loads(TOKENIZERS["gpt2"].to_str())["model"]["vocab"].items() if c != "a"}
    assert reason_against(changed(vocab=vocab, merges=[])) == "byte 97 has no token"
    with pytest.raises(ValueError, match="added tokens"):
        KernelEncoder(added)


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), max_size=6), st.data())
def test_chosen_and_closed_texts(ids: list[list[int]], data: st.DataObject):
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids))), bool)
    encoded = from_lists(ids)
    assert encoded.lists() == ids
    assert encoded.chosen(mask).lists() == [one for one, yes in zip(ids, mask, strict=True) if yes]
    assert encoded.closed(7).lists() == [[*one, 7] for one in ids]


SPECIAL = ["<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|im_start|>", "<|im_end|>"]
WORDS = "amortisation thrombocytopenia EBITDA committer Shakespeare 糖尿病"
TERMS = [Term(word, "here") for word in WORDS.split()]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "cl100k", *(f"trained as {family}" for family in FAMILIES)])
def test_all_real_texts_have_hugging_faces_ids(name: str, data_folder: Path):
    """gpt2 and cl100k as published; of each family one trained on every 20th file, with special tokens and terms."""
    if name.startswith("trained as"):
        learned = islice(real_texts(data_folder), 0, None, 20)
        tokenizer = bpe_tokenizer.train(learned, 16_000, name.removeprefix("trained as "), SPECIAL, TERMS)
        assert len(tokenizer.get_vocab()) == 16_000
    else:
        tokenizer = published(data_folder, name)
    encoders = [make_encoder("corpusmill", tokenizer), make_encoder("corpusmill", tokenizer, special=True)]
    slow, files, size = HuggingFaceEncoder(tokenizer), 0, 0
    for batch in batched(real_texts(data_folder), 100):
        expected = slow.encode(batch)
        for encoder in encoders:  # no text here spells a special token
            assert same(encoder.encode(batch), expected), f"files {files} to {files + len(batch)}"
        files, size = files + len(batch), size + sum(map(len, batch))
    assert files > 2400
    assert size > 80_000_000


def batched(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    them = iter(texts)
    return iter(lambda: list(islice(them, size)), [])


def same(one: Encoded, other: Encoded) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
