"""`python -m benchmarks NAME`: a table, and as the last line one JSON object."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import (
    charset,
    clean,
    cuts,
    dedup,
    encode,
    extract,
    recall,
    resume,
    rules,
    screen,
    semantic,
    shuffle,
    signatures,
    soak,
    stream,
    urls,
)
from benchmarks.harness import ROOT

Case = Callable[[Path, int, int], dict[str, Any]]
CASES: dict[str, tuple[str, Case]] = {
    "charset": (charset.__doc__ or "", charset.run),
    "cuts": (cuts.__doc__ or "", cuts.run),
    "rules": ((rules.__doc__ or "").partition("\n")[0], rules.run),
    "signatures": ((signatures.__doc__ or "").partition("\n")[0], signatures.run),
    "urls": (urls.__doc__ or "", urls.run),
}
"""Name to what it measures and the function that does: (data, rounds, documents)."""


OTHERS: dict[str, Any] = {
    "clean": clean,
    "dedup": dedup,
    "encode": encode,
    "extract": extract,
    "recall": recall,
    "resume": resume,
    "screen": screen,
    "semantic": semantic,
    "shuffle": shuffle,
    "soak": soak,
    "stream": stream,
}
"""Modules with a `main` and options of their own."""


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in OTHERS:
        return int(OTHERS[given[0]].main(given[1:]))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(CASES), help="without it the cases are listed")
    parser.add_argument("--rounds", type=_positive, default=5, help="default: 5")
    parser.add_argument("--docs", type=_positive, default=4000, help="documents at most; default: 4000")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("CORPUSMILL_DATA", ROOT.parent / "shared/data"))
    )
    chosen = parser.parse_args(given)
    if chosen.name is None:
        for name, (what, _) in CASES.items():
            print(f"{name:<14} {what}")
        for name, module in OTHERS.items():
            print(f"{name:<14} {module.__doc__.partition(chr(10))[0]}")
        return 0
    try:
        CASES[chosen.name][1](chosen.data, chosen.rounds, chosen.docs)
    except FileNotFoundError as e:
        print(f"no {e.filename}: set CORPUSMILL_DATA or --data to the real data; nothing was measured", file=sys.stderr)
        return 2
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
