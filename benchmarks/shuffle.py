"""What deduplication on Spark moves between machines, and the core time it takes, by statement: bytes a document.

The documents of `benchmarks dedup`, by Spark in local mode: its shuffle files are those of a cluster, and so are their
bytes (compressed as by default, lz4). What a small corpus is spared, and a large one is not, is turned off: tables sent
whole to every worker, and datasets of one partition. Core time is that of tasks, Python workers included; with few
documents it is mostly Spark's own, so the difference between two sizes tells what a document costs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.dedup_worker import deduplicate
from benchmarks.harness import ROOT, commit, machine
from benchmarks.planted_corpus import write_corpus
from benchmarks.sentence_pool import Pool, real_pool
from corpusmill.engines import spark_engine
from corpusmill.recipe import Recipe, parse_recipe

_WARM = 400


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        pool = real_pool(chosen.data)
    except FileNotFoundError as e:
        print(f"no {e.filename}: set CORPUSMILL_DATA or --data to the real data; nothing was measured", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="shuffle-benchmark-") as folder:
        recipe = parse_recipe({"dedup": {"max_edges_in_memory": chosen.edges_in_memory}})
        results = measure(pool, chosen.docs, recipe, chosen.workers, chosen.partitions, Path(folder))
    show(results, chosen.partitions)
    return 0


def measure(
    pool: Pool, sizes: Sequence[int], recipe: Recipe, workers: int, partitions: int, folder: Path
) -> list[dict[str, Any]]:
    """One session, warmed; each size's facts."""
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark_engine._FILES_PER_PARTITION = 1  # or a small dataset is one partition, which is joined where it is
    builder = SparkSession.builder.master(f"local[{workers}]").config("spark.ui.showConsoleProgress", "false")
    builder = builder.config("spark.sql.autoBroadcastJoinThreshold", -1).config("spark.sql.adaptive.enabled", "false")
    spark = builder.config("spark.sql.shuffle.partitions", partitions).getOrCreate()
    deduplicate(write_corpus(folder / "warm", pool, _WARM).run, recipe, workers, "spark")
    results = []
    for documents in sizes:
        corpus, before = write_corpus(folder / str(documents), pool, documents), _stages(spark)
        answer = deduplicate(corpus.run, recipe, workers, "spark")
        statements: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for number, (name, shuffled, milliseconds) in _stages(spark).items():
            if number not in before:
                statements[name][0] += shuffled
                statements[name][1] += milliseconds / 1000
        stored = {
            kind: sum(p.stat().st_size for p in Path(corpus.run, "dedup", kind).glob("*.parquet"))
            for kind in ("facts", "signatures", "bands")
        }
        results.append(
            {"documents": documents, "seconds": answer["seconds"], "stored": stored, "statements": dict(statements)}
        )
    spark.stop()
    return results


def _stages(spark: Any) -> dict[tuple[int, int], tuple[str, int, int]]:
    """(stage, attempt) to (what it was for, bytes that it wrote for others to fetch, milliseconds of its tasks)."""
    quantiles = spark.sparkContext._gateway.new_array(spark._jvm.double, 0)
    found = spark._jsc.sc().statusStore().stageList(None, False, False, quantiles, None)
    stages = (found.apply(i) for i in range(found.size()))
    return {
        (s.stageId(), s.attemptId()): (
            s.description().get() if s.description().isDefined() else "tasks",
            s.shuffleWriteBytes(),
            s.executorRunTime(),
        )
        for s in stages
    }


def show(results: Sequence[dict[str, Any]], partitions: int) -> None:
    console = Console(width=120)
    for result in results:
        documents = result["documents"]
        table = Table("statement", "shuffled, bytes/document", "core time, µs/document", title_justify="left")
        table.title = (
            f"{documents:,} documents by Spark, {partitions} partitions: {result['seconds']:.1f} s; {machine()}"
        )
        rows = sorted(result["statements"].items(), key=lambda item: -item[1][0])
        totals = [sum(v[i] for _, v in rows) for i in (0, 1)]
        for name, (shuffled, seconds) in [*rows, ("all", totals)]:
            table.add_row(name, f"{shuffled / documents:,.1f}", f"{1e6 * seconds / documents:,.1f}")
        console.print(table)
        stored = ", ".join(f"{kind} {size / documents:,.0f}" for kind, size in result["stored"].items())
        console.print(f"stored, bytes a document: {stored}")
        result |= {"shuffled_bytes": totals[0], "core_seconds": totals[1]}
    last = results[-1]
    facts = {
        "name": "shuffle",
        "value": round(last["shuffled_bytes"] / last["documents"], 1),
        "unit": "bytes shuffled/document",
        **dict.fromkeys(("peer", "peer_version", "peer_value", "ratio")),
        "input": f"{last['documents']:,} documents",
        "commit": commit(),
        "machine": machine(),
        "sizes": results,
    }
    print(json.dumps(facts))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks shuffle", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--docs", type=int, nargs="+", default=[20_000, 100_000], help="default: 20000 100000")
    parser.add_argument("--workers", type=int, default=2, help="default: 2")
    parser.add_argument("--partitions", type=int, default=8, help="spark.sql.shuffle.partitions; default: 8")
    parser.add_argument(
        "--edges-in-memory", type=int, default=20_000_000, help="dedup.max_edges_in_memory; 1 takes the statements"
    )
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's temporary folder")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("CORPUSMILL_DATA", ROOT.parent / "shared/data"))
    )
    return parser
