"""The report's section on duplicates shows what the run counted, what the estimate says, and earlier crawls by name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from test_corpus_report import Page, build, tiny_pages, write_warc

from corpusmill.dedup.minhash_signatures import collision_probability
from corpusmill.dedup.quality_estimate import QUALITY, estimate_quality
from corpusmill.mill import stored_recipe
from corpusmill.schemas import CRAWL_STRIDE, REMOVED
from corpusmill.storage import Folder
from corpusmill.studio import duplicate_facts
from corpusmill.studio.corpus_report import write_report
from corpusmill.studio.duplicate_charts import cluster_sizes, collision_curve
from corpusmill.studio.tallies import Bins


@pytest.fixture
def run(tmp_path: Path) -> Folder:
    write_warc(tmp_path / "tiny.warc.gz", tiny_pages())
    return build(tmp_path / "run", tmp_path / "tiny.warc.gz", ("clean", "dedup"))


def page_of(run: Folder) -> Page:
    write_report(run)
    return Page(run.read_bytes("report.html").decode())


def test_counts_and_bytes_stand_by_their_reason(run: Folder):
    counts = run.read_json("dedup/manifest.json")["counts"]
    text = page_of(run).text
    assert counts["removed"]
    for why, count in counts["removed"].items():
        assert f"{duplicate_facts.WHYS[why]} {why} {count} " in text
    assert "How right is it?" in text


def test_the_estimate_is_shown_with_its_intervals_where_it_was_made(run: Folder):
    parts = run.read_json("dedup/manifest.json")["parts"]
    quality = estimate_quality(run, parts, stored_recipe(run).dedup)
    run.write_json(QUALITY, quality)
    page = page_of(run)
    assert page.open == []
    for words in ("How right is it?", "Was it right to remove them?", "Were they all found?", "all runs of 5 words"):
        assert words in page.text
    for row in quality["precision"]["thresholds"] + quality["recall"]["thresholds"]:
        told = (
            "– nothing to tell"
            if row["share"] is None
            else (f"{100 * row['share']:.1f}% {100 * row['low']:.1f}% and {100 * row['high']:.1f}%")
        )
        assert f"{row['pairs']} {told}" in page.text
    assert sum(b["pairs"] > 0 for b in quality["recall"]["bins"]) == len(page.named("circle"))


def test_documents_of_earlier_crawls_are_named_without_a_text(run: Folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(run.url) / "removed/part-00000.parquet"
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        row["matched"] += CRAWL_STRIDE
        row["representative"] += CRAWL_STRIDE
        row |= {"matched_crawl": "CC<2024>", "representative_crawl": "CC<2024>", "matched_url": "http://before/<b>"}
    pq.write_table(pa.Table.from_pylist(rows, REMOVED), path)
    manifest = run.read_json("dedup/manifest.json")
    manifest["outputs"]["removed/part-00000.parquet"]["bytes"] = path.stat().st_size
    run.write_json("dedup/manifest.json", manifest)
    text = page_of(run).text
    assert f"CC<2024> {len(rows)} 100.0%" in text
    assert "as http://before/<b> in CC<2024>" in text
    assert "Stays: a document of crawl CC<2024>" in text
    assert "The least similar pair" not in text


def test_the_curve_goes_through_its_formula_and_says_so_in_words():
    bins = Bins(np.array([0.65, 0.8, 1.0]))
    bins.add(np.array([0.7, 0.9, 0.9]))
    drawn = collision_curve(14, 8, 0.65, bins)
    points = re.search('points="([^"]+)"', drawn)
    assert points is not None
    heights = [float(p.split(",")[1]) for p in points[1].split()]
    floor, top = heights[0], heights[-1]
    shares = [(floor - h) / (floor - top) for h in heights]
    expected = [collision_probability(0.3 + 0.7 * i / 120, 14, 8) for i in range(121)]
    assert shares == pytest.approx(expected, abs=0.002)
    assert "1 between 0.65 and 0.8, 2 between 0.8 and 1" in drawn
    assert "92% at 0.8" not in drawn
    assert "36% at 0.65" in drawn
    assert drawn.count('class="bar lost"') == 2


def test_clusters_by_size_have_a_column_each_and_their_number_on_it():
    drawn = cluster_sizes([("2", 1500), ("3", 0), ("4", 1)])
    assert drawn.count("<rect") == 3
    assert ">1.5k<" in drawn
    assert "1,500 of 2, 1 of 4" in drawn


def test_verification_turned_off_is_drawn_too():
    bins = Bins(np.array([0.0, 0.5, 1.0]))
    assert 'class="bar lost"' not in collision_curve(1, 1, 0.0, bins)
