"""Tokens a second that a training is given: int64 batches with positions and document borders, in shuffled order.

Ours from mapped shards, in this process and through torch's DataLoader with 2 workers; MosaicML's StreamingDataset and
litdata, each from its own format, through the DataLoader with 2 workers and with none. All have rows of the same length
from the same number of tokens; the peers' batches are of ids alone, without positions or borders.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.conversation import Conversation
from benchmarks.harness import Failed, commit, machine
from benchmarks.peer_process import loader_command
from benchmarks.shard_maker import make_shards
from corpusmill.storage import Folder
from corpusmill.tokenize.token_shards import open_shards
from corpusmill.train.stream import TokenStream
from corpusmill.train.stream.packing import Packing, prepare

LENGTH, BATCH, SHARDS = 2048, 32, 10
WEIGHTS = {"web": 0.6, "code": 0.3, "wiki": 0.1}
OURS: dict[str, dict[str, Any]] = {
    "chunks": {},
    "chunks, mixture": {"weights": WEIGHTS},
    "best fit": {"packing": "best_fit"},
    "best fit, mixture": {"packing": "best_fit", "weights": WEIGHTS},
}
PEERS = {"mosaicml-streaming": "loader_mosaic.py", "litdata": "loader_litdata.py"}
UNIT = "M tokens/s"


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=chosen.scratch) as scratch:
        folder = Path(scratch)
        sources = itertools.cycle(["web", "web", "code", "wiki", "web"])
        shards = make_shards(folder / "shards", SHARDS, chosen.tokens // SHARDS, sources)
        tokens = _flat(shards, folder / "tokens.npy")
        rows = [measure_ours(shards, name, chosen.seconds) for name in OURS]
        rows.append(measure_loader(shards, chosen.seconds))
        missing = {}
        for name, script in PEERS.items():
            try:
                rows += measure_peer(name, script, folder / "tokens.npy", folder / name, chosen.seconds)
            except Failed as e:
                missing[name] = str(e)
    show(rows, missing, tokens)
    return 0


def measure_ours(shards: Folder, name: str, seconds: float) -> dict[str, Any]:
    """One kind of stream in this process. Before it is timed, a batch is compared with the shards, token by token."""
    settings = OURS[name]
    if settings.get("packing") == "best_fit":
        for stratum in _strata(shards, settings):
            prepare(stratum, Packing(LENGTH))
    began = time.perf_counter()
    stream = TokenStream(shards, seed=1, sequence_length=LENGTH, batch_size=BATCH, **settings)
    stream.batch(1)
    first = time.perf_counter() - began
    _require_equal(stream)
    steps = itertools.count(1)

    def batch() -> int:
        made = stream.batch(next(steps))
        return int(made.cu_seqlens[-1])

    _run_for(batch, seconds)  # the files come into memory, and their blocks are compared with their checksums
    return {"who": "corpusmill", "what": name, "rate": _run_for(batch, seconds), "first": first}


def measure_loader(shards: Folder, seconds: float) -> dict[str, Any]:
    """The same through torch's DataLoader with 2 workers, as tensors."""
    from torch.utils.data import DataLoader

    began = time.perf_counter()
    stream = TokenStream(shards, seed=1, sequence_length=LENGTH, batch_size=BATCH)
    batches = iter(DataLoader(stream.dataset(BATCH), batch_size=None, num_workers=2))
    next(batches)
    first = time.perf_counter() - began

    def batch() -> int:
        return int(next(batches)["input_ids"].numel())

    _run_for(batch, seconds)
    return {
        "who": "corpusmill",
        "what": "chunks, DataLoader, 2 workers",
        "rate": _run_for(batch, seconds),
        "first": first,
    }


def measure_peer(name: str, script: str, tokens: Path, folder: Path, seconds: float) -> list[dict[str, Any]]:
    """A peer on the same tokens, with 2 workers and with none."""
    talk = Conversation(loader_command(script))
    try:
        talk.ask({"mode": "write", "tokens": str(tokens), "folder": str(folder), "sequence_length": LENGTH})
        rows = []
        for workers in (2, 0):
            asked = {"folder": str(folder), "sequence_length": LENGTH, "batch_size": BATCH, "workers": workers}
            found = talk.ask({"mode": "read", **asked, "seconds": seconds, "warm_seconds": seconds})
            what = f"ids alone, DataLoader, {workers} workers"
            rate, first = found["tokens_per_second"] / 1e6, found["first_batch_seconds"]
            rows.append({"who": f"{name} {found['version']}", "what": what, "rate": rate, "first": first})
        return rows
    finally:
        talk.end()


def _strata(shards: Folder, settings: dict[str, Any]) -> Iterator[Any]:
    from corpusmill.train.stream.journal import Journal
    from corpusmill.train.stream.sources import CORPUS, all_strata, sources_of

    yield from all_strata(sources_of({CORPUS: shards}, settings.get("weights")), Journal())


def _require_equal(stream: TokenStream) -> None:
    """The labels of a batch are the tokens of its segments, as the shards have them."""
    batch = stream.batch(3)
    labels = batch.labels.ravel()
    for slot, _, token, count, out, _ in batch.segments.tolist():
        if slot >= 0:
            shards, index = stream.shard_of(slot)
            tokens = shards.shards[index].tokens[token : token + count]
            assert np.array_equal(labels[out : out + count], tokens), "a batch is not what the shards hold"


def _run_for(batch: Callable[[], int], seconds: float) -> float:
    """Million tokens a second."""
    tokens, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        tokens += batch()
    return tokens / (time.perf_counter() - began) / 1e6


def _flat(shards: Folder, path: Path) -> int:
    """All tokens as one uint16 array, for the peers to write; how many."""
    found = np.concatenate([s.tokens for s in open_shards(shards).shards])
    np.save(path, found)
    return len(found)


def show(rows: Sequence[dict[str, Any]], missing: dict[str, str], tokens: int) -> None:
    ours = rows[0]["rate"]
    table = Table("who", "what", UNIT, "first batch", "chunks in one process are", title_justify="left")
    table.title = f"stream: {tokens:,} tokens, rows of {LENGTH}, batches of {BATCH}; {machine()}"
    for row in rows:
        peer = "" if row["who"] == "corpusmill" else f"{ours / row['rate']:,.1f} x"
        table.add_row(row["who"], row["what"], f"{row['rate']:,.1f}", f"{row['first'] * 1000:,.0f} ms", peer)
    for name, why in missing.items():
        table.add_row(name, why, "", "", "")
    Console(width=118).print(table)
    peers = [row for row in rows if row["who"] != "corpusmill"]
    first = peers[0] if peers else None
    facts = {
        "name": "stream",
        "value": round(ours, 2),
        "unit": UNIT,
        "peer": first and first["who"].rpartition(" ")[0],
        "peer_version": first and first["who"].rpartition(" ")[2],
        "peer_value": first and round(first["rate"], 2),
        "ratio": first and round(ours / first["rate"], 2),
        "input": f"{tokens:,} tokens",
        "commit": commit(),
        "machine": machine(),
        "rows": rows,
        "missing": missing,
    }
    print(json.dumps(facts))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks stream", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=200_000_000, help="default: 200,000,000 (0.4 GB, three times)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of warming up, and of measuring, each; default: 5")
    parser.add_argument("--scratch", help="where to write; default: the system's folder for temporary files")
    return parser


if __name__ == "__main__":
    sys.exit(main())
