"""Broken characters mended (ftfy)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from corpusmill.clean.editors.editor import Edit, Editor

# Plain ASCII without entities or control characters is what ftfy leaves alone; most English pages are spared its
# passes.
_PERHAPS_BROKEN = re.compile(r"[^\n -%'-~]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ftfy(Editor):
    """Mend mojibake, entities, control characters and line ends (ftfy, Speer 2019), and compose characters (NFC).

    Curly quotes stay: they are how people write, and a tokenizer can learn them.
    """

    uncurl_quotes: bool = False

    def edit(self, text: str) -> Edit:
        if not _PERHAPS_BROKEN.search(text):
            return Edit(text)
        import ftfy

        mended = ftfy.fix_text(text, uncurl_quotes=self.uncurl_quotes, normalization="NFC")
        return Edit(text) if mended == text else Edit(mended, {"text": 1})
