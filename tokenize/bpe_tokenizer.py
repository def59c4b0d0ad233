"""Byte-level BPE tokenizers: trained here, or brought along, always kept as a Hugging Face tokenizer folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from corpusmill.errors import InputError
from corpusmill.storage import Folder, Output, canonical_json

END_OF_TEXT = "<|endoftext|>"
FOLDER = "tokenizer"


@dataclass(frozen=True)
class TokenizerIdentity:
    """What a shard's ids mean: two shards may be read together exactly when these are equal."""

    sha256: str
    vocab_size: int
    eos_token: str
    eos_token_id: int

    def describe(self) -> dict[str, Any]:
        return {
            "sha256": self.sha256,
            "vocab_size": self.vocab_size,
            "eos_token": self.eos_token,
            "eos_token_id": self.eos_token_id,
        }


def train(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train byte-level BPE with GPT-2's pre-tokeniser, which llama.cpp, vLLM and tiktoken all know.

    Deterministic for the same texts in the same order. Every byte has a token, so nothing is unknown.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save(tokenizer: Tokenizer, run: Folder, eos_token: str = END_OF_TEXT) -> list[Output]:
    """Write a folder that transformers' AutoTokenizer loads."""
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": eos_token,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1_000_000_000,
    }
    contents = {
        "tokenizer.json": tokenizer.to_str(pretty=True).encode(),
        "tokenizer_config.json": canonical_json(config),
    }
    outputs = []
    for name, content in contents.items():
        with run.writing(f"{FOLDER}/{name}") as out:
            out.path.write_bytes(content)
        outputs.append(out)
    return outputs


def load(path: str) -> tuple[Tokenizer, str]:
    """(tokenizer, end-of-text token) from a Hugging Face folder or a tokenizer.json."""
    file = Path(path) / "tokenizer.json" if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise InputError(
            f"tokenize.tokenizer: there is no {file}; give a folder with a tokenizer.json, or the file itself"
        )
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as e:  # the library raises a bare Exception for whatever is wrong with the file
        raise InputError(f"tokenize.tokenizer: {file} is not a tokenizer: {e}") from e
    return tokenizer, _end_token(tokenizer, file)


def load_from_run(run: Folder) -> Tokenizer:
    return Tokenizer.from_str(run.read_bytes(f"{FOLDER}/tokenizer.json").decode())


def identify(tokenizer: Tokenizer, sha256: str, eos_token: str) -> TokenizerIdentity:
    eos_token_id = tokenizer.token_to_id(eos_token)
    assert eos_token_id is not None, f"{eos_token} is not in the tokenizer"
    return TokenizerIdentity(sha256, max(tokenizer.get_vocab().values()) + 1, eos_token, eos_token_id)


def _end_token(tokenizer: Tokenizer, file: Path) -> str:
    config = file.with_name("tokenizer_config.json")
    declared = json.loads(config.read_text()).get("eos_token") if config.is_file() else None
    if isinstance(declared, dict):  # an AddedToken written out
        declared = declared.get("content")
    for token in (declared, END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>"):
        if token is not None and tokenizer.token_to_id(token) is not None:
            return str(token)
    raise InputError(f"tokenize.tokenizer: {file} has no end-of-text token; name one as eos_token in {config.name}")
