"""Too short or too long, as a whole or in its lines and words.

Defaults: at least 50 words and at most 100,000, none longer than 1,000 characters (NeMo Curator's WordCountFilter and
LongWordFilter), lines of 10 characters on average and at the longest (Data-Juicer's average and maximum line length
filters). The bounds on characters and sentences are open; cc_net asked for 300 characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.clean.rules.rule import Rule

_OPEN = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths(Rule):
    min_chars: int = 0
    max_chars: int = _OPEN
    min_words: int = 50
    max_words: int = 100_000
    """Words that are more than punctuation."""
    min_sentences: int = 0
    min_mean_line_chars: float = 10.0
    max_mean_line_chars: float = float(_OPEN)
    min_longest_line_chars: int = 10
    max_longest_line_chars: int = _OPEN
    max_longest_word_chars: int = 1000
    """A stretch without blanks."""

    def reasons(self, measures: pa.StructArray) -> Iterator[tuple[str, pa.BooleanArray]]:
        chars, words = measures.field("chars"), measures.field("non_symbol_words")
        mean_line, longest_line = measures.field("mean_line_chars"), measures.field("longest_line_chars")
        yield "too_few_chars", pc.less(chars, self.min_chars)
        yield "too_many_chars", pc.greater(chars, self.max_chars)
        yield "too_few_words", pc.less(words, self.min_words)
        yield "too_many_words", pc.greater(words, self.max_words)
        yield "too_few_sentences", pc.less(measures.field("sentences"), self.min_sentences)
        yield "lines_too_short", pc.less(mean_line, self.min_mean_line_chars)
        yield "lines_too_long", pc.greater(mean_line, self.max_mean_line_chars)
        yield "longest_line_too_short", pc.less(longest_line, self.min_longest_line_chars)
        yield "longest_line_too_long", pc.greater(longest_line, self.max_longest_line_chars)
        yield "word_too_long", pc.greater(measures.field("longest_word_chars"), self.max_longest_word_chars)
