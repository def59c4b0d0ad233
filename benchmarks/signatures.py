"""MinHash signatures, 14 bands of 8 over 5-word shingles, of real English articles: documents a second on one core.

And of Chinese texts, where every character is a word: bytes a second, in turns with the English ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

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
    by_bytes = bytes_a_second(texts, chinese(data)[:documents], rounds)
    return show("signatures", UNIT, ours, pairs, peers.missing | crashed, describe(texts), by_bytes)


def bytes_a_second(english: Sequence[str], chinese: Sequence[str], rounds: int) -> dict[str, Any]:
    """Ours on both, printed; for each its megabytes a second, and what they were measured on."""
    sides = {"english": signing(english), "chinese": signing(chinese)}
    for _ in range(rounds):
        for side in sides.values():
            side.seconds.append(side.run())
    sizes = {"english": megabytes(english), "chinese": megabytes(chinese)}
    rates = {name: sizes[name] * side.rate / side.items for name, side in sides.items()}
    what = f"{len(chinese):,} Chinese texts, {sizes['chinese']:.1f} MB"
    table = Table("text", "MB/s/core", "English is", title=f"signatures: {what}", title_justify="left")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.1f}", "" if name == "english" else f"{rates['english'] / rate:,.2f} x")
    Console().print(table)
    return {"megabytes_a_second": {n: round(r, 1) for n, r in rates.items()}, "chinese_input": what}


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


def chinese(data: Path) -> list[str]:
    """Issues of a weekly on technology, and laws."""
    files = [p for name in ("weekly-zh", "laws-zh") for p in _files(data / "text" / name)]
    texts = [p.read_text(encoding="utf-8") for p in files]
    return [t for t in texts if len(t) > MIN_CHARS]


def _files(folder: Path) -> list[Path]:
    """All below it, in order. Raises FileNotFoundError where there is no such folder."""
    next(folder.iterdir())
    return sorted(p for p in folder.rglob("*") if p.is_file())


def megabytes(texts: Sequence[str]) -> float:
    return sum(len(t.encode()) for t in texts) / 1e6


def describe(texts: Sequence[str]) -> str:
    words = np.mean([len(t.split()) for t in texts])
    return f"{len(texts):,} English articles, {words:,.0f} words each, {megabytes(texts):.1f} MB"
