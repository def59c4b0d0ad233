"""Lines that belong to the page and not to its text, dropped (RefinedWeb: Penedo et al. 2023, appendix G.2).

Bounds and order are those of DCLM-baseline (dclm_baseline_refinedweb.yaml). A phrase such as "Read more..." is taken
literally; DCLM's reads its dots as any character.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from corpusmill.clean.editors.editor import Edit, Editor
from corpusmill.clean.text_measures import written_words

_COUNTER = re.compile(
    r"^\W*\d(?:,|\.|\d)*[kmb]?\s+(?:likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads"
    r"|views|followers)\W*$"
)
_PHRASES = tuple(
    re.compile(phrase, re.IGNORECASE) for phrase in (r"\s?items in cart", r"\s?read more(?:\.\.\.|…)$", r"^sign-in\s?")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinedWebLines(Editor):
    """Drop lines in capitals, of digits alone, counters ("3 likes") and single words; cut navigation out of short ones.

    A page that loses too large a share of its words is not made of text: it is dropped as `too_many_words_removed`.
    """

    max_uppercase_ratio: float = 0.5
    max_digit_ratio: float = 0.999999
    counters: bool = True
    min_words: int = 2
    phrase_line_words: int = 10
    """Lines of at most so many words lose "items in cart", a closing "Read more..." and a leading "Sign-in"."""
    max_newlines: int = 2
    """In a row."""
    max_removed_word_ratio: float = 0.05

    def edit(self, text: str) -> Edit:
        changes: Counter[str] = Counter()
        text = re.sub(f"\n{{{self.max_newlines + 1},}}", "\n" * self.max_newlines, text)
        lines = text.split("\n")
        for kind, goes in (("uppercase", self._uppercase), ("digits", self._digits), ("counter", self._counter)):
            lines = _without(lines, kind, goes, changes)
            lines = "\n".join(lines).strip().split("\n")
        lines = _without(lines, "too_few_words", self._too_short, changes)
        edited = "\n".join(self._without_phrases(lines, changes)).strip()
        before, after = _words(text), _words(edited)
        removed = (before - after) / before if before else 0.0
        return Edit(edited, +changes, "too_many_words_removed" if removed > self.max_removed_word_ratio else None)

    def _uppercase(self, line: str) -> bool:
        return sum(map(str.isupper, line)) / len(line) > self.max_uppercase_ratio

    def _digits(self, line: str) -> bool:
        return sum(map(str.isdigit, line)) / len(line) > self.max_digit_ratio

    def _counter(self, line: str) -> bool:
        return self.counters and _COUNTER.search(line.lower()) is not None

    def _too_short(self, line: str) -> bool:
        return len(written_words(line)) < self.min_words

    def _without_phrases(self, lines: Iterable[str], changes: Counter[str]) -> Iterable[str]:
        for line in lines:
            if line and len(written_words(line)) <= self.phrase_line_words:
                cut = line
                for phrase in _PHRASES:
                    cut = phrase.sub("", cut)
                changes["phrase"] += cut != line
                if not cut.strip():
                    continue
                line = cut
            yield line


def _without(lines: list[str], kind: str, goes: Callable[[str], bool], changes: Counter[str]) -> list[str]:
    """Lines that stay. Empty ones do: they part paragraphs."""
    kept = [line for line in lines if not line or not goes(line)]
    changes[kind] += len(lines) - len(kept)
    return kept


def _words(text: str) -> int:
    """Words that begin with a letter or digit."""
    return sum(word[0].isalnum() for word in written_words(text))
