"""Lines that are no prose, dropped (C4: Raffel et al. 2020, section 2.2; lines of datatrove's C4QualityFilter).

What that filter says of whole pages (lorem ipsum, curly brackets, five sentences) is the rule `c4_quality`, which sees
the text that is left here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from corpusmill.clean.character_classes import unspaced_character
from corpusmill.clean.editors.citations import CITATION
from corpusmill.clean.editors.editor import Edit, Editor
from corpusmill.clean.text_measures import written_words

_TERMINAL = (".", "?", "!", '"', "'")
_POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


@dataclass(frozen=True, slots=True, kw_only=True)
class C4Lines(Editor):
    """Drop lines with a word that is too long, too few words, "javascript" or a phrase about cookies and terms.

    Every line is stripped, and blank ones go. Words stand between blanks; in scripts without blanks they are units of
    some characters (`text_measures`). `terminal_punctuation` asks for . ? ! or a quote at the end, too, as C4
    did; FineWeb has it off, since it costs most lists and headings.
    """

    max_word_chars: int = 1000
    min_words: int = 3
    terminal_punctuation: bool = False
    javascript: bool = True
    policy: bool = True
    citations: bool = True
    """Remove [1], [edit] and [citation needed] from the lines that stay."""

    def edit(self, text: str) -> Edit:
        changes: Counter[str] = Counter()
        kept: list[str] = []
        for raw in text.splitlines():
            line = raw.strip()
            words = len(written_words(line))
            if self._has_long_word(line):
                changes["too_long_word"] += 1
                continue
            if self.citations and "[" in line:
                line, marks = CITATION.subn("", line)
                changes["citations"] += marks
            reason = self._reason(line, words)
            if reason is None:
                kept.append(line)
            elif line:
                changes[reason] += 1
        return Edit("\n".join(kept).strip(), +changes)

    def _has_long_word(self, line: str) -> bool:
        if len(line) <= self.max_word_chars:
            return False
        stretches = unspaced_character().sub(" ", line).split()
        return max(map(len, stretches), default=0) > self.max_word_chars

    def _reason(self, line: str, words: int) -> str | None:
        if self.terminal_punctuation and (not line.endswith(_TERMINAL) or line.endswith("...")):
            return "no_terminal_punctuation"
        if words < self.min_words:
            return "too_few_words"
        low = line.lower()
        if self.javascript and "javascript" in low:
            return "javascript"
        return "policy" if self.policy and any(phrase in low for phrase in _POLICY) else None
