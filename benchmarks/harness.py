"""Rounds, medians, and the rows that a benchmark prints."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
KEYS = ("name", "value", "unit", "peer", "peer_version", "peer_value", "ratio", "input", "commit", "machine")
"""What each result has, whatever the case."""


@dataclass
class Contender:
    """One side of a comparison: `run` does `items` units of work and returns the seconds it took."""

    name: str
    version: str
    items: int
    run: Callable[[], float]
    seconds: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Items a second, from the median round."""
        return self.items / statistics.median(self.seconds)


@dataclass
class Pair:
    """A peer, and ours on the very documents that the peer is given: their rates make the ratio.

    A slow peer gets fewer documents, which may be longer or shorter than all of them on average.
    """

    peer: Contender
    ours: Contender

    @property
    def ratio(self) -> float:
        return self.ours.rate / self.peer.rate

    def facts(self) -> dict[str, Any]:
        return {
            "peer": self.peer.name,
            "peer_version": self.peer.version,
            "peer_value": round(self.peer.rate, 2),
            "ratio": round(self.ratio, 2),
            "documents": self.peer.items,
            "value_on_the_same": round(self.ours.rate, 2),
        }


class Failed(Exception):
    """A contender is not installed, does not start or has crashed; the message says which."""


def pin() -> int | None:
    """Keep this process to one core, and return it: the peers go to the same. None where the system cannot pin."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def in_rounds(ours: Contender, pairs: Sequence[Pair], rounds: int) -> tuple[list[Pair], dict[str, str]]:
    """Each contender once a round, in turn, so that a slow minute of the machine hits all of them.

    Returns the pairs that ran every round, and peer to reason for those that crashed on the way.
    """
    alive, crashed = list(pairs), {}
    for _ in range(rounds):
        ours.seconds.append(ours.run())
        for pair in list(alive):
            pair.ours.seconds.append(pair.ours.run())
            try:
                pair.peer.seconds.append(pair.peer.run())
            except Failed as e:
                crashed[pair.peer.name] = str(e)
                alive.remove(pair)
    return alive, crashed


def timed(work: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return run


def show(
    name: str,
    unit: str,
    ours: Contender,
    pairs: Sequence[Pair],
    missing: Mapping[str, str],
    data: str,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Print the table, and as the last line one JSON object; returns it. The first peer that ran is named in it.

    `more` goes into the object as it is.
    """
    table = Table("who", "version", unit, "ours on them", "ratio", "documents", title_justify="left")
    table.title = f"{name}: {data}; medians of {len(ours.seconds)} rounds, one core"
    table.add_row(ours.name, ours.version, f"{ours.rate:,.1f}", "", "", f"{ours.items:,}")
    for pair in pairs:
        peer, count = pair.peer, f"first {pair.peer.items:,}"
        table.add_row(
            peer.name, peer.version, f"{peer.rate:,.1f}", f"{pair.ours.rate:,.1f}", f"{pair.ratio:,.1f} x", count
        )
    for peer_name, why in missing.items():
        table.add_row(peer_name, "", why, "", "", "")
    Console().print(table)
    facts = summary(name, unit, ours, pairs, missing, data) | dict(more or {})
    print(json.dumps(facts))
    return facts


def summary(
    name: str, unit: str, ours: Contender, pairs: Sequence[Pair], missing: Mapping[str, str], data: str
) -> dict[str, Any]:
    """KEYS, and beyond them `documents`, `rounds`, `peers` (a row for each that ran) and `missing` (name to reason)."""
    rows = [pair.facts() for pair in pairs]
    first = rows[0] if rows else {}
    facts: dict[str, Any] = {"name": name, "value": round(ours.rate, 2), "unit": unit}
    facts |= {key: first.get(key) for key in ("peer", "peer_version", "peer_value", "ratio")}
    facts |= {"input": data, "commit": commit(), "machine": machine()}
    return facts | {
        "documents": ours.items,
        "rounds": len(ours.seconds),
        "peers": rows,
        "missing": dict(missing),
    }


def commit() -> str:
    """The short commit, with "-dirty" where tracked files differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("-dirty" if changed else "")


def machine() -> str:
    """Processor, cores and Python; no host name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [x for x in lines if x.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"
