"""Gopher repetition, Gopher quality, C4 and FineWeb together, on extracted text: documents a second on one core.

Ours measures everything and judges by four rules; datatrove runs its four filters one after the other and leaves a
document at the first that drops it. Then each filter by itself on the same documents: how often the verdicts are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from benchmarks.harness import Contender, Failed, Pair, in_rounds, pin, show, timed
from benchmarks.peer_process import Peers
from benchmarks.signatures import articles, describe
from corpusmill.clean.rules import C4Quality, FineWebQuality, GopherQuality, GopherRepetition
from corpusmill.clean.text_measures import measure
from corpusmill.version import __version__

UNIT = "documents/s/core"
PEER_DOCUMENTS = 100
RULES = {
    "gopher_repetition": GopherRepetition(),
    "gopher_quality": GopherQuality(),
    "c4_quality": C4Quality(),
    "fineweb_quality": FineWebQuality(),
}


def run(data: Path, rounds: int, documents: int) -> dict[str, Any]:
    """Measure and print. Raises FileNotFoundError where the articles are not there."""
    texts = articles(data)[:documents]
    few = texts[:PEER_DOCUMENTS]
    core = pin()
    with Peers(core) as peers:
        peer = peers.start("datatrove_filters", few)
        ours = judging(texts)
        pairs, crashed = in_rounds(ours, [Pair(peer, judging(few))] if peer else [], rounds)
        if pairs:
            try:
                print_agreement(few, peers.answers("datatrove_filters"))
            except Failed as e:
                crashed["datatrove_filters"] = str(e)
        return show("rules", UNIT, ours, pairs, peers.missing | crashed, describe(texts))


def judging(texts: Sequence[str]) -> Contender:
    """Ours over `texts`, compiled and warm."""
    column = pa.array(texts, pa.large_string())
    judge(column)
    return Contender("corpusmill", __version__, len(texts), timed(lambda: judge(column)))


def judge(column: pa.Array) -> dict[str, list[str | None]]:
    """Each rule's reason for each text."""
    measures = measure(column)
    return {name: rule.judge_measures(measures).to_pylist() for name, rule in RULES.items()}


def print_agreement(texts: Sequence[str], theirs: Sequence[dict[str, str | None]]) -> None:
    """`theirs` holds, for each text, each filter's reason, or None where it keeps it."""
    ours = judge(pa.array(texts, pa.large_string()))
    table = Table("filter", "same verdict", "of those it drops", "of those it keeps", title_justify="left")
    table.title = f"Verdicts against datatrove's, {len(texts):,} documents"
    for name, reasons in ours.items():
        same = [(a is None) == (b[name] is None) for a, b in zip(reasons, theirs, strict=True)]
        dropped = [s for s, b in zip(same, theirs, strict=True) if b[name] is not None]
        kept = [s for s, b in zip(same, theirs, strict=True) if b[name] is None]
        table.add_row(name, *(f"{sum(part):,} of {len(part):,}" for part in (same, dropped, kept)))
    Console().print(table)
