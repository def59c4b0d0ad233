"""Semantic near-duplicates by embeddings (SemDeDup: Abbas et al. 2023, arXiv 2303.09540), as rows of `removed`.

k-means on unit vectors, then within each cluster the cosine of every pair. Documents of a cluster are put in an order
of preference: the farthest from the centroid first ("hard", the paper's), the nearest first ("easy"), or as the policy
for survivors says; ties go to the smaller id. A document goes if its cosine with any document preferred to it is above
the threshold, which is 1 - epsilon in the paper; as there, that one may itself be gone. `matched` is the most similar
of these. Following `matched` leads to a document that stays, the representative, so a group of `removed` is a tree of
matches with one survivor. docs/semantic.md says where this differs from the paper.

Which rows go depends on ids, embeddings and settings alone: not on the order of files or parts, the size of blocks,
the number of threads, or the processor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.columns import byte_lengths
from corpusmill.dedup.embedding_files import REASONS, EmbeddingFiles
from corpusmill.dedup.preferred_neighbours import preferred_neighbours
from corpusmill.dedup.spherical_kmeans import SphericalKMeans, assign, default_clusters
from corpusmill.dedup.unit_vectors import USABLE, fine
from corpusmill.errors import InputError
from corpusmill.ledger import part_name
from corpusmill.parquet_parts import read_part
from corpusmill.recipe import Semantic
from corpusmill.schemas import ADDRESS_STRIDE, DOCUMENTS, REMOVED
from corpusmill.storage import Folder

WHY = "semantic_duplicate"
FACTS = pa.schema(
    [
        ("address", pa.int64()),
        ("id", pa.large_string()),
        ("url", pa.large_string()),
        ("text_bytes", pa.int64()),
        ("fetched_at", pa.int64()),  # microseconds, 0 where it is not known
    ]
)
"""What survival and the rows of `removed` need to know of a document."""
_BLOCK_ROWS = 8192


class SemanticDuplicates(NamedTuple):
    """The rows to remove, sorted by address, and what became of the documents.

    `counts`: documents by reason ("usable" and those of embedding_files.REASONS), `unasked` rows of embeddings that
    belong to no document that takes part, and `clusters` of k-means.
    """

    removed: pa.Table
    counts: dict[str, int]


def semantic_removed(
    run: Folder, parts: Sequence[int], settings: Semantic, gone: np.ndarray, survivor: str
) -> pa.Table:
    """Rows of REMOVED with why = "semantic_duplicate", sorted by address; `gone` are addresses that take no part."""
    return find_semantic_duplicates(run, parts, settings, gone, survivor).removed


def find_semantic_duplicates(
    run: Folder, parts: Sequence[int], settings: Semantic, gone: np.ndarray, survivor: str
) -> SemanticDuplicates:
    """As `semantic_removed`, with counts. Reads the documents once and the embeddings once.

    Memory is some 200 bytes a document and a few blocks; the embeddings, n * d * 4 bytes, are on disk. Raises
    InputError for embeddings that are not what they must be, and for a document without a usable one where
    `settings.missing` is "error".
    """
    facts = document_facts(run, parts, gone)
    ids, id_of = _distinct(facts.column("id"))
    files = EmbeddingFiles(settings.embeddings, settings.id_column, settings.embedding_column)
    units, verdict, unasked = files.load(ids, run.sub("dedup"))
    counts = _counted(settings, facts, verdict[id_of]) | {"unasked": unasked}
    usable = np.flatnonzero(verdict == USABLE)
    if not len(usable):
        return SemanticDuplicates(REMOVED.empty_table(), counts | {"clusters": 0})
    centroids = _kmeans(settings, len(usable)).train(units, usable)
    labels = np.full(len(ids), -1, np.int32)
    labels[usable] = assign(units, usable, centroids)
    keys = _preference(settings, survivor, facts, id_of, units, labels, centroids)
    documents = np.flatnonzero(labels[id_of] >= 0)
    order = documents[np.lexsort((documents, *(k[documents] for k in keys), labels[id_of][documents]))]
    matched, similarity = semantic_matches(units, id_of, order, labels[id_of[order]], settings.threshold)
    return SemanticDuplicates(_removed_rows(facts, matched, similarity), counts | {"clusters": len(centroids)})


def document_facts(run: Folder, parts: Sequence[int], gone: np.ndarray) -> pa.Table:
    """FACTS of all documents but `gone`, sorted by id, equal ids by address. Memory is this and a row group."""
    batches = [batch for part in sorted(parts) for batch in _facts_of_part(run, part, np.unique(gone))]
    return pa.Table.from_batches(batches, FACTS).sort_by([("id", "ascending"), ("address", "ascending")])


def _facts_of_part(run: Folder, part: int, gone: np.ndarray) -> Iterator[pa.RecordBatch]:
    row = part * ADDRESS_STRIDE
    columns = ("id", "url", "fetched_at", "text")
    for batch in read_part(run, f"documents/{part_name(part)}.parquet", DOCUMENTS, columns):
        addresses = np.arange(row, row + batch.num_rows, dtype=np.int64)
        row += batch.num_rows
        found = {
            "address": pa.array(addresses),
            "id": batch.column("id").cast(pa.large_string()),
            "url": batch.column("url").cast(pa.large_string()),
            "text_bytes": pa.array(byte_lengths(batch.column("text"))),
            "fetched_at": batch.column("fetched_at").cast(pa.int64()).fill_null(0),
        }
        here = pa.RecordBatch.from_arrays([found[name] for name in FACTS.names], schema=FACTS)
        yield here.filter(pa.array(~np.isin(addresses, gone)))


def _distinct(ids: pa.ChunkedArray) -> tuple[pa.Array, np.ndarray]:
    """(the sorted ids without repetition, the place there of each document's id): one web page may be in two parts."""
    whole = pa.concat_arrays(ids.chunks) if ids.num_chunks else pa.array([], ids.type)
    if not len(whole):
        return whole, np.zeros(0, np.int64)
    new = np.r_[True, pc.not_equal(whole[1:], whole[:-1]).to_numpy(zero_copy_only=False)]
    return whole.filter(pa.array(new)), np.cumsum(new) - 1


def _counted(settings: Semantic, facts: pa.Table, verdict: np.ndarray) -> dict[str, int]:
    """Documents by reason; an error if one has no usable embedding and that is one."""
    counts = {reason: int((verdict == code).sum()) for code, reason in REASONS.items()}
    lacking = np.flatnonzero(verdict != USABLE)
    if len(lacking) and settings.missing == "error":
        first = int(lacking[0])
        said = ", ".join(f"{reason} {counts[reason]:,}" for code, reason in REASONS.items() if code and counts[reason])
        raise InputError(
            f"{settings.embeddings}: {len(lacking):,} of {facts.num_rows:,} documents have no usable embedding "
            f"({said}; the first is {facts.column('id')[first].as_py()!r}: {REASONS[int(verdict[first])]}). Supply "
            'them, or keep such documents with dedup.semantic.missing = "keep"'
        )
    return counts


def _kmeans(settings: Semantic, vectors: int) -> SphericalKMeans:
    clusters = min(settings.clusters or default_clusters(vectors), vectors)
    return SphericalKMeans(clusters, settings.init, settings.train_documents, settings.iterations, settings.seed)


def _preference(
    settings: Semantic,
    survivor: str,
    facts: pa.Table,
    id_of: np.ndarray,
    units: np.ndarray,
    labels: np.ndarray,
    centroids: np.ndarray,
) -> list[np.ndarray]:
    """Keys of each document for lexsort, the preferred first; ties are left to the id."""
    if settings.keep != "survivor":
        to_centroid = _similarity_to_centroid(units, labels, centroids)[id_of]
        return [to_centroid if settings.keep == "hard" else -to_centroid]
    if survivor == "longest":
        return [-facts.column("text_bytes").to_numpy()]
    if survivor in ("earliest", "latest"):
        fetched_at = facts.column("fetched_at").to_numpy()
        return [fetched_at if survivor == "earliest" else -fetched_at]
    raise InputError(
        f'dedup.semantic.keep = "survivor" knows the policies longest, earliest and latest; found {survivor!r}. Set '
        'dedup.semantic.keep to "hard" or "easy"'
    )


def _similarity_to_centroid(units: np.ndarray, labels: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """float64 [n]; comparable within a cluster. Exact: a coarse centroid is a fine vector, too, but for its scale."""
    out = np.zeros(len(labels))
    for start in range(0, len(labels), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        out[block] = np.einsum("ij,ij->i", fine(units[block]), centroids[labels[block]].astype(np.float64))
    return out


def semantic_matches(
    units: np.ndarray, id_of: np.ndarray, order: np.ndarray, labels: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """(document that each document is removed for, int64 [documents], -1 where it stays; their cosine float64).

    `order` are the documents cluster by cluster, the preferred first, `labels` their clusters.
    """
    matched, similarity = np.full(len(id_of), -1, np.int64), np.zeros(len(id_of))
    for start, end in _runs(labels):
        members = order[start:end]
        neighbour, cosine = preferred_neighbours(units, id_of[members], threshold)
        found = neighbour >= 0
        matched[members[found]] = members[neighbour[found]]
        similarity[members[found]] = cosine[found]
    return matched, similarity


def _runs(labels: np.ndarray) -> Iterator[tuple[int, int]]:
    starts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
    return zip(starts.tolist(), [*starts[1:].tolist(), len(labels)], strict=True)


def _removed_rows(facts: pa.Table, matched: np.ndarray, similarity: np.ndarray) -> pa.Table:
    """Rows of REMOVED, sorted by address: `cluster` is the smallest address of a tree of matches."""
    address = facts.column("address").to_numpy()
    root = _roots(matched)
    smallest = address.copy()
    np.minimum.at(smallest, root, address)
    gone = np.flatnonzero(matched >= 0)
    gone = gone[np.argsort(address[gone])]
    rows, stays = facts.take(pa.array(gone)), facts.take(pa.array(root[gone]))
    columns = {
        "address": rows.column("address"),
        "id": rows.column("id"),
        "url": rows.column("url"),
        "why": pa.array([WHY] * len(gone), pa.string()),
        "cluster": pa.array(smallest[root[gone]]),
        "representative": stays.column("address"),
        "representative_id": stays.column("id"),
        "similarity": pa.array(similarity[gone]),
        "matched": pa.array(address[matched[gone]]),
        "text_bytes": rows.column("text_bytes"),
        "matched_id": facts.column("id").take(pa.array(matched[gone])),
        "matched_url": facts.column("url").take(pa.array(matched[gone])),
    }
    here = pa.nulls(len(gone), pa.string())  # no crawl: what was matched is in this run
    return pa.table([columns.get(f.name, here).cast(f.type) for f in REMOVED], schema=REMOVED)


def _roots(matched: np.ndarray) -> np.ndarray:
    """Where following `matched` ends for each document, in as many steps as the logarithm of the longest way."""
    root = np.where(matched >= 0, matched, np.arange(len(matched)))
    while True:
        further = root[root]
        if np.array_equal(further, root):
            return root
        root = further
