"""Rows of `python -m benchmarks clean`: rates, what is kept, what the screen costs, where the time goes."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.conversation import Conversation
from benchmarks.harness import commit, machine
from benchmarks.kept_documents import Kept
from benchmarks.subset import Subset

UNIT = "pages/s/core"
ORDER = (
    *("read", "decode", "url rules", "visible text + screen", "extract", "edit", "language"),
    *("measures + rules", "repetition", "gopher", "c4", "fineweb", "write"),
)
"""Rows of the table of stages; a stage that is not here comes after them."""


@dataclass
class Side:
    """One contender, in a process that is asked to run; a context manager that ends it."""

    name: str
    version: str
    talk: Conversation
    is_ours: bool
    rounds: list[dict[str, Any]] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds by stage, of one run."""

    @classmethod
    def started(cls, name: str, talk: Conversation, question: Mapping[str, Any], *, is_ours: bool = False) -> Side:
        try:
            return cls(name, str(talk.ask(dict(question))["version"]), talk, is_ours)
        except BaseException:
            talk.end()
            raise

    def run(self) -> None:
        self.rounds.append(self.ask({"run": 1}))
        self.stages = self.rounds[-1]["stages"]

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        return self.talk.ask(question)

    def pages_a_second(self, pages: int, clock: str = "seconds") -> float:
        """From the median round, by the wall (`seconds`) or the processor (`cpu`)."""
        return pages / statistics.median(r[clock] for r in self.rounds)

    @property
    def output(self) -> Path:
        return Path(self.rounds[-1]["output"])

    def __enter__(self) -> Side:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.talk.end()


@dataclass(frozen=True)
class Loss:
    """What a recipe without its screen keeps and with it does not."""

    documents: int
    of_documents: int
    tokens: int
    of_tokens: int
    rate: float
    """Pages a second without the screen, one run."""

    @property
    def document_share(self) -> float:
        return self.documents / max(self.of_documents, 1)

    @property
    def token_share(self) -> float:
        return self.tokens / max(self.of_tokens, 1)

    def facts(self) -> dict[str, Any]:
        return {
            "documents": self.documents,
            "document_share": round(self.document_share, 5),
            "tokens": self.tokens,
            "token_share": round(self.token_share, 6),
            "pages_s_without_screen": round(self.rate, 2),
        }


def loss(screened: Kept, unscreened: Kept, rate: float) -> Loss:
    lost = unscreened.tokens.keys() - screened.tokens.keys()
    tokens = sum(unscreened.tokens[i] for i in lost)
    return Loss(len(lost), unscreened.documents, tokens, unscreened.all_tokens, rate)


def summary(
    sides: Sequence[Side],
    kept: Mapping[str, Kept],
    losses: Mapping[str, Loss | None],
    missing: Mapping[str, str],
    pages: Subset,
) -> dict[str, Any]:
    """What each benchmark says, and `sides` with all that is known of each. The first engine stands for ours."""
    first, peer = sides[0], next((s for s in sides if not s.is_ours), None)
    rows = [_row(side, peer, kept, losses.get(side.name), pages.pages) for side in sides]
    return {
        "name": "clean", "value": rows[0]["pages_s"], "unit": UNIT, "engine": first.name,
        "peer": peer.name if peer else None, "peer_version": peer.version if peer else None,
        "peer_value": round(peer.pages_a_second(pages.pages), 2) if peer else None, "ratio": rows[0].get("ratio"),
        "input": str(pages), "commit": commit(), "machine": machine(),
        "pages": pages.pages, "rounds": len(first.rounds), "sides": rows, "missing": dict(missing),
    }  # fmt: skip


def _row(side: Side, peer: Side | None, kept: Mapping[str, Kept], lost: Loss | None, pages: int) -> dict[str, Any]:
    mine, last = kept[side.name], side.rounds[-1]
    row: dict[str, Any] = {
        "name": side.name,
        "version": side.version,
        "pages_s": round(side.pages_a_second(pages), 2),
        "pages_s_cpu": round(side.pages_a_second(pages, "cpu"), 2),
        "documents": mine.documents,
        "tokens": mine.all_tokens,
        "rss_mb": round(last["rss_mb"], 1),
        "child_rss_mb": round(last["child_rss_mb"], 1),
        "documents_by_stage": last["items"] or {"read": pages},
        "ms_by_stage": {name: round(1000 * s / pages, 4) for name, s in side.stages.items()},
    }
    if peer is not None and side.is_ours:
        for clock, name in (("seconds", "ratio"), ("cpu", "ratio_cpu")):
            row[name] = round(side.pages_a_second(pages, clock) / peer.pages_a_second(pages, clock), 2)
        row["documents_in_both"] = len(mine.tokens.keys() & kept[peer.name].tokens.keys())
    if lost is not None:
        row["screen_loss"] = lost.facts()
    if "lost" in last:
        row["lost_to_errors"] = last["lost"]
    return row


def show(
    sides: Sequence[Side],
    kept: Mapping[str, Kept],
    losses: Mapping[str, Loss | None],
    missing: Mapping[str, str],
    pages: Subset,
) -> dict[str, Any]:
    """Print the tables, and as the last line one JSON object; returns it."""
    facts = summary(sides, kept, losses, missing, pages)
    console = Console(width=140)
    console.print(rates(facts), stages(facts))
    print(json.dumps(facts))
    return facts


def rates(facts: Mapping[str, Any]) -> Table:
    table = Table(title_justify="left")
    table.title = f"clean: {facts['input']}; medians of {facts['rounds']} rounds, one core; lists loaded before"
    for name in (
        "who",
        "read",
        "screen",
        UNIT,
        "by CPU",
        "ratio",
        "by CPU",
        "kept",
        "tokens",
        "screen loses",
        "peak MB",
    ):
        table.add_column(name)
    for row in facts["sides"]:
        lost = row.get("screen_loss")
        table.add_row(
            f"{row['name']} {row['version']}",
            f"{row['documents_by_stage']['read']:,}",
            "on" if lost else "none",
            f"{row['pages_s']:,.1f}",
            f"{row['pages_s_cpu']:,.1f}",
            f"{row['ratio']:.2f} x" if "ratio" in row else "",
            f"{row['ratio_cpu']:.2f} x" if "ratio" in row else "",
            f"{row['documents']:,}" + (f" ({row['documents_in_both']:,} in both)" if "ratio" in row else ""),
            f"{row['tokens']:,}",
            f"{lost['documents']} documents, {lost['document_share']:.2%}; tokens {lost['token_share']:.3%}"
            if lost
            else "",
            f"{row['rss_mb']:,.0f} + child {row['child_rss_mb']:,.0f}",
        )
    for name, why in facts["missing"].items():
        table.add_row(name, "", why)
    return table


def _lost(lost: Mapping[str, Any]) -> str:
    return f"{lost['documents']} documents, {lost['document_share']:.2%}; tokens {lost['token_share']:.3%}"


def stages(facts: Mapping[str, Any]) -> Table:
    table = Table(title="ms a page of all that were read", title_justify="left")
    table.add_column("stage")
    there = {name for row in facts["sides"] for name in row["ms_by_stage"]}
    for row in facts["sides"]:
        table.add_column(row["name"], justify="right")
    for name in [*(n for n in ORDER if n in there), *sorted(there - set(ORDER))]:
        times = [row["ms_by_stage"].get(name) for row in facts["sides"]]
        table.add_row(name, *("" if ms is None else f"{ms:.3f}" for ms in times))
    return table
