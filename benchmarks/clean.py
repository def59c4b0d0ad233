"""WARC to kept documents, the English recipe against datatrove's FineWeb recipe: pages a second on one core.

The pages are every k-th page of the sample archive, the same bytes for both; datatrove reads, filters addresses,
extracts with trafilatura, filters by language and by its four quality filters, and writes JSON lines; ours does that
by its recipe and writes Parquet, dropped pages with their measures included. Loading lists, models and compiled kernels
is done before the clock starts, on both sides. Without --docs about 1,200 pages are taken; --docs 99999 takes all.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from benchmarks.harness import Contender, Failed, Pair, pin, summary
from benchmarks.peer_process import Peers
from corpusmill.clean.clean_job import split
from corpusmill.clean.document_flow import DocumentFlow, edit, identified, judge, measured
from corpusmill.clean.page_text import extract
from corpusmill.clean.scorers.scoring import scored
from corpusmill.columns import byte_lengths
from corpusmill.ingest import Tally, read_pages
from corpusmill.ingest.warc_members import walk
from corpusmill.ingest.warc_pages import pages_of
from corpusmill.parquet_parts import PartWriter
from corpusmill.recipe import load_recipe
from corpusmill.schemas import DOCUMENTS, DROPPED
from corpusmill.version import __version__

UNIT = "pages/s/core"
ENGINES = ("trafilatura", "blocks", "resiliparse")
_MAX_PAGE_BYTES = 10_000_000


def run(data: Path, rounds: int, documents: int) -> dict[str, Any]:
    """Measure and print. Raises FileNotFoundError where the archive or the model is not there."""
    archive, model = data / "warc/sample-dev.warc.gz", data / "models/lid.176.ftz"
    for needed in (archive, model):
        if not needed.exists():
            raise FileNotFoundError(2, "missing", str(needed))
    core = pin()
    with tempfile.TemporaryDirectory() as folder, Peers(core) as peers:
        warc = Path(folder) / "pages.warc.gz"
        pages = write_subset(archive, warc, 1200 if documents == 4000 else documents)
        mills = {engine: Mill(warc, Path(folder), model, engine, pages) for engine in ENGINES}
        peer = peers.start("datatrove_fineweb", [f"{warc}\t{model}\t{folder}/theirs"])
        ours = [mill.contender() for mill in mills.values()]
        if peer is not None:
            peer.items = pages
        crashed = in_turn(ours, peer, rounds)
        pairs = [Pair(peer, own) for own in ours] if peer and not crashed else []
        theirs = peers.answers("datatrove_fineweb")[0] if pairs else {}
        rows = [row(mill, own, pairs) for mill, own in zip(mills.values(), ours, strict=True)]
    what = f"{pages:,} HTML pages of sample-dev.warc.gz"
    print_tables(rows, theirs, mills, peer, what, rounds)
    facts = summary("clean", UNIT, ours[0], pairs[:1], peers.missing | crashed, what)
    facts |= {"engines": rows, "stages": {"corpusmill": mills["trafilatura"].stages, "datatrove": theirs}}
    print(json.dumps(facts))
    return facts


class Mill:
    """The clean stage of the English recipe over one archive, in this process (and the one that extracts)."""

    def __init__(self, warc: Path, folder: Path, model: Path, engine: str, pages: int) -> None:
        self.warc, self.folder, self.engine, self.pages = warc, folder, engine, pages
        self.settings = [f'clean.language.model="{model}"', f'clean.extract.engine="{engine}"']
        self.flow = DocumentFlow(load_recipe("english", self.settings).clean)
        self.stages: dict[str, float] = {}
        self.kept: dict[str, int] = {}
        """Bytes of text of each kept page."""
        self.once()

    def contender(self) -> Contender:
        return Contender(f"corpusmill, {self.engine}", __version__, self.pages, self.once)

    def once(self) -> float:
        start = time.perf_counter()
        self.kept = self._pass(self.flow)
        return time.perf_counter() - start

    def loss(self) -> tuple[float, float]:
        """Shares of the documents, and of their bytes, that are kept without the screen and lost with it."""
        flow = DocumentFlow(load_recipe("english", [*self.settings, "clean.extract.screen=false"]).clean)
        stages = self.stages
        whole, self.stages = self._pass(flow), stages
        lost = [size for key, size in whole.items() if key not in self.kept]
        return len(lost) / len(whole), sum(lost) / sum(whole.values())

    def _pass(self, flow: DocumentFlow) -> dict[str, int]:
        clock = Clock()
        kept: dict[str, int] = {}
        with (
            self.warc.open("rb") as stream,
            PartWriter(self.folder / "documents.parquet", DOCUMENTS) as documents,
            PartWriter(self.folder / "dropped.parquet", DROPPED) as dropped,
        ):
            batches = clock.over("read", read_pages(stream, "pages", Tally()))
            batches = clock.over("decode, screen, extract", extract(batches, flow.extractor))
            batches = clock.over("edit", edit(batches, flow.editors, flow.edited, flow.edits))
            batches = clock.over("language", identified(batches, flow.identifier, flow.wanted))
            batches = clock.over("measures and rules", judge(measured(scored(batches, flow.scorers)), flow.rules))
            start = time.perf_counter()
            for batch in batches:
                good, gone = split(batch)
                documents.write(good)
                dropped.write(gone)
                kept |= dict(
                    zip(good.column("id").to_pylist(), byte_lengths(good.column("text")).tolist(), strict=True)
                )
        self.stages = clock.shares(time.perf_counter() - start)
        return kept


class Clock:
    """Seconds that each of several chained generators takes for itself."""

    def __init__(self) -> None:
        self.whole: dict[str, float] = defaultdict(float)

    def over(self, name: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        iterator = iter(batches)
        while True:
            start = time.perf_counter()
            batch = next(iterator, None)
            self.whole[name] += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def shares(self, total: float) -> dict[str, float]:
        """Each one's own time: its whole without that of the one before; `write` is what is left of `total`."""
        names = list(self.whole)
        own = {n: self.whole[n] - (self.whole[names[i - 1]] if i else 0.0) for i, n in enumerate(names)}
        return {n: round(s, 3) for n, s in (own | {"write": total - self.whole[names[-1]]}).items()}


def write_subset(archive: Path, target: Path, wanted: int) -> int:
    """Copy about `wanted` pages, evenly chosen, record by record as they lie in the file; how many pages."""
    with archive.open("rb") as stream:
        places = [
            (member.offset, member.length)
            for member in walk(stream, archive.name, _MAX_PAGE_BYTES)
            for page in pages_of([member], archive.name, _MAX_PAGE_BYTES)
            if page.column("drop_reason").null_count
        ]
        step = max(1, round(len(places) / wanted))
        with target.open("wb") as out:
            for offset, length in places[::step]:
                stream.seek(offset)
                out.write(stream.read(length))
    return len(places[::step])


def in_turn(ours: Sequence[Contender], peer: Contender | None, rounds: int) -> dict[str, str]:
    """Each once a round, in turn; peer to reason if it crashed on the way."""
    for _ in range(rounds):
        for contender in ours:
            contender.seconds.append(contender.run())
        try:
            if peer is not None:
                peer.seconds.append(peer.run())
        except Failed as e:
            return {"datatrove_fineweb": str(e)}
    return {}


def row(mill: Mill, own: Contender, pairs: list[Pair]) -> dict[str, Any]:
    documents, size = mill.loss()
    ratio = next((p.ratio for p in pairs if p.ours is own), None)
    return {
        "engine": mill.engine,
        "pages_per_second": round(own.rate, 1),
        "ratio": round(ratio, 2) if ratio else None,
        "kept": len(mill.kept),
        "lost_documents": round(documents, 4),
        "lost_text": round(size, 4),
    }


def print_tables(
    rows: list[dict[str, Any]], theirs: Any, mills: dict[str, Mill], peer: Contender | None, what: str, rounds: int
) -> None:
    table = Table("engine", UNIT, "ratio", "kept", "the screen loses: documents", "text", title_justify="left")
    table.title = f"clean: {what}; medians of {rounds} rounds, one core"
    for r in rows:
        ratio = f"{r['ratio']:.1f} x" if r["ratio"] else ""
        lost = f"{r['lost_documents']:.2%}", f"{r['lost_text']:.2%}"
        table.add_row(f"corpusmill, {r['engine']}", f"{r['pages_per_second']:,.1f}", ratio, f"{r['kept']:,}", *lost)
    if peer is not None and peer.seconds:
        name = f"datatrove {peer.version}, trafilatura {theirs.get('trafilatura', '')}"
        table.add_row(name, f"{peer.rate:,.1f}", "", f"{theirs.get('kept', 0):,}", "", "")
    Console().print(table)
    stages = Table("stage", "seconds", title="Seconds by stage, last round", title_justify="left")
    for name, seconds in mills["trafilatura"].stages.items():
        stages.add_row(f"corpusmill: {name}", f"{seconds:.2f}")
    for name, seconds in theirs.get("stages", {}).items():
        stages.add_row(f"datatrove: {name}", f"{seconds:.2f}")
    Console().print(stages)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"peak memory: {own / 1024:,.0f} MB here, {child / 1024:,.0f} MB in the largest child")
