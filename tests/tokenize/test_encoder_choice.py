"""Which encoder makes the ids: the fast one only where it cannot differ, and never one that changes a document."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from corpusmill.tokenize import bpe_tokenizer, kernel_encoder
from corpusmill.tokenize.encoders import (
    ADVERSARIAL,
    HuggingFaceEncoder,
    TiktokenEncoder,
    choose_encoder,
    make_encoder,
    normal_form_texts,
)

WORDS = [
    f"{a}{b}{c}" for a in ("mill", "grain", "wheel", "stone") for b in ("er", "ing", "s", "") for c in (".", ",", "")
]
TEXTS = [" ".join(random.Random(i).choices(WORDS, k=40)) for i in range(300)]
TOKENIZER = bpe_tokenizer.train(TEXTS, 420)


def changed(change) -> Tokenizer:
    """TOKENIZER with its description changed by hand."""
    spec = json.loads(TOKENIZER.to_str())
    change(spec)
    return Tokenizer.from_str(json.dumps(spec))


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(st.text(max_size=60) | st.sampled_from(ADVERSARIAL) | st.sampled_from(TEXTS), max_size=5))
def test_both_encoders_give_the_same_ids_in_batches_and_alone(texts: list[str]):
    fast, slow = TiktokenEncoder(TOKENIZER), HuggingFaceEncoder(TOKENIZER)
    ids = slow.encode(texts).lists()
    assert fast.encode(texts).lists() == ids
    assert [fast.encode([t]).lists()[0] for t in texts] == ids
    assert [TOKENIZER.decode(i, skip_special_tokens=False) for i in ids] == texts


def test_a_megabyte_without_a_space_is_encoded_too():
    text = "a" * 1_000_000 + "=" * 100_000
    fast, slow = TiktokenEncoder(TOKENIZER), HuggingFaceEncoder(TOKENIZER)
    assert fast.encode([text]).lists() == slow.encode([text]).lists()


def test_an_encoder_is_made_again_by_the_name_it_was_chosen_by():
    chosen = choose_encoder(TOKENIZER, TEXTS)
    assert chosen.name == "corpusmill"
    for name in ("corpusmill", "tiktoken", "tokenizers"):
        made = make_encoder(name, TOKENIZER)
        assert made.name == name
        assert made.encode(TEXTS[:3]).lists() == chosen.encode(TEXTS[:3]).lists()


def test_gpt2_is_encoded_by_the_fast_one(data_folder: Path):
    folder = data_folder / "tokenizers" / "gpt2"
    vocabulary = json.loads((folder / "encoder.json").read_text())
    merges = [tuple(line.split()) for line in (folder / "vocab.bpe").read_text().splitlines()[1:] if line]
    gpt2 = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    gpt2.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    gpt2.add_special_tokens(["<|endoftext|>"])
    assert choose_encoder(gpt2).name == "corpusmill"


@pytest.mark.parametrize("change", ["normalizer", "prefix space", "no regex", "added word"])
def test_what_changes_text_or_words_is_left_to_the_slow_one(change: str):
    tokenizer = Tokenizer.from_str(TOKENIZER.to_str())
    if change == "normalizer":
        tokenizer.normalizer = normalizers.Lowercase()
    elif change == "prefix space":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    elif change == "no regex":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    else:
        tokenizer.add_tokens(["miller"])
    assert choose_encoder(tokenizer).name == "tokenizers"


def test_a_limit_on_length_in_a_tokenizer_cuts_no_document():
    limited = Tokenizer.from_str(TOKENIZER.to_str())
    limited.enable_truncation(8)
    limited.enable_padding(length=16)
    limited = Tokenizer.from_str(limited.to_str())
    ids = choose_encoder(limited).encode(TEXTS[:3]).lists()
    assert ids == [TOKENIZER.encode(t).ids for t in TEXTS[:3]]


def test_the_vocabulary_is_as_large_as_its_largest_id_says():
    def leave_a_hole(spec):
        spec["model"]["vocab"]["\u0100\u0100unused"] = 70_000

    identity = bpe_tokenizer.identify(changed(leave_a_hole), "0" * 64, "<|endoftext|>")
    assert identity.vocab_size == 70_001


@pytest.mark.parametrize("blind_to", [range(0x1161, 0x1176), range(0x11A8, 0x11C3), [0x0301], [0x0345], [0x2126]])
def test_an_encoder_that_misses_what_normal_form_c_changes_is_not_chosen(blind_to, monkeypatch: pytest.MonkeyPatch):
    tokenizer = bpe_tokenizer.train(TEXTS, 420, "qwen2")
    assert choose_encoder(tokenizer, TEXTS).name == "corpusmill"
    unsure = kernel_encoder.unsure_in_nfc().copy()
    unsure[list(blind_to)] = False
    monkeypatch.setattr(kernel_encoder, "unsure_in_nfc", lambda: unsure)
    assert choose_encoder(tokenizer, TEXTS).name == "tokenizers"


def test_texts_for_normal_form_c_are_ones_it_changes_and_all_marks_are_there():
    texts = normal_form_texts()
    left = [t for t in texts if unicodedata.normalize("NFC", t) == t]
    assert len(left) < 100, "those that must not be composed"
    assert all(len(t) > 1 for t in left)
    assert len(texts) > 4000
    runs = [len(run) for text in ADVERSARIAL for run in re.findall("[\u0300-\u036f]+", text)]
    assert max(runs) > 30, "more than a stream-safe text has"
