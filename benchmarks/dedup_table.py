"""The tables and the chart of `python -m benchmarks dedup`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness import commit, machine
from benchmarks.scale_chart import scale_chart

UNIT = "documents/s"
_WIDTH = 120


def show(
    rows: Sequence[Mapping[str, Any]],
    missing: Mapping[str, str],
    data: str,
    documents: int,
    workers: int,
    rounds: int,
) -> dict[str, Any]:
    """Print the table, and as the last line one JSON object; returns it. The first row is ours."""
    table = Table(
        "who", "version", UNIT, "ours is", "seconds", "peak MB", "removed", "found", "lost", title_justify="left"
    )
    table.title = f"dedup: {data}; {workers} workers; medians of {rounds} rounds"
    ours = rows[0]
    for row in rows:
        ratio = "" if row is ours else f"{ours['rate'] / row['rate']:,.1f} x"
        counts = [f"{row['removed']:,}", f"{row['recall']:.2%}", f"{row['lost']:,}"]
        speed = [f"{row['rate']:,.0f}", ratio, f"{row['seconds']:,.1f}", f"{row['peak_mb']:,}"]
        table.add_row(row["who"], row["version"], *speed, *counts)
    for name, why in missing.items():
        table.add_row(name, "", why, *[""] * 6)
    console = Console(width=_WIDTH)
    console.print(table)
    console.print(f"planted: {ours['planted']:,} copies; lost: documents of which no copy is left")
    for row in rows:
        steps = ", ".join(f"{name} {seconds:,.1f}" for name, seconds in row["steps"].items())
        when = "last file written after s" if row is ours else "seconds"
        console.print(f"{row['who']}, {when}: {steps}", soft_wrap=True)
        found = ", ".join(f"{name} {share:.1%}" for name, share in row["recall_by_kind"].items())
        console.print(f"{row['who']}, found by kind: {found}", soft_wrap=True)
    facts = summary(rows, missing, data, documents, workers, rounds)
    print(json.dumps(facts))
    return facts


def summary(
    rows: Sequence[Mapping[str, Any]],
    missing: Mapping[str, str],
    data: str,
    documents: int,
    workers: int,
    rounds: int,
) -> dict[str, Any]:
    ours, peers = rows[0], rows[1:]
    first = peers[0] if peers else None
    return {
        "name": "dedup",
        "value": ours["rate"],
        "unit": UNIT,
        "peer": first and first["who"],
        "peer_version": first and first["version"],
        "peer_value": first and first["rate"],
        "ratio": first and round(ours["rate"] / first["rate"], 2),
        "input": data,
        "commit": commit(),
        "machine": machine(),
        "documents": documents,
        "workers": workers,
        "rounds": rounds,
        "sides": [dict(row) for row in rows],
        "missing": dict(missing),
    }


def show_scale(results: Sequence[Mapping[str, Any]], chart: Path) -> dict[str, Any]:
    """Print one row for each number of documents, write the chart, and as the last line one JSON object."""
    table = Table("documents", "seconds", "microseconds each", "peak MB", "found", "lost", title_justify="left")
    table.title = f"dedup, by size; {results[0]['workers']} workers; {machine()}"
    points = []
    for result in results:
        ours = result["sides"][0]
        each = 1e6 * ours["seconds"] / result["documents"]
        points.append((result["documents"], ours["seconds"], ours["peak_mb"]))
        numbers = [f"{ours['seconds']:,.1f}", f"{each:,.0f}", f"{ours['peak_mb']:,}"]
        table.add_row(f"{result['documents']:,}", *numbers, f"{ours['recall']:.2%}", f"{ours['lost']:,}")
    chart.write_text(scale_chart(points, machine(), commit()), encoding="utf-8")
    console = Console(width=_WIDTH)
    console.print(table)
    console.print(f"chart: {chart}")
    largest = results[-1]["sides"][0]
    facts = {
        "name": "dedup-scale",
        "value": largest["rate"],
        "unit": UNIT,
        **dict.fromkeys(("peer", "peer_version", "peer_value", "ratio")),
        "input": results[-1]["input"],
        "commit": commit(),
        "machine": machine(),
        "points": [{"documents": n, "seconds": s, "peak_mb": m} for n, s, m in points],
    }
    print(json.dumps(facts))
    return facts
