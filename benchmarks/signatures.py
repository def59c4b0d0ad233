"""MinHash signatures, 14 bands of 8 over 5-word shingles, of real English articles: documents a second on one core."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.harness import Contender, Pair, in_rounds, pin, show, timed
from benchmarks.peer_process import Peers
from corpusmill.dedup import MinHash
from corpusmill.version import __version__

UNIT = "documents/s/core"
MIN_CHARS = 500
PEERS = {"datatrove": 100, "datasketch": 400, "rensa": 1000}
"""Peer to the number of documents it is given at most: the slow ones get the first of the same documents."""


def run(data: Path, rounds: int, documents: int) -> dict[str, Any]:
    """Measure and print. Raises FileNotFoundError where the articles are not there."""
    texts = articles(data)[:documents]
    core = pin()
    ours = signing(texts)
    with Peers(core) as peers:
        pairs = []
        for name, count in PEERS.items():
            peer = peers.start(name, texts[:count])
            if peer is not None:
                pairs.append(Pair(peer, signing(texts[:count])))
        pairs, crashed = in_rounds(ours, pairs, rounds)
    return show("signatures", UNIT, ours, pairs, peers.missing | crashed, describe(texts))


def signing(texts: Sequence[str]) -> Contender:
    """Ours over `texts`, compiled and warm."""
    column = pa.array(texts, pa.large_string())
    MinHash().sign(column)
    return Contender("corpusmill", __version__, len(texts), timed(lambda: MinHash().sign(column)))


def articles(data: Path) -> list[str]:
    """News articles and Wikipedia articles, in an order drawn once."""
    gold = json.loads((data / "extraction/article-extraction-benchmark/ground-truth.json").read_text(encoding="utf-8"))
    texts = [page["articleBody"] for page in gold.values()]
    texts += [p.read_text(encoding="utf-8") for p in sorted((data / "text/wikipedia-en").iterdir()) if p.is_file()]
    texts = [t for t in texts if len(t) > MIN_CHARS]
    order = np.random.default_rng(0).permutation(len(texts))
    return [texts[i] for i in order]


def describe(texts: Sequence[str]) -> str:
    words = np.mean([len(t.split()) for t in texts])
    size = sum(len(t.encode()) for t in texts) / 1e6
    return f"{len(texts):,} English articles, {words:,.0f} words each, {size:.1f} MB"
