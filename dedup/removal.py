"""Clusters to rows of `removed`: of each cluster one document stays, and the others say for which they go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.columns import with_columns
from corpusmill.dedup.dedup_files import STAYS, WORK, statement
from corpusmill.dedup.duplicate_pairs import Corpus
from corpusmill.dedup.part_files import Target, write_parts
from corpusmill.engines import Dataset, Datasets, Engine
from corpusmill.engines.work_files import write_rows
from corpusmill.schemas import CRAWL_STRIDE, REMOVED
from corpusmill.storage import Folder, Output

_CRAWLS = {"matched_crawl": "matched", "representative_crawl": "representative"}


def survivors(engine: Engine, run: Folder, corpus: Corpus, labels: Dataset) -> Dataset:
    """STAYS: of each cluster the one document that is not removed."""
    datasets: Datasets = {"labels": labels, "facts": corpus.facts}
    return engine.write(statement("stays"), datasets, run, f"{WORK}/stays", STAYS)


def removed_rows(
    engine: Engine, run: Folder, corpus: Corpus, pairs: Dataset, labels: Dataset, stays: Dataset
) -> Dataset:
    """REMOVED in order of address, still with addresses of the corpus: every member of a cluster but one."""
    datasets: Datasets = {"pairs": pairs, "labels": labels, "stays": stays, "facts": corpus.facts}
    schema = pa.schema([f for f in REMOVED if f.name not in _CRAWLS])
    return engine.write(statement("removed", first=corpus.first), datasets, run, f"{WORK}/removed", schema)


def with_more(engine: Engine, run: Folder, rows: Dataset, more: pa.Table) -> Dataset:
    """`rows` and those of `more`, in order of address."""
    if not more.num_rows:
        return rows
    name = f"{WORK}/more/00000.parquet"
    write_rows(run, name, rows.schema, more.select(rows.schema.names).cast(rows.schema).to_batches())
    sources = [rows, Dataset(run, (name,), rows.schema)]
    sql = "SELECT * FROM removed ORDER BY address"
    return engine.write(sql, {"removed": sources}, run, f"{WORK}/removed-and-more", rows.schema)


def write_removed(
    engine: Engine,
    run: Folder,
    rows: Dataset,
    parts: Sequence[int],
    first: int = 0,
    crawls: Mapping[int, str] | None = None,
) -> tuple[list[Output], dict[str, Any]]:
    """One part of `removed` for each part of `documents`, and counts.

    Addresses of this run are its own; of earlier crawls they are the index's, and `crawls` names those by number.
    """
    target = Target("removed", REMOVED, Named(first, crawls or {}), removed_counts)
    outputs, counts = write_parts(engine, run, target, rows, first, parts)
    return outputs, {"removed": {}, "removed_bytes": {}} | counts


@dataclass(frozen=True)
class Named:
    """Addresses of this run made its own, and the crawls of the others named. Sent to workers."""

    first: int
    crawls: Mapping[int, str]

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = {}
        for name in ("address", "cluster", "representative", "matched"):
            found = batch.column(name).to_numpy()
            columns[name] = pa.array(np.where(found >= self.first, found - self.first, found))
        for name, of in _CRAWLS.items():
            numbers = (columns[of].to_numpy() // CRAWL_STRIDE).tolist()
            columns[name] = pa.array([self.crawls[n] if n else None for n in numbers], pa.string())
        return with_columns(batch, columns)


def removed_counts(batch: pa.RecordBatch) -> dict[str, dict[str, int]]:
    sums = pa.Table.from_batches([batch]).group_by("why").aggregate([("text_bytes", "sum"), ("text_bytes", "count")])
    whys, sizes, counts = (sums.column(n).to_pylist() for n in ("why", "text_bytes_sum", "text_bytes_count"))
    return {
        "removed": dict(zip(whys, counts, strict=True)),
        "removed_bytes": dict(zip(whys, sizes, strict=True)),
    }


def count_clusters(engine: Engine, rows: Dataset) -> int:
    """Clusters in which something was removed."""
    found = engine.query("SELECT COUNT(DISTINCT cluster) AS clusters FROM removed", {"removed": rows})
    return int(pc.sum(found.column("clusters")).as_py())
