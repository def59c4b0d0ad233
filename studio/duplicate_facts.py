"""What the report says of duplicates: why, how alike, in what clusters, and pairs to compare with one's own eyes.

Memory is 49 bytes for each removed row, and what is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dedup.quality_estimate import QUALITY
from corpusmill.ledger import part_name
from corpusmill.parquet_parts import read_part
from corpusmill.schemas import CRAWL_STRIDE, REMOVED
from corpusmill.storage import Folder
from corpusmill.studio.page_facts import rows_at
from corpusmill.studio.plain_text import label
from corpusmill.studio.tallies import Bins, id_hashes, smallest
from corpusmill.studio.word_diff import Kind, word_diff

LARGEST_CLUSTERS = 5
MEMBERS_SHOWN = 3
EARLIER_SHOWN = 5
WHYS = {
    "exact_duplicate": "The same words",
    "near_duplicate": "Nearly the same words",
    "url_duplicate": "The same address",
    "semantic_duplicate": "Close in meaning",
}
_NEAR = [*WHYS].index("near_duplicate")
_COMPARED_WORDS = 160
_LEAD_WORDS = 12


@dataclass(frozen=True, slots=True)
class Removed:
    """The columns of all removed rows that choices are made by, in order of address."""

    address: np.ndarray
    cluster: np.ndarray
    representative: np.ndarray
    matched: np.ndarray
    similarity: np.ndarray
    hashes: np.ndarray
    why: np.ndarray
    """Place in WHYS."""
    parts: list[int]
    earlier: Counter[str] = field(default_factory=Counter)
    """Rows matched in an earlier crawl, by its name."""
    examples: list[Earlier] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Earlier:
    """A removed document and the document of an earlier crawl that it matched, whose text is not in this run."""

    order: int
    url: str
    why: str
    similarity: float
    matched: str
    crawl: str


@dataclass(frozen=True, slots=True)
class Cluster:
    documents: int
    survivor: str
    title: str
    members: list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Pair:
    """A removed document and the neighbour it was matched with, word by word: runs of (same in both, text)."""

    name: str
    similarity: float
    removed_url: str
    matched_url: str
    removed: list[tuple[bool, str]]
    matched: list[tuple[bool, str]]


@dataclass(frozen=True, slots=True)
class Duplicates:
    similarity: Bins
    """Of near-duplicates, with what they matched."""
    sizes: list[tuple[str, int]]
    largest: list[Cluster]
    pairs: list[Pair]
    earlier: list[tuple[str, int]]
    earlier_examples: list[Earlier]
    quality: dict[str, Any] | None
    """What quality_estimate found, where it was made."""


def read_removed(run: Folder, parts: Iterable[int]) -> Removed:
    numbers = ("address", "cluster", "representative", "matched", "similarity")
    columns: dict[str, list[np.ndarray]] = {name: [] for name in (*numbers, "hashes", "why")}
    parts, earlier, examples = list(parts), Counter[str](), list[Earlier]()
    for part in parts:
        for batch in read_part(run, f"removed/{part_name(part)}.parquet", REMOVED):
            for name in numbers:
                columns[name].append(batch.column(name).to_numpy(zero_copy_only=False))
            columns["hashes"].append(id_hashes(batch.column("id")))
            places = pc.index_in(batch.column("why"), value_set=pa.array(WHYS))
            columns["why"].append(places.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int8))
            there = np.flatnonzero(columns["matched"][-1] >= CRAWL_STRIDE)
            earlier.update(dict(_counted(batch.column("matched_crawl").take(pa.array(there)))))
            few = there[smallest(columns["hashes"][-1][there], EARLIER_SHOWN)]
            found = [_earlier(batch, int(i), int(columns["hashes"][-1][i])) for i in few]
            examples = sorted([*examples, *found], key=lambda e: (e.order, e.url))[:EARLIER_SHOWN]
    kinds = {"similarity": np.float64, "hashes": np.uint64, "why": np.int8}
    whole = {n: np.concatenate([np.zeros(0, kinds.get(n, np.int64)), *v]) for n, v in columns.items()}
    return Removed(**whole, parts=parts, earlier=earlier, examples=examples)


def _counted(names: pa.Array) -> list[tuple[str, int]]:
    return [(label(row["values"] or "?"), row["counts"]) for row in names.value_counts().to_pylist()]


def _earlier(batch: pa.RecordBatch, i: int, order: int) -> Earlier:
    row = batch.slice(i, 1).to_pylist()[0]
    matched = label(row["matched_url"] or row["matched_id"])
    return Earlier(order, label(row["url"]), WHYS[row["why"]], row["similarity"], matched, label(row["matched_crawl"]))


def _survivors_before(run: Folder, removed: Removed, wanted: set[int]) -> dict[int, tuple[str, str]]:
    """(id, crawl) of those of the addresses that are of earlier crawls."""
    before = {address for address in wanted if address >= CRAWL_STRIDE}
    columns = ("representative", "representative_id", "representative_crawl")
    found: dict[int, tuple[str, str]] = {}
    for part in removed.parts if before else ():
        for batch in read_part(run, f"removed/{part_name(part)}.parquet", REMOVED, columns):
            here = pc.is_in(batch.column("representative"), pa.array(sorted(before - found.keys()), pa.int64()))
            for row in batch.filter(here).to_pylist():
                found[row["representative"]] = label(row["representative_id"]), label(row["representative_crawl"])
    return found


def describe(run: Folder, removed: Removed, verify: float) -> Duplicates:
    """All that is shown. `verify` is the least similarity at which a near pair counted as duplicates."""
    similarity = Bins(_similarity_edges(verify))
    similarity.add(np.clip(removed.similarity[removed.why == _NEAR], verify, 1.0))
    clusters, gone = np.unique(removed.cluster, return_counts=True)
    largest = [int(clusters[i]) for i in np.lexsort((clusters, -gone))[:LARGEST_CLUSTERS]]
    members = {c: _members(removed, c) for c in largest}
    chosen = _telling_pairs(removed)
    rows = rows_at(run, _addresses(removed, members, chosen))
    before = _survivors_before(run, removed, {int(removed.representative[m[0]]) for m in members.values()})
    return Duplicates(
        similarity,
        _size_classes(gone + 1),
        [_cluster(removed, rows, before, members[c], int(gone[clusters == c][0]) + 1) for c in largest],
        [_pair(name, removed, rows, i) for name, i in chosen],
        sorted(removed.earlier.items()),
        removed.examples,
        run.read_json(QUALITY) if run.exists(QUALITY) else None,
    )


def _similarity_edges(verify: float) -> np.ndarray:
    low = min(np.floor(verify * 20) / 20, 0.95)
    return np.round(np.append(np.arange(low, 0.9951, 0.025), 1.0), 3)


def _members(removed: Removed, cluster: int) -> np.ndarray:
    rows = np.flatnonzero(removed.cluster == cluster)
    return rows[smallest(removed.hashes[rows], MEMBERS_SHOWN)]


def _telling_pairs(removed: Removed) -> list[tuple[str, int]]:
    """The least similar near-duplicates, where a mistake would be, and a pair in the middle; texts of this run only."""
    here = np.flatnonzero(removed.matched < CRAWL_STRIDE)
    near = here[removed.why[here] == _NEAR]
    some = near if len(near) else here
    if not len(some):
        return []
    order = some[np.lexsort((removed.hashes[some], removed.similarity[some]))]
    least, middle = int(order[0]), int(order[len(order) // 2])
    return [("The least similar pair", least)] + ([("A pair in the middle", middle)] if middle != least else [])


def _addresses(removed: Removed, members: Mapping[int, np.ndarray], chosen: list[tuple[str, int]]) -> list[int]:
    rows = np.concatenate([*members.values(), np.array([i for _, i in chosen], np.int64)]).astype(np.int64)
    wanted = np.r_[removed.address[rows], removed.matched[rows], removed.representative[rows]]
    return [int(a) for a in np.unique(wanted[wanted < CRAWL_STRIDE])]


def _cluster(
    removed: Removed,
    rows: Mapping[int, Mapping[str, Any]],
    before: Mapping[int, tuple[str, str]],
    members: np.ndarray,
    size: int,
) -> Cluster:
    stays = int(removed.representative[members[0]])
    shown = [(label(rows[int(removed.address[i])]["url"]), float(removed.similarity[i])) for i in members]
    if stays in before:
        return Cluster(size, before[stays][0], f"a document of crawl {before[stays][1]}", shown)
    return Cluster(size, label(rows[stays]["url"]), label(rows[stays]["title"]), shown)


def _size_classes(sizes: np.ndarray) -> list[tuple[str, int]]:
    """Clusters by size: 2, 3, 4, 5 to 9, 10 to 19, and on by doubling the decade's steps."""
    bounds = [2, 3, 4, 5, 10, 20, 50, 100, 1000, 10_000]
    names = ["2", "3", "4", "5–9", "10–19", "20–49", "50–99", "100s", "1000s", "10k+"]
    place = np.searchsorted(bounds, sizes, side="right") - 1
    counts = np.bincount(place, minlength=len(bounds)) if len(sizes) else np.zeros(len(bounds), np.int64)
    last = int(np.max(np.flatnonzero(counts), initial=-1))
    return [(names[i], int(counts[i])) for i in range(last + 1)]


def _pair(name: str, removed: Removed, rows: Mapping[int, Mapping[str, Any]], row: int) -> Pair:
    gone, stays = rows[int(removed.address[row])], rows[int(removed.matched[row])]
    left, right = compare(gone["text"], stays["text"])
    return Pair(name, float(removed.similarity[row]), label(gone["url"]), label(stays["url"]), left, right)


def compare(left: str, right: str) -> tuple[list[tuple[bool, str]], list[tuple[bool, str]]]:
    """Runs of (same in both, text) of each text, from a little before the first word that differs."""
    diff = word_diff(left, right, _COMPARED_WORDS)
    return _runs(diff.runs, "left"), _runs(diff.runs, "right")


def _runs(runs: list[tuple[Kind, list[str]]], side: Kind) -> list[tuple[bool, str]]:
    """What one side shows of both: what is the same is cut before the first difference, and after _COMPARED_WORDS."""
    told: list[tuple[bool, str]] = []
    left, differs = _COMPARED_WORDS, any(kind != "same" for kind, _ in runs)
    for i, (kind, words) in enumerate(runs):
        if i == 0 and kind == "same" and differs and len(words) > _LEAD_WORDS:
            told, words = [(True, "… ")], words[-_LEAD_WORDS:]
        if kind in ("same", side) and left > 0:
            told.append((kind == "same", " ".join(words[:left]) + (" " if len(words) <= left else " …")))
            left -= len(words)
    return told
