"""Verdicts are datatrove's, and so are the reasons. These floors may rise; lowering one needs a reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from corpusmill.clean.rules import C4Quality, FineWebQuality, GopherQuality, GopherRepetition, Rule
from corpusmill.clean.text_measures import measure

pytest.importorskip("datatrove")
pytest.importorskip("spacy")

REASONS = {
    "dup_para_frac": "duplicate_paragraphs",
    "dup_para_char_frac": "duplicate_paragraph_chars",
    "dup_line_frac": "duplicate_lines",
    "dup_line_char_frac": "duplicate_line_chars",
    **{f"duplicated_{n}_n_grams": f"duplicate_{n}_grams" for n in range(5, 11)},
    "gopher_short_doc": "too_few_words",
    "gopher_long_doc": "too_many_words",
    "gopher_below_avg_threshold": "words_too_short",
    "gopher_above_avg_threshold": "words_too_long",
    "gopher_too_many_hashes": "too_many_hashes",
    "gopher_too_many_ellipsis": "too_many_ellipses",
    "gopher_too_many_bullets": "too_many_bullets",
    "gopher_too_many_end_ellipsis": "too_many_ellipsis_lines",
    "gopher_below_alpha_threshold": "too_few_alpha_words",
    "gopher_enough_stop_words": "too_few_stop_words",
    "line_punct_ratio": "too_few_closed_lines",
    "short_line_ratio": "too_many_short_lines",
    "char_dup_ratio": "duplicate_line_chars",
    "list_ratio": "too_many_newlines",
}
"""datatrove's reason to ours, where they differ."""
FLOOR = 0.995


def pairs() -> list[tuple[Rule, Any]]:
    from datatrove.pipeline import filters

    return [
        (GopherRepetition(), filters.GopherRepetitionFilter()),
        (GopherQuality(), filters.GopherQualityFilter()),
        (C4Quality(), filters.C4QualityFilter(filter_no_terminal_punct=False)),
        (C4Quality(closed_lines_only=True), filters.C4QualityFilter()),
        (FineWebQuality(), filters.FineWebQualityFilter()),
    ]


def judged_by_datatrove(step: Any, text: str) -> str | None:
    from datatrove.data import Document

    verdict = step.filter(Document(text, "x"))
    return None if verdict is True else REASONS.get(verdict[1], verdict[1])


def assert_agreement(texts: Sequence[str]) -> None:
    measures = measure(list(texts))
    for rule, step in pairs():
        ours = rule.judge_measures(measures).to_pylist()
        theirs = [judged_by_datatrove(step, text) for text in texts]
        different = [(i, a, b) for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
        assert 1 - len(different) / len(texts) >= FLOOR, (step.name, different[:10])
        dropped = sum(reason is not None for reason in theirs)
        missed = sum(b is not None and a is None for _, a, b in different)
        assert missed <= (1 - FLOOR) * dropped, (step.name, different[:10])
        invented = sum(b is None and a is not None for _, a, b in different)
        assert invented <= (1 - FLOOR) * (len(texts) - dropped), (step.name, different[:10])


def news(data: Path) -> list[str]:
    """News articles, and some of them cut into short lines or repeated, so that the rules find something."""
    import json

    gold = json.loads((data / "extraction/article-extraction-benchmark/ground-truth.json").read_text(encoding="utf-8"))
    texts = [page["articleBody"] for page in gold.values() if page["articleBody"]][:60]
    lines = [text.replace(". ", "\n") for text in texts[:20]]
    repeated = [text[:400] * 4 + text[:900] for text in texts[20:40]]
    return texts + lines + repeated


def test_rules_judge_news_articles_as_datatrove_does(data_folder: Path):
    assert_agreement(news(data_folder))


@pytest.mark.slow
def test_rules_judge_wikipedia_articles_as_datatrove_does(data_folder: Path):
    files = sorted(p for p in (data_folder / "text/wikipedia-en").iterdir() if p.is_file())
    assert_agreement([p.read_text(encoding="utf-8") for p in files])


@pytest.mark.slow
def test_rules_judge_extracted_web_pages_as_datatrove_does(data_folder: Path, tmp_path: Path):
    import pyarrow.parquet as pq

    from corpusmill.mill import open_mill
    from corpusmill.recipe import load_recipe

    model = data_folder / "models/lid.176.ftz"
    recipe = load_recipe("english", [f'clean.language.model="{model}"', "clean.rules=[]"])
    archive = str(data_folder / "warc/sample-dev.warc.gz")
    with open_mill(str(tmp_path / "run"), recipe, inputs=[archive], workers=1) as mill:
        mill.run("clean")
    assert_agreement(pq.read_table(tmp_path / "run/documents").column("text").to_pylist())
