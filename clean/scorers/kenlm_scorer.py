"""Perplexity under an n-gram model, as CCNet computes it (Wenzek et al. 2020; cc_net/perplexity.py).

Low is like the text the model was made from (CCNet: Wikipedia), high is unlike it. Models differ by language: give
each its own scorer with `languages`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from corpusmill.clean.scorers.scorer import Scorer, Scores
from corpusmill.errors import InputError, require_extra

# cc_net/text_normalizer.py; that １ becomes a quotation mark is so there, and models were made with it
_PUNCTUATION = str.maketrans(
    {
        **dict.fromkeys("，、", ","),
        **dict.fromkeys("。", "."),
        **dict.fromkeys("„”“«»１」「《》", '"'),
        **dict.fromkeys("´’", "'"),
        **dict.fromkeys("∶：", ":"),
        **dict.fromkeys("–━►", "-"),
        "？": "?",
        "！": "!",
        "（": "(",
        "）": ")",
        "；": ";",
        "—": " - ",
        "．": ". ",
        "～": "~",
        "…": "...",
        "〈": "<",
        "〉": ">",
        "【": "[",
        "】": "]",
        "％": "%",
    }
)
_NON_PRINTING = dict.fromkeys((*range(32), *range(127, 160)))
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True, kw_only=True)
class KenlmScorer(Scorer):
    """`model` is what KenLM reads: an .arpa file, or the binary made of one. Needs the extra `kenlm`."""

    model: str
    sentencepiece: str | None = None
    """The SentencePiece model that cut the text the n-gram model was made from (CCNet's are such)."""
    normalize: bool = True
    """Lower case, no accents, each digit 0, plain punctuation: as CCNet's models expect."""

    def files(self) -> dict[str, Path]:
        tokenizer = {} if self.sentencepiece is None else {"sentencepiece": Path(self.sentencepiece)}
        return {"model": Path(self.model), **tokenizer}

    def check(self) -> None:
        super().check()
        require_extra("the scorer kenlm", "kenlm", "kenlm", *(["sentencepiece"] if self.sentencepiece else []))

    def score_texts(self, texts: list[str], languages: list[str | None]) -> Scores:
        model = _load(self.model)
        return {"": np.array([self._perplexity(model, text) for text in texts], np.float64)}

    def _perplexity(self, model: Any, text: str) -> float:
        log10_score, length = 0.0, 0
        for line in self._lines(text):
            log10_score += model.score(line)
            length += len(line.split()) + 1  # the end of the line is predicted too
        # a line of several thousand unknown words would leave float64
        return float(10.0 ** min(-log10_score / length, 300.0))

    def _lines(self, text: str) -> list[str]:
        """As cc_net: with SentencePiece the whole text is one line (normalisation takes the line feeds out)."""
        if self.sentencepiece is None:
            return [normalize(line) if self.normalize else line for line in text.split("\n")]
        pieces = _load_sentencepiece(self.sentencepiece)
        whole = normalize(text) if self.normalize else text.replace("\n", " ")
        return [" ".join(pieces.encode(whole, out_type=str))]


def normalize(text: str) -> str:
    """CCNet's normalisation of one line, or of a text whose lines it joins without a blank."""
    text = text.strip().lower()
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    return _DIGIT.sub("0", text).translate(_PUNCTUATION).translate(_NON_PRINTING)


@lru_cache(maxsize=32)
def _load(path: str) -> Any:
    require_extra("the scorer kenlm", "kenlm", "kenlm")
    import kenlm

    config = kenlm.Config()
    config.show_progress = False
    try:
        return kenlm.Model(path, config)
    except (OSError, RuntimeError) as e:
        raise InputError(f"{path} is not a model that KenLM reads (.arpa or its binary): {e}") from e


@lru_cache(maxsize=32)
def _load_sentencepiece(path: str) -> Any:
    require_extra("the scorer kenlm with sentencepiece", "kenlm", "sentencepiece")
    import sentencepiece

    try:
        return sentencepiece.SentencePieceProcessor(model_file=path)
    except (OSError, RuntimeError) as e:
        raise InputError(f"{path} is not a SentencePiece model: {e}") from e
