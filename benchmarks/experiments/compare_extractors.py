"""The engines side by side on the article benchmark: score, CPU time by step, and what routing would give.

python -m benchmarks.experiments.compare_extractors --data ../shared/data
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.experiments.train_block_model import Labelled, article_pages, f1, grams, score
from corpusmill.clean.block_extractor import assemble, block_model, choose, main_text, probabilities
from corpusmill.clean.block_features import features
from corpusmill.clean.html_scan import scan
from corpusmill.clean.main_text import resiliparse_text
from corpusmill.clean.trafilatura_engine import trafilatura_text

SHARES = (0, 0.1, 0.2, 0.3, 0.5, 0.7, 1)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, required=True)
    pages = list(article_pages(options.parse_args().data))
    html = [p.page.decode() for p in pages]
    texts = {
        "blocks": [main_text(h) for h in html],
        "resiliparse": [resiliparse_text(h) for h in html],
        "trafilatura": [trafilatura_text(h) or "" for h in html],
    }
    for engine, found in texts.items():
        print(f"{engine}: {score(pages, found)}")
    pairs = {
        engine: np.array([grams(p.gold, t) for p, t in zip(pages, found, strict=True)])
        for engine, found in texts.items()
    }
    for peer in ("trafilatura", "resiliparse"):
        low, middle, high = _difference(pairs["blocks"], pairs[peer])
        print(f"blocks - {peer}: {middle:+.4f} F1, 95% of 4,000 resamples of pages in [{low:+.4f}, {high:+.4f}]")
    _times(pages, html)
    _routes(texts, pairs)


def _difference(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    generator = np.random.default_rng(1)
    samples = (generator.integers(0, len(ours), len(ours)) for _ in range(4000))
    found: np.ndarray = np.percentile(
        [f1(*ours[s].mean(axis=0)) - f1(*theirs[s].mean(axis=0)) for s in samples], [2.5, 50, 97.5]
    )
    return found


def _times(pages: Sequence[Labelled], html: Sequence[str]) -> None:
    model = block_model()
    scans = [p.blocks for p in pages]
    matrices = [features(p.blocks, p.page, model.names) for p in pages]
    likely = [probabilities(m, model) for m in matrices]
    kept = [choose(q, m[:, 0]) for q, m in zip(likely, matrices, strict=True)]
    steps: dict[str, tuple[Callable[..., Any], list[tuple[Any, ...]]]] = {
        "to UTF-8": (lambda h: h.encode("utf-8", "replace"), [(h,) for h in html]),
        "scan": (scan, [(p.page,) for p in pages]),
        "features": (features, [(p.blocks, p.page, model.names) for p in pages]),
        "model": (probabilities, [(m, model) for m in matrices]),
        "choice": (choose, [(q, m[:, 0]) for q, m in zip(likely, matrices, strict=True)]),
        "assembly": (assemble, list(zip(scans, kept, strict=True))),
        "blocks, all": (main_text, [(h,) for h in html]),
        "resiliparse, parse and main text": (resiliparse_text, [(h,) for h in html]),
        "trafilatura fast": (trafilatura_text, [(h,) for h in html]),
    }
    print(f"CPU milliseconds a page, best of 3; {mean(len(p.page) for p in pages) / 1000:.0f} kB and "
          f"{mean(len(m) for m in matrices):.0f} blocks a page")  # fmt: skip
    for name, (step, arguments) in steps.items():
        spent = []
        for _ in range(3):
            begin = time.process_time()
            for a in arguments:
                step(*a)
            spent.append(time.process_time() - begin)
        print(f"  {name}: {min(spent) / len(pages) * 1000:.3f}")


def _routes(texts: dict[str, list[str]], pairs: dict[str, np.ndarray]) -> None:
    """F1 when trafilatura answers for the share of pages on which the cheap engines look worst."""
    agreement = [f1(*grams(a, b)) for a, b in zip(texts["blocks"], texts["resiliparse"], strict=True)]
    long_lines = [
        mean([len(line.split()) >= 8 for line in t.splitlines() if line.strip()] or [0]) for t in texts["resiliparse"]
    ]
    print(f"share of pages sent to trafilatura: {SHARES}")
    for base in ("blocks", "resiliparse"):
        gain = [f1(*b) - f1(*t) for b, t in zip(pairs[base], pairs["trafilatura"], strict=True)]
        for signal, values in (("agreement", agreement), ("long lines", long_lines), ("gold (a bound)", gain)):
            order = np.argsort(values, kind="stable")
            row = []
            for share in SHARES:
                mixed = pairs[base].copy()
                sent = order[: round(share * len(order))]
                mixed[sent] = pairs["trafilatura"][sent]
                row.append(f"{f1(*mixed.mean(axis=0)):.4f}")
            print(f"  {base}, by {signal}: {' '.join(row)}")


if __name__ == "__main__":
    main()
