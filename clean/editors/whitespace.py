"""White space made regular."""

from __future__ import annotations

import re
from dataclasses import dataclass

from corpusmill.clean.editors.editor import Edit, Editor

_BLANKS = re.compile(r"[^\S\n]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Whitespace(Editor):
    """Strip each line, squeeze runs of blanks inside it, and allow at most `max_blank_lines` empty lines in a row."""

    max_blank_lines: int = 1

    def edit(self, text: str) -> Edit:
        lines = text.split("\n")
        regular = [_BLANKS.sub(" ", line).strip() for line in lines]
        limit = "\n" * (self.max_blank_lines + 1)
        joined = "\n".join(regular)
        squeezed = re.sub(limit + "\n+", limit, joined).strip("\n")
        changes = {
            "lines": sum(a != b for a, b in zip(lines, regular, strict=True)),
            "blank_lines": joined.count("\n") - squeezed.count("\n"),
        }
        return Edit(squeezed, {kind: count for kind, count in changes.items() if count})
