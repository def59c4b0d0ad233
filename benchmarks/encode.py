"""Texts to ids, from an Arrow column to flat ids, one thread: megabytes a second for gpt2 and cl100k.

Ours after it has encoded the other half of the texts (warm) and with an empty cache (cold), beside Hugging Face's
tokenizers and tiktoken in the same process, and datatrove's DocumentTokenizer in its own, which writes what it encodes.
All get the same texts; a slow one the first of them. Ids are compared with Hugging Face's before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tiktoken
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from benchmarks.conversation import Conversation
from benchmarks.harness import ROOT, Failed, commit, machine, pin
from benchmarks.peer_process import peer_command
from benchmarks.signatures import articles, chinese, megabytes
from corpusmill.tokenize.encoders import token_ranks
from corpusmill.tokenize.kernel_encoder import KernelEncoder
from corpusmill.tokenize.pretokenizers import FAMILIES
from corpusmill.tokenize.tokenizer_files import read_tokenizer
from corpusmill.version import __version__

SLOW_MEGABYTES = {"tokenizers": 3.0, "tiktoken": 20.0, "datatrove": 3.0}
TOKENIZERS = {"gpt2": "tokenizers/gpt2", "cl100k": "tokenizers/cl100k_base.tiktoken"}
UNIT = "MB/s"


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    core = pin()
    rows = []
    try:
        texts = {"english": articles(chosen.data), "chinese": chinese(chosen.data)}
        for name, place in TOKENIZERS.items():
            tokenizer = read_tokenizer(str(chosen.data / place))
            for language, some in texts.items():
                rows.append(measure(name, tokenizer, language, some, chosen.rounds, core))
    except FileNotFoundError as e:
        print(f"no {e.filename}: set CORPUSMILL_DATA or --data to the real data; nothing was measured", file=sys.stderr)
        return 2
    show(rows, chosen.rounds)
    return 0


def measure(
    name: str, tokenizer: Tokenizer, language: str, texts: Sequence[str], rounds: int, core: int | None
) -> dict[str, Any]:
    """One tokenizer on one language: every side once a round, in turn."""
    warmth, measured = pa.array(texts[::2], pa.large_string()), list(texts[1::2])
    column, ours = pa.array(measured, pa.large_string()), KernelEncoder(tokenizer)
    _require_equal(ours, tokenizer, measured[:40])
    sides: dict[str, tuple[Callable[[], float], float]] = {
        "warm": (lambda: _warm(ours, warmth, column), megabytes(measured)),
        "cold": (lambda: _cold(ours, column), megabytes(measured)),
        **_libraries(tokenizer, measured),
    }
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            peer = _Datatrove(tokenizer, _first(measured, SLOW_MEGABYTES["datatrove"]), Path(folder), core)
        except Failed as e:
            missing["datatrove"] = str(e)
        else:
            sides["datatrove"] = (peer.run, peer.megabytes)
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(rounds):
            for side, (run, _size) in sides.items():
                seconds[side].append(run())
    rates = {side: sides[side][1] / statistics.median(taken) for side, taken in seconds.items()}
    size = f"{len(texts):,} texts, {megabytes(texts):.1f} MB, half of them to warm up"
    return {"tokenizer": name, "language": language, "input": size, "rates": rates, "missing": missing}


def _warm(ours: KernelEncoder, warmth: pa.Array, column: pa.Array) -> float:
    ours.forget()
    ours.encode(warmth)
    return _timed(lambda: ours.encode(column))


def _cold(ours: KernelEncoder, column: pa.Array) -> float:
    ours.forget()
    return _timed(lambda: ours.encode(column))


def _libraries(tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, tuple[Callable[[], float], float]]:
    few, more = (_first(texts, SLOW_MEGABYTES[n]) for n in ("tokenizers", "tiktoken"))
    family = FAMILIES["gpt2" if "ByteLevel" in str(tokenizer.pre_tokenizer)[:12] else "cl100k"]
    encoding = tiktoken.Encoding(
        "x", pat_str=family.patterns[0], mergeable_ranks=token_ranks(tokenizer), special_tokens={}
    )
    return {
        "tokenizers": (
            lambda: _timed(lambda: tokenizer.encode_batch(few, add_special_tokens=False)), megabytes(few)
        ),
        "tiktoken": (lambda: _timed(lambda: [encoding.encode_to_numpy(t) for t in more]), megabytes(more)),
    }  # fmt: skip


class _Datatrove:
    """Its DocumentTokenizer, in the peers' environment."""

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[str], folder: Path, core: int | None) -> None:
        tokenizer.save(str(folder / "tokenizer.json"))
        self.megabytes = megabytes(texts)
        self.talk = Conversation(peer_command("run_tokens.py"))
        self.talk.ask({"tokenizer": str(folder / "tokenizer.json"), "documents": list(texts), "core": core})

    def run(self) -> float:
        return float(self.talk.ask({"run": 1})["seconds"])


def _require_equal(ours: KernelEncoder, tokenizer: Tokenizer, texts: Sequence[str]) -> None:
    expected = [e.ids for e in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
    assert ours.encode(texts).lists() == expected, "ids differ from Hugging Face's"


def _first(texts: Sequence[str], size: float) -> list[str]:
    """The first texts of so many megabytes, one at least."""
    sizes = np.cumsum([len(t.encode()) for t in texts]) / 1e6
    return list(texts[: max(1, int(np.searchsorted(sizes, size)))])


def _timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def show(rows: Sequence[dict[str, Any]], rounds: int) -> None:
    table = Table("tokenizer", "text", "ours warm", "cold", "who", UNIT, "ours is", title_justify="left")
    table.title = f"encode: MB/s of UTF-8, one thread, medians of {rounds} rounds; {machine()}"
    for row in rows:
        rates = row["rates"]
        first = [row["tokenizer"], row["language"], f"{rates['warm']:,.1f}", f"{rates['cold']:,.1f}"]
        for who in ("tokenizers", "tiktoken", "datatrove"):
            rate = rates.get(who)
            told = (
                [row["missing"].get(who, ""), ""]
                if rate is None
                else [f"{rate:,.2f}", f"{rates['warm'] / rate:,.1f} x"]
            )
            table.add_row(*first, who, *told)
            first = [""] * 4
    console = Console(width=110)
    console.print(table)
    console.print(f"tokenizers {version('tokenizers')}, tiktoken {version('tiktoken')}; ids equal to the former's")
    best = rows[0]
    facts = {
        "name": "encode",
        "value": round(best["rates"]["warm"], 2),
        "unit": UNIT,
        "peer": "tokenizers",
        "peer_version": version("tokenizers"),
        "peer_value": round(best["rates"]["tokenizers"], 2),
        "ratio": round(best["rates"]["warm"] / best["rates"]["tokenizers"], 2),
        "input": best["input"],
        "commit": commit(),
        "machine": machine(),
        "version": __version__,
        "rows": rows,
    }
    print(json.dumps(facts))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks encode", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("CORPUSMILL_DATA", ROOT.parent / "shared/data"))
    )
    return parser
