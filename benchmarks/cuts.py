"""Frequent lines and repeated spans of real English text with planted menus and quotations: time, and what is cut."""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.harness import KEYS, commit, machine, pin
from benchmarks.signatures import articles
from corpusmill.context import RunContext
from corpusmill.dedup.cuts import write_cuts
from corpusmill.engines import make_engine
from corpusmill.ledger import part_name
from corpusmill.parquet_parts import PartWriter
from corpusmill.recipe import parse_recipe
from corpusmill.schemas import DOCUMENTS, REMOVED
from corpusmill.storage import Folder

PARTS = 8
HOST_DOCUMENTS = 20
QUOTED_SHARE = 0.1
"""Of documents, those given a passage of an earlier one."""
CASES: dict[str, dict[str, Any]] = {
    "lines": {"lines": {}},
    "spans": {"spans": {}},
    "both": {"lines": {}, "spans": {}},
}


def run(data: Path, rounds: int, documents: int) -> dict[str, Any]:
    """Measure and print. Raises FileNotFoundError where the articles are not there."""
    texts, hosts, planted = planted_texts(articles(data), documents)
    size = sum(len(t.encode()) for t in texts)
    pin()
    with tempfile.TemporaryDirectory(prefix="corpusmill-cuts-") as folder:
        write_documents(Path(folder), texts, hosts)
        measure(folder, "both")  # compiles
        results = {case: [measure(folder, case) for _ in range(rounds)] for case in CASES}
    shown: dict[str, Any] = dict.fromkeys(KEYS) | {"name": "cuts", "unit": "documents/s/core", "commit": commit()}
    shown |= {"machine": machine(), "input": f"{len(texts):,} pieces of English articles, {size / 1e6:.1f} MB"}
    shown |= {"documents": len(texts), "bytes": size, "rounds": rounds, "planted_bytes": planted}
    for case, found in results.items():
        seconds = float(np.median([s for s, _ in found]))
        counts = found[0][1]
        print(f"{case:<6} {seconds:7.1f} s  {len(texts) / seconds:8,.0f} documents/s  {size / seconds / 1e6:6.1f} MB/s")
        print(f"       cut {json.dumps(counts['cut_bytes'])} bytes in {counts['cut_documents']:,} documents")
        shown[case] = {"seconds": round(seconds, 2), "counts": counts}
        shown["value"] = round(len(texts) / seconds, 2)  # of the last case, both
    shown["peak_gigabytes"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    print(json.dumps(shown))
    return shown


def planted_texts(source: Sequence[str], documents: int) -> tuple[list[str], list[str], dict[str, int]]:
    """(texts, their hosts, bytes planted): pieces of articles under a host's menu, every tenth with a quotation.

    A menu is two lines that all documents of the host have; a quotation is 60 to 120 words of an earlier document.
    """
    rng = np.random.default_rng(1)
    words = [w for text in source for w in text.split()]
    length = len(words) // documents
    bodies = [words[i * length : (i + 1) * length] for i in range(documents)]
    texts, hosts, planted = [], [], {"menus": 0, "quotations": 0}
    for i, body in enumerate(bodies):
        host = f"site{i // HOST_DOCUMENTS}.example"
        lines = [" ".join(body[j : j + 40]) for j in range(0, length, 40)]
        if i and rng.random() < QUOTED_SHARE:
            count = int(rng.integers(60, min(121, length)))
            quote = " ".join(bodies[int(rng.integers(i))][:count])
            lines.insert(int(rng.integers(len(lines) + 1)), quote)
            planted["quotations"] += len(quote.encode()) + 1
        menu = [f"Home | About {host} | Contact", f"© {host}. All rights reserved."]
        planted["menus"] += sum(len(m.encode()) + 1 for m in menu)
        texts.append("\n".join([menu[0], *lines, menu[1]]))
        hosts.append(host)
    return texts, hosts, planted


def write_documents(run: Path, texts: Sequence[str], hosts: Sequence[str]) -> None:
    """`documents/` in PARTS parts, and nothing removed."""
    for kind, schema in (("documents", DOCUMENTS), ("removed", REMOVED)):
        (run / kind).mkdir()
        for part in range(PARTS):
            some = slice(len(texts) * part // PARTS, len(texts) * (part + 1) // PARTS)
            columns = [pa.array(texts[some], pa.large_string()), pa.array(hosts[some])]
            with PartWriter(run / kind / f"{part_name(part)}.parquet", schema) as writer:
                if kind == "documents":
                    writer.write(pa.RecordBatch.from_arrays(columns, names=["text", "host"]))


def measure(run: str, case: str) -> tuple[float, dict[str, Any]]:
    """(seconds of write_cuts on one core, its counts)."""
    recipe = parse_recipe({"dedup": CASES[case]})
    context = RunContext(Folder(run), recipe, make_engine("local", 1))
    begun = time.perf_counter()
    _, counts = write_cuts(context, range(PARTS), recipe.dedup)
    return time.perf_counter() - begun, counts
