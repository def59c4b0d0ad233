"""Tokenizers from the files that are about: tokenizer.json, GPT-2's vocabulary and merges, tiktoken's ranks, and
SentencePiece models."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers

from corpusmill.errors import InputError
from corpusmill.tokenize.kernel_encoder import byte_characters
from corpusmill.tokenize.pretokenizers import FAMILIES
from corpusmill.tokenize.sentencepiece_files import from_sentencepiece, sentencepiece_file

END_OF_TEXT = "<|endoftext|>"
_GPT2_FILES = (("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt"))
_END_IDS = {"cl100k": 100257, "o200k": 199999}
"""Of the end-of-text token, which is not among the ranks; tiktoken_ext/openai_public.py."""


def read_tokenizer(path: str, family: str | None = None) -> Tokenizer:
    """The tokenizer of a tokenizer.json or a folder with one, of a folder with GPT-2's files, of a `.tiktoken` file, or
    of a SentencePiece model.

    `family` (of FAMILIES) says how texts are cut, where a file of ranks does not say it by its name. Raises InputError.
    """
    model = sentencepiece_file(path)
    if model is not None:
        return from_sentencepiece(model)[0]
    place = Path(path)
    pairs = [(place / v, place / m) for v, m in _GPT2_FILES if place.is_dir() and (place / m).is_file()]
    if pairs and not (place / "tokenizer.json").is_file():
        return from_gpt2_files(*pairs[0])
    if place.suffix == ".tiktoken" and place.is_file():
        return from_ranks(place, family)
    file = place / "tokenizer.json" if place.is_dir() else place
    if not file.is_file():
        raise InputError(
            f"tokenize.tokenizer: there is no {file}; give a folder with a tokenizer.json or with GPT-2's vocab.json "
            "and merges.txt, or a file: tokenizer.json, tiktoken's ranks, or a SentencePiece model"
        )
    try:
        return Tokenizer.from_file(str(file))
    except Exception as e:  # the library raises a bare Exception for whatever is wrong with the file
        raise InputError(f"tokenize.tokenizer: {file} is not a tokenizer: {e}") from e


def from_gpt2_files(vocabulary: Path, merges: Path) -> Tokenizer:
    """vocab.json and merges.txt, or by their older names encoder.json and vocab.bpe."""
    try:
        ids = json.loads(vocabulary.read_text(encoding="utf-8"))
        lines = merges.read_text(encoding="utf-8").splitlines()
        pairs = [
            (a, b) for a, b in (line.split() for line in lines if line.strip() and not line.startswith("#version"))
        ]
        return with_family(Tokenizer(models.BPE(vocab=ids, merges=pairs)), "gpt2", END_OF_TEXT in ids)
    except Exception as e:  # the library raises a bare Exception for a pair that is no token
        raise InputError(f"tokenize.tokenizer: {vocabulary} and {merges.name} are no vocabulary and merges: {e}") from e


def from_ranks(path: Path, family: str | None = None) -> Tokenizer:
    """tiktoken's ranks: a token in base64 and its rank to a line. Its merges are those that make each token."""
    chosen = family or path.stem.removesuffix("_base")
    if chosen not in FAMILIES:
        raise InputError(
            f"tokenize.tokenizer: {path} does not say how texts are cut; name it in tokenize.family: "
            + ", ".join(FAMILIES)
        )
    try:
        lines = (line.split() for line in path.read_text(encoding="ascii").splitlines() if line.strip())
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
    except (OSError, ValueError, binascii.Error) as e:
        raise InputError(f"tokenize.tokenizer: {path} is no file of ranks (a token in base64, its rank): {e}") from e
    missing = next((b for b in range(256) if bytes([b]) not in ranks), None)
    if missing is not None:
        raise InputError(f"tokenize.tokenizer: {path} is no file of ranks: byte {missing} has none")
    characters = byte_characters()

    def spelled(token: bytes) -> str:
        return "".join(characters[b] for b in token)

    longer = sorted((rank, token) for token, rank in ranks.items() if len(token) > 1)
    parts = (_parts(token, rank, ranks) for rank, token in longer)
    merges = [(spelled(left), spelled(right)) for left, right in parts]
    vocabulary = {spelled(token): rank for token, rank in ranks.items()}
    vocabulary[END_OF_TEXT] = max(_END_IDS.get(chosen, 0), max(ranks.values()) + 1)
    return with_family(Tokenizer(models.BPE(vocab=vocabulary, merges=merges)), chosen, True)


def with_family(tokenizer: Tokenizer, family: str, has_end: bool = False) -> Tokenizer:
    """The tokenizer, cutting texts as the family does; END_OF_TEXT, if its vocabulary has it, is special."""
    tokenizer.pre_tokenizer = FAMILIES[family].pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    if FAMILIES[family].normalizer == "NFC":
        tokenizer.normalizer = normalizers.NFC()
    if has_end:
        tokenizer.add_special_tokens([END_OF_TEXT])
    return tokenizer


def _parts(token: bytes, rank: int, ranks: Mapping[bytes, int]) -> tuple[bytes, bytes]:
    """The two tokens that merging by ranks below its own leaves of a token."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        least, i = min((ranks.get(a + b, rank), i) for i, (a, b) in enumerate(pairwise(parts)))
        if least >= rank:
            raise InputError(f"tokenize.tokenizer: no merge of lower ranks makes the token {token!r} of rank {rank}")
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts[0], parts[1]
