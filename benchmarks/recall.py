"""What deduplication finds and what it removes wrongly: planted pairs of known similarity, and real near-duplicates.

Planted: pairs at each of ten similarities, computed exactly over 5-word shingles by plain Python, among unrelated
documents; the product runs over them once without verification and once with it. Found by bands should be the curve of
14 bands of 8. Natural: the sample archive's pages, versions of git's manual, Chinese laws; every pair compared exactly,
the documents that would go at a similarity beside those that did. Intervals are Wilson's, of 95%.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import natural_duplicates, planted_recall
from benchmarks.harness import ROOT, commit, machine
from benchmarks.sentence_pool import real_pool
from corpusmill.recipe import Dedup


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="recall-benchmark-") as folder:
            run(chosen.data, chosen.pairs, chosen.unrelated, chosen.corpora, Path(folder))
    except FileNotFoundError as e:
        print(f"no {e.filename}: set CORPUSMILL_DATA or --data to the real data; nothing was measured", file=sys.stderr)
        return 2
    return 0


def run(data: Path, each: int, unrelated: int, corpora: Sequence[str], folder: Path) -> dict[str, Any]:
    """Measure and print; the last line is one JSON object, which is returned."""
    verify = Dedup().verify
    planted = None
    if each:
        planted = planted_recall.measure(real_pool(data), each, unrelated, verify, folder / "planted")
    natural = [
        natural_duplicates.measure(name, natural_duplicates.CORPORA[name](data), verify, folder / name)
        for name in corpora
    ]
    at = {row["point"]: row["before"]["share"] for row in planted["points"]} if planted else {}
    facts = {
        "name": "recall",
        "value": at.get(0.8),
        "unit": "share of pairs at 0.8 found by bands",
        **dict.fromkeys(("peer", "peer_version", "peer_value", "ratio")),
        "input": f"{each:,} pairs at each point, {unrelated:,} unrelated documents; {', '.join(corpora)}",
        "commit": commit(),
        "machine": machine(),
        "verify": verify,
        "planted": planted,
        "passed": planted and planted_recall.passed(planted),
        "natural": natural,
    }
    print(json.dumps(facts))
    return facts


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks recall", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=2000, help="at each similarity; 0 for none; default: 2,000")
    parser.add_argument("--unrelated", type=int, default=8000, help="documents beside the pairs; default: 8,000")
    names = list(natural_duplicates.CORPORA)
    parser.add_argument("--corpora", nargs="*", choices=names, default=names, help="of real near-duplicates")
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's temporary folder")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("CORPUSMILL_DATA", ROOT.parent / "shared/data"))
    )
    return parser
