"""Runs made of texts alone: documents and removed rows as clean and dedup leave them, and what is cut of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.context import RunContext
from corpusmill.dedup.cuts import write_cuts
from corpusmill.engines import Engine, make_engine
from corpusmill.ledger import part_name
from corpusmill.parquet_parts import PartWriter
from corpusmill.recipe import parse_recipe
from corpusmill.schemas import ADDRESS_STRIDE, CUTS, DOCUMENTS, REMOVED
from corpusmill.storage import Folder

Cut = tuple[int, int, int, str]
"""(document by its place among all, start, end, why)."""


def shares(texts: Sequence[Any], parts: int) -> Iterator[list[Any]]:
    """Neighbouring texts in as many parts."""
    bounds = [len(texts) * i // parts for i in range(parts + 1)]
    return (list(texts[a:b]) for a, b in pairwise(bounds))


def write_run(
    run: Path, texts: Sequence[str], hosts: Sequence[str] = (), parts: int = 1, gone: frozenset[int] = frozenset()
) -> Path:
    """`documents/` with these texts and `removed/` with the documents `gone`, as if those were duplicates."""
    number = 0
    rows = [{"id": str(i), "text": t, "host": hosts[i] if hosts else None} for i, t in enumerate(texts)]
    for part, some in enumerate(shares(rows, parts)):
        mine = [part * ADDRESS_STRIDE + i for i in range(len(some)) if number + i in gone]
        for kind, schema, table in (
            (
                "documents",
                DOCUMENTS,
                pa.RecordBatch.from_pylist(some, pa.schema([DOCUMENTS.field(n) for n in COLUMNS])),
            ),
            ("removed", REMOVED, pa.RecordBatch.from_pylist([{"address": a} for a in mine], REMOVED)),
        ):
            (run / kind).mkdir(parents=True, exist_ok=True)
            with PartWriter(run / kind / f"{part_name(part)}.parquet", schema) as writer:
                writer.write(table)
        number += len(some)
    return run


def cut_run(
    run: Path, dedup: dict[str, Any], parts: int, sizes: Sequence[int], engine: Engine | None = None
) -> tuple[list[Cut], dict[str, Any]]:
    """(what write_cuts cuts of a run of `sizes` documents in each part, its counts)."""
    recipe = parse_recipe({"dedup": dedup})
    context = RunContext(Folder(str(run)), recipe, engine or make_engine("local", 1))
    outputs, counts = write_cuts(context, range(parts), recipe.dedup)
    assert [o.name for o in outputs] == [f"cuts/{part_name(p)}.parquet" for p in range(parts)]
    assert not (run / "dedup/work/cuts").exists()
    rows = []
    for part, output in enumerate(outputs):
        table = pq.read_table(run / output.name)
        assert table.schema.equals(CUTS)
        before = sum(sizes[:part])
        rows += [(r["address"] % ADDRESS_STRIDE + before, r["start"], r["end"], r["why"]) for r in table.to_pylist()]
    return rows, counts


def cuts_of(
    run: Path,
    dedup: dict[str, Any],
    texts: Sequence[str],
    hosts: Sequence[str] = (),
    parts: int = 1,
    gone: frozenset[int] = frozenset(),
    engine: Engine | None = None,
) -> tuple[list[Cut], dict[str, Any]]:
    """(what is cut of these texts, counts)."""
    write_run(run, texts, hosts, parts, gone)
    return cut_run(run, dedup, parts, [len(s) for s in shares(texts, parts)], engine)


def left_of(texts: Sequence[str], cuts: Sequence[Cut]) -> list[str]:
    """The texts without their spans, byte by byte."""
    left = []
    for i, text in enumerate(texts):
        spans = [(a, b) for d, a, b, _ in cuts if d == i]
        left.append(bytes(c for p, c in enumerate(text.encode()) if not any(a <= p < b for a, b in spans)).decode())
    return left


COLUMNS = ("id", "host", "text")
