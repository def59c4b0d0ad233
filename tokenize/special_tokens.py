"""Special tokens: which a recipe may name, and texts that spell them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tokenizers import AddedToken, Tokenizer

from corpusmill.columns import batch_of
from corpusmill.tokenize.pretokenizers import FAMILIES
from corpusmill.tokenize.tokenizer_files import END_OF_TEXT


def reason_against_names(names: Sequence[str], family: str) -> str | None:
    """Why a tokenizer of the family cannot have these special tokens: they collide, or one could be a text's word."""
    for i, name in enumerate(names):
        if not name or name != name.strip():
            return f"{name!r} is empty or has blanks around it; a name is like <|fim_prefix|>"
        if name == END_OF_TEXT:
            return f"{name!r} is the first token of every tokenizer: leave it out"
        if name in names[:i]:
            return f"{name!r} is there twice"
        if len(FAMILIES[family].pre_tokenizer().pre_tokenize_str(name)) < 2:
            return (
                f"{name!r} is one word to the family {family}, so a text could have it without meaning it; put signs "
                "around letters, as in <|fim_prefix|>"
            )
    return None


def special_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """Content of each special token to its id, in order of ids."""
    found = sorted(tokenizer.get_added_tokens_decoder().items())
    return {token.content: i for i, token in found if token.special}


def read_from_text(tokenizer: Tokenizer, ends: Sequence[str]) -> str | None:
    """A special token, or one of `ends`, whose id a text gets that spells it, though special tokens are to be text; or
    None. Unigram and word-level models do that, byte-level BPE does not."""
    tokenizer.encode_special_tokens = True
    unknown = _unknown(tokenizer)
    for name in dict.fromkeys([*special_tokens(tokenizer), *ends]):
        texts = [name, f"a{name}b", f"a {name} b"]
        ids = [i for one in tokenizer.encode_batch_fast(texts, add_special_tokens=False) for i in one.ids]
        if tokenizer.token_to_id(name) in ids and name != unknown:  # its id means a character that has none
            return name
    return None


class Spellings:
    """Finds special tokens where texts spell them, the longest of those that begin at a place."""

    def __init__(self, names: Sequence[str]) -> None:
        longest_first = "|".join(re.escape(n) for n in sorted(names, key=len, reverse=True))
        self._pattern = longest_first
        self._cut = re.compile(f"({longest_first})")

    def where(self, texts: Sequence[str] | pa.Array) -> np.ndarray:
        """Which texts spell one. bool [texts]."""
        batch = batch_of(texts)
        if not self._pattern:
            return np.zeros(len(batch), bool)
        found = pc.match_substring_regex(batch, self._pattern)
        return np.asarray(found.fill_null(False).to_numpy(zero_copy_only=False), bool)

    def cut(self, text: str) -> list[str]:
        """What is between special tokens, and these, in turn: an odd number."""
        return self._cut.split(text) if self._pattern else [text]

    def first(self, text: str) -> str | None:
        return next(iter(self.cut(text)[1:2]), None)


def are_plain(tokenizer: Tokenizer) -> bool:
    """Whether Hugging Face's library finds special tokens exactly where `Spellings` does.

    They may ask for blanks around them or for borders of words, and may be looked for in what the normaliser leaves.
    """
    tokens: list[AddedToken] = [t for t in tokenizer.get_added_tokens_decoder().values() if t.special]
    flags = any(t.single_word or t.lstrip or t.rstrip for t in tokens)
    normalized = {t.normalized for t in tokens}
    return not flags and (normalized <= {False} or (len(normalized) == 1 and tokenizer.normalizer is None))


def _unknown(tokenizer: Tokenizer) -> str | None:
    model = json.loads(tokenizer.to_str())["model"]
    if model.get("unk_id") is not None:
        return str(model["vocab"][model["unk_id"]][0])
    return model.get("unk_token")
