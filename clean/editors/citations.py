"""Marks that a wiki leaves behind: [1], [edit], [citation needed] (C4: Raffel et al. 2020)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from corpusmill.clean.editors.editor import Edit, Editor

CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Citations(Editor):
    """Remove citation marks, and nothing around them."""

    def edit(self, text: str) -> Edit:
        if "[" not in text:
            return Edit(text)
        edited, marks = CITATION.subn("", text)
        return Edit(edited, {"marks": marks}) if marks else Edit(text)
