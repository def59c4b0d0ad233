"""Semantic near-duplicates of planted pairs among 100,000 x 384 float32 vectors on one core: seconds by step, recall.

Seconds are those of the processor, which others that use the machine change little; `wall` has those on the clock.
Half of the documents are near copies of the other half, of a cosine drawn evenly from 0.9 to 1; what exhaustive
comparison finds above the threshold is what could be found. The synthetic vectors lie about 2,000 topics; real
embeddings may be easier or harder to part into clusters. `--docs` changes the number of documents.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.harness import commit, machine, pin
from corpusmill.dedup.embedding_files import EmbeddingFiles
from corpusmill.dedup.preferred_neighbours import preferred_neighbours
from corpusmill.dedup.semantic_duplicates import semantic_matches
from corpusmill.dedup.spherical_kmeans import SphericalKMeans, assign, default_clusters
from corpusmill.storage import Folder

TOPICS = 2000
THRESHOLD = 0.95
T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks semantic", description=__doc__)
    parser.add_argument("--docs", type=int, default=100_000, help="default: 100,000")
    parser.add_argument("--dimensions", type=int, default=384, help="default: 384")
    parser.add_argument("--clusters", type=int, help="default: as the recipe's")
    parser.add_argument("--threads", action="store_true", help="do not keep to one core")
    chosen = parser.parse_args(arguments)
    if not chosen.threads:
        pin()
    with tempfile.TemporaryDirectory() as folder:
        facts = measure(Path(folder), chosen.docs // 2, chosen.dimensions, chosen.clusters)
    show(facts)
    return 0


def measure(folder: Path, pairs: int, dimensions: int, clusters: int | None) -> dict[str, Any]:
    """Seconds of each step and the recall of planted pairs."""
    ids, vectors = write_pairs(folder, pairs, dimensions)
    preferred_neighbours(np.eye(4, dtype=np.float32), np.arange(4), 0.9)  # compiled and warm
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    found = timed(seconds, "read and join", lambda: EmbeddingFiles(str(folder)).load(ids, Folder(str(folder))))
    rows = np.arange(len(ids))
    kmeans = SphericalKMeans(clusters or default_clusters(len(ids)))
    centroids = timed(seconds, "train k-means", lambda: kmeans.train(found.units, rows))
    labels = timed(seconds, "assign", lambda: assign(found.units, rows, centroids))
    order = np.lexsort((rows, labels))
    matched, _ = timed(seconds, "compare", lambda: semantic_matches(found.units, rows, order, labels[order], THRESHOLD))
    wall = time.perf_counter() - start
    cosine = np.einsum("ij,ij->i", vectors[:pairs], vectors[pairs:])
    near = cosine > THRESHOLD
    together = labels[:pairs] == labels[pairs:]
    return {
        "name": "semantic",
        "unit": "s",
        "value": round(sum(seconds.values()), 2),
        "wall": round(wall, 2),
        "seconds": {step: round(s, 2) for step, s in seconds.items()},
        "documents": len(ids),
        "dimensions": dimensions,
        "clusters": len(centroids),
        "removed": int((matched >= 0).sum()),
        "pairs_above_threshold": int(near.sum()),
        "recall": {
            f"{low:.2f}": round(float(together[(cosine > low) & (cosine <= low + 0.01)].mean()), 4)
            for low in (0.95, 0.96, 0.97, 0.98, 0.99)
        },
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "commit": commit(),
        "machine": machine(),
    }


def write_pairs(folder: Path, pairs: int, dimensions: int) -> tuple[pa.Array, np.ndarray]:
    """(ids in order, their unit vectors); row `pairs + i` is the near copy of row i. Four files of embeddings."""
    rng = np.random.default_rng(0)
    topics = rng.standard_normal((TOPICS, dimensions), np.float32)
    left = topics[rng.integers(0, TOPICS, pairs)] + rng.standard_normal((pairs, dimensions), np.float32)
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    noise = rng.standard_normal((pairs, dimensions), np.float32)
    noise -= np.einsum("ij,ij->i", noise, left)[:, None] * left
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    cosine = rng.uniform(0.9, 1.0, (pairs, 1)).astype(np.float32)
    vectors = np.r_[left, cosine * left + np.sqrt(1 - cosine**2) * noise].astype(np.float32)
    names = [f"document-{i:09d}" for i in range(2 * pairs)]
    for f in range(4):
        mine = np.arange(f, 2 * pairs, 4)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors[mine].ravel()), dimensions)
        table = pa.table({"id": [names[i] for i in mine], "embedding": column})
        pq.write_table(table, folder / f"embeddings-{f}.parquet", row_group_size=10_000)
    return pa.array(names, pa.large_string()), vectors


def timed(seconds: dict[str, float], step: str, work: Callable[[], T]) -> T:
    start = time.process_time()
    outcome = work()
    seconds[step] = time.process_time() - start
    return outcome


def show(facts: dict[str, Any]) -> None:
    table = Table("step", "seconds", title_justify="left")
    table.title = f"{facts['documents']:,} x {facts['dimensions']} float32, {facts['clusters']} clusters"
    for step, s in facts["seconds"].items():
        table.add_row(step, f"{s:.1f}")
    table.add_row("in all", f"{facts['value']:.1f}")
    shares = Table("cosine of the pair", "in one cluster", title_justify="left")
    for low, share in facts["recall"].items():
        shares.add_row(f"{low} to {float(low) + 0.01:.2f}", f"{share:.1%}")
    Console().print(table, shares)
    print(json.dumps(facts))
