"""Byte-level BPE tokenizers: trained here, or brought along, always kept as a Hugging Face tokenizer folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from corpusmill.errors import InputError
from corpusmill.storage import Folder, Output, canonical_json
from corpusmill.tokenize import chat_templates
from corpusmill.tokenize.domain_terms import Term, check_terms, with_terms
from corpusmill.tokenize.sentencepiece_files import from_sentencepiece, sentencepiece_file
from corpusmill.tokenize.special_tokens import reason_against_names, special_tokens
from corpusmill.tokenize.tokenizer_files import END_OF_TEXT, read_tokenizer, with_family

FOLDER = "tokenizer"


@dataclass(frozen=True)
class TokenizerIdentity:
    """What a shard's ids mean: two shards may be read together exactly when these are equal."""

    sha256: str
    vocab_size: int
    eos_token: str
    eos_token_id: int
    special_tokens: Mapping[str, int] = field(default_factory=dict)
    """Content to id, the end token's included: where later stages find sentinels and the turns of a chat."""

    def describe(self) -> dict[str, Any]:
        return {
            "sha256": self.sha256,
            "vocab_size": self.vocab_size,
            "eos_token": self.eos_token,
            "eos_token_id": self.eos_token_id,
            "special_tokens": dict(self.special_tokens),
        }


def train(
    texts: Iterable[str],
    vocab_size: int,
    family: str = "gpt2",
    special: Sequence[str] = (),
    terms: Sequence[Term] = (),
) -> Tokenizer:
    """Train byte-level BPE that cuts texts as a published family does: all of them are known to llama.cpp and vLLM.

    Ids begin with the end-of-text token, those of `special` in their order, and the bytes; at most `vocab_size` in all.
    Deterministic for the same texts in the same order. Every byte has a token, so nothing is unknown.
    """
    reason = reason_against_names(special, family)
    if reason is not None:
        raise InputError(f"tokenize.special_tokens: {reason}")
    names = [END_OF_TEXT, *special]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if vocab_size < len(names) + len(alphabet):
        raise InputError(
            f"tokenize.vocab_size: found {vocab_size}; {len(names)} special tokens and {len(alphabet)} bytes need "
            f"{len(names) + len(alphabet)} at least"
        )
    tokenizer = with_family(Tokenizer(models.BPE()), family)
    check_terms(tokenizer, terms, family)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=names,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    learned = {a + b for a, b in json.loads(tokenizer.to_str())["model"]["merges"]}
    taken = next((n for n in special if n in learned or n in alphabet), None)
    if taken is not None:  # "Ġ" and the like, in which the vocabulary writes bytes
        raise InputError(f"tokenize.special_tokens: {taken!r} is how the vocabulary writes a word: choose another name")
    return with_terms(tokenizer, terms, vocab_size) if terms else tokenizer


def save(
    tokenizer: Tokenizer, run: Folder, eos_token: str = END_OF_TEXT, chat_template: str | None = None
) -> list[Output]:
    """Write a folder that transformers' AutoTokenizer loads; tokenizer.json is the first of its files."""
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": eos_token,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1_000_000_000,
    }
    others = [name for name in special_tokens(tokenizer) if name != eos_token]
    if others:
        config["additional_special_tokens"] = others  # transformers 5 takes it for its extra_special_tokens; 4 knows it
    if tokenizer.post_processor is None:
        config["add_bos_token"] = False  # llama.cpp adds one for the Llama 3 family where nothing is said
    contents = {
        "tokenizer.json": tokenizer.to_str(pretty=True).encode(),
        "tokenizer_config.json": canonical_json(config),
    }
    if chat_template is not None:
        contents[chat_templates.FILE] = chat_template.encode()
    else:
        run.remove(f"{FOLDER}/{chat_templates.FILE}")  # of an earlier recipe
    outputs = []
    for name, content in contents.items():
        with run.writing(f"{FOLDER}/{name}") as out:
            out.path.write_bytes(content)
        outputs.append(out)
    return outputs


def load(path: str, family: str | None = None) -> tuple[Tokenizer, str]:
    """(tokenizer, end-of-text token) from any of the files that tokenizer_files knows."""
    place, declared = sentencepiece_file(path), None
    if place is not None:
        tokenizer, declared = from_sentencepiece(place)
    else:
        tokenizer = read_tokenizer(path, family)
    return tokenizer, _end_token(tokenizer, Path(path) if Path(path).is_dir() else Path(path).parent, declared)


def load_from_run(run: Folder) -> Tokenizer:
    return Tokenizer.from_str(run.read_bytes(f"{FOLDER}/tokenizer.json").decode())


def identify(tokenizer: Tokenizer, sha256: str, eos_token: str) -> TokenizerIdentity:
    eos_token_id = tokenizer.token_to_id(eos_token)
    assert eos_token_id is not None, f"{eos_token} is not in the tokenizer"
    size = max(tokenizer.get_vocab().values()) + 1
    return TokenizerIdentity(sha256, size, eos_token, eos_token_id, special_tokens(tokenizer))


def _end_token(tokenizer: Tokenizer, folder: Path, of_model: str | None) -> str:
    config = folder / "tokenizer_config.json"
    declared = json.loads(config.read_text()).get("eos_token") if config.is_file() else None
    if isinstance(declared, dict):  # an AddedToken written out
        declared = declared.get("content")
    for token in (declared, of_model, END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>"):
        if token is not None and tokenizer.token_to_id(token) is not None:
            return str(token)
    raise InputError(f"tokenize.tokenizer: {folder} has no end-of-text token; name one as eos_token in {config.name}")
