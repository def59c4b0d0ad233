"""Published pre-tokenisers by name: their regular expressions, as in tokenizer.json, and the characters they mean.

What a letter is depends on the Unicode version of the library that reads the expression. So the classes of all code
points were asked of Hugging Face's tokenizers itself: `python -m corpusmill.tokenize.pretokenizers` asks again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, pre_tokenizers

from corpusmill.tokenize import encode_kernels as kernels

GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN2_PATTERN = LLAMA3_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K_PATTERN = "|".join(
    [
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SUFFIX}",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SUFFIX}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
DEEPSEEK_PATTERNS = (
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
)

_CLASSES = {
    kernels.LETTER: r"\p{L}",
    kernels.NUMBER: r"\p{N}",
    kernels.WHITE: r"\s",
    kernels.MARK: r"\p{M}",
    kernels.UPPER: _UPPER,
    kernels.LOWER: _LOWER,
    kernels.SIGN: r"[\p{P}\p{S}]",
    kernels.IDEOGRAPH: r"[一-龥぀-ゟ゠-ヿ]",
}
_CODE_POINTS = 0x110000
_FILE = Path(__file__).with_name("character_classes.json")
"""Runs of code points of one class: [first, classes]."""


@dataclass(frozen=True)
class Family:
    """How texts are cut before merging. `patterns` are applied one after the other, each isolating what it matches."""

    name: str
    patterns: tuple[str, ...]
    kernel: int
    digits: int = 0
    normalizer: str | None = None

    def pre_tokenizer(self) -> pre_tokenizers.PreTokenizer:
        """The same as a component of Hugging Face's tokenizers."""
        if self.name == "gpt2":
            return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        cuts = [pre_tokenizers.Split(Regex(p), "isolated") for p in self.patterns]
        return pre_tokenizers.Sequence([*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


FAMILIES = {
    family.name: family
    for family in (
        Family("gpt2", (GPT2_PATTERN,), kernels.GPT2),
        Family("cl100k", (LLAMA3_PATTERN,), kernels.CL100K, digits=3),
        Family("llama3", (LLAMA3_PATTERN,), kernels.CL100K, digits=3),
        Family("qwen2", (QWEN2_PATTERN,), kernels.CL100K, digits=1, normalizer="NFC"),
        Family("o200k", (O200K_PATTERN,), kernels.O200K, digits=3),
        Family("deepseek", DEEPSEEK_PATTERNS, kernels.DEEPSEEK, digits=3),
    )
}


def family_of(tokenizer: Tokenizer) -> tuple[Family, str | None] | None:
    """(the family that cuts as the tokenizer does, its normalizer: None or NFC), or None where there is none."""
    spec = json.loads(tokenizer.to_str())
    patterns = _patterns(spec["pre_tokenizer"] or {})
    normalizer = _normalizer(spec["normalizer"])
    if patterns is None or normalizer == "other":
        return None
    found = next((f for f in FAMILIES.values() if f.patterns == patterns), None)
    return None if found is None else (found, normalizer)


def _patterns(spec: Mapping[str, Any]) -> tuple[str, ...] | None:
    if spec.get("type") == "ByteLevel":
        plain = spec.get("use_regex", True) and not spec.get("add_prefix_space")
        return (GPT2_PATTERN,) if plain else None
    if spec.get("type") != "Sequence":
        return None
    *cuts, last = spec["pretokenizers"]
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return None
    if last.get("use_regex", True):
        return None
    patterns = []
    for cut in cuts:
        regex = (cut.get("pattern") or {}).get("Regex")
        if cut.get("type") != "Split" or regex is None or cut.get("behavior") != "Isolated" or cut.get("invert"):
            return None
        patterns.append(regex)
    return tuple(patterns)


def _normalizer(spec: Mapping[str, Any] | None) -> str | None:
    if spec is None or (spec.get("type") == "Sequence" and not spec.get("normalizers")):
        return None
    return "NFC" if spec.get("type") == "NFC" else "other"


@lru_cache(maxsize=1)
def character_classes() -> np.ndarray:
    """The classes of encode_kernels that each code point is in, uint16 [0x110000], and then those of the 256 bytes."""
    starts, values = np.array(json.loads(_FILE.read_text())).T
    classes = np.repeat(values.astype(np.uint16), np.diff(np.r_[starts, _CODE_POINTS]))
    return np.concatenate([classes, classes[:128], np.zeros(128, np.uint16)])


def class_borders() -> str:
    """The first character of every run of one class, and the last of the one before."""
    starts = [start for start, _ in json.loads(_FILE.read_text())][1:]
    points = [point for start in starts for point in (start - 1, start)]
    return "".join(chr(p) for p in points if not 0xD800 <= p < 0xE000)


def ask_classes() -> np.ndarray:
    """What the installed library says of each code point, uint16 [0x110000]; it takes some seconds."""
    points = [p for p in range(_CODE_POINTS) if not 0xD800 <= p < 0xE000]
    text, places = "".join(map(chr, points)), np.array(points)
    classes = np.zeros(_CODE_POINTS, np.uint16)
    for bit, pattern in _CLASSES.items():
        inside = np.zeros(len(points), bool)
        cut = pre_tokenizers.Split(Regex(f"{pattern}+"), "isolated")
        for number, (piece, (start, end)) in enumerate(cut.pre_tokenize_str(text)):
            if number == 0:
                first_matches = _matches(pattern, piece[0])
            inside[start:end] = first_matches == (number % 2 == 0)
        classes[places[inside]] |= bit
    classes[classes & (kernels.LETTER | kernels.NUMBER | kernels.WHITE) == 0] |= kernels.OTHER
    ideograph, sign = classes & kernels.IDEOGRAPH != 0, classes & kernels.SIGN != 0
    word = classes & (kernels.LETTER | kernels.MARK) != 0
    pairs = ((kernels.PLAIN, ~ideograph & word), (kernels.PLAIN_SIGN, ~ideograph & sign))
    for bit, inside in (*pairs, (kernels.KANA, ideograph & word), (kernels.KANA_SIGN, ideograph & sign)):
        classes[inside] |= bit
    return classes


def _write_classes() -> None:
    classes = ask_classes()
    starts = np.r_[0, np.flatnonzero(np.diff(classes)) + 1]
    _FILE.write_text(json.dumps([[int(s), int(classes[s])] for s in starts], separators=(",", ":")) + "\n")


def _matches(pattern: str, character: str) -> bool:
    return not pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(character)


@lru_cache(maxsize=1)
def long_s_is_s() -> bool:
    """Whether the library's `(?i:'s)` takes the long s, as Unicode's case folding does."""
    return _matches("(?i:'s)", "'\u017f")


if __name__ == "__main__":
    _write_classes()
