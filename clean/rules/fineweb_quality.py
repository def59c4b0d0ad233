"""A list rather than prose: lines without full stops, short lines, repeated lines (FineWeb: Penedo et al. 2024, 3.6).

Thresholds, order and counting are those of datatrove's FineWebQualityFilter; a short line has 30 characters at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.clean.rules.rule import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class FineWebQuality(Rule):
    min_terminal_line_ratio: float = 0.12
    max_short_line_ratio: float = 0.67
    max_duplicate_line_char_ratio: float = 0.01
    max_newline_ratio: float = 0.3
    """Line feeds for each word."""

    def reasons(self, measures: pa.StructArray) -> Iterator[tuple[str, pa.BooleanArray]]:
        yield "empty", pc.equal(measures.field("lines"), 0)
        yield "too_few_closed_lines", pc.less(measures.field("terminal_line_ratio"), self.min_terminal_line_ratio)
        yield "too_many_short_lines", pc.greater(measures.field("short_line_ratio"), self.max_short_line_ratio)
        repeated = measures.field("duplicate_line_char_ratio")
        yield "duplicate_line_chars", pc.greater(repeated, self.max_duplicate_line_char_ratio)
        yield "too_many_newlines", pc.greater(measures.field("newline_ratio"), self.max_newline_ratio)
