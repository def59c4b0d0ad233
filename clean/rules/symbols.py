"""Too much that is not letters: shares of all characters (NeMo Curator's heuristic filters for English).

Defaults are NeMo's NonAlphaNumericFilter, NumbersFilter, WhiteSpaceFilter, ParenthesesFilter, UrlsFilter and
PunctuationFilter (sentences, for which NeMo takes lines, without an end mark); capitals are open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.clean.rules.rule import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbols(Rule):
    max_non_alnum_ratio: float = 0.25
    """Blanks and punctuation are neither letters nor digits."""
    max_digit_ratio: float = 0.15
    max_upper_ratio: float = 1.0
    max_space_ratio: float = 0.25
    max_parenthesis_ratio: float = 0.1
    """Brackets of the round, square and curly kind."""
    max_url_ratio: float = 0.2
    """Characters of URLs, host names and e-mail addresses."""
    min_terminal_line_ratio: float = 0.15

    def reasons(self, measures: pa.StructArray) -> Iterator[tuple[str, pa.BooleanArray]]:
        yield "too_many_symbols", pc.greater(measures.field("non_alnum_ratio"), self.max_non_alnum_ratio)
        yield "too_many_digits", pc.greater(measures.field("digit_ratio"), self.max_digit_ratio)
        yield "too_many_capitals", pc.greater(measures.field("upper_ratio"), self.max_upper_ratio)
        yield "too_many_blanks", pc.greater(measures.field("space_ratio"), self.max_space_ratio)
        yield "too_many_brackets", pc.greater(measures.field("parenthesis_ratio"), self.max_parenthesis_ratio)
        yield "too_many_urls", pc.greater(measures.field("url_ratio"), self.max_url_ratio)
        yield "too_few_closed_lines", pc.less(measures.field("terminal_line_ratio"), self.min_terminal_line_ratio)
