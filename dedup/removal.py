"""Clusters to rows of `removed`: of each cluster one document stays, and the others say for which they go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dedup.dedup_files import WORK, statement
from corpusmill.dedup.duplicate_pairs import Corpus
from corpusmill.engines import Dataset, Datasets, Engine
from corpusmill.engines.work_files import read_rows
from corpusmill.ledger import part_name
from corpusmill.parquet_parts import PartWriter
from corpusmill.schemas import ADDRESS_STRIDE, REMOVED
from corpusmill.storage import Folder, Output


def removed_rows(engine: Engine, run: Folder, corpus: Corpus, pairs: Dataset, labels: Sequence[Dataset]) -> Dataset:
    """REMOVED in order of address, still with addresses of the corpus: every member of a cluster but one."""
    datasets: Datasets = {"pairs": pairs, "labels": labels, "facts": corpus.facts}
    return engine.write(statement("removed", first=corpus.first), datasets, run, f"{WORK}/removed", REMOVED)


def write_removed(
    run: Folder, rows: Dataset, parts: Sequence[int], first: int = 0
) -> tuple[list[Output], dict[str, Any]]:
    """One part of `removed` for each part of `documents`, empty ones too (a missing file is damage), and counts.

    `address` is of the run; cluster, representative and matched are addresses of the corpus. Memory is one batch.
    """
    outputs, removed, removed_bytes = [], Counter[str](), Counter[str]()
    groups = groupby(_by_part(read_rows(rows), first), key=lambda found: found[0])
    there = next(groups, None)
    for part in sorted(parts):
        with run.writing(f"removed/{part_name(part)}.parquet") as out, PartWriter(out.path, REMOVED) as writer:
            if there is not None and there[0] == part:
                for _, batch in there[1]:
                    writer.write(batch)
                    _count(batch, removed, removed_bytes)
                there = next(groups, None)
        outputs.append(out)
    assert there is None, f"rows are removed of part {there[0]}, which is not there" if there else ""
    return outputs, {"removed": dict(sorted(removed.items())), "removed_bytes": dict(sorted(removed_bytes.items()))}


def _by_part(batches: Iterator[pa.RecordBatch], first: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches cut where the part changes, `address` made the run's own."""
    for batch in batches:
        address = batch.column("address").to_numpy() - first
        batch = batch.set_column(0, "address", pa.array(address))
        part = address // ADDRESS_STRIDE
        bounds = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(part)]
        for start, end in pairwise(bounds):
            yield int(part[start]), batch.slice(start, end - start)


def _count(batch: pa.RecordBatch, removed: Counter[str], removed_bytes: Counter[str]) -> None:
    sums = pa.Table.from_batches([batch]).group_by("why").aggregate([("text_bytes", "sum"), ("text_bytes", "count")])
    for why, size, count in zip(*(sums.column(i).to_pylist() for i in range(3)), strict=True):
        removed[why] += count
        removed_bytes[why] += size


def count_clusters(engine: Engine, rows: Dataset) -> int:
    """Clusters in which something was removed."""
    found = engine.query("SELECT COUNT(DISTINCT cluster) AS clusters FROM removed", {"removed": rows})
    return int(pc.sum(found.column("clusters")).as_py())
