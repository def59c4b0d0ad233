"""What the report says of near-duplicates: how alike, in what clusters, and pairs to compare with one's own eyes.

Memory is 40 bytes for each removed row, and what is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from corpusmill.ledger import part_name
from corpusmill.parquet_parts import read_part
from corpusmill.schemas import REMOVED
from corpusmill.storage import Folder
from corpusmill.studio.page_facts import rows_at
from corpusmill.studio.plain_text import label
from corpusmill.studio.tallies import Bins, id_hashes, smallest

LARGEST_CLUSTERS = 5
MEMBERS_SHOWN = 3
_COMPARED_WORDS = 160
_LEAD_WORDS = 12
_MAX_WORD_CHARS = 80


@dataclass(frozen=True, slots=True)
class Removed:
    """The columns of all removed rows that choices are made by, in order of address."""

    address: np.ndarray
    cluster: np.ndarray
    representative: np.ndarray
    matched: np.ndarray
    similarity: np.ndarray
    hashes: np.ndarray


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
    sizes: list[tuple[str, int]]
    largest: list[Cluster]
    pairs: list[Pair]


def read_removed(run: Folder, parts: Iterable[int]) -> Removed:
    numbers = ("address", "cluster", "representative", "matched", "similarity")
    columns: dict[str, list[np.ndarray]] = {name: [] for name in (*numbers, "hashes")}
    for part in parts:
        for batch in read_part(run, f"removed/{part_name(part)}.parquet", REMOVED, ("id", *numbers)):
            for name in numbers:
                columns[name].append(batch.column(name).to_numpy(zero_copy_only=False))
            columns["hashes"].append(id_hashes(batch.column("id")))
    kinds = {"similarity": np.float64, "hashes": np.uint64}
    return Removed(**{n: np.concatenate([np.zeros(0, kinds.get(n, np.int64)), *v]) for n, v in columns.items()})


def describe(run: Folder, removed: Removed, verify: float) -> Duplicates:
    """All that is shown. `verify` is the least similarity at which a pair counted as duplicates."""
    similarity = Bins(_similarity_edges(verify))
    similarity.add(np.clip(removed.similarity, verify, 1.0))
    clusters, gone = np.unique(removed.cluster, return_counts=True)
    largest = [int(clusters[i]) for i in np.lexsort((clusters, -gone))[:LARGEST_CLUSTERS]]
    members = {c: _members(removed, c) for c in largest}
    chosen = _telling_pairs(removed)
    rows = rows_at(run, _addresses(removed, members, chosen))
    return Duplicates(
        similarity,
        _size_classes(gone + 1),
        [_cluster(removed, rows, members[c], int(gone[clusters == c][0]) + 1) for c in largest],
        [_pair(name, removed, rows, i) for name, i in chosen],
    )


def _similarity_edges(verify: float) -> np.ndarray:
    low = min(np.floor(verify * 20) / 20, 0.95)
    return np.round(np.append(np.arange(low, 0.9951, 0.025), 1.0), 3)


def _members(removed: Removed, cluster: int) -> np.ndarray:
    rows = np.flatnonzero(removed.cluster == cluster)
    return rows[smallest(removed.hashes[rows], MEMBERS_SHOWN)]


def _telling_pairs(removed: Removed) -> list[tuple[str, int]]:
    """The least similar pair, where a mistake would be, and one in the middle."""
    if not len(removed.address):
        return []
    order = np.lexsort((removed.hashes, removed.similarity))
    least, middle = int(order[0]), int(order[len(order) // 2])
    return [("The least similar pair", least)] + ([("A pair in the middle", middle)] if middle != least else [])


def _addresses(removed: Removed, members: Mapping[int, np.ndarray], chosen: list[tuple[str, int]]) -> list[int]:
    rows = np.concatenate([*members.values(), np.array([i for _, i in chosen], np.int64)]).astype(np.int64)
    wanted = np.r_[removed.address[rows], removed.matched[rows], removed.representative[rows]]
    return [int(a) for a in np.unique(wanted)]


def _cluster(removed: Removed, rows: Mapping[int, Mapping[str, Any]], members: np.ndarray, size: int) -> Cluster:
    survivor = rows[int(removed.representative[members[0]])]
    shown = [(label(rows[int(removed.address[i])]["url"]), float(removed.similarity[i])) for i in members]
    return Cluster(size, label(survivor["url"]), label(survivor["title"]), shown)


def _size_classes(sizes: np.ndarray) -> list[tuple[str, int]]:
    """Clusters by size: 2, 3, 4, 5 to 9, 10 to 19, and on by doubling the decade's steps."""
    bounds = [2, 3, 4, 5, 10, 20, 50, 100, 1000, 10_000]
    names = ["2", "3", "4", "5–9", "10–19", "20–49", "50–99", "100–999", "1,000–9,999", "10,000 or more"]
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
    a, b = ([w[:_MAX_WORD_CHARS] for w in text.split()] for text in (left, right))
    shared = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    start = max(0, shared - _LEAD_WORDS) if shared < max(len(a), len(b)) else 0
    a, b = a[start : start + _COMPARED_WORDS], b[start : start + _COMPARED_WORDS]
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return _runs(a, [(m.a, m.size) for m in blocks], start), _runs(b, [(m.b, m.size) for m in blocks], start)


def _runs(words: list[str], same: list[tuple[int, int]], skipped: int) -> list[tuple[bool, str]]:
    runs: list[tuple[bool, str]] = [(True, "… ")] if skipped else []
    at = 0
    for begin, size in same:
        runs += [(False, " ".join(words[at:begin]) + " ")] if begin > at else []
        runs += [(True, " ".join(words[begin : begin + size]) + " ")] if size else []
        at = begin + size
    return runs
