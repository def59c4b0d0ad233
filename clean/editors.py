"""Editors rewrite text. Each says how many texts it changed; none decides whether a text is kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Protocol

from pydantic import ConfigDict

# Plain ASCII without entities or control characters is what ftfy leaves alone; most English pages are spared its
# passes.
_PERHAPS_BROKEN = re.compile(r"[^\n -%'-~]")


class Editor(Protocol):
    def edit(self, text: str) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ftfy:
    """Mend mojibake, entities, control characters and line ends (ftfy, Speer 2019), and compose characters (NFC).

    Curly quotes stay: they are how people write, and a tokenizer can learn them.
    """

    uncurl_quotes: bool = False
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    def edit(self, text: str) -> str:
        if not _PERHAPS_BROKEN.search(text):
            return text
        import ftfy

        return ftfy.fix_text(text, uncurl_quotes=self.uncurl_quotes, normalization="NFC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Whitespace:
    """Strip each line, squeeze runs of blanks inside it, and allow at most `max_blank_lines` empty lines in a row."""

    max_blank_lines: int = 1
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    def edit(self, text: str) -> str:
        lines = (re.sub(r"[^\S\n]+", " ", line).strip() for line in text.split("\n"))
        limit = "\n" * (self.max_blank_lines + 1)
        return re.sub(limit + "\n+", limit, "\n".join(lines)).strip("\n")


EDITORS: dict[str, type] = {"ftfy": Ftfy, "whitespace": Whitespace}
"""Name in a recipe to class. Adding one is its class and one line here."""
