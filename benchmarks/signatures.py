"""MinHash signatures, 14 bands of 8 over 5-word shingles, of real English articles: documents a second on one core."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.harness import Contender, MissingPeer, in_rounds, show, start_peer, timed
from corpusmill.dedup import MinHash
from corpusmill.version import __version__

UNIT = "documents/s/core"
PEERS = {"datatrove": 100, "datasketch": 400, "rensa": 1000}
"""Peer to the number of documents it is given: the slow ones get the first of the same documents."""


def run(data: Path, rounds: int, documents: int) -> dict[str, Any]:
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    texts = articles(data)[:documents]
    peers, missing = [], {}
    for name, count in PEERS.items():
        try:
            peers.append(start_peer(name, texts[:count], core))
        except MissingPeer as e:
            missing[name] = str(e)
    column = pa.array(texts, pa.large_string())
    MinHash().sign(column)  # compile and warm up
    ours = Contender("corpusmill", __version__, len(texts), timed(lambda: MinHash().sign(column)))
    in_rounds([ours, *peers], rounds)
    return show("signatures", UNIT, ours, peers, missing, describe(texts))


def articles(data: Path) -> list[str]:
    """News articles and Wikipedia articles, in an order drawn once."""
    gold = json.loads((data / "extraction/article-extraction-benchmark/ground-truth.json").read_text(encoding="utf-8"))
    texts = [page["articleBody"] for page in gold.values() if len(page["articleBody"]) > 500]
    files = sorted(p for p in (data / "text/wikipedia-en").rglob("*") if p.is_file() and p.suffix != ".md")
    texts += [t for t in (p.read_text(encoding="utf-8") for p in files) if len(t) > 500]
    order = np.random.default_rng(0).permutation(len(texts))
    return [texts[i] for i in order]


def describe(texts: Sequence[str]) -> str:
    words = np.mean([len(t.split()) for t in texts])
    size = sum(len(t.encode()) for t in texts) / 1e6
    return f"{len(texts):,} English articles, {words:,.0f} words each, {size:.1f} MB"
