"""What the language screen before extraction loses, on two halves of the hosts: one to choose by, one to report.

The english recipe without its screen says what would have been kept; then each page's visible text is asked as the
screen asks it, over a grid of settings. A host is in one half, by a hash of its name, so a site's template cannot be
in both. The shipped setting should be chosen by the first half and hold on the second.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from benchmarks.clean import ARCHIVE, MODEL, Place, ours
from benchmarks.clean_table import Loss, loss
from benchmarks.harness import ROOT, Failed, commit, machine
from benchmarks.kept_documents import Kept, kept_by
from benchmarks.subset import subset
from corpusmill.clean.languages import Identifier, make_identifier
from corpusmill.clean.page_charset import decode
from corpusmill.clean.page_text import SCREEN_BYTES, SCREEN_SCORE
from corpusmill.clean.visible_text import VisibleText, visible_text
from corpusmill.ingest import Tally, read_pages

WANTED = ("en",)
HALVES = ("chosen by", "reported")
BYTES = (1000, SCREEN_BYTES, 4000)
SCORES = (0.05, 0.1, SCREEN_SCORE, 0.35, 0.65)
MAX_DOCUMENTS, MAX_TOKENS = 0.01, 0.005
"""Shares of documents and of tokens that a screen may lose."""
_BLOCK = 512


@dataclass(frozen=True)
class Screened:
    """One setting on one half of the hosts."""

    max_bytes: int
    min_score: float
    half: str
    pages: int
    passed: int
    loss: Loss

    def facts(self) -> dict[str, Any]:
        setting = {"bytes": self.max_bytes, "score": self.min_score, "hosts": self.half}
        return setting | {"pages": self.pages, "passed": self.passed} | self.loss.facts()


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        rows = measure(chosen.data, chosen.docs)
    except FileNotFoundError as e:
        print(f"no {e.filename}: set CORPUSMILL_DATA or --data to the real data; nothing was measured", file=sys.stderr)
        return 2
    except Failed as e:
        print(f"ours {e}; nothing was measured", file=sys.stderr)
        return 1
    Console(width=110).print(_table(rows))
    ours_row = next(r for r in rows if (r.max_bytes, r.min_score, r.half) == (SCREEN_BYTES, SCREEN_SCORE, HALVES[1]))
    print(json.dumps({
        "name": "screen", "value": ours_row.loss.document_share, "unit": "share of documents lost, hosts not chosen by",
        "peer": None, "peer_version": None, "peer_value": None, "ratio": None, "commit": commit(), "machine": machine(),
        "settings": [r.facts() for r in rows],
    }))  # fmt: skip
    return 0


def measure(data: Path, documents: int = 0) -> list[Screened]:
    """Every setting of the grid on both halves. `documents` HTML pages of the archive, evenly spread; 0 for all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "warm").mkdir()
        pages = subset(data / ARCHIVE, documents, folder)
        place = Place(pages, subset(data / ARCHIVE, 1, folder / "warm").path, data / MODEL, folder, None)
        with ours(place, "trafilatura", screen=False) as side:
            side.run()
            kept = kept_by(side.output, data / "tokenizers/gpt2")
            rate = side.pages_a_second(pages.pages)
        seen = visible_pages(pages.path)
    identifier = make_identifier("lid.176", str(data / MODEL))
    return [row for size in BYTES for row in _grid(seen, kept, identifier, size, rate)]


def visible_pages(archive: Path) -> dict[str, tuple[str, VisibleText]]:
    """Record id (without its angle brackets) to (half, visible text) of each page that the screen would be asked of."""
    found = {}
    with archive.open("rb") as f:
        for batch in read_pages(f, archive.name, Tally()):
            rows = batch.select(["id", "host", "body", "http_charset", "drop_reason"]).to_pylist()
            for row in rows:
                if row["drop_reason"] is None:
                    html, _ = decode(row["body"], row["http_charset"])
                    found[row["id"].strip("<>")] = half_of(row["host"]), visible_text(html.encode("utf-8", "replace"))
    return found


def half_of(host: str | None) -> str:
    return HALVES[hashlib.sha256((host or "").encode()).digest()[0] & 1]


def _grid(
    seen: Mapping[str, tuple[str, VisibleText]], kept: Kept, identifier: Identifier, max_bytes: int, rate: float
) -> list[Screened]:
    scores = _scores([text for _, text in seen.values()], identifier, max_bytes)
    rows = []
    for min_score in SCORES:
        for half in HALVES:
            pages = {i for i, (h, _) in seen.items() if h == half}
            passed = {i for i, score in zip(seen, scores, strict=True) if score >= min_score and i in pages}
            whole = Kept({i: n for i, n in kept.tokens.items() if i in pages})
            rest = Kept({i: n for i, n in whole.tokens.items() if i in passed})
            rows.append(Screened(max_bytes, min_score, half, len(pages), len(passed), loss(rest, whole, rate)))
    return rows


def _scores(texts: Sequence[VisibleText], identifier: Identifier, max_bytes: int) -> list[float]:
    """Of each page the score of the wanted language, 1 where it is the first."""
    found: list[float] = []
    for start in range(0, len(texts), _BLOCK):
        samples = [t.sample(max_bytes).tobytes().decode("utf-8", "ignore") for t in texts[start : start + _BLOCK]]
        answers = identifier.screen(pa.array(samples, pa.large_string()), WANTED)
        found += [1.0 if language in WANTED else score for language, score in zip(*answers, strict=True)]
    return found


def _table(rows: Sequence[Screened]) -> Table:
    table = Table(title="screen: what it lets through, and loses of what would be kept", title_justify="left")
    for name in ("bytes", "score", "hosts", "pages", "passed", "documents lost", "tokens lost"):
        table.add_column(name, justify="right")
    for r in rows:
        shipped = (r.max_bytes, r.min_score) == (SCREEN_BYTES, SCREEN_SCORE)
        table.add_row(
            f"{r.max_bytes:,}", f"{r.min_score}", r.half, f"{r.pages:,}", f"{r.passed:,}",
            f"{r.loss.documents} of {r.loss.of_documents}, {r.loss.document_share:.2%}", f"{r.loss.token_share:.3%}",
            style="bold" if shipped else "",
        )  # fmt: skip
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks screen", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--docs", type=int, default=0, help="HTML pages, evenly spread; default: 0, all")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("CORPUSMILL_DATA", ROOT.parent / "shared/data"))
    )
    return parser
