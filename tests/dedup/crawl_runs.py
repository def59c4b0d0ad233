"""Runs one after the other against an index, and what they left."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.mill import open_mill
from corpusmill.recipe import load_recipe

PARTS = 10


def write_crawls(folder: Path) -> list[Path]:
    """Ten JSON Lines files of edited copies of one another, each with some that only a later file links together."""
    rng = random.Random(7)
    words = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "bdgklmnprst"]
    bases = [[rng.choice(words) for _ in range(120)] for _ in range(40)]
    files = []
    for part in range(PARTS):
        rows = []
        for i in range(60):
            text = (
                list(rng.choice(bases))
                if rng.random() < 0.6
                else [rng.choice(words) for _ in range(rng.randint(20, 150))]
            )
            for _ in range(rng.choice((0, 0, 0, 1, 2, 4, 7))):
                text[rng.randrange(len(text))] = rng.choice(words)
            year = 2010 + rng.randrange(16)
            rows.append({"id": f"{part}-{i:02d}", "url": f"http://x.example/{part}/{i}", "text": " ".join(text),
                         "date": f"{year}-01-01T00:00:00Z"})  # fmt: skip
        files.append(folder / f"part-{part:02d}.jsonl")
        files[-1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return files


def dedup(run: Path, inputs: list[Path], *overrides: str, engine: str = "local", workers: int = 1) -> dict[str, Any]:
    settings = ["clean.language.wanted={}", "clean.rules=[]", "clean.editors=[]", *overrides]
    with open_mill(
        str(run), load_recipe("sample", settings), inputs=[str(p) for p in inputs], engine=engine, workers=workers
    ) as mill:
        mill.run("clean")
        return mill.run("dedup")


def rows(run: Path, kind: str) -> list[dict[str, Any]]:
    return pa.concat_tables([pq.read_table(p) for p in sorted((run / kind).glob("part-*.parquet"))]).to_pylist()


def by_crawls(folder: Path, inputs: list[Path], steps: int, *overrides: str) -> tuple[list[Path], Path]:
    """The runs, one a crawl, and the index."""
    runs = []
    for step in range(steps):
        some = inputs[step * len(inputs) // steps : (step + 1) * len(inputs) // steps]
        runs.append(folder / f"run-{step}")
        index = (f"dedup.index.folder={folder / 'index'}", f"dedup.index.crawl=crawl-{step}")
        dedup(runs[-1], some, *index, *overrides)
    return runs, folder / "index"


def clusters_of(index: Path) -> set[frozenset[str]]:
    """Clusters that the index knows, by ids."""
    ids = {r["address"]: r["id"] for p in index.glob("crawl-*/facts*/*.parquet") for r in pq.read_table(p).to_pylist()}
    smallest: dict[int, int] = {}
    for path in index.glob("crawl-*/labels*/*.parquet"):
        for r in pq.read_table(path).to_pylist():
            smallest[r["address"]] = min(r["cluster"], smallest.get(r["address"], r["cluster"]))
    found: dict[int, set[str]] = {}
    for address, cluster in smallest.items():
        found.setdefault(cluster, set()).add(ids[address])
    return {frozenset(c) for c in found.values()}
