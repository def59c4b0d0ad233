"""Held-out documents in another tokenizer's tokens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from corpusmill.errors import InputError
from corpusmill.evaluate.heldout_documents import Document, read_heldout
from corpusmill.storage import Folder

_COMPARED = ("normalizer", "pre_tokenizer", "added_tokens", "model")


def retokenise(run: Folder, model_folder: Path, tokenizer: Any) -> list[Document]:
    """The documents of RUN/heldout for `tokenizer`: as they are if it is the run's own, else made anew from the text.

    A byte-level tokenizer loses nothing, so the text comes back byte for byte; that is checked on each document.
    """
    own = run.local_path("tokenizer/tokenizer.json")
    documents = read_heldout(run)[1]
    if _same(own, model_folder / "tokenizer.json"):
        return documents
    decoder = Tokenizer.from_file(str(own))
    return [_in_other_tokens(d, decoder, tokenizer) for d in documents]


def _in_other_tokens(document: Document, decoder: Tokenizer, tokenizer: Any) -> Document:
    text = decoder.decode(document.tokens[:-1].tolist(), skip_special_tokens=False)
    if len(text.encode()) != document.text_bytes:
        raise InputError(
            f"a held-out document has {document.text_bytes:,} bytes and comes back from its tokens with "
            f"{len(text.encode()):,}: the run's tokenizer changes text, so a model of another tokenizer cannot be "
            "compared on it"
        )
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    return replace(document, tokens=np.array([*tokens, tokenizer.eos_token_id], dtype=np.uint32))


def _same(one: Path, other: Path) -> bool:
    """Whether two tokenizer files give the same tokens."""
    if not other.is_file():
        return False
    a, b = (json.loads(p.read_text(encoding="utf-8")) for p in (one, other))
    return all(a.get(key) == b.get(key) for key in _COMPARED)
