"""The main text of a page, by the engine that a recipe names."""

from __future__ import annotations

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from corpusmill.errors import InputError

ENGINES = ("trafilatura", "blocks", "resiliparse", "union")
_ENOUGH_CHARS = 250
"""trafilatura's own MIN_EXTRACTED_SIZE: with less it looks further itself, so less is where another engine may help."""


class MainText:
    """An engine. Called with a page, it answers with (text or None, name of the engine that the text is from).

    trafilatura (Barbaresi 2021) is the default, in its fast mode; `fast=False` lets it ask readability and jusText too.
    blocks is a model that learned from trafilatura, in an eighth of its time (docs/decisions/0011-block-extractor.md).
    resiliparse (Bevendorff et al. 2018) takes a tenth of the time and finds less exactly. union keeps a page if either
    finds text: trafilatura's where that is of some length, else the longer of the two.
    """

    def __init__(self, engine: str = "trafilatura", *, fast: bool = True, markdown: bool = False) -> None:
        if markdown and engine != "trafilatura":
            raise InputError(f'clean.extract.markdown: only engine = "trafilatura" keeps structure, not {engine!r}')
        self.engine, self.fast, self.markdown = engine, fast, markdown

    def __call__(self, html: str) -> tuple[str | None, str]:
        if self.engine == "resiliparse":
            return resiliparse_text(html), "resiliparse"
        if self.engine == "blocks":
            from corpusmill.clean.block_extractor import main_text

            return main_text(html), "blocks"
        text = self._trafilatura(html)
        if self.engine == "trafilatura" or len(text or "") >= _ENOUGH_CHARS:
            return text, "trafilatura"
        other = resiliparse_text(html)
        return (other, "resiliparse") if len(other) > len(text or "") else (text, "trafilatura")

    def _trafilatura(self, html: str) -> str | None:
        # imported here: it takes half a second, and the other engine does without
        from corpusmill.clean.trafilatura_engine import trafilatura_full_text, trafilatura_text

        if self.fast:
            return trafilatura_text(html, markdown=self.markdown)
        return trafilatura_full_text(html, markdown=self.markdown)


def resiliparse_text(html: str) -> str:
    """Resiliparse's main content, a block a line."""
    text: str = extract_plain_text(
        HTMLTree.parse(html),
        main_content=True,
        preserve_formatting=True,
        list_bullets=False,
        alt_texts=False,
        links=False,
        form_fields=False,
        noscript=False,
    )
    return text
