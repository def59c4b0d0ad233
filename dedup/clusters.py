"""Verified pairs to clusters, and of each cluster the one document that stays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from corpusmill.schemas import REMOVED


class Pairs(NamedTuple):
    """Matched pairs: addresses int64 [n], `root` the smaller one's place in a star, similarity float64 [n]."""

    root: np.ndarray
    address: np.ndarray
    similarity: np.ndarray

    def at_least(self, threshold: float) -> Pairs:
        """Pairs whose estimated similarity reaches the threshold: the rest shared a band by chance."""
        keep = self.similarity >= threshold
        return Pairs(self.root[keep], self.address[keep], self.similarity[keep])


class Members(NamedTuple):
    """What is known of every document in some pair, sorted by address."""

    address: np.ndarray  # int64 [m]
    id: np.ndarray  # object [m]
    url: np.ndarray  # object [m]
    text_bytes: np.ndarray  # int64 [m]
    fetched_at: np.ndarray  # int64 [m], microseconds
    signature: np.ndarray  # uint32 [m, hashes]


def similarities(edges: pa.Table, members: Members) -> Pairs:
    """Estimate the Jaccard similarity of each candidate pair: the share of places in which its signatures agree."""
    root, address = (edges.column(n).to_numpy().astype(np.int64) for n in ("root", "address"))
    left, right = np.searchsorted(members.address, root), np.searchsorted(members.address, address)
    similarity = np.empty(len(root))
    for start in range(0, len(root), 65_536):  # bounded memory: two blocks of signatures at a time
        block = slice(start, start + 65_536)
        similarity[block] = (members.signature[left[block]] == members.signature[right[block]]).mean(axis=1)
    return Pairs(root, address, similarity)


def removed_rows(pairs: Pairs, members: Members, survivor: str) -> pa.Table:
    """Rows of REMOVED, sorted by address: every member of a cluster but its survivor."""
    left, right = np.searchsorted(members.address, pairs.root), np.searchsorted(members.address, pairs.address)
    size = len(members.address)
    graph = coo_matrix((np.ones(len(left), np.int8), (left, right)), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    order = np.lexsort((members.id.astype(str), *_preference(members, survivor), labels))
    first = np.r_[True, labels[order][1:] != labels[order][:-1]] if size else np.zeros(0, bool)
    representative = np.empty(labels.max(initial=-1) + 1, np.int64)
    representative[labels[order][first]] = order[first]
    smallest = np.full(len(representative), np.iinfo(np.int64).max)
    np.minimum.at(smallest, labels, members.address)
    matched, similarity = _best_match(pairs, left, right, size)
    gone = np.flatnonzero((representative[labels] != np.arange(size)) & (matched >= 0))
    stays = representative[labels[gone]]
    columns = {
        "address": members.address[gone],
        "id": members.id[gone],
        "url": members.url[gone],
        "why": ["near_duplicate"] * len(gone),
        "cluster": smallest[labels[gone]],
        "representative": members.address[stays],
        "representative_id": members.id[stays],
        "similarity": similarity[gone],
        "matched": members.address[matched[gone]],
        "text_bytes": members.text_bytes[gone],
    }
    return pa.table([pa.array(columns[f.name], f.type) for f in REMOVED], schema=REMOVED)


def _preference(members: Members, survivor: str) -> list[np.ndarray]:
    """Keys for lexsort, least first, before the tie-break on id (an address moves with the order of inputs, an id does
    not)."""
    if survivor == "longest":
        return [-members.text_bytes]
    return [members.fetched_at if survivor == "earliest" else -members.fetched_at]


def _best_match(pairs: Pairs, left: np.ndarray, right: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """For each member the directly matched neighbour it is most similar to (the first by address among equals)."""
    ends, others = np.r_[left, right], np.r_[right, left]
    values = np.r_[pairs.similarity, pairs.similarity]
    order = np.lexsort((others, -values, ends))
    first = np.r_[True, ends[order][1:] != ends[order][:-1]] if len(order) else np.zeros(0, bool)
    matched, similarity = np.full(size, -1, np.int64), np.zeros(size)
    matched[ends[order][first]], similarity[ends[order][first]] = others[order][first], values[order][first]
    return matched, similarity
