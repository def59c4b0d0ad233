"""Main text of 181 news pages: F1 against what people marked, and milliseconds a page on one core.

Scored as the article-extraction-benchmark says: precision and recall of 4-grams of words, averaged over pages. The
library trafilatura runs in the same process, as it is; `equal` is the share of pages on which ours gives the same text.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness import commit, machine, pin, timed
from corpusmill.clean.main_text import MainText
from corpusmill.clean.page_charset import decode
from corpusmill.version import __version__

_WORDS = re.compile(r"\w+")
_NGRAM = 4
Engine = Callable[[str], str | None]


def run(data: Path, rounds: int, documents: int) -> dict[str, Any]:
    """Measure and print. Raises FileNotFoundError where the pages are not there."""
    pages, gold = articles(data / "extraction/article-extraction-benchmark")
    pages, gold = pages[:documents], gold[:documents]
    pin()
    engines = contenders()
    texts = {name: [engine(page) or "" for page in pages] for name, engine in engines.items()}
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(rounds):
        for name, engine in engines.items():
            seconds[name].append(timed(lambda engine=engine: [engine(p) for p in pages])())  # type: ignore[misc]
    rows: list[dict[str, Any]] = [
        {"engine": name, "ms": round(median(spent) / len(pages) * 1e3, 2), **article_scores(texts[name], gold)}
        for name, spent in seconds.items()
    ]
    same = mean(a == b for a, b in zip(texts["corpusmill, trafilatura"], texts[_PLAIN], strict=True))
    show(rows, same, rounds, len(pages))
    ours, peer = rows[0], next(r for r in rows if r["engine"] == _PLAIN)
    facts = {"name": "extract", "value": ours["ms"], "unit": "ms/page", "f1": ours["f1"], "peer": _PLAIN}
    facts |= {"peer_version": _trafilatura().__version__, "peer_value": peer["ms"], "equal": same}
    facts |= {"ratio": round(peer["ms"] / ours["ms"], 2), "input": f"{len(pages)} news pages", "commit": commit()}
    facts |= {"machine": machine(), "engines": rows}
    print(json.dumps(facts))
    return facts


_PLAIN = "trafilatura, fast"


def contenders() -> dict[str, Engine]:
    """Name to engine: ours, then the library with three settings, the last of which is datatrove's."""
    library = _trafilatura()
    ours = {engine: MainText(engine) for engine in ("trafilatura", "blocks", "resiliparse", "union")}
    found: dict[str, Engine] = {
        f"corpusmill, {name}": lambda page, engine=engine: engine(page)[0]  # type: ignore[misc]
        for name, engine in ours.items()
    }

    def plain(page: str) -> str | None:
        document = library.bare_extraction(page, fast=True, include_comments=False, with_metadata=False)
        return None if document is None else document.text

    return found | {
        _PLAIN: plain,
        "trafilatura": lambda page: library.extract(page, include_comments=False),
        "trafilatura, as datatrove calls it": lambda page: library.extract(
            page, favor_precision=True, include_comments=False, deduplicate=True
        ),
    }


def articles(folder: Path) -> tuple[list[str], list[str]]:
    """(pages, what people marked as the article in each)."""
    gold: Mapping[str, Any] = json.loads((folder / "ground-truth.json").read_text(encoding="utf-8"))
    names = [name for name in sorted(gold) if (folder / f"html/{name}.html.gz").exists()]
    pages = [decode(gzip.decompress((folder / f"html/{name}.html.gz").read_bytes()))[0] for name in names]
    return pages, [gold[name]["articleBody"] for name in names]


def article_scores(texts: Sequence[str], gold: Sequence[str]) -> dict[str, float]:
    """f1, precision and recall: the means of the latter two over pages, and their harmonic mean."""
    pairs = [precision_recall(text, wanted) for text, wanted in zip(texts, gold, strict=True)]
    precision, recall = mean(p for p, _ in pairs), mean(r for _, r in pairs)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"f1": round(f1, 4), "precision": round(precision, 4), "recall": round(recall, 4)}


def precision_recall(text: str, wanted: str) -> tuple[float, float]:
    """Of one page; 4-grams count as often as they stand in both."""
    found, right = _ngrams(text), _ngrams(wanted)
    common = sum((found & right).values())
    return common / max(sum(found.values()), 1), common / sum(right.values()) if right else 1.0


def _ngrams(text: str) -> Counter[tuple[str, ...]]:
    words = _WORDS.findall(text)
    if len(words) < _NGRAM:
        return Counter([tuple(words)])
    return Counter(tuple(words[i : i + _NGRAM]) for i in range(len(words) - _NGRAM + 1))


def _trafilatura() -> Any:
    import trafilatura

    return trafilatura


def show(rows: Sequence[Mapping[str, Any]], same: float, rounds: int, pages: int) -> None:
    table = Table("engine", "F1", "precision", "recall", "ms/page", title_justify="left")
    table.title = f"extract: {pages} news pages; medians of {rounds} rounds, one core; corpusmill {__version__}"
    for r in rows:
        table.add_row(r["engine"], *(f"{r[k]:.3f}" for k in ("f1", "precision", "recall")), f"{r['ms']:.2f}")
    Console().print(table)
    print(f"the same text from corpusmill, trafilatura as from {_PLAIN}: {same:.1%} of pages")
