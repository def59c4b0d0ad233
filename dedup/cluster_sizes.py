"""`cluster_sizes/`: how many documents each survivor stands for, which is what rehydration weighs by."""

from __future__ import annotations

from collections.abc import Sequence

from corpusmill.dedup.dedup_files import WORK, statement
from corpusmill.dedup.part_files import OwnAddress, Target, write_parts
from corpusmill.engines import Dataset, Engine
from corpusmill.schemas import CLUSTER_SIZES
from corpusmill.storage import Folder, Output


def write_cluster_sizes(
    engine: Engine, run: Folder, labels: Dataset, stays: Dataset, parts: Sequence[int], first: int
) -> list[Output]:
    """One file for each part; survivors that stand for themselves alone have no row."""
    sql = statement("cluster_sizes", first=first)
    rows = engine.write(sql, {"labels": labels, "stays": stays}, run, f"{WORK}/cluster-sizes", CLUSTER_SIZES)
    target = Target("cluster_sizes", CLUSTER_SIZES, OwnAddress(first))
    return write_parts(engine, run, target, rows, first, parts)[0]
