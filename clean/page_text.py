"""Pages to text, cheapest test first: address, size, language of the visible text, then the expensive extraction.

Nothing process-wide and no clock decides what comes out: the same page gives the same text on any machine, at any load.
The one clock there is stands for the case that a library hangs; see `extraction_guard`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from corpusmill.clean.extraction_guard import Guard, Outcome, answered
from corpusmill.clean.html_head import head_of
from corpusmill.clean.languages import Identifier
from corpusmill.clean.main_text import ENGINES, MainText
from corpusmill.clean.page_charset import decode
from corpusmill.clean.url_rules import UrlFilter
from corpusmill.clean.visible_text import VisibleText, visible_text
from corpusmill.columns import with_columns
from corpusmill.errors import InputError

GIVEN = "given"
"""What stands for an extractor where the record was text already."""
SCREEN_BYTES = 2000
SCREEN_SCORE = 0.2
"""A page is let through if its prose is in a wanted language, or in one of them with at least this probability."""
MAX_TAGS = 100_000
MAX_DEPTH = 2_000
"""Beyond either, trafilatura takes minutes or runs out of stack; such pages, mostly tables, go to Resiliparse."""


class Page(NamedTuple):
    charset: str | None = None
    extractor: str | None = None
    title: str | None = None
    author: str | None = None
    date: str | None = None
    text: str | None = None
    drop_reason: str | None = None
    drop_detail: str | None = None
    deferred: bool = False


class Extractor:
    """What turns pages' bytes into text, with the settings of one recipe.

    `guard_seconds` is how long one page may take in the child process that extracts; 0 extracts in this process.
    """

    def __init__(
        self,
        engine: str = "trafilatura",
        *,
        screen: bool = True,
        fast: bool = True,
        markdown: bool = False,
        identifier: Identifier | None = None,
        wanted: Iterable[str] = (),
        urls: UrlFilter | None = None,
        guard_seconds: float = 0.0,
    ) -> None:
        if engine not in ENGINES:
            raise InputError(f"no engine named {engine!r}; expected one of {', '.join(ENGINES)}")
        self.engine = MainText(engine, fast=fast, markdown=markdown)
        self.simple = MainText("resiliparse")
        self.wanted = sorted(set(wanted))
        self.identifier = identifier if screen and self.wanted else None
        self.urls = urls or UrlFilter()
        self.guard = Guard(self.engine, guard_seconds) if guard_seconds else None
        self.retried: list[str] = []
        """Addresses of pages that did not come to an end the first time."""

    def extract(self, body: bytes, url: str | None = None, host: str | None = None, charset: str | None = None) -> Page:
        """One page; as `extract_rows`, which is for work."""
        (page,) = self.extract_rows([body], [url], [charset])
        return page

    def accept(self, text: str | None, url: str | None = None, host: str | None = None) -> Page:
        """A record that is text already: only its address is judged here."""
        banned = self.urls.find(url)
        return Page(drop_reason=banned.reason, drop_detail=banned.found) if banned else _given(text)

    def extract_rows(
        self, bodies: Sequence[bytes], urls: Sequence[str | None], charsets: Sequence[str | None], again: bool = False
    ) -> list[Page]:
        """Text, or the reason for none, of each page. `again` is the last try of pages that were deferred."""
        pages: list[Page] = [Page()] * len(bodies)
        htmls: list[tuple[int, str, str, VisibleText]] = []
        for i, (body, banned, declared) in enumerate(zip(bodies, self.urls.find_batch(urls), charsets, strict=True)):
            if banned is not None:
                pages[i] = Page(drop_reason=banned.reason, drop_detail=banned.found)
                continue
            html, charset = decode(body, declared)
            utf8 = body if charset == "utf-8" else html.encode("utf-8", "replace")
            htmls.append((i, html, charset, visible_text(utf8)))
        languages = self._screen([seen for *_, seen in htmls])
        passed = []
        for (i, html, charset, seen), language in zip(htmls, languages, strict=True):
            if language is not None:
                pages[i] = Page(charset=charset, drop_reason="screened_language", drop_detail=language)
            else:
                head = head_of(html)
                pages[i] = Page(charset=charset, title=head.title, author=head.author, date=head.date)
                passed.append((i, html, seen.tags > MAX_TAGS or seen.depth > MAX_DEPTH))
        for (i, _, _), outcome in zip(passed, self._main_texts(passed), strict=True):
            pages[i] = self._with_text(pages[i], outcome, urls[i], again)
        return pages

    def _main_texts(self, passed: Sequence[tuple[int, str, bool]]) -> list[Outcome]:
        """What the engine says of each page; the heavy ones are for the simple engine."""
        guarded = self.guard.run_all([html for _, html, heavy in passed if not heavy]) if self.guard else []
        answers = iter(guarded)
        return [
            answered(self.simple, html) if heavy else next(answers) if self.guard else answered(self.engine, html)
            for _, html, heavy in passed
        ]

    def _with_text(self, page: Page, outcome: Outcome, url: str | None, again: bool) -> Page:
        if outcome.hung and not again:
            self.retried.append(url or "")
            return page._replace(deferred=True)
        if outcome.error is not None:
            reason = "extraction_hung" if outcome.hung else "extraction_failed"
            return page._replace(drop_reason=reason, drop_detail=outcome.error[:200])
        text = (outcome.text or "").strip()
        if not text:
            return page._replace(drop_reason="no_text", drop_detail=outcome.engine)
        return page._replace(extractor=outcome.engine, text=text)

    def _screen(self, seen: Sequence[VisibleText]) -> list[str | None]:
        """For each page, the language for which it is dropped, or None where it may be in a wanted one."""
        if self.identifier is None or not seen:
            return [None] * len(seen)
        samples = [page.sample(SCREEN_BYTES).tobytes().decode("utf-8", "ignore") for page in seen]
        texts = pa.array(samples, pa.large_string())
        found = self.identifier.screen(texts, self.wanted)
        return [
            None if language in self.wanted or score >= SCREEN_SCORE else language
            for language, score in zip(*found, strict=True)
        ]


def extract(batches: Iterable[pa.RecordBatch], extractor: Extractor) -> Iterator[pa.RecordBatch]:
    """PAGES in; `body` goes, charset, title, author, date and text come. Rows dropped earlier flow on as they are.

    Pages that hung are held back, and come last, after a second try.
    """
    deferred: list[pa.RecordBatch] = []
    for batch in batches:
        done, held = _extracted(batch, extractor)
        deferred += held
        yield done
    for batch in deferred:
        done, _ = _extracted(batch, extractor, again=True)
        yield done


def _extracted(
    batch: pa.RecordBatch, extractor: Extractor, again: bool = False
) -> tuple[pa.RecordBatch, list[pa.RecordBatch]]:
    """(the batch with its texts, rows that are to be tried again later)."""
    urls, charsets, reasons = (batch.column(n).to_pylist() for n in ("url", "http_charset", "drop_reason"))
    bodies, texts = batch.column("body"), batch.column("text")
    pages = [Page()] * batch.num_rows
    open_rows = [i for i, reason in enumerate(reasons) if reason is None]
    as_html = [i for i in open_rows if bodies[i].is_valid]
    found = extractor.extract_rows(
        [bodies[i].as_buffer().to_pybytes() for i in as_html],
        [urls[i] for i in as_html],
        [charsets[i] for i in as_html],
        again,
    )
    for i, page in zip(as_html, found, strict=True):
        pages[i] = page
    as_text = [i for i in open_rows if not bodies[i].is_valid]
    for i, banned in zip(as_text, extractor.urls.find_batch([urls[i] for i in as_text]), strict=True):
        text = texts[i].as_py()
        pages[i] = Page(drop_reason=banned.reason, drop_detail=banned.found) if banned else _given(text)
    done = with_columns(batch, _columns(batch, pages), drop=("body", "http_charset"))
    held = [batch.slice(i, 1) for i, page in enumerate(pages) if page.deferred]
    if held:
        done = done.filter(pa.array([not page.deferred for page in pages]))
    return done, held


def _given(text: str | None) -> Page:
    if not text or not text.strip():
        return Page(drop_reason="no_text", drop_detail=GIVEN)
    return Page(extractor=GIVEN, text=text.strip())


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
