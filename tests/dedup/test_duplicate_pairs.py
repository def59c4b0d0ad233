"""From bands and digests to removed rows, against a slow reading: whatever the documents, of each cluster one stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from corpora import Doc, dedup, slow_removed, write_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.engines.local_engine import LocalEngine
from corpusmill.recipe import Dedup

NUMBERS = st.integers(0, 2)


@st.composite
def corpora(draw: st.DrawFn) -> list[Doc]:
    places = st.integers(0, 40).map(lambda n: n % 20 + (n // 20 << 32))
    addresses = draw(st.lists(places, max_size=14, unique=True))
    return [
        Doc(
            address,
            id=f"id-{draw(st.integers(0, 6))}",  # ids may recur: the same archive given twice
            preference=draw(st.sampled_from("abc")),
            signature=draw(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS)),
            digest=draw(st.none() | st.integers(0, 5)),
            url=draw(st.none() | st.integers(0, 5)),
        )
        for address in addresses
    ]


def alike(docs: list[Doc]) -> list[Doc]:
    """Texts of one digest have one signature."""
    first: dict[int, Doc] = {}
    made = []
    for doc in docs:
        twin = first.setdefault(doc.digest, doc) if doc.digest is not None else doc
        made.append(Doc(doc.address, doc.id, doc.preference, twin.signature, doc.digest, doc.url))
    return made


def facts(rows: list[dict[str, Any]]) -> dict[int, tuple[int, int, str, int]]:
    return {r["address"]: (r["representative"], r["cluster"], r["why"], r["matched"]) for r in rows}


@settings(max_examples=30, deadline=None)
@given(corpora().map(alike), st.booleans(), st.integers(1, 3), st.sampled_from([0, 10**6]))
def test_what_is_removed_is_what_a_slow_reading_removes(
    tmp_path_factory: pytest.TempPathFactory, docs: list[Doc], urls: bool, leaders: int, in_memory: int
):
    folder = tmp_path_factory.mktemp("corpus")
    chosen = Dedup(urls=urls, leaders=leaders, verify=0.75, max_edges_in_memory=max(in_memory, 1))
    rows = dedup(LocalEngine(1), folder, write_corpus(folder, docs), chosen)
    assert facts(rows) == slow_removed(docs, chosen)
    assert [r["address"] for r in rows] == sorted(r["address"] for r in rows)
    ids = {d.address: d.id for d in docs}
    assert all(r["representative_id"] == ids[r["representative"]] for r in rows)
    assert all((r["matched_id"], r["id"]) == (ids[r["matched"]], ids[r["address"]]) for r in rows)


def test_a_bucket_whose_root_is_a_stranger_still_finds_its_pairs(tmp_path: Path):
    """1 shares a band with both others by chance; they are alike, and it is like neither."""
    docs = [Doc(1, "a", "a", (1, 1, 0, 0)), Doc(2, "b", "b", (1, 1, 2, 1)), Doc(3, "c", "c", (1, 1, 2, 2))]
    one = dedup(LocalEngine(1), tmp_path, write_corpus(tmp_path, docs), Dedup(verify=0.75, leaders=1))
    more = dedup(LocalEngine(1), tmp_path, write_corpus(tmp_path, docs), Dedup(verify=0.75))
    assert one == []
    assert facts(more) == {3: (2, 2, "near_duplicate", 2)}


def test_a_long_chain_is_one_cluster_in_memory_and_by_statements(tmp_path: Path):
    """Each is like the next in one band only: the path from end to end has 40 steps."""
    docs = [Doc(n, f"{n:03d}", f"{99 - n:03d}", (n // 2, 3, (n + 1) // 2 + 50, 3)) for n in range(40)]
    for limit in (1, 10**6):
        chosen = Dedup(verify=0.5, max_edges_in_memory=limit)
        rows = dedup(LocalEngine(1), tmp_path, write_corpus(tmp_path, docs), chosen)
        assert {r["representative"] for r in rows} == {39}
        assert {r["cluster"] for r in rows} == {0}
        assert len(rows) == 39


def test_a_bucket_of_5000_equal_documents_costs_5000_rows(tmp_path: Path):
    docs = [Doc(n, f"{n:04d}", f"{n:04d}", (1, 2, 3, 4), digest=7) for n in range(5000)]
    rows = dedup(LocalEngine(1), tmp_path, write_corpus(tmp_path, docs), Dedup())
    assert {r["representative"] for r in rows} == {0}
    assert {r["why"] for r in rows} == {"exact_duplicate"}
    assert len(rows) == 4999
