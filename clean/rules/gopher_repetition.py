"""The same lines, paragraphs or phrases again and again (Gopher: Rae et al. 2021, appendix A1.1, table A1).

Thresholds, order and counting are those of datatrove's GopherRepetitionFilter, which FineWeb used: shares of all
characters of the text; a repeated n-gram is counted from its second appearance on, and none overlaps the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.clean.rules.rule import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class GopherRepetition(Rule):
    max_duplicate_paragraph_ratio: float = 0.3
    max_duplicate_paragraph_char_ratio: float = 0.2
    max_duplicate_line_ratio: float = 0.3
    max_duplicate_line_char_ratio: float = 0.2
    max_top_2_gram_char_ratio: float = 0.20
    max_top_3_gram_char_ratio: float = 0.18
    max_top_4_gram_char_ratio: float = 0.16
    max_duplicate_5_gram_char_ratio: float = 0.15
    max_duplicate_6_gram_char_ratio: float = 0.14
    max_duplicate_7_gram_char_ratio: float = 0.13
    max_duplicate_8_gram_char_ratio: float = 0.12
    max_duplicate_9_gram_char_ratio: float = 0.11
    max_duplicate_10_gram_char_ratio: float = 0.10
    """A threshold of 1 or more switches its test off, but for the n-grams': they may cover more than all."""

    def reasons(self, measures: pa.StructArray) -> Iterator[tuple[str, pa.BooleanArray]]:
        yield "empty", pc.equal(measures.field("chars"), 0)
        for reason, measure, limit in (
            ("duplicate_paragraphs", "duplicate_paragraph_ratio", self.max_duplicate_paragraph_ratio),
            ("duplicate_paragraph_chars", "duplicate_paragraph_char_ratio", self.max_duplicate_paragraph_char_ratio),
            ("duplicate_lines", "duplicate_raw_line_ratio", self.max_duplicate_line_ratio),
            ("duplicate_line_chars", "duplicate_raw_line_char_ratio", self.max_duplicate_line_char_ratio),
            ("top_2_gram", "top_2_gram_char_ratio", self.max_top_2_gram_char_ratio),
            ("top_3_gram", "top_3_gram_char_ratio", self.max_top_3_gram_char_ratio),
            ("top_4_gram", "top_4_gram_char_ratio", self.max_top_4_gram_char_ratio),
            ("duplicate_5_grams", "duplicate_5_gram_char_ratio", self.max_duplicate_5_gram_char_ratio),
            ("duplicate_6_grams", "duplicate_6_gram_char_ratio", self.max_duplicate_6_gram_char_ratio),
            ("duplicate_7_grams", "duplicate_7_gram_char_ratio", self.max_duplicate_7_gram_char_ratio),
            ("duplicate_8_grams", "duplicate_8_gram_char_ratio", self.max_duplicate_8_gram_char_ratio),
            ("duplicate_9_grams", "duplicate_9_gram_char_ratio", self.max_duplicate_9_gram_char_ratio),
            ("duplicate_10_grams", "duplicate_10_gram_char_ratio", self.max_duplicate_10_gram_char_ratio),
        ):
            yield reason, pc.greater(measures.field(measure), limit)
