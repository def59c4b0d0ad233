"""One page two hundred thousand times: every bucket holds all documents, and memory stays where it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from near_runs import prose

from benchmarks.removed_rows import prepare

DOCUMENTS = 200_000
MOST_MEGABYTES = 2_500
RUN = """
import json, re, sys
from pathlib import Path
from corpusmill.mill import open_mill
from corpusmill.recipe import load_recipe
with open_mill(sys.argv[1], load_recipe("sample", sys.argv[2:]), workers=2) as mill:
    counts = mill.run("dedup")
# not ru_maxrss, which begins with what the process that started this one had
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(json.dumps({"counts": counts, "megabytes": int(peak[1]) / 1024}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("exact", [True, False], ids=["as exact copies", "as near duplicates"])
@pytest.mark.parametrize("edges", [20_000_000, 1], ids=["in memory", "by statements"])
def test_a_page_two_hundred_thousand_times(exact: bool, edges: int, tmp_path: Path):
    page = prose(120, 1)
    prepare(tmp_path, [page] * DOCUMENTS)
    overrides = [f"dedup.exact={str(exact).lower()}", f"dedup.max_edges_in_memory={edges}"]
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path), *overrides], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    why = "exact_duplicate" if exact else "near_duplicate"
    assert found["counts"]["removed"] == {why: DOCUMENTS - 1}
    assert found["counts"]["clusters"] == 1
    assert found["megabytes"] < MOST_MEGABYTES
