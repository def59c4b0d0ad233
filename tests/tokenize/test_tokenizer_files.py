"""Tokenizers from the files that are about give the ids that their makers' libraries give."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import tiktoken
from published_tokenizers import trained

from corpusmill.errors import InputError
from corpusmill.tokenize import bpe_tokenizer
from corpusmill.tokenize.encoders import ADVERSARIAL, HuggingFaceEncoder, choose_encoder
from corpusmill.tokenize.tokenizer_files import END_OF_TEXT, read_tokenizer

CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def test_ranks_give_tiktokens_ids(data_folder: Path):
    path = data_folder / "tokenizers/cl100k_base.tiktoken"
    tokenizer, end = bpe_tokenizer.load(str(path))
    ranks = {base64.b64decode(t): int(r) for t, r in (line.split() for line in path.read_text().splitlines())}
    theirs = tiktoken.Encoding("x", pat_str=CL100K, mergeable_ranks=ranks, special_tokens={})
    texts = [t for t in ADVERSARIAL if "\u1e9b" not in t]
    assert HuggingFaceEncoder(tokenizer).encode(texts).lists() == [theirs.encode_ordinary(t) for t in texts]
    assert (end, tokenizer.token_to_id(end)) == (END_OF_TEXT, 100257)
    assert choose_encoder(tokenizer).name == "corpusmill"


def test_gpt2s_files_give_gpt2s_ids(data_folder: Path):
    tokenizer, end = bpe_tokenizer.load(str(data_folder / "tokenizers/gpt2"))
    assert tokenizer.encode("Hello world, it's 2026!").ids == [15496, 995, 11, 340, 338, 1160, 2075, 0]
    assert (end, tokenizer.token_to_id(end)) == (END_OF_TEXT, 50256)
    assert choose_encoder(tokenizer).name == "corpusmill"


def test_a_saved_tokenizer_is_read_again(tmp_path: Path):
    tokenizer = trained("o200k", ["some text to learn from"] * 9, 300)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    for place in (tmp_path, tmp_path / "tokenizer.json"):
        assert read_tokenizer(str(place)).to_str() == tokenizer.to_str()


def test_what_is_no_tokenizer_is_told(tmp_path: Path):
    with pytest.raises(InputError, match=r"there is no .*tokenizer.json; give a folder"):
        read_tokenizer(str(tmp_path))
    ranks = tmp_path / "mine.tiktoken"
    ranks.write_text("YQ== 0\n")
    with pytest.raises(InputError, match=r"does not say how texts are cut; name it in tokenize.family: gpt2"):
        read_tokenizer(str(ranks))
    ranks.write_text("? 0\n")
    with pytest.raises(InputError, match="no file of ranks"):
        read_tokenizer(str(ranks), "gpt2")
    ranks.write_text("YQ== 0\n")
    with pytest.raises(InputError, match="byte 0 has none"):
        read_tokenizer(str(ranks), "gpt2")
    ranks.write_text("".join(f"{base64.b64encode(bytes([b])).decode()} {b}\n" for b in range(256)) + "YWI= 100257\n")
    assert read_tokenizer(str(ranks), "cl100k").token_to_id(END_OF_TEXT) == 100258, "an id for itself"
    ranks.write_text("".join(f"{base64.b64encode(bytes([b])).decode()} {b}\n" for b in range(256)) + "YWJj 256\n")
    with pytest.raises(InputError, match=r"no merge of lower ranks makes the token b'abc'"):
        read_tokenizer(str(ranks), "gpt2")
    (tmp_path / "vocab.json").write_text("{}")
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    with pytest.raises(InputError, match="no vocabulary and merges"):
        read_tokenizer(str(tmp_path))
