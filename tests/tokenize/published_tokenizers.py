"""Tokenizers of every family: trained on a little text, and the published ones of the data folder; and its texts."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from corpusmill.tokenize.tokenizer_files import END_OF_TEXT, read_tokenizer, with_family


def trained(family: str, texts: Iterable[str], vocab_size: int = 600, ignore_merges: bool = False) -> Tokenizer:
    tokenizer = with_family(Tokenizer(models.BPE(ignore_merges=ignore_merges)), family)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def published(data: Path, family: str) -> Tokenizer:
    """GPT-2's, or cl100k's ranks under the family's way of cutting."""
    if family == "gpt2":
        return read_tokenizer(str(data / "tokenizers/gpt2"))
    return read_tokenizer(str(data / "tokenizers/cl100k_base.tiktoken"), family)


def real_texts(data: Path) -> Iterator[str]:
    """Every file of the data folder that is text, archives and packed pages opened; models and web archives aside."""
    for kind in ("text", "eval", "instruct", "lists", "extraction", "language"):
        for path in sorted(p for p in (data / kind).rglob("*") if p.is_file()):
            if path.suffix == ".zip":
                with zipfile.ZipFile(path) as archive:
                    contents = [archive.read(name) for name in archive.namelist()]
            else:
                contents = [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()]
            yield from (content.decode("utf-8", "replace") for content in contents)
