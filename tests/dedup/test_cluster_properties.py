"""Clusters and candidate pairs against brute force: whatever the graph, of each component exactly one is left."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dedup import MinHash
from corpusmill.dedup.clusters import Members, Pairs, removed_rows, similarities
from corpusmill.dedup.dedup_job import BANDS
from corpusmill.engines import Dataset
from corpusmill.engines.local_engine import LocalEngine
from corpusmill.storage import Folder

SQL = (resources.files("corpusmill.dedup") / "edges.sql").read_text()


def edges_of(folder: Folder, rows: list[tuple[int, int, int]]) -> pa.Table:
    """The answer of edges.sql to (band, key, address) rows, spread over two files."""
    names = []
    for i, share in enumerate((rows[::2], rows[1::2])):
        band, key, address = zip(*share, strict=True) if share else ((), (), ())
        table = pa.table([pa.array(c, f.type) for c, f in zip((band, key, address), BANDS, strict=True)], schema=BANDS)
        names.append(f"bands-{i}.parquet")
        pq.write_table(table, folder.at(names[-1]))
    return LocalEngine(1).query(SQL, {"bands": Dataset(folder, tuple(names), BANDS)})


def pairs_of(*pairs: tuple[int, int], similarity: float = 1.0) -> Pairs:
    root, address = (np.array([p[i] for p in pairs], np.int64) for i in (0, 1))
    return Pairs(root, address, np.full(len(pairs), similarity))


def members_of(
    addresses: list[int], *, sizes: dict[int, int] | None = None, ids: dict[int, str] | None = None
) -> Members:
    count = len(addresses)
    names = np.array([(ids or {}).get(a, f"id-{a:06d}") for a in addresses], object)
    return Members(
        address=np.array(addresses, np.int64),
        id=names,
        url=names,
        text_bytes=np.array([(sizes or {}).get(a, 10) for a in addresses], np.int64),
        fetched_at=np.zeros(count, np.int64),
        signature=np.zeros((count, 4), np.uint32),
    )


def components_of(nodes: list[int], pairs: list[tuple[int, int]]) -> list[set[int]]:
    """Slow and obvious: merge sets until nothing changes."""
    found = [{n} for n in nodes]
    for left, right in pairs:
        one, other = (next(c for c in found if n in c) for n in (left, right))
        if one is not other:
            found.remove(other)
            one |= other
    return [c for c in found if len(c) > 1]


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(-3, 3), st.integers(0, 2).map(lambda p: p * 2**32) | st.integers(0, 9)
        ),
        max_size=40,
    )
)
def test_edges_are_those_of_brute_force(rows: list[tuple[int, int, int]], tmp_path_factory: pytest.TempPathFactory):
    buckets: dict[tuple[int, int], set[int]] = {}
    for band, key, address in rows:
        buckets.setdefault((band, key), set()).add(address)
    stars = {(min(b), other) for b in buckets.values() for other in b if other != min(b)}
    found = edges_of(Folder(str(tmp_path_factory.getbasetemp())), sorted(set(rows)))
    assert list(zip(found["root"].to_pylist(), found["address"].to_pylist(), strict=True)) == sorted(stars)


@settings(max_examples=200, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)).filter(lambda p: p[0] < p[1]), unique=True),
    sizes=st.lists(st.integers(1, 3), min_size=15, max_size=15),
    ids=st.permutations(range(15)),
)
def test_of_each_component_exactly_the_best_is_left(pairs: list[tuple[int, int]], sizes: list[int], ids: list[int]):
    nodes = sorted({n for p in pairs for n in p})
    names = {n: f"id-{ids[n]:02d}" for n in nodes}
    members = members_of(nodes, sizes=dict(enumerate(sizes)), ids=names)
    removed = removed_rows(pairs_of(*pairs), members, "longest").to_pylist()
    expected = {}
    for component in components_of(nodes, pairs):
        stays = min(component, key=lambda n: (-sizes[n], names[n]))
        expected |= {n: (stays, min(component)) for n in component if n != stays}
    assert {r["address"]: (r["representative"], r["cluster"]) for r in removed} == expected
    assert [r["address"] for r in removed] == sorted(expected)
    neighbours = {frozenset(p) for p in pairs}
    assert all(frozenset((r["address"], r["matched"])) in neighbours for r in removed)
    assert all(r["representative_id"] == names[r["representative"]] for r in removed)


def test_who_survives_does_not_move_with_the_addresses():
    names = {1: "b", 2: "a", 3: "c"}
    forward = removed_rows(pairs_of((1, 2), (1, 3)), members_of([1, 2, 3], ids=names), "longest")
    moved = {7 - n: name for n, name in names.items()}
    backward = removed_rows(pairs_of((4, 5), (4, 6)), members_of([4, 5, 6], ids=moved), "longest")
    for found in (forward, backward):
        assert set(found["representative_id"].to_pylist()) == {"a"}


def test_a_bucket_of_5000_equal_documents_leaves_one(tmp_path):
    minhash = MinHash()
    signatures = minhash.sign(["the same words on every one of these pages, again and again"] * 5000)
    keys = minhash.band(signatures)
    rows = [(b, int(keys[a, b]), a) for a in range(5000) for b in range(minhash.bands)]
    edges = edges_of(Folder(str(tmp_path)), rows)
    assert edges.num_rows == 4999
    members = members_of(list(range(5000)))._replace(signature=signatures)
    pairs = similarities(edges, members)
    assert set(pairs.similarity) == {1.0}
    removed = removed_rows(pairs.at_least(0.65), members, "longest")
    assert removed["address"].to_pylist() == list(range(1, 5000))
    assert set(removed["representative"].to_pylist()) == {0}


def test_similarity_is_the_share_of_equal_minima_over_many_blocks():
    rng = np.random.default_rng(0)
    members = members_of(list(range(300)))._replace(signature=rng.integers(0, 2, (300, 8), np.uint32))
    left, right = rng.integers(0, 300, (2, 70_000))
    edges = pa.table({"root": left, "address": right})
    found = similarities(edges, members).similarity
    slow = [(members.signature[a] == members.signature[b]).sum() / 8 for a, b in zip(left, right, strict=True)]
    assert found.tolist() == slow


def test_texts_without_words_match_nothing():
    minhash = MinHash()
    signatures = minhash.sign(["", "!!! ... ???", "\n\n", "—", "a"])
    assert minhash.has_shingles(signatures).tolist() == [False, False, False, False, True]
    assert (signatures[:4] == 0xFFFFFFFF).all()


def test_words_are_folded_and_punctuation_is_none():
    minhash = MinHash()
    same = ["One, two; THREE four-five ÉTÉ", "one two three four five été", "«One» two\nthree\tfour five été!"]
    signed = minhash.sign(same)
    assert (signed == signed[0]).all()
    assert (minhash.sign(["one two three five four été"]) != signed[0]).any()
