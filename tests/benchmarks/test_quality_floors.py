"""What speed must not cost. These floors may rise; lowering one needs a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import screen
from benchmarks.extract import load
from benchmarks.text_scores import score
from corpusmill.clean.main_text import MainText
from corpusmill.clean.page_text import SCREEN_BYTES, SCREEN_SCORE
from corpusmill.recipe import Extract


def test_the_default_engine_finds_the_text_of_news_articles(data_folder: Path):
    pages = load(data_folder, 0)
    engine = MainText(Extract().engine, fast=Extract().fast)
    texts = [engine(html)[0] or "" for html in pages.htmls[: pages.articles]]
    assert score(pages.golds[: pages.articles], texts).f1 >= 0.958


@pytest.mark.slow
def test_the_screen_loses_next_to_nothing_on_hosts_it_was_not_chosen_by(data_folder: Path):
    rows = {(r.max_bytes, r.min_score, r.half): r for r in screen.measure(data_folder)}
    for half in screen.HALVES:
        shipped = rows[SCREEN_BYTES, SCREEN_SCORE, half]
        assert shipped.loss.of_documents > 150, "too few documents for a share of one in a hundred"
        assert shipped.loss.document_share < screen.MAX_DOCUMENTS
        assert shipped.loss.token_share < screen.MAX_TOKENS
        assert shipped.passed < shipped.pages / 2, "a screen that lets through what it likes loses nothing"
