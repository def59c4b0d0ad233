"""Byte-level BPE tokenizers: trained here, or brought along, always kept as a Hugging Face tokenizer folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from corpusmill.errors import InputError
from corpusmill.storage import Folder, Output, canonical_json
from corpusmill.tokenize.tokenizer_files import END_OF_TEXT, read_tokenizer, with_family

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


def train(texts: Iterable[str], vocab_size: int, family: str = "gpt2") -> Tokenizer:
    """Train byte-level BPE that cuts texts as a published family does: all of them are known to llama.cpp and vLLM.

    Deterministic for the same texts in the same order. Every byte has a token, so nothing is unknown.
    """
    tokenizer = with_family(Tokenizer(models.BPE()), family)
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


def load(path: str, family: str | None = None) -> tuple[Tokenizer, str]:
    """(tokenizer, end-of-text token) from any of the files that tokenizer_files knows."""
    tokenizer = read_tokenizer(path, family)
    return tokenizer, _end_token(tokenizer, Path(path) if Path(path).is_dir() else Path(path).parent)


def load_from_run(run: Folder) -> Tokenizer:
    return Tokenizer.from_str(run.read_bytes(f"{FOLDER}/tokenizer.json").decode())


def identify(tokenizer: Tokenizer, sha256: str, eos_token: str) -> TokenizerIdentity:
    eos_token_id = tokenizer.token_to_id(eos_token)
    assert eos_token_id is not None, f"{eos_token} is not in the tokenizer"
    return TokenizerIdentity(sha256, max(tokenizer.get_vocab().values()) + 1, eos_token, eos_token_id)


def _end_token(tokenizer: Tokenizer, folder: Path) -> str:
    config = folder / "tokenizer_config.json"
    declared = json.loads(config.read_text()).get("eos_token") if config.is_file() else None
    if isinstance(declared, dict):  # an AddedToken written out
        declared = declared.get("content")
    for token in (declared, END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>"):
        if token is not None and tokenizer.token_to_id(token) is not None:
            return str(token)
    raise InputError(f"tokenize.tokenizer: {folder} has no end-of-text token; name one as eos_token in {config.name}")
