"""Pairs to clusters: connected components, by SciPy where the pairs fit in memory and by statements where not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from corpusmill.dedup.dedup_files import EDGES, LABELS, WORK, statement
from corpusmill.engines import Dataset, Engine
from corpusmill.errors import CorpusmillError
from corpusmill.storage import Folder

MAX_ITERATIONS = 60
"""Of large and small star, which need about log2 of the longest path: more mean a bug, not a long path."""


def cluster(engine: Engine, run: Folder, edges: Dataset, max_edges_in_memory: int) -> Dataset:
    """LABELS of every node of some edge: the smallest address of its component. Both ways give the same rows.

    `edges` has an address and a root, of which the root is the smaller; the same edge may be there more than once.
    """
    count = engine.query("SELECT COUNT(*) AS edges FROM edges", {"edges": edges}).column("edges")[0].as_py()
    return in_memory(engine, run, edges) if count <= max_edges_in_memory else by_statements(engine, run, edges)


def in_memory(engine: Engine, run: Folder, edges: Dataset) -> Dataset:
    """About 60 bytes an edge here."""
    table = engine.query("SELECT address, root FROM edges", {"edges": edges})
    address, root = (table.column(n).to_numpy() for n in ("address", "root"))
    nodes, places = np.unique(np.concatenate([address, root]), return_inverse=True)
    graph = coo_matrix((np.ones(len(address), np.int8), (places[: len(address)], places[len(address) :])),
                       shape=(len(nodes), len(nodes)))  # fmt: skip
    _, component = connected_components(graph, directed=False)
    smallest = np.full(component.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(smallest, component, nodes)
    return _write_labels(run, nodes, smallest[component])


def by_statements(engine: Engine, run: Folder, edges: Dataset) -> Dataset:
    """Large star and small star in turn (Kiveris et al. 2014) until nothing changes: edges are stars then."""
    for number in range(MAX_ITERATIONS):
        prefix = f"{WORK}/stars-{number % 2}"
        large = engine.write(statement("large_star"), {"edges": edges}, run, f"{WORK}/large-star", EDGES)
        after = engine.write(statement("small_star"), {"edges": large}, run, prefix, EDGES)
        found = engine.query(statement("changed"), {"before_it": edges, "after_it": after})
        edges = after
        if found.column("changes")[0].as_py() == 0:
            return engine.write(statement("labels"), {"stars": edges}, run, f"{WORK}/labels", LABELS)
    raise CorpusmillError(f"clusters were not found in {MAX_ITERATIONS} iterations; this is a bug, please report it")


def _write_labels(run: Folder, addresses: np.ndarray, clusters: np.ndarray) -> Dataset:
    if not len(addresses):
        return Dataset(run, (), LABELS)
    name = f"{WORK}/labels/00000.parquet"
    with run.writing(name) as out:
        pq.write_table(pa.table([pa.array(addresses), pa.array(clusters)], schema=LABELS), out.path)
    return Dataset(run, (name,), LABELS)
