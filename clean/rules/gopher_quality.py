"""Not prose: too short or long, odd words, symbols, bullets, no stop words (Gopher: Rae et al. 2021, appendix A1.1).

Thresholds and order are those of datatrove's GopherQualityFilter, which FineWeb used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.clean.rules.rule import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class GopherQuality(Rule):
    min_words: int = 50
    max_words: int = 100_000
    min_mean_word_chars: float = 3.0
    max_mean_word_chars: float = 10.0
    max_hash_ratio: float = 0.1
    max_ellipsis_ratio: float = 0.1
    max_bullet_line_ratio: float = 0.9
    max_ellipsis_line_ratio: float = 0.3
    min_alpha_word_ratio: float = 0.8
    min_stop_words: int = 2
    """Different ones of the eight; 0 for languages other than English."""

    def reasons(self, measures: pa.StructArray) -> Iterator[tuple[str, pa.BooleanArray]]:
        words = measures.field("non_symbol_words")
        yield "too_few_words", pc.less(words, self.min_words)
        yield "too_many_words", pc.greater(words, self.max_words)
        yield "words_too_short", pc.less(measures.field("mean_word_chars"), self.min_mean_word_chars)
        yield "words_too_long", pc.greater(measures.field("mean_word_chars"), self.max_mean_word_chars)
        yield "too_many_hashes", pc.greater(measures.field("hash_ratio"), self.max_hash_ratio)
        yield "too_many_ellipses", pc.greater(measures.field("ellipsis_ratio"), self.max_ellipsis_ratio)
        yield "too_many_bullets", pc.greater(measures.field("bullet_line_ratio"), self.max_bullet_line_ratio)
        yield "too_many_ellipsis_lines", pc.greater(measures.field("ellipsis_line_ratio"), self.max_ellipsis_line_ratio)
        yield "too_few_alpha_words", pc.less(measures.field("alpha_word_ratio"), self.min_alpha_word_ratio)
        yield "too_few_stop_words", pc.less(measures.field("stop_words"), self.min_stop_words)
