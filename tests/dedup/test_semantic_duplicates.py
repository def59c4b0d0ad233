"""Which documents are semantic duplicates, of which, and that nothing but ids, embeddings and settings decides it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from semantic_runs import address_of, directions, write_documents, write_embeddings
from test_semantic_kmeans import planted_pairs

from corpusmill.dedup.semantic_duplicates import find_semantic_duplicates, semantic_removed
from corpusmill.dedup.unit_vectors import fine
from corpusmill.errors import InputError
from corpusmill.recipe import Semantic, load_recipe
from corpusmill.schemas import REMOVED

NONE_GONE = np.zeros(0, np.int64)


def remove(tmp_path: Path, degrees: dict[str, float], survivor: str = "longest", **settings: Any) -> pa.Table:
    """Documents on a circle, by id; one cluster unless said otherwise."""
    run = write_documents(tmp_path / "run", [[{"id": name, "text": "x" * len(name)} for name in degrees]])
    write_embeddings(tmp_path / "e.parquet", list(degrees), directions(*degrees.values()))
    chosen = Semantic(embeddings=str(tmp_path / "e.parquet"), **{"clusters": 1} | settings)
    return semantic_removed(run, [0], chosen, NONE_GONE, survivor)


def matches(removed: pa.Table) -> dict[str, str]:
    """Removed id to the id of its representative."""
    return dict(zip(removed.column("id").to_pylist(), removed.column("representative_id").to_pylist(), strict=True))


def test_of_two_near_directions_one_goes_and_the_row_says_why(tmp_path: Path):
    removed = remove(tmp_path, {"a": 0.0, "b": 10.0, "far": 90.0}, keep="easy")
    assert removed.schema.equals(REMOVED, check_metadata=True)
    assert removed.to_pylist() == [
        {
            "address": 0,
            "id": "a",
            "url": "https://a/",
            "why": "semantic_duplicate",
            "cluster": 0,
            "representative": 1,
            "representative_id": "b",
            "similarity": pytest.approx(math.cos(math.radians(10)), abs=1e-6),
            "matched": 1,
            "text_bytes": 1,
            "matched_id": "b",
            "matched_url": "https://b/",
            "matched_crawl": None,
            "representative_crawl": None,
        }
    ]


@pytest.mark.parametrize(("keep", "stays"), [("hard", "a"), ("easy", "b"), ("survivor", "cc")])
def test_what_is_kept_is_the_farthest_from_the_centroid_or_the_nearest_or_the_survivor(tmp_path, keep, stays):
    """The centroid is at about 13 degrees: a is farthest from it, b nearest, and cc has the longest text."""
    removed = remove(tmp_path, {"a": 0.0, "b": 12.0, "cc": 15.0}, keep=keep, threshold=math.cos(math.radians(20)))
    assert set(matches(removed).values()) == {stays}
    assert len(removed) == 2


@pytest.mark.parametrize(("survivor", "stays"), [("longest", "b"), ("earliest", "c"), ("latest", "a")])
def test_the_survivor_policies_and_ties_by_id(tmp_path: Path, survivor: str, stays: str):
    rows = [("a", 1, 30), ("b", 2, 20), ("c", 2, 10), ("d", 2, 10)]
    run = write_documents(tmp_path / "run", [[{"id": i, "text": "é" * n, "fetched_at": t} for i, n, t in rows[::-1]]])
    write_embeddings(tmp_path / "e.parquet", list("abcd"), directions(0, 1, 2, 3))
    settings = Semantic(embeddings=str(tmp_path / "e.parquet"), clusters=1, keep="survivor")
    removed = semantic_removed(run, [0], settings, NONE_GONE, survivor)
    assert set(matches(removed).values()) == {stays}
    assert removed.column("address").to_pylist() == sorted(removed.column("address").to_pylist())
    with pytest.raises(InputError, match="longest, earliest and latest; found 'best'"):
        semantic_removed(run, [0], settings, NONE_GONE, "best")


def test_a_chain_is_cut_as_in_the_paper_and_each_group_is_a_tree_with_one_survivor(tmp_path: Path):
    """In the order x, far, mid: mid goes for far, its most similar; x and far, 18 degrees apart, both stay."""
    degrees = {"mid": 10.0, "far-": 18.0, "longest": 0.0}
    removed = remove(tmp_path, degrees, keep="survivor", threshold=math.cos(math.radians(12)))
    assert matches(removed) == {"mid": "far-"}
    wider = remove(tmp_path / "2", degrees, keep="survivor", threshold=math.cos(math.radians(19)))
    assert matches(wider) == {"mid": "longest", "far-": "longest"}
    assert dict(zip(wider.column("id").to_pylist(), wider.column("matched").to_pylist(), strict=True)) == {
        "mid": 1,  # itself removed
        "far-": 2,
    }
    assert set(wider.column("cluster").to_pylist()) == {0}


def test_documents_that_are_gone_take_no_part(tmp_path: Path):
    run = write_documents(tmp_path / "run", [[{"id": i} for i in "ab"], [{"id": i} for i in "cd"]])
    write_embeddings(tmp_path / "e.parquet", list("abd"), directions(0, 1, 2))  # c needs none
    settings = Semantic(embeddings=str(tmp_path / "e.parquet"))
    gone = np.array([address_of(1, 0), address_of(0, 0)])
    found = find_semantic_duplicates(run, [1, 0], settings, gone, "longest")
    assert len(found.removed) == 1
    assert {*found.removed.column("id").to_pylist(), *matches(found.removed).values()} == {"b", "d"}
    assert (found.counts["usable"], found.counts["unasked"], found.counts["clusters"]) == (2, 1, 1)


def test_two_documents_of_one_id_share_its_embedding_and_one_of_them_goes(tmp_path: Path):
    run = write_documents(tmp_path / "run", [[{"id": "b"}, {"id": "same"}], [{"id": "same"}]])
    write_embeddings(tmp_path / "e.parquet", ["same", "b"], directions(0, 90))
    removed = semantic_removed(run, [0, 1], Semantic(embeddings=str(tmp_path / "e.parquet")), NONE_GONE, "longest")
    assert removed.column("address").to_pylist() == [address_of(1, 0)]
    assert removed.column("representative").to_pylist() == [1]


def test_a_run_without_documents_or_without_any_that_are_left_removes_nothing(tmp_path: Path):
    run = write_documents(tmp_path / "run", [[], [{"id": "a"}]])
    write_embeddings(tmp_path / "e.parquet", ["a"], directions(0))
    settings = Semantic(embeddings=str(tmp_path / "e.parquet"))
    assert semantic_removed(run, [0], settings, NONE_GONE, "longest").equals(REMOVED.empty_table())
    assert len(semantic_removed(run, [1], settings, np.array([address_of(1, 0)]), "longest")) == 0
    assert len(semantic_removed(run, [0, 1], settings, NONE_GONE, "longest")) == 0


def brute_force(vectors: dict[str, np.ndarray], threshold: float) -> set[str]:
    """One cluster, ids in order of preference: whatever has an earlier one above the threshold goes."""
    names = sorted(vectors)
    units = fine(np.array([vectors[n] for n in names], np.float32))
    cosines = np.tril(units @ units.T, -1)
    return {n for n, row in zip(names, cosines, strict=True) if row.max() > threshold}


def planted(tmp_path: Path, parts: int, files: int, seed: int, cosine: float = 0.97) -> tuple[Any, dict[str, Any]]:
    """600 documents, every second a near copy of another, dealt to parts and to files in an order of their own."""
    units = planted_pairs(300, 16, cosine, topics=12)
    names = [f"doc-{i:04d}" for i in range(len(units))]
    order, other = (np.random.default_rng(s).permutation(len(units)) for s in (seed, seed + 1000))
    run = write_documents(tmp_path / "run", [[{"id": names[i]} for i in order[p::parts]] for p in range(parts)])
    for f in range(files):
        mine = other[f::files]
        write_embeddings(tmp_path / f"emb/{f}.parquet", [names[i] for i in mine], units[mine])
    return run, dict(zip(names, units, strict=True))


@pytest.mark.parametrize("threshold", [0.5, 0.9, 0.96])
def test_in_one_cluster_the_removed_are_those_of_brute_force(tmp_path: Path, threshold: float):
    run, vectors = planted(tmp_path, parts=3, files=2, seed=1)
    settings = Semantic(
        embeddings=str(tmp_path / "emb"), clusters=1, keep="survivor", threshold=threshold
    )  # texts are empty, so ids decide
    removed = semantic_removed(run, range(3), settings, NONE_GONE, "longest")
    expected = brute_force(vectors, threshold)
    assert set(removed.column("id").to_pylist()) == expected
    assert len(expected) > 200
    assert not set(matches(removed).values()) & expected
    assert min(removed.column("similarity").to_pylist()) > threshold


@pytest.mark.parametrize("keep", ["hard", "easy", "survivor"])
def test_the_order_of_parts_files_and_rows_does_not_show(tmp_path: Path, keep: str):
    answers = []
    for i, (parts, files) in enumerate([(1, 1), (2, 5), (7, 3)]):
        run, _ = planted(tmp_path / str(i), parts, files, seed=i)
        settings = Semantic(embeddings=str(tmp_path / f"{i}/emb/*.parquet"), clusters=9, keep=keep, threshold=0.9)
        removed = semantic_removed(run, [*range(parts)][::-1], settings, NONE_GONE, "longest")
        rows = zip(*(removed.column(n).to_pylist() for n in ("id", "representative_id", "similarity")), strict=True)
        answers.append(sorted(rows))
        assert removed.column("address").to_pylist() == sorted(removed.column("address").to_pylist())
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]) > 200


def test_with_several_clusters_most_planted_pairs_are_found_and_nothing_below_the_threshold(tmp_path: Path):
    run, vectors = planted(tmp_path, parts=2, files=2, seed=5)
    settings = Semantic(embeddings=str(tmp_path / "emb"), clusters=6, threshold=0.95)
    removed = semantic_removed(run, [0, 1], settings, NONE_GONE, "longest")
    assert len(removed) >= 0.85 * len(brute_force(vectors, 0.95))
    ids = [f"doc-{i:04d}" for i in range(600)]
    for row in removed.to_pylist():
        assert vectors[row["id"]] @ vectors[row["representative_id"]] > 0.9
        assert row["id"] in ids


def test_the_recipe_takes_the_section_and_names_what_is_wrong():
    settings = load_recipe("english", ["dedup.semantic.embeddings=e/*.parquet"]).dedup.semantic
    assert settings == Semantic(embeddings="e/*.parquet")
    assert load_recipe("english").dedup.semantic is None
    with pytest.raises(InputError, match=r"dedup\.semantic\.threshold: found 1\.0"):
        load_recipe("english", ["dedup.semantic.embeddings=e", "dedup.semantic.threshold=1.0"])
