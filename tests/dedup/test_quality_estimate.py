"""The estimate says what a comparison of everything with everything would, and finds planted mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from near_runs import edited, prose, text_run

from corpusmill.dedup import quality_estimate
from corpusmill.dedup.agreements import agreeing
from corpusmill.dedup.quality_estimate import estimate_quality
from corpusmill.dedup.signing import minhash_of
from corpusmill.recipe import Dedup
from corpusmill.schemas import CRAWL_STRIDE, REMOVED
from corpusmill.storage import Folder

TEXTS = {f"base{i}": prose(300, i) for i in range(30)}
NEAR = {f"near{i}": edited(TEXTS[f"base{i}"], 1 + i // 2, i) for i in range(24)}
COPIES = {f"copy{i}": TEXTS[f"base{i}"].upper() for i in range(5)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return text_run(tmp_path_factory.mktemp("quality"), [TEXTS, NEAR | COPIES])


@given(st.integers(0, 5), st.integers(0, 5), st.sampled_from([1, 3, 9, 128, 130, 300]), st.floats(0, 1), st.integers())
def test_pairs_agree_in_as_many_places_as_numpy_counts(left: int, right: int, hashes: int, share: float, seed: int):
    chance = np.random.default_rng(abs(seed))
    values = np.array([0, 1, 256, 257], np.uint32)  # some have lowest bytes that agree where they do not
    a, b = (values[chance.integers(0, 4, (n, hashes))] for n in (left, right))
    least = round(share * hashes)
    expected = [(i, j) for i in range(left) for j in range(right) if (a[i] == b[j]).sum() >= least]
    assert list(zip(*(x.tolist() for x in agreeing(a, b, least)), strict=True)) == expected


def test_recall_of_a_small_run_is_that_of_all_pairs_but_exact_copies(run: Folder):
    """Everything is sampled, so the counts are exact: each near pair once, copies of its base as pairs of their own."""
    minhash = minhash_of(Dedup())
    every = {**TEXTS, **NEAR, **COPIES}
    names = sorted(every)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if every[a].lower() != every[b].lower()]
    true = minhash.true_jaccard([every[a] for a, _ in pairs], [every[b] for _, b in pairs])
    rows = [r for p in (0, 1) for r in pq.read_table(f"{run.url}/removed/part-{p:05d}.parquet").to_pylist()]
    cluster = {r["id"]: r["cluster"] for r in rows} | {r["representative_id"]: r["cluster"] for r in rows}
    recall = estimate_quality(run, [0, 1], Dedup())["recall"]
    assert recall["sampled_documents"] == recall["compared_documents"] == len(every)
    for row in recall["thresholds"]:
        alike = [pair for pair, s in zip(pairs, true, strict=True) if s >= row["at_least"]]
        together = [1 for a, b in alike if a in cluster and cluster[a] == cluster.get(b)]
        assert (row["pairs"], row["together"]) == (len(alike), len(together))
        assert row["low"] <= row["share"] <= row["high"]
    assert sum(b["pairs"] for b in recall["bins"]) == recall["thresholds"][0]["pairs"] > 20


def test_precision_counts_removed_rows_by_the_true_similarity_with_their_neighbour(run: Folder):
    rows = [r for p in (0, 1) for r in pq.read_table(f"{run.url}/removed/part-{p:05d}.parquet").to_pylist()]
    near = [r for r in rows if r["why"] == "near_duplicate"]
    every = {**TEXTS, **NEAR, **COPIES}
    true = minhash_of(Dedup()).true_jaccard([every[r["id"]] for r in near], [every[r["matched_id"]] for r in near])
    precision = estimate_quality(run, [0, 1], Dedup())["precision"]
    assert precision["near_duplicates"] == precision["sampled"] == len(near)
    assert [t["pairs"] for t in precision["thresholds"]] == [int((true >= b).sum()) for b in (0.65, 0.55)]


def test_planted_mistakes_are_seen(tmp_path: Path):
    """Strangers removed by hand lower precision; pairs left by hand lower recall."""
    run = text_run(tmp_path, [TEXTS | NEAR])
    path = f"{run.url}/removed/part-00000.parquet"
    rows = pq.read_table(path).to_pylist()
    before = estimate_quality(run, [0], Dedup())
    strangers = [{**rows[0], "address": i, "matched": i + 1, "cluster": i, "representative": i + 1} for i in (25, 27)]
    pq.write_table(pa.Table.from_pylist(sorted(rows[:10] + strangers, key=lambda r: r["address"]), REMOVED), path)
    after = estimate_quality(run, [0], Dedup())
    assert before["precision"]["thresholds"][1]["share"] == 1.0
    assert after["precision"]["thresholds"][1]["pairs"] == 10
    assert after["precision"]["sampled"] == 12
    assert after["recall"]["thresholds"][0]["together"] == 10 < before["recall"]["thresholds"][0]["together"]


def test_the_answer_is_the_seeds_and_not_the_order_of_parts(run: Folder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quality_estimate, "SAMPLED_REMOVED", 8)
    monkeypatch.setattr(quality_estimate, "SAMPLED_DOCUMENTS", 9)
    monkeypatch.setattr(quality_estimate, "COMPARISONS", 0)
    one = estimate_quality(run, [0, 1], Dedup(), seed=3)
    assert one == estimate_quality(run, [1, 0], Dedup(), seed=3)
    assert one["precision"]["sampled"] == 8
    assert one["recall"]["sampled_documents"] == 9
    assert one != estimate_quality(run, [0, 1], Dedup(), seed=4)


def test_matches_in_earlier_crawls_are_counted_and_not_read(tmp_path: Path):
    run = text_run(tmp_path, [TEXTS | NEAR])
    path = f"{run.url}/removed/part-00000.parquet"
    rows = pq.read_table(path).to_pylist()
    for row in rows[:3]:
        row["matched"] += CRAWL_STRIDE
    pq.write_table(pa.Table.from_pylist(rows, REMOVED), path)
    precision = estimate_quality(run, [0], Dedup())["precision"]
    assert precision["matched_in_earlier_crawls"] == 3
    assert precision["sampled"] == len(rows) - 3


def test_a_run_without_any_duplicate_has_an_estimate_that_says_nothing(tmp_path: Path):
    run = text_run(tmp_path, [{"one": "a single page", "none": "..."}, {}])
    found = estimate_quality(run, [0, 1], Dedup())
    assert found["precision"]["thresholds"][0]["share"] is None
    assert {t["predicted"] for t in found["recall"]["thresholds"]} == {None}
