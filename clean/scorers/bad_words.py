"""Bad words: lists by language, with the semantics of C4 (Raffel et al. 2020) in datatrove's C4BadWordsFilter.

`lists` is a folder with one file per language, named by its code, one word or phrase a line: the LDNOOBW lists
("List of Dirty, Naughty, Obscene and Otherwise Bad Words", 27 languages) are such a folder. Nothing is bundled.
An entry counts where it is flanked by characters that belong to no word, or by an end of the text; Japanese, Thai and
Chinese put no blanks between words, so there it counts anywhere. Text and entries are compared in lower case. (The
reference lowers only the text, so that it never finds the entries that a list writes with capitals: 61 of 68 in
Spanish.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import xxhash

from corpusmill.clean.scorers.scorer import Scorer, Scores
from corpusmill.errors import InputError

UNSPACED = ("ja", "th", "zh")
ALLOWED = frozenset({"sm", "グロ", "女の子", "性"})
"""Entries of the Japanese and Chinese lists that C4 takes out, in every language: sm, grotesque, girl, sex (gender)."""
SAME_LIST = {"nb": "no", "nn": "no", "tl": "fil"}
"""Codes of an identifier that the lists name otherwise."""


@dataclass(frozen=True, kw_only=True)
class BadWords(Scorer):
    """As a scorer: the number of matches. As a rule: `bad_words` where it exceeds `max`; the detail is the first."""

    lists: str
    language: str | None = None
    """The list for texts whose language is not known. A language without a list is not judged."""
    max: int = 0
    keep_share: float = 0.0
    """Share of the texts with bad words that is kept all the same, drawn by a hash of the text (C4's keep_fraction)."""
    reason: ClassVar[str] = "bad_words"

    def files(self) -> dict[str, Path]:
        return {"lists": Path(self.lists)}

    def check(self) -> None:
        super().check()
        if not available(self.lists):
            raise InputError(f"lists: {self.lists} holds no list; expected files named by language code: en, de, ...")
        if self.language is not None and self.language not in available(self.lists):
            raise InputError(f"language: {self.lists} has no list {self.language}")

    def score_texts(self, texts: list[str], languages: list[str | None]) -> Scores:
        counts = np.full(len(texts), np.nan)
        for i, (text, language) in enumerate(zip(texts, languages, strict=True)):
            pattern = self._pattern(language)
            if pattern is not None:
                counts[i] = sum(1 for _ in pattern.finditer(text.lower()))
        return {"": counts}

    def judge_rows(self, batch: pa.RecordBatch) -> pa.StructArray:
        """(reason, detail) of each row; null where the text has no more than `max` bad words."""
        rows = zip(batch.column("text").to_pylist(), batch.column("language").to_pylist(), strict=True)
        found = [self.find(text, language) for text, language in rows]
        reasons = [self.reason if word is not None else None for word in found]
        details = pa.array(found, pa.string())
        return pa.StructArray.from_arrays([pa.array(reasons, pa.string()), details], names=["reason", "detail"])

    def judge(self, text: str, language: str | None = None) -> str | None:
        return self.reason if self.find(text, language) is not None else None

    def find(self, text: str | None, language: str | None = None) -> str | None:
        """The first bad word of a text that is to be dropped, or None."""
        pattern = self._pattern(language) if text is not None and self.applies_to(language) else None
        if text is None or pattern is None:
            return None
        matches = pattern.finditer(text.lower())
        first = next(matches, None)
        if first is None or 1 + (self.max and sum(1 for _ in matches)) <= self.max:
            return None
        return None if _drawn(text, self.keep_share) else first.group()

    def _pattern(self, language: str | None) -> re.Pattern[str] | None:
        code = language if language in available(self.lists) else SAME_LIST.get(language or "", self.language)
        return compile_list(self.lists, code) if code in available(self.lists) else None


@lru_cache(maxsize=8)
def available(lists: str) -> frozenset[str]:
    """Codes of the languages that have a list."""
    folder = Path(lists)
    if not folder.is_dir():
        return frozenset()
    return frozenset(
        p.name for p in folder.iterdir() if p.is_file() and re.fullmatch("[a-z]{2,3}(-[A-Za-z-]+)?", p.name)
    )


@lru_cache(maxsize=64)
def compile_list(lists: str, language: str) -> re.Pattern[str]:
    """One pattern that finds every entry of a list in a text in lower case."""
    try:
        lines = (Path(lists) / language).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"{lists}/{language}: expected a list in UTF-8, one entry a line: {e}") from e
    # an empty entry would match everywhere
    entries = {entry for line in lines if (entry := line.strip().lower())} - ALLOWED
    if not entries:
        return re.compile("(?!)")
    tree = _as_tree(entries)
    return re.compile(tree if language in UNSPACED else rf"(?<!\w){tree}(?!\w)")


def _as_tree(entries: set[str]) -> str:
    """A pattern for any of `entries` that reads a common beginning once; a plain alternation tries each entry."""
    root: dict[str, dict] = {}
    for entry in sorted(entries):
        node = root
        for char in entry:
            node = node.setdefault(char, {})
        node[""] = {}

    def pattern(node: dict[str, dict]) -> str:
        branches = [re.escape(char) + pattern(below) for char, below in node.items() if char]
        if not branches or (len(branches) == 1 and "" not in node):
            return "".join(branches)
        # the longer entry is tried first
        return f"(?:{'|'.join(branches)})" + ("?" if "" in node else "")

    return pattern(root)


def _drawn(text: str, share: float) -> bool:
    return share > 0.0 and xxhash.xxh3_64_intdigest(text.encode("utf-8", "replace")) < share * 2.0**64
