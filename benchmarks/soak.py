"""A worker's memory over many pages: does it stay bounded? Cleans the sample archive again and again in one process."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from benchmarks.harness import ROOT, commit, machine
from corpusmill.clean.document_flow import DocumentFlow
from corpusmill.ingest import Tally, read_pages
from corpusmill.recipe import Recipe, load_recipe

ARCHIVE, MODEL = "warc/sample-dev.warc.gz", "models/lid.176.ftz"
EVERY = 1000
"""Pages between two samples."""
WARM_UP = 1 / 3
"""The share of the run that is not judged: caches fill, arenas grow to the largest page."""
MIN_PAGES = 15_000
"""Three times through the archive: before, a slope says more about the pages than about the worker."""
MAX_SLOPE_MB = 0.5
"""Per 1,000 pages, after warm-up: a worker that has 600 MB would reach MAX_PEAK_MB after some two million pages."""
MAX_PEAK_MB = 1500.0


@dataclass(frozen=True, slots=True)
class Sample:
    pages: int
    rss_mb: float
    heap_mb: float
    """Held by live objects in glibc's heap; what rss_mb has beyond it is fragmentation and other allocators."""
    arrow_mb: float
    seconds: float
    """CPU time so far."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where memory is bounded or the run too short to tell, 1 where it is not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description=__doc__)
    parser.add_argument("--pages", type=_positive, default=100_000, help="HTML pages to clean; default: 100,000")
    parser.add_argument("--every", type=_positive, default=EVERY, help=f"pages between samples; default: {EVERY}")
    parser.add_argument("--recipe", default="english")
    parser.add_argument("--set", action="append", default=[], help="key=value over the recipe; may be repeated")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("CORPUSMILL_DATA", ROOT.parent / "shared/data"))
    )
    chosen = parser.parse_args(arguments)
    model = f"clean.language.model={chosen.data / MODEL}"
    recipe = load_recipe(chosen.recipe, [model, *chosen.set])
    try:
        samples = list(soak(recipe, chosen.data / ARCHIVE, chosen.pages, chosen.every))
    except FileNotFoundError as e:
        print(f"no {e.filename}: set CORPUSMILL_DATA or --data to the real data; nothing was measured", file=sys.stderr)
        return 2
    facts = verdict(samples)
    _show(samples, facts, recipe)
    return 1 if facts["bounded"] is False else 0


def soak(recipe: Recipe, archive: Path, pages: int, every: int) -> Iterator[Sample]:
    """Clean the archive over and over, as a worker does part after part, until `pages` HTML pages have gone through."""
    done, due, started = 0, 0, time.process_time()
    while done < pages:
        flow = DocumentFlow(recipe.clean)  # a new one for each part, as clean_part makes it
        with archive.open("rb") as stream:
            for batch in flow(_counted(stream, archive.name, recipe)):
                done += int(batch.column("is_page").sum().as_py() or 0)
                if done >= due:
                    yield _sample(done, time.process_time() - started)
                    due = (done // every + 1) * every
                if done >= pages:
                    break


def verdict(samples: Sequence[Sample]) -> dict[str, Any]:
    """Slope of the resident memory after warm-up with its standard error, peak, and whether both are within bounds.

    `bounded` is None for a run of fewer than MIN_PAGES, or where two standard errors of the slope reach over the bound:
    it was too short to tell.
    """
    after = [s for s in samples if s.pages >= WARM_UP * samples[-1].pages]
    peak = max(s.rss_mb for s in samples)
    slope, error = _slope([s.pages / 1000 for s in after], [s.rss_mb for s in after])
    heap, _ = _slope([s.pages / 1000 for s in after], [s.heap_mb for s in after])
    bounded: bool | None = None
    if peak > MAX_PEAK_MB or (slope - 2 * error > MAX_SLOPE_MB and samples[-1].pages >= MIN_PAGES):
        bounded = False
    elif slope + 2 * error <= MAX_SLOPE_MB and samples[-1].pages >= MIN_PAGES:
        bounded = True
    return {
        "pages": samples[-1].pages,
        "slope_mb_per_1000_pages": round(slope, 3),
        "standard_error": round(error, 3) if np.isfinite(error) else None,
        "heap_slope_mb_per_1000_pages": round(heap, 3),
        "peak_mb": round(peak, 1),
        "bounded": bounded,
    }


def _counted(stream: Any, name: str, recipe: Recipe) -> Iterator[pa.RecordBatch]:
    """Batches of PAGES, each row marked whether it is an HTML page, which the flow passes on."""
    ingest = recipe.ingest
    pages = read_pages(
        stream,
        name,
        Tally(),
        max_page_bytes=ingest.max_page_bytes,
        batch_pages=ingest.batch_pages,
        batch_bytes=ingest.batch_bytes,
    )
    for batch in pages:
        yield batch.append_column("is_page", batch.column("drop_reason").is_null())


def _sample(pages: int, seconds: float) -> Sample:
    rss = psutil.Process().memory_info().rss
    return Sample(pages, rss / 1e6, _heap_bytes() / 1e6, pa.total_allocated_bytes() / 1e6, seconds)


def _heap_bytes() -> float:
    """Bytes in live blocks of glibc's malloc, all arenas and mapped blocks; 0 under another C library."""
    try:
        function = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):
        return 0.0
    function.restype = _MallInfo2
    found = function()
    return float(found.uordblks + found.hblkhd)


class _MallInfo2(ctypes.Structure):
    """struct mallinfo2 of glibc 2.33 and later."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def _slope(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Least squares: (slope, its standard error); the error is infinite for fewer than three points."""
    if len(x) < 2:
        return 0.0, float("inf")
    across = np.asarray(x) - np.mean(x)
    spread = float(across @ across)
    slope = float(across @ np.asarray(y)) / spread
    if len(x) < 3:
        return slope, float("inf")
    rest = np.asarray(y) - np.mean(y) - slope * across
    return slope, float(np.sqrt(rest @ rest / (len(x) - 2) / spread))


def _show(samples: Sequence[Sample], facts: dict[str, Any], recipe: Recipe) -> None:
    engine = recipe.clean.extract.engine
    table = Table("pages", "RSS, MB", "live heap, MB", "Arrow, MB", "ms CPU/page", title=f"soak: {engine}")
    last = Sample(0, 0, 0, 0, 0.0)
    for s in samples:
        each = 1000 * (s.seconds - last.seconds) / max(s.pages - last.pages, 1)
        table.add_row(f"{s.pages:,}", f"{s.rss_mb:,.1f}", f"{s.heap_mb:,.1f}", f"{s.arrow_mb:,.1f}", f"{each:.1f}")
        last = s
    Console().print(table)
    said = {True: "memory is bounded", False: "memory is NOT bounded", None: "too short to tell: give more --pages"}
    print(
        f"{said[facts['bounded']]}: {facts['slope_mb_per_1000_pages']:+.2f} MB per 1,000 pages after warm-up "
        f"(at most {MAX_SLOPE_MB} wanted), peak {facts['peak_mb']:,.0f} MB (at most {MAX_PEAK_MB:,.0f})"
    )
    more = {"commit": commit(), "machine": machine(), "samples": [asdict(s) for s in samples]}
    print(json.dumps({"name": "soak", "engine": engine} | facts | more))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
