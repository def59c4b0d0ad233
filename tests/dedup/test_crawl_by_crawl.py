"""Crawl by crawl against an index, or all at once: the same clusters, and in the end the same documents are left."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl_runs import by_crawls, clusters_of, dedup, rows, write_crawls

from corpusmill.dedup.dedup_index import DedupIndex
from corpusmill.errors import InputError
from corpusmill.schemas import CRAWL_STRIDE
from corpusmill.storage import Folder


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_crawls(tmp_path_factory.mktemp("crawls"))


@pytest.mark.parametrize("policy", ["earliest", "latest", "longest"])
@pytest.mark.parametrize("steps", [2, 3, 10])
def test_crawl_by_crawl_ends_where_all_at_once_does(parts: list[Path], tmp_path: Path, steps: int, policy: str):
    chosen = (f"dedup.survivor={policy}", "dedup.bands=5", "dedup.rows=4", "dedup.verify=0.5")
    dedup(tmp_path / "all", parts, *chosen, f"dedup.index.folder={tmp_path / 'whole'}", "dedup.index.crawl=all")
    runs, index = by_crawls(tmp_path, parts, steps, *chosen)
    whole = {r["id"] for r in rows(tmp_path / "all", "removed")}
    removed = [r["id"] for run in runs for r in rows(run, "removed")]
    superseded = [r["id"] for run in runs for r in rows(run, "superseded")]
    assert clusters_of(index) == clusters_of(tmp_path / "whole")
    assert sorted(removed + superseded) == sorted(whole)
    assert len(whole) > 150


def test_a_match_in_an_earlier_crawl_is_named(parts: list[Path], tmp_path: Path):
    runs, _ = by_crawls(tmp_path, parts, 2)
    ids = [{r["id"] for r in rows(run, "documents")} for run in runs]
    earlier = [r for r in rows(runs[1], "removed") if r["matched_crawl"] is not None]
    assert {r["matched_crawl"] for r in earlier} == {"crawl-0"}
    assert all(r["matched_id"] in ids[0] and r["matched"] >= CRAWL_STRIDE for r in earlier)
    assert all(r["matched_url"].startswith("http://x.example/") for r in earlier)
    own = [r for r in rows(runs[1], "removed") if r["matched_crawl"] is None]
    assert own
    assert all(r["matched_id"] in ids[1] and r["matched"] < CRAWL_STRIDE for r in own)


def test_chosen_crawls_are_compared_and_no_others(parts: list[Path], tmp_path: Path):
    _, index = by_crawls(tmp_path, parts[:8], 2)
    named = (f"dedup.index.folder={index}", "dedup.index.crawl=third")
    dedup(tmp_path / "third", parts[8:], *named, 'dedup.index.earlier=["crawl-0"]')
    assert {r["matched_crawl"] for r in rows(tmp_path / "third", "removed")} == {None, "crawl-0"}
    with pytest.raises(InputError, match=r"no crawl named 'nought'; it has crawl-0, crawl-1"):
        dedup(tmp_path / "fourth", parts[8:], *named, 'dedup.index.earlier=["nought"]')


def test_running_a_crawl_again_changes_nothing(parts: list[Path], tmp_path: Path):
    runs, index = by_crawls(tmp_path, parts[:4], 2)
    before = {p: p.read_bytes() for p in index.rglob("*") if p.is_file()}
    removed = (runs[0] / "removed/part-00000.parquet").read_bytes()
    again = (f"dedup.index.folder={index}", "dedup.index.crawl=crawl-0")
    dedup(runs[0], parts[:2], *again)
    dedup(tmp_path / "elsewhere", parts[2:4], f"dedup.index.folder={index}", "dedup.index.crawl=crawl-1")
    assert {p: p.read_bytes() for p in index.rglob("*") if p.is_file()} == before
    assert (runs[0] / "removed/part-00000.parquet").read_bytes() == removed


def test_an_index_of_other_settings_and_a_crawl_that_others_follow_are_refused(parts: list[Path], tmp_path: Path):
    _, index = by_crawls(tmp_path, parts[:2], 2)
    named = (f"dedup.index.folder={index}", "dedup.index.crawl=next")
    with pytest.raises(InputError, match=r"made with dedup.bands = 14; the recipe says 20"):
        dedup(tmp_path / "other", parts[2:3], *named, "dedup.bands=20")
    with pytest.raises(InputError, match=r"'crawl-0' is in the index already, made of other documents, and 'crawl-1'"):
        dedup(tmp_path / "changed", parts[2:3], f"dedup.index.folder={index}", "dedup.index.crawl=crawl-0")
    assert [c.name for c in DedupIndex(Folder(str(index))).crawls] == ["crawl-0", "crawl-1"]


def test_embeddings_remove_what_the_text_left_and_nothing_twice(parts: list[Path], tmp_path: Path):
    first = tmp_path / "text"
    dedup(first, parts[:1])
    documents, gone = rows(first, "documents"), {r["id"] for r in rows(first, "removed")}
    left = [d["id"] for d in documents if d["id"] not in gone]
    vectors = {d["id"]: [1.0, i * 1.0, i * i * 1.0] for i, d in enumerate(documents)}
    vectors[left[1]] = vectors[left[0]]
    table = pa.table({"id": list(vectors), "embedding": pa.array(list(vectors.values()), pa.list_(pa.float32()))})
    pq.write_table(table, tmp_path / "e.parquet")
    counts = dedup(tmp_path / "both", parts[:1], f"dedup.semantic.embeddings={tmp_path / 'e.parquet'}",
                   "dedup.semantic.threshold=0.999999", "dedup.semantic.keep=survivor")  # fmt: skip
    found = rows(tmp_path / "both", "removed")
    assert {r["id"] for r in found if r["why"] != "semantic_duplicate"} == gone
    semantic = {r["id"]: r["matched_id"] for r in found if r["why"] == "semantic_duplicate"}
    assert (left[0] in semantic) != (left[1] in semantic)
    assert not semantic.keys() & gone
    assert counts["removed"]["semantic_duplicate"] == len(semantic)
    assert [r["address"] for r in found] == sorted(r["address"] for r in found)
