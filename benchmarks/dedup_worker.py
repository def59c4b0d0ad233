"""Our side of `python -m benchmarks dedup`: a process that answers JSON lines, as a peer's does.

{"workers", "recipe"} on standard input is answered with {"version": v}; then each {"run": folder} with {"seconds": s,
"steps": {name: seconds from the start to its last file}, "counts": what the stage counts}.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from corpusmill.ledger import StageLedger
from corpusmill.mill import open_mill
from corpusmill.recipe import Recipe, parse_recipe
from corpusmill.storage import Folder
from corpusmill.version import __version__


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    start = json.loads(sys.stdin.readline())
    recipe = parse_recipe(start["recipe"])
    print(json.dumps({"version": __version__}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(deduplicate(json.loads(line)["run"], recipe, start["workers"])), file=answers, flush=True)


def deduplicate(run: str, recipe: Recipe, workers: int, engine: str = "local") -> dict[str, Any]:
    """Run the stage over a prepared run folder; what an earlier round left is forgotten first, not by the clock."""
    StageLedger(Folder(run), "dedup").clear()
    began, wall = time.perf_counter(), time.time()
    with open_mill(run, recipe, workers=workers, engine=engine) as mill:
        counts = mill.run("dedup")
    return {"seconds": time.perf_counter() - began, "steps": finished(Path(run), wall), "counts": counts}


def finished(run: Path, since: float) -> dict[str, float]:
    """Folder of the run to the seconds after `since` at which its last file was written, in that order.

    It is what a run tells of its steps, whichever it has: a step has ended when its files stand.
    """
    last: dict[str, float] = {}
    for path in run.rglob("*"):
        written = path.stat().st_mtime if path.is_file() else 0.0
        if written >= since:
            folder = str(path.parent.relative_to(run))
            last[folder] = max(last.get(folder, 0.0), round(written - since, 2))
    return dict(sorted((item for item in last.items() if item[0] != "."), key=lambda item: item[1]))


if __name__ == "__main__":
    main()
