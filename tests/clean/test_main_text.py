"""Engines: trafilatura's text is the library's own on real pages, union takes what either finds, structure is kept."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
from trafilatura import bare_extraction

from corpusmill.clean.main_text import MainText
from corpusmill.clean.page_charset import decode
from corpusmill.clean.trafilatura_engine import accelerated, trafilatura_text
from corpusmill.errors import InputError
from corpusmill.ingest.warc_pages import Tally, read_pages

PROSE = "".join(f"<p>Sentence {i} of the article says a little more than the one before it.</p>" for i in range(20))
PAGE = (
    f"<html><body><article><h1>Head</h1>{PROSE}<ul><li>first item</li></ul><table><tr><td>left</td><td>right</td></tr>"
    f"</table><pre><code>x = 1\ny = 2</code></pre>{PROSE}</article></body></html>"
)


@pytest.mark.parametrize("markdown", [False, True])
def test_the_replaced_hot_spots_change_no_text(data_folder: Path, markdown: bool):
    assert accelerated()
    compared = 0
    with (data_folder / "warc" / "sample-dev.warc.gz").open("rb") as f:
        for batch in islice(read_pages(f, "sample", Tally()), 12):
            rows = [row for row in batch.to_pylist() if row["drop_reason"] is None]
            for row in rows[::40]:
                html, _ = decode(row["body"], row["http_charset"])
                found = bare_extraction(
                    html, fast=True, include_comments=False, with_metadata=False, include_formatting=markdown
                )
                assert trafilatura_text(html, markdown=markdown) == (found and found.text), row["url"]
                compared += 1
    assert compared > 20


def test_union_takes_the_longer_text_where_trafilatura_finds_little():
    bare = "No paragraph and no element at all, only a line of text. " * 9
    assert MainText("trafilatura")(bare) == (None, "trafilatura")
    text, engine = MainText("union")(bare)
    assert (text, engine) == (bare.strip(), "resiliparse")
    assert MainText("union")(PAGE) == MainText("trafilatura")(PAGE)
    assert MainText("union")("") == (None, "trafilatura")


def test_headings_lists_tables_and_code_are_kept_as_markdown():
    text, _ = MainText(markdown=True)(PAGE)
    assert text is not None
    assert [part in text for part in ("# Head", "- first item", "| left | right |", "```\nx = 1\ny = 2\n```")] == [
        True
    ] * 4
    with pytest.raises(InputError, match='only engine = "trafilatura" keeps structure'):
        MainText("resiliparse", markdown=True)
