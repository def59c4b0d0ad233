"""Deduplication, documents to the rows to remove, beside datatrove's four stages and text-dedup: documents a second.

Real English sentences recombined into documents of 150 to 800 words, 30% of them planted copies: exact, in other case
and punctuation, with words edited at 1, 2 and 3%, with boilerplate before or after; clusters of 2 to 50; one template
that stands in a hundredth of all documents. All contenders get the same texts, two workers, processes of their own,
and the same 5 words and 14 bands of 8; each has run over a few hundred documents before any clock.

By the clock: ours, the dedup stage of a run whose documents stand, its checks and checksums included. datatrove's
signatures, buckets, cluster and filter, by LocalPipelineExecutor; its filter writes the kept texts, which ours has no
need to. text-dedup, its command, start of Python included; it saves the kept texts, too. Memory is the largest sum over
a contender's processes, by proportional set size. `found` and `lost` are against what was planted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.conversation import Conversation
from benchmarks.dedup_score import Score, gone_from_kept, gone_from_run, score
from benchmarks.dedup_table import show, show_scale
from benchmarks.harness import ROOT, Failed
from benchmarks.peer_process import peer_command
from benchmarks.planted_corpus import Corpus, write_corpus
from benchmarks.sentence_pool import Pool, real_pool
from benchmarks.tree_memory import TreeMemory

PEERS: dict[str, tuple[str, str, str]] = {
    "datatrove": ("run_dedup.py", "CORPUSMILL_PEERS", ".venv-peers"),
    "text-dedup": ("run_text_dedup.py", "CORPUSMILL_TEXT_DEDUP", ".venv-textdedup"),
}
"""Peer to its script, and where its environment is: by the variable, else in this folder."""
SCALE = (10_000, 100_000, 1_000_000)
MOST_FOR_PEERS = 100_000
"""They need an hour for more."""
_WARM = 400


@dataclass
class Contender:
    """One side, and what its rounds took."""

    name: str
    version: str
    talk: Conversation
    ask: Callable[[Corpus, Path], dict[str, Any]]
    gone: Callable[[Corpus, dict[str, Any]], np.ndarray]
    seconds: list[float] = field(default_factory=list)
    steps: dict[str, float] = field(default_factory=dict)
    peak_bytes: int = 0
    score: Score | None = None

    def run(self, corpus: Corpus, folder: Path) -> None:
        """A round: its time, the most memory of any round, and what it removed."""
        with TreeMemory(self.talk.process_id) as memory:
            answer = self.talk.ask(self.ask(corpus, folder))
        self.seconds.append(float(answer["seconds"]))
        self.steps = answer["steps"]
        self.peak_bytes = max(self.peak_bytes, memory.peak_bytes)
        self.score = score(corpus.truth(), self.gone(corpus, answer))
        shutil.rmtree(folder, ignore_errors=True)

    def facts(self, documents: int) -> dict[str, Any]:
        taken = statistics.median(self.seconds)
        return {
            "who": self.name,
            "version": self.version,
            "seconds": round(taken, 2),
            "rate": round(documents / taken, 1),
            "peak_mb": round(self.peak_bytes / 1e6),
            "steps": self.steps,
            **(self.score.facts() if self.score else {}),
        }


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    counts = SCALE if chosen.scale else tuple(chosen.docs)
    peers = chosen.peers if chosen.peers is not None else [] if chosen.scale else list(PEERS)
    try:
        pool = real_pool(chosen.data)
        with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="dedup-benchmark-") as folder:
            results = [measure(pool, n, chosen.workers, peers, chosen.rounds, Path(folder) / str(n)) for n in counts]
    except FileNotFoundError as e:
        print(f"no {e.filename}: set CORPUSMILL_DATA or --data to the real data; nothing was measured", file=sys.stderr)
        return 2
    except Failed as e:
        print(f"ours {e}; nothing was measured", file=sys.stderr)
        return 1
    if len(results) > 1:
        show_scale(results, chosen.chart)
    return 0


def measure(
    pool: Pool, documents: int, workers: int, peers: Sequence[str], rounds: int, folder: Path
) -> dict[str, Any]:
    """One number of documents: the corpus made, every contender once a round, the table printed. Its facts."""
    asked = peers if documents <= MOST_FOR_PEERS else ()
    warm = write_corpus(folder / "warm", pool, _WARM, plain=bool(asked))
    corpus = write_corpus(folder / "corpus", pool, documents, plain=bool(asked))
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        sides = [started("corpusmill", workers, stack)]
        for name in asked:
            try:
                sides.append(started(name, workers, stack))
            except Failed as e:
                missing[name] = str(e)
        for each, count in ((warm, 1), (corpus, rounds)):
            missing |= in_turn(sides, each, count, folder / "work")
            if each is warm:
                for side in sides:
                    side.seconds, side.peak_bytes = [], 0
    sides = [side for side in sides if side.name not in missing]
    shutil.rmtree(folder, ignore_errors=True)
    rows = [side.facts(documents) for side in sides]
    return show(rows, missing, str(corpus), documents, workers, rounds)


def in_turn(sides: list[Contender], corpus: Corpus, rounds: int, work: Path) -> dict[str, str]:
    """Every side once a round; a peer that crashes is left out of the rest. Peer to reason."""
    crashed: dict[str, str] = {}
    for _ in range(rounds):
        for side in [s for s in sides if s.name not in crashed]:
            try:
                side.run(corpus, work / side.name)
            except Failed as e:
                if side is sides[0]:
                    raise
                crashed[side.name] = str(e)
    sides[:] = [s for s in sides if s.name not in crashed]
    return crashed


def started(name: str, workers: int, stack: ExitStack) -> Contender:
    """The contender's process, loaded. Raises Failed where it is not installed or does not start."""
    if name == "corpusmill":
        talk = stack.enter_context(Conversation([sys.executable, "-m", "benchmarks.dedup_worker"]))
        version = talk.ask({"workers": workers, "recipe": {}})["version"]
        return Contender(name, version, talk, lambda c, _: {"run": c.run}, lambda c, _: gone_from_run(c))
    script, variable, environment = PEERS[name]
    command = peer_command(script, environment=Path(os.environ.get(variable, ROOT / environment)))
    talk = stack.enter_context(Conversation(command))
    version = str(talk.ask({"workers": workers})["version"])
    return Contender(
        name,
        version,
        talk,
        lambda corpus, folder: {"input": corpus.plain, "folder": str(folder)},
        lambda corpus, answer: gone_from_kept(corpus, Path(answer["kept"])),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks dedup", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--docs", type=int, nargs="+", default=[20_000], help="documents; several for several tables")
    parser.add_argument("--scale", action="store_true", help="10^4, 10^5 and 10^6 documents, in one table and a chart")
    parser.add_argument("--chart", type=Path, default=Path("dedup-scale.svg"), help="default: dedup-scale.svg")
    parser.add_argument("--workers", type=int, default=2, help="default: 2")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), help="default: all; with --scale none")
    parser.add_argument("--rounds", type=int, default=1, help="default: 1")
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's temporary folder")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("CORPUSMILL_DATA", ROOT.parent / "shared/data"))
    )
    return parser
