"""Not enough sentences, or a page of filler text or code (C4: Raffel et al. 2020, section 2.2).

Counted over the lines that C4 would keep: three words or more, none longer than 1,000 characters, nothing about
JavaScript, terms of use, privacy or cookie policies. This rule judges the page and leaves its lines alone. Order and
counting are those of datatrove's C4QualityFilter, without citations ([1], [edit], [citation needed]) as there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.clean.rules.rule import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class C4Quality(Rule):
    min_sentences: int = 5
    closed_lines_only: bool = False
    """C4 kept only lines that end in . ? ! or a quotation mark; FineWeb kept the others too."""
    lorem_ipsum: bool = True
    """Drop a page that says lorem ipsum."""
    curly_brackets: bool = True
    """Drop a page with a { in it."""

    def reasons(self, measures: pa.StructArray) -> Iterator[tuple[str, pa.BooleanArray]]:
        kind = "c4_closed" if self.closed_lines_only else "c4"
        lorem = measures.field(f"{kind}_lorem_ipsum_line")
        curly = measures.field(f"{kind}_curly_bracket_line")
        has_lorem = pc.greater(lorem, 0)
        if self.lorem_ipsum and self.curly_brackets:  # whichever line comes first; in one line, lorem ipsum
            has_lorem = pc.and_(has_lorem, pc.or_(pc.equal(curly, 0), pc.less_equal(lorem, curly)))
        if self.lorem_ipsum:
            yield "lorem_ipsum", has_lorem
        if self.curly_brackets:
            yield "curly_bracket", pc.greater(curly, 0)
        yield "too_few_sentences", pc.less(measures.field(f"{kind}_sentences"), self.min_sentences)
