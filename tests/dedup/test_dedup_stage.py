"""The dedup stage on the synthetic web: of each planted cluster one stays, nothing else goes, and it says why."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from small_warcs import truth_of

from corpusmill.mill import open_mill
from corpusmill.recipe import load_recipe
from corpusmill.sample import write_sample
from corpusmill.schemas import ADDRESS_STRIDE, CUTS, REMOVED


def read(run: Path, kind: str) -> list[dict[str, Any]]:
    return [r for part in sorted((run / kind).glob("part-*.parquet")) for r in pq.read_table(part).to_pylist()]


def make(run: Path, inputs: list[str], *overrides: str) -> dict[str, Any]:
    with open_mill(str(run), load_recipe("sample", list(overrides)), inputs=inputs, workers=1) as mill:
        mill.run("clean")
        return mill.run("dedup")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two webs of their own, one part each."""
    folder = tmp_path_factory.mktemp("webs")
    for i in range(2):
        write_sample(str(folder / f"web-{i}.warc.gz"), pages=300, seed=3 + i)
    return sorted(folder.glob("*.warc.gz"))


@pytest.fixture(scope="module")
def run(archives: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("dedup") / "run"
    return out, make(out, [str(a) for a in archives])


@pytest.fixture(scope="module")
def clusters(archives: list[Path]) -> dict[str, tuple[int, str]]:
    """Record id to planted cluster."""
    rows = ((i, t) for i, a in enumerate(archives) for t in truth_of(a))
    return {t["warc_record_id"].strip("<>"): (i, t["cluster"]) for i, t in rows if t["cluster"]}


def test_of_each_planted_cluster_one_document_is_left_but_for_what_lsh_may_miss(run, clusters):
    """Planted copies have a similarity of 0.8 and more, at which 14 bands of 8 find 92% and more."""
    out, _ = run
    gone = {r["id"] for r in read(out, "removed")}
    planted = defaultdict(list)
    for row in read(out, "documents"):
        if row["id"] in clusters:
            planted[clusters[row["id"]]].append(row["id"])
    left = {name: [i for i in ids if i not in gone] for name, ids in planted.items()}
    copied = [name for name, ids in planted.items() if len(ids) > 1]
    assert len(copied) > 20
    assert all(left.values())
    assert sum(len(left[name]) > 1 for name in copied) <= len(copied) // 20


def test_nothing_goes_but_for_a_document_of_its_own_cluster(run, clusters):
    for row in read(run[0], "removed"):
        assert row["id"] in clusters, row["url"]
        assert clusters[row["id"]] == clusters[row["representative_id"]]
        assert row["why"] in ("exact_duplicate", "near_duplicate")
        assert row["similarity"] == 1.0 if row["why"] == "exact_duplicate" else row["similarity"] >= 0.65


def test_the_longest_stays_and_addresses_lead_to_the_rows(run):
    out, _ = run
    parts = {p: pq.read_table(out / "documents" / f"part-{p:05d}.parquet").to_pylist() for p in (0, 1)}

    def at(address: int) -> dict[str, Any]:
        return parts[address // ADDRESS_STRIDE][address % ADDRESS_STRIDE]

    for row in read(out, "removed"):
        gone, stays = at(row["address"]), at(row["representative"])
        assert (gone["id"], gone["url"], stays["id"]) == (row["id"], row["url"], row["representative_id"])
        sizes = [len(d["text"].encode()) for d in (stays, gone)]
        assert (-sizes[0], stays["id"]) < (-sizes[1], gone["id"])
        assert row["text_bytes"] == sizes[1]
        assert row["cluster"] <= min(row["address"], row["representative"])


def test_the_totals_add_up_and_each_part_has_its_files(run):
    out, totals = run
    removed, documents = read(out, "removed"), read(out, "documents")
    assert totals["documents"] == len(documents) == totals["survivors"] + len(removed)
    assert totals["removed"] == Counter(r["why"] for r in removed)
    assert totals["removed_bytes"].keys() == {"exact_duplicate", "near_duplicate"}
    assert sum(totals["removed_bytes"].values()) == sum(r["text_bytes"] for r in removed)
    assert not (out / "dedup/work").exists()
    assert totals["clusters"] == len({r["cluster"] for r in removed})
    for kind, schema in (("removed", REMOVED), ("cuts", CUTS)):
        assert [p.name for p in sorted((out / kind).iterdir())] == ["part-00000.parquet", "part-00001.parquet"]
        assert pq.read_schema(out / kind / "part-00001.parquet").equals(schema)
    assert {r["address"] // ADDRESS_STRIDE for r in pq.read_table(out / "removed/part-00001.parquet").to_pylist()} <= {
        1
    }


def test_a_second_copy_of_an_archive_is_removed_whole(archives: list[Path], tmp_path: Path):
    first = tmp_path / "a.warc.gz"
    first.write_bytes(archives[0].read_bytes())
    (tmp_path / "b.warc.gz").write_bytes(archives[0].read_bytes())
    alone = make(tmp_path / "alone", [str(first)])
    both = make(tmp_path / "both", [str(tmp_path / "*.warc.gz")])
    assert both["survivors"] == alone["survivors"]
    assert both["documents"] == 2 * alone["documents"]


def test_verification_decides_what_a_shared_band_may_remove(archives: list[Path], tmp_path: Path):
    strict = make(tmp_path / "run", [str(archives[0])], "dedup.verify=1.0")
    assert {r["similarity"] for r in read(tmp_path / "run", "removed")} == {1.0}
    loose = make(tmp_path / "loose", [str(archives[0])], "dedup.verify=0.0", "dedup.rows=2", "dedup.bands=40")
    assert sum(loose["removed"].values()) > sum(strict["removed"].values()) > 0
