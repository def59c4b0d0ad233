"""Rounds, peers and the row that a benchmark prints."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
KEYS = ("name", "value", "unit", "peer", "peer_version", "peer_value", "ratio", "input", "commit", "machine")


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
        return self.items / statistics.median(self.seconds)


class MissingPeer(Exception):
    """The peer is not installed, or does not start; the message says which."""


def in_rounds(contenders: Sequence[Contender], rounds: int) -> None:
    """Each contender once a round, in turn, so that a slow minute of the machine hits all of them."""
    for _ in range(rounds):
        for contender in contenders:
            contender.seconds.append(contender.run())


def timed(work: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return run


def start_peer(name: str, documents: Sequence[str], core: int) -> Contender:
    """A peer in its own process and environment (CORPUSMILL_PEERS, .venv-peers). Raises MissingPeer."""
    python = Path(os.environ.get("CORPUSMILL_PEERS", ROOT / ".venv-peers")) / "bin/python"
    if not python.exists():
        raise MissingPeer("not installed: make peers")
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False, encoding="utf-8") as f:
        json.dump(list(documents), f)
    script = ROOT / "benchmarks/peers/run_peer.py"
    process = subprocess.Popen(
        [str(python), str(script), name, f.name, str(core)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        version = _ask(process, None)["ready"]
    finally:
        Path(f.name).unlink()
    return Contender(name, version, len(documents), lambda: float(_ask(process, "run")["seconds"]))


def _ask(process: subprocess.Popen[str], line: str | None) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    if line is not None:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        said = process.stderr.read().strip().splitlines()
        raise MissingPeer(f"it ended: {said[-1] if said else 'without a word'}")
    found: dict[str, Any] = json.loads(answer)
    return found


def show(
    name: str, unit: str, ours: Contender, peers: Sequence[Contender], missing: Mapping[str, str], data: str
) -> dict[str, Any]:
    """Print the table, and as the last line one JSON object; returns it. The first peer is the one named in it."""
    table = Table("who", "version", unit, "ratio", "rounds", title=f"{name}: {data}", title_justify="left")
    for one in (ours, *peers):
        ratio = f"{ours.rate / one.rate:.1f} x" if one is not ours else ""
        table.add_row(
            one.name, one.version, f"{one.rate:,.1f}", ratio, f"{len(one.seconds)} of {one.items:,} documents"
        )
    for peer, why in missing.items():
        table.add_row(peer, "", why, "", "")
    Console().print(table)
    rows = [
        {
            "peer": p.name,
            "peer_version": p.version,
            "peer_value": round(p.rate, 2),
            "ratio": round(ours.rate / p.rate, 2),
        }
        for p in peers
    ]
    none = {"peer": None, "peer_version": None, "peer_value": None, "ratio": None}
    facts = {"name": name, "value": round(ours.rate, 2), "unit": unit, **(rows[0] if rows else none)}
    facts |= {"input": data, "commit": commit(), "machine": machine(), "peers": rows, "missing": dict(missing)}
    print(json.dumps(facts))
    return facts


def commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("-dirty" if git("status", "--porcelain") else "")


def machine() -> str:
    """Processor, cores and Python; no host name."""
    models = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"
