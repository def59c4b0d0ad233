"""Pages to text, cheapest test first: address, language of a cheap extraction, then the expensive extraction.

Nothing process-wide and no clock decides what comes out: the same page gives the same text on any machine, at any load.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from corpusmill.clean.languages import Identifier
from corpusmill.clean.page_charset import decode
from corpusmill.clean.url_rules import UrlFilter
from corpusmill.columns import with_columns

GIVEN = "given"
"""What stands for an extractor where the record was text already."""
_SCREEN_CHARS = 2000
"""fastText's first guess settles within this many characters (measured: 0.7% of the documents lost)."""
_AUTHOR = 'meta[name="author"], meta[property="article:author"]'
_DATE = 'meta[property="article:published_time"], meta[name="date"], meta[itemprop="datePublished"]'


class Page(NamedTuple):
    charset: str | None = None
    extractor: str | None = None
    title: str | None = None
    author: str | None = None
    date: str | None = None
    text: str | None = None
    drop_reason: str | None = None
    drop_detail: str | None = None


class Extractor:
    """What turns one page's bytes into text, with the settings of one recipe."""

    def __init__(
        self,
        engine: str = "trafilatura",
        *,
        screen: bool = True,
        identifier: Identifier | None = None,
        wanted: Iterable[str] = (),
        urls: UrlFilter | None = None,
    ) -> None:
        self.engine = engine
        self.wanted = frozenset(wanted)
        self.identifier = identifier if screen and self.wanted else None
        self.urls = urls or UrlFilter()

    def extract(self, body: bytes, url: str | None = None, host: str | None = None, charset: str | None = None) -> Page:
        banned = self.urls.judge(url, host)
        if banned is not None:
            return Page(drop_reason=banned[0], drop_detail=banned[1])
        html, found = decode(body, charset)
        try:
            return self._from_html(html, Page(charset=found))
        except Exception as e:  # extractors meet every kind of broken page; each costs one row, with its reason
            return Page(charset=found, drop_reason="extraction_failed", drop_detail=f"{type(e).__name__}: {e}"[:200])

    def accept(self, text: str | None, url: str | None = None, host: str | None = None) -> Page:
        """A record that is text already: only its address is judged here."""
        banned = self.urls.judge(url, host)
        if banned is not None:
            return Page(drop_reason=banned[0], drop_detail=banned[1])
        if not text or not text.strip():
            return Page(drop_reason="no_text", drop_detail=GIVEN)
        return Page(extractor=GIVEN, text=text.strip())

    def _from_html(self, html: str, page: Page) -> Page:
        tree = HTMLTree.parse(html)
        page = page._replace(title=_clean(tree.title), author=_meta(tree, _AUTHOR), date=_meta(tree, _DATE))
        main: str | None = None
        if self.identifier is not None or self.engine == "resiliparse":
            main = _plain(tree, main_content=True)
        if self.identifier is not None:
            # an empty main text is a page Resiliparse cannot judge, not a page without text
            sample = (main or "").strip() or _plain(tree, main_content=False).strip()
            language, _ = self.identifier.identify(sample[:_SCREEN_CHARS])
            if language not in self.wanted:
                return page._replace(drop_reason="screened_language", drop_detail=language)
        text = self._main_text(html, main)
        if not text or not text.strip():
            return page._replace(drop_reason="no_text", drop_detail=self.engine)
        return page._replace(extractor=self.engine, text=_storable(text.strip()))

    def _main_text(self, html: str, resiliparse_text: str | None) -> str | None:
        if self.engine == "resiliparse":
            return resiliparse_text
        if self.engine == "blocks":
            from corpusmill.clean.block_extractor import main_text

            return main_text(html)
        return _trafilatura(html)


def extract(batches: Iterable[pa.RecordBatch], extractor: Extractor) -> Iterator[pa.RecordBatch]:
    """PAGES in; `body` goes, charset, title, author, date and text come. Rows dropped earlier flow on as they are."""
    for batch in batches:
        rows = zip(*(batch.column(n).to_pylist() for n in ("url", "host", "http_charset", "drop_reason")), strict=True)
        bodies, texts = batch.column("body"), batch.column("text")
        pages = [
            Page()
            if dropped is not None
            else extractor.accept(texts[i].as_py(), url, host)
            if bodies[i].as_py() is None
            else extractor.extract(bodies[i].as_py(), url, host, charset)
            for i, (url, host, charset, dropped) in enumerate(rows)
        ]
        yield with_columns(batch, _columns(batch, pages), drop=("body", "http_charset"))


def _columns(batch: pa.RecordBatch, pages: list[Page]) -> dict[str, pa.Array]:
    def column(name: str, kind: pa.DataType) -> pa.Array:
        return pa.array([getattr(p, name) for p in pages], kind)

    judged: dict[str, list[Any]] = {
        n: batch.column(n).to_pylist() for n in ("drop_reason", "drop_detail", "drop_stage")
    }
    for i, page in enumerate(pages):
        if page.drop_reason is not None:
            judged["drop_reason"][i], judged["drop_detail"][i] = page.drop_reason, page.drop_detail
            judged["drop_stage"][i] = "clean"
    columns = {n: column(n, pa.string()) for n in ("charset", "extractor", "title", "author", "date")}
    columns["text"] = column("text", pa.large_string())
    return columns | {n: pa.array(v, pa.string()) for n, v in judged.items()}


def _plain(tree: HTMLTree, *, main_content: bool) -> str:
    text: str = extract_plain_text(
        tree,
        main_content=main_content,
        preserve_formatting=main_content,
        list_bullets=False,
        alt_texts=False,
        links=False,
        form_fields=False,
        noscript=False,
    )
    return text


def _trafilatura(html: str) -> str | None:
    from trafilatura import bare_extraction

    # deduplicate and date extraction stay off: one keeps a process-wide cache, the other asks what day it is
    found = bare_extraction(html, fast=True, include_comments=False, with_metadata=False)
    return None if found is None or isinstance(found, dict) else found.text


def _meta(tree: HTMLTree, selector: str) -> str | None:
    head = tree.head
    node = head.query_selector(selector) if head is not None else None
    return _clean(node.getattr("content")) if node is not None else None


def _clean(value: str | None) -> str | None:
    """One line of at most 500 characters, or None."""
    return (_storable(" ".join(value.split())[:500]) or None) if value else None


def _storable(text: str) -> str:
    """Lone surrogates, from entities such as &#xD800;, cannot be stored as UTF-8."""
    return text.encode("utf-8", "replace").decode()
