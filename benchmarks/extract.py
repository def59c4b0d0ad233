"""Main text of pages by our engines and by the libraries as they come: F1 on two benchmarks, milliseconds a page.

The article extraction benchmark (scrapinghub, 181 English news pages) and the pages of htmltotext-benchmark (28 in
English, German, Croatian and Chinese, forums among them). All get the same decoded pages. Time is for the 181, one
core, in turn round by round, after a pass over all pages; it is extraction alone, in the process itself. The last
question is whether our accelerated trafilatura finds the very text of the library's fast mode: on these pages and on
pages of the sample archive.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.charset import html_pages
from benchmarks.conversation import Conversation
from benchmarks.harness import ROOT, Failed, commit, machine, pin
from benchmarks.peer_process import peer_command
from benchmarks.text_scores import score
from corpusmill.clean.main_text import MainText
from corpusmill.clean.page_charset import decide
from corpusmill.version import __version__

UNIT = "F1"
ARTICLES = "extraction/article-extraction-benchmark"
MULTILANG = "extraction/multilang/benchmarkdata"
OURS: dict[str, Callable[[], MainText]] = {
    "trafilatura fast (ours)": lambda: MainText("trafilatura"),
    "trafilatura full (ours)": lambda: MainText("trafilatura", fast=False),
    "resiliparse (ours)": lambda: MainText("resiliparse"),
    "union (ours)": lambda: MainText("union"),
    "blocks (ours)": lambda: MainText("blocks"),
}
SAME_AS, PEER = "trafilatura fast", "trafilatura precision"
"""The library's way that ours must equal, and datatrove's, which it is measured against."""


@dataclass
class Pages:
    """Pages with the text that people found in them, and pages without."""

    htmls: list[str]
    golds: list[str]
    """Of the first pages; the rest have none."""
    articles: int
    """The first so many are the article benchmark."""


@dataclass
class Way:
    name: str
    version: str
    texts: list[str]
    run: Callable[[int], float]
    """Seconds for the first so many pages."""
    seconds: list[float] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        run(load(chosen.data, chosen.docs), chosen.rounds)
    except FileNotFoundError as e:
        print(f"no {e.filename}: set CORPUSMILL_DATA or --data to the real data; nothing was measured", file=sys.stderr)
        return 2
    return 0


def load(data: Path, more: int) -> Pages:
    """Pages of both benchmarks, and `more` of the archive. Raises FileNotFoundError where one is not there."""
    gold = json.loads((data / ARTICLES / "ground-truth.json").read_text(encoding="utf-8"))
    bodies = [gzip.decompress((data / ARTICLES / "html" / f"{key}.html.gz").read_bytes()) for key in gold]
    golds = [page["articleBody"] for page in gold.values()]
    articles = len(bodies)
    for text in sorted((data / MULTILANG).glob("*/text/*.txt")):
        bodies.append((text.parents[1] / "html" / f"{text.stem}.html").read_bytes())
        golds.append(text.read_text(encoding="utf-8"))
    htmls = [decide(body, None).text for body in bodies]
    if more:
        htmls += [decide(*page).text for page in html_pages(data / "warc/sample-dev.warc.gz", more)]
    return Pages(htmls, golds, articles)


def run(pages: Pages, rounds: int) -> dict[str, Any]:
    """Measure and print."""
    core = pin()
    missing: dict[str, str] = {}
    ways = [_ours(name, make(), pages) for name, make in OURS.items()]
    try:
        with Conversation(peer_command("run_extract.py")) as talk:
            answer = talk.ask({"pages": pages.htmls, "core": core})
            missing |= answer["missing"]
            ways += [_theirs(talk, name, version) for name, version in answer["versions"].items()]
            in_turn(ways, pages.articles, rounds)
    except Failed as e:
        missing["peers"] = str(e)
        ways = [way for way in ways if way.name in OURS]
        in_turn(ways, pages.articles, rounds - len(ways[0].seconds))
    facts = summary(ways, pages, missing)
    Console(width=130).print(table(facts))
    print(json.dumps(facts))
    return facts


def in_turn(ways: Sequence[Way], pages: int, rounds: int) -> None:
    for _ in range(rounds):
        for way in ways:
            way.seconds.append(way.run(pages))


def summary(ways: Sequence[Way], pages: Pages, missing: dict[str, str]) -> dict[str, Any]:
    """What each benchmark says; `ways` with all scores; `same_text`, of how many pages our text is the library's."""
    rows = [_row(way, pages) for way in ways]
    named = {way.name: way for way in ways}
    ours, peer = rows[0], next((r for r in rows if r["name"] == PEER), None)
    same = None
    if SAME_AS in named:
        pairs = list(zip(ways[0].texts, named[SAME_AS].texts, strict=True))
        same = {"pages": len(pairs), "equal": sum(a == b for a, b in pairs)}
    return {
        "name": "extract", "value": ours["f1"], "unit": UNIT, "peer": PEER if peer else None,
        "peer_version": peer["version"] if peer else None, "peer_value": peer["f1"] if peer else None,
        "ratio": round(ours["f1"] / peer["f1"], 4) if peer else None,
        "speed_ratio": round(peer["ms"] / ours["ms"], 2) if peer else None,
        "input": f"{pages.articles} articles, {len(pages.golds) - pages.articles} pages in four languages",
        "commit": commit(), "machine": machine(), "rounds": len(ways[0].seconds), "same_text": same,
        "ways": rows, "missing": missing,
    }  # fmt: skip


def table(facts: dict[str, Any]) -> Table:
    shown = Table(
        "engine", "version", "F1", "precision", "recall", "ms/page", "F1, four languages", title_justify="left"
    )
    shown.title = f"extract: {facts['input']}; medians of {facts['rounds']} rounds, one core"
    for row in facts["ways"]:
        numbers = (f"{row[k]:.3f}" for k in ("f1", "precision", "recall"))
        shown.add_row(row["name"], row["version"], *numbers, f"{row['ms']:.2f}", f"{row['f1_multilang']:.3f}")
    for name, why in facts["missing"].items():
        shown.add_row(name, "", why)
    same = facts["same_text"]
    if same:
        shown.caption = f"ours has the text of {SAME_AS}: {same['equal']:,} of {same['pages']:,} pages"
    return shown


def _row(way: Way, pages: Pages) -> dict[str, Any]:
    articles = score(pages.golds[: pages.articles], way.texts[: pages.articles])
    others = score(pages.golds[pages.articles :], way.texts[pages.articles : len(pages.golds)])
    return {
        "name": way.name, "version": way.version, "f1": round(articles.f1, 4),
        "precision": round(articles.precision, 4), "recall": round(articles.recall, 4),
        "ms": round(1000 * statistics.median(way.seconds) / pages.articles, 3), "f1_multilang": round(others.f1, 4),
    }  # fmt: skip


def _ours(name: str, engine: MainText, pages: Pages) -> Way:
    def run(count: int) -> float:
        start = time.perf_counter()
        for html in pages.htmls[:count]:
            engine(html)
        return time.perf_counter() - start

    return Way(name, __version__, [engine(html)[0] or "" for html in pages.htmls], run)


def _theirs(talk: Conversation, name: str, version: str) -> Way:
    texts: list[str] = talk.ask({"texts": name})["texts"]
    return Way(name, version, texts, lambda count: float(talk.ask({"run": name, "first": count})["seconds"]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks extract", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--docs", type=int, default=400, help="pages of the archive for the equality; default: 400")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("CORPUSMILL_DATA", ROOT.parent / "shared/data"))
    )
    return parser
