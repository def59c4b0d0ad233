"""`python -m benchmarks NAME`: a table, and as the last line one JSON object."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import signatures
from benchmarks.harness import ROOT

CASES = {"signatures": signatures}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(CASES), help="without it the cases are listed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--documents", type=int, default=4000)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("CORPUSMILL_DATA", ROOT.parent / "shared/data"))
    )
    chosen = parser.parse_args(arguments)
    if chosen.name is None:
        for name, case in CASES.items():
            print(f"{name:<14} {(case.__doc__ or '').splitlines()[0]}")
        return 0
    if not (chosen.data / "INDEX.md").exists():
        print(f"no real data at {chosen.data}: set CORPUSMILL_DATA or --data; nothing was measured", file=sys.stderr)
        return 2
    CASES[chosen.name].run(chosen.data, chosen.rounds, chosen.documents)
    return 0


if __name__ == "__main__":
    sys.exit(main())
