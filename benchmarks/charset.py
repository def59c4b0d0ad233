"""Charsets of real pages: how they were decided, and what is broken after decoding, beside datatrove's way."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness import commit, machine
from corpusmill.clean.charset_labels import decoder, encoding_of
from corpusmill.clean.page_charset import decide
from corpusmill.clean.prescan import prescan
from corpusmill.ingest import Tally, read_pages

UNIT = "share of pages with U+FFFD"
TEXTS = 1500
"""Main texts that are asked for mojibake, spread evenly over the pages that are not ASCII."""
_MAX_CHARS = 20_000

Page = tuple[bytes, str | None]
"""(body, charset of the HTTP header)."""


@dataclass
class Quality:
    """What came of the pages in one way of decoding them."""

    way: str
    pages: int = 0
    lost: int = 0
    """Pages that the way gives up."""
    chars: int = 0
    broken_pages: int = 0
    broken_chars: int = 0
    differs: int = 0
    """Pages whose text is not the one that we make of them."""
    texts: int = 0
    mojibake: int = 0
    """Main texts whose encoding ftfy still repairs."""
    seconds: float = 0.0
    decided: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(charset, by what) to pages."""

    @property
    def broken_page_share(self) -> float:
        return self.broken_pages / max(self.pages, 1)

    @property
    def broken_char_share(self) -> float:
        return self.broken_chars / max(self.chars, 1)

    @property
    def mojibake_share(self) -> float:
        return self.mojibake / max(self.texts, 1)

    def facts(self) -> dict[str, Any]:
        return {
            "way": self.way,
            "pages": self.pages,
            "lost": self.lost,
            "pages_with_ufffd": round(self.broken_page_share, 5),
            "chars_ufffd": round(self.broken_char_share, 8),
            "differs": self.differs,
            "texts": self.texts,
            "mojibake_texts": round(self.mojibake_share, 5),
            "us_a_page": round(self.seconds / max(self.pages, 1) * 1e6, 1),
        }


def run(data: Path, rounds: int, documents: int) -> dict[str, Any]:
    """Measure and print. Raises FileNotFoundError where the archive is not there. One round: nothing is drawn."""
    pages = html_pages(data / "warc" / "sample-dev.warc.gz", documents)
    qualities = [judge(way, decode, pages) for way, decode in WAYS.items()]
    ours, peer = qualities[0], qualities[1]
    _show(qualities, ours)
    facts = {
        "name": "charset", "value": round(ours.broken_page_share, 5), "unit": UNIT,
        "peer": "datatrove", "peer_version": version("datatrove"),
        "peer_value": round(peer.broken_page_share, 5), "ratio": None,
        "input": f"{len(pages):,} pages of sample-dev.warc.gz", "commit": commit(), "machine": machine(),
        "ways": [q.facts() for q in qualities],
        "decided": [[*how, n] for how, n in ours.decided.most_common()],
    }  # fmt: skip
    print(json.dumps(facts))
    return facts


def html_pages(archive: Path, documents: int) -> list[Page]:
    """Pages of the archive, evenly spread over it where there are more than asked for."""
    with archive.open("rb") as f:
        batches = list(read_pages(f, archive.name, Tally()))
    found = [
        (row["body"], row["http_charset"])
        for batch in batches
        for row in batch.select(["body", "http_charset"]).to_pylist()
        if row["body"]
    ]
    return [found[i * len(found) // documents] for i in range(documents)] if len(found) > documents else found


def judge(
    way: str, decode: Callable[[Page], tuple[str, str, str] | None], pages: Sequence[Page], texts: int = TEXTS
) -> Quality:
    quality = Quality(way)
    beyond_ascii = [i for i, (body, _) in enumerate(pages) if not body.isascii()]
    asked = set(beyond_ascii[:: max(len(beyond_ascii) // texts, 1)])
    for i, page in enumerate(pages):
        start = time.process_time()
        decoded = decode(page)
        quality.seconds += time.process_time() - start
        quality.pages += 1
        if decoded is None:
            quality.lost += 1
            continue
        html, charset, by = decoded
        quality.decided[charset, by] += 1
        # what stands in the page itself was broken by its author
        broken = max(html.count("\ufffd") - page[0].count(b"\xef\xbf\xbd"), 0)
        quality.chars += len(html)
        quality.broken_chars += broken
        quality.broken_pages += broken > 0
        quality.differs += html != decide(*page).text
        if i in asked:
            quality.texts += 1
            quality.mojibake += _is_mojibake(html)
    return quality


def ours(page: Page) -> tuple[str, str, str]:
    return decide(*page)


def as_standard(page: Page) -> tuple[str, str, str]:
    """The order of the standards with no exception: what is declared holds."""
    body, label = page
    found = decide(body, label)
    declared = encoding_of(label) or prescan(body)
    if found.decided == "bom" or declared is None:
        return found
    return decoder(declared)(body), declared, "declared"


def as_datatrove(page: Page) -> tuple[str, str, str] | None:
    """UTF-8, then what cchardet says of the whole page, then nothing: `process_record` of its WarcReader."""
    import cchardet

    body, _ = page
    try:
        return body.decode("utf-8"), "utf-8", "bytes"
    except UnicodeDecodeError:
        found = cchardet.detect(body)["encoding"]
    try:
        return (body.decode(found), found, "detected") if found and found != "UTF-8" else None
    except (UnicodeDecodeError, LookupError):
        return None


def header_only(page: Page) -> tuple[str, str, str]:
    """The HTTP header, and UTF-8 where it says nothing."""
    body, label = page
    charset = encoding_of(label) or "utf-8"
    return decoder(charset)(body), charset, "http"


WAYS: dict[str, Callable[[Page], tuple[str, str, str] | None]] = {
    "corpusmill": ours,
    "datatrove": as_datatrove,
    "the standards": as_standard,
    "header only": header_only,
}


def _is_mojibake(html: str) -> bool:
    import ftfy
    from resiliparse.extract.html2text import extract_plain_text

    text = extract_plain_text(html, main_content=True)[:_MAX_CHARS]
    return bool(ftfy.fix_encoding(text) != text)


def _show(qualities: Sequence[Quality], ours: Quality) -> None:
    table = Table("way", "pages", "given up", "U+FFFD in", "of chars", "other text", "mojibake", "µs/page")
    for q in qualities:
        table.add_row(
            q.way, f"{q.pages:,}", f"{q.lost:,}", f"{q.broken_pages:,}", f"{q.broken_char_share:.5%}",
            f"{q.differs:,}", f"{q.mojibake:,} of {q.texts:,}", f"{q.seconds / max(q.pages, 1) * 1e6:.0f}",
        )  # fmt: skip
    decided = Table("charset", "decided by", "pages")
    for (charset, by), count in ours.decided.most_common():
        decided.add_row(charset, by, f"{count:,}")
    Console().print(table, decided)
