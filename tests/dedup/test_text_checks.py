"""Chosen pairs are compared by their texts before anything is removed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from near_runs import edited, prose, text_run

from corpusmill.dedup.signing import minhash_of
from corpusmill.parquet_parts import ROWS_PER_GROUP
from corpusmill.recipe import Dedup
from corpusmill.storage import Folder

WIDE = {"bands": 28, "rows": 4, "verify": 0.6}
"""Nearly all pairs of similarity 0.6 are candidates."""


@pytest.fixture(scope="module")
def parts() -> list[dict[str, str]]:
    """Pairs about the threshold, base and edit in parts of their own, behind a row group of strangers."""
    bases = {f"base{i}": prose(200, i) for i in range(40)}
    edits = {f"edit{i}": edited(bases[f"base{i}"], 8 + i % 6, i) for i in range(40)}
    strangers = {f"stranger{i}": f"number {i} is alone with itself" for i in range(ROWS_PER_GROUP)}
    return [bases, strangers | edits]


def removed(run: Folder) -> list[dict[str, Any]]:
    files = sorted(Path(run.root).glob("removed/*.parquet"))
    return pa.concat_tables([pq.read_table(f) for f in files]).to_pylist()


def true_similarity(parts: Sequence[dict[str, str]], row: dict[str, Any]) -> float:
    texts = {i: t for part in parts for i, t in part.items()}
    minhash = minhash_of(Dedup(**WIDE))
    return float(minhash.true_jaccard([texts[row["id"]]], [texts[row["matched_id"]]])[0])


def test_all_pairs_are_judged_by_their_texts(parts: list[dict[str, str]], tmp_path: Path):
    plain = removed(text_run(tmp_path / "plain", parts, Dedup(**WIDE)))
    checked = removed(text_run(tmp_path / "checked", parts, Dedup(**WIDE, check={"share": 1.0})))
    assert any(true_similarity(parts, r) < 0.6 for r in plain)
    assert any(r["similarity"] != true_similarity(parts, r) for r in plain)
    assert checked
    for row in checked:
        assert row["similarity"] == true_similarity(parts, row) >= 0.6
    assert {r["id"] for r in checked} == {r["id"] for r in plain if true_similarity(parts, r) >= 0.6}


def test_the_uncertain_ones_alone(parts: list[dict[str, str]], tmp_path: Path):
    plain = {r["id"]: r["similarity"] for r in removed(text_run(tmp_path / "plain", parts, Dedup(**WIDE)))}
    rows = removed(text_run(tmp_path / "checked", parts, Dedup(**WIDE, check={"below": 0.65})))
    sure = {i for i, s in plain.items() if s >= 0.65}
    assert sure < set(plain)
    for row in rows:
        expected = plain[row["id"]] if row["id"] in sure else true_similarity(parts, row)
        assert row["similarity"] == expected
    assert sure <= {r["id"] for r in rows}


def test_a_share_is_drawn_alike_each_time(parts: list[dict[str, str]], tmp_path: Path):
    chosen = Dedup(**WIDE, check={"share": 0.4})
    once, again = (removed(text_run(tmp_path / name, parts, chosen)) for name in "ab")
    by_text = sum(r["similarity"] == true_similarity(parts, r) for r in once)
    assert once == again
    assert 0.15 * len(once) < by_text < 0.7 * len(once)
