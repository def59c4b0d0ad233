"""A crawl compared with the earlier ones of an index: the clusters are those that all of them at once would give.

Of earlier crawls only rows with a key, a text or a cluster of this one take part; their texts are not read. Pairs of
two earlier documents are known already, as a cluster or as apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from corpusmill.dedup.components import cluster
from corpusmill.dedup.dedup_files import BANDS, EDGES, FACTS, LABELS, PAIRS, WORK, statement
from corpusmill.dedup.dedup_index import Crawl, DedupIndex
from corpusmill.dedup.duplicate_pairs import Corpus, Found
from corpusmill.dedup.preferences import AFTER_ALL
from corpusmill.engines import Dataset, Datasets, Engine
from corpusmill.schemas import REMOVED
from corpusmill.storage import Folder

SUPERSEDED = pa.schema(
    [
        f
        for f in REMOVED
        if f.name in ("address", "id", "url", "cluster", "representative", "representative_id", "text_bytes")
    ],
    metadata=REMOVED.metadata,
)
"""Addresses of the index."""


@dataclass(frozen=True)
class Clusters:
    """What became of the clusters that this crawl touches."""

    labels: Dataset
    """Of all their members, earlier ones included."""
    current: Dataset
    """LABELS of earlier members as they were."""
    corpus: Corpus
    """With the facts of all these members."""


@dataclass(frozen=True)
class Earlier:
    """Earlier crawls of an index, for one run."""

    engine: Engine
    run: Folder
    index: DedupIndex
    crawls: Sequence[Crawl]

    def corpus(self, own: Corpus) -> Corpus:
        """This run's files, and of earlier crawls what shares a bucket, a text or an address with them."""
        bands = self._touched("bands", "earlier_bands", {"bands": own.bands}, BANDS)
        facts = self._touched("facts", "earlier_copies", {"facts": own.facts}, FACTS)
        return replace(
            own,
            facts=[*own.facts, facts],
            signatures=[*own.signatures, *self._of("signatures")],
            bands=[*own.bands, bands],
            copies=self._of("copies"),
            verified=self._of("apart"),
        )

    def clusters(self, own: Corpus, found: Found, max_edges_in_memory: int) -> Clusters:
        """Components of the new pairs, in which an earlier cluster is one node, and all members of those."""
        current = self._write("current_labels", {"earlier": self._of("labels")}, LABELS)
        edges = self._write("contracted", {"pairs": found.pairs, "current_labels": current}, EDGES)
        contracted = cluster(self.engine, self.run, edges, max_edges_in_memory)
        labels = self._write("expanded_labels", {"contracted": contracted, "current_labels": current}, LABELS)
        facts = self._touched("facts", "earlier_members", {"labels": labels}, FACTS)
        return Clusters(labels, current, replace(own, facts=[*own.facts, facts]))

    def superseded(self, found: Clusters, stays: Dataset) -> Dataset:
        """Documents of earlier crawls that stayed until this one came, by address."""
        members: Datasets = {"labels": found.labels, "current_labels": found.current, "facts": found.corpus.facts}
        datasets = {**members, "stays": stays}
        return self._write("superseded", datasets, SUPERSEDED, first=found.corpus.first, after_all=AFTER_ALL)

    def _touched(self, kind: str, name: str, mine: Datasets, schema: pa.Schema) -> Dataset:
        return self._write(name, {"earlier": self._of(kind), **mine}, schema)

    def _of(self, kind: str) -> list[Dataset]:
        return self.index.datasets(kind, self.crawls)

    def _write(self, name: str, datasets: Datasets, schema: pa.Schema, **values: object) -> Dataset:
        return self.engine.write(statement(name, **values), datasets, self.run, f"{WORK}/{name}", schema)


def apart(engine: Engine, run: Folder, found: Found, threshold: float) -> Dataset:
    """Pairs of this run that shared a bucket and are not alike."""
    if not found.apart:
        return Dataset(run, (), PAIRS)
    return engine.write(statement("apart", threshold=threshold), {"verified": found.apart}, run, f"{WORK}/apart", PAIRS)
