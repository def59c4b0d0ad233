"""Floors of charset quality on real pages. A share may fall; raising one here needs a reason in the commit."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.charset import TEXTS, WAYS, Quality, html_pages, judge

PAGES = 1200


@pytest.fixture(scope="module")
def qualities(data_folder: Path) -> dict[str, Quality]:
    pages = html_pages(data_folder / "warc" / "sample-dev.warc.gz", PAGES)
    return {way: judge(way, decode, pages, texts=TEXTS // 5) for way, decode in WAYS.items()}


def test_no_page_is_given_up_and_hardly_one_is_broken(qualities: dict[str, Quality]):
    ours = qualities["corpusmill"]
    assert (ours.pages, ours.lost) == (PAGES, 0)
    assert ours.broken_page_share <= 0.002  # two pages, one stray byte each
    assert ours.broken_char_share <= 1e-7
    assert ours.mojibake_share <= 0.01


def test_no_other_way_loses_fewer_texts(qualities: dict[str, Quality]):
    ours = qualities["corpusmill"]
    for way, quality in qualities.items():
        assert (
            ours.lost + ours.broken_pages + ours.mojibake <= quality.lost + quality.broken_pages + quality.mojibake
        ), way


def test_each_step_of_the_order_decides_some_page(qualities: dict[str, Quality]):
    deciders = {by for _, by in qualities["corpusmill"].decided}
    assert deciders >= {"http", "meta", "bytes", "detected"}
