"""The dedup stage: signatures by part, then statements: pairs that may be duplicates, verified; clusters; `removed`.

Text is read once, never rewritten: dedup says which rows go and why. With an index, the same for a crawl and all
before it, at the cost of the crawl.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa

from corpusmill.context import RunContext, run_parts
from corpusmill.dedup.cluster_sizes import write_cluster_sizes
from corpusmill.dedup.components import cluster
from corpusmill.dedup.cuts import write_cuts
from corpusmill.dedup.dedup_files import STAGE, WORK
from corpusmill.dedup.dedup_index import KINDS, Crawl, DedupIndex
from corpusmill.dedup.duplicate_pairs import Corpus, Found, find_pairs, run_corpus
from corpusmill.dedup.earlier_crawls import SUPERSEDED, Clusters, Earlier, apart
from corpusmill.dedup.embedding_files import EmbeddingFiles
from corpusmill.dedup.quality_estimate import QUALITY, estimate_quality
from corpusmill.dedup.removal import count_clusters, removed_rows, survivors, with_more, write_removed
from corpusmill.dedup.semantic_duplicates import semantic_removed
from corpusmill.dedup.signing import plan, sign_part
from corpusmill.engines import Dataset
from corpusmill.engines.work_files import read_rows
from corpusmill.ledger import StageLedger, part_name, verify_outputs
from corpusmill.parquet_parts import PartWriter
from corpusmill.progress import StageProgress
from corpusmill.recipe import Dedup
from corpusmill.schemas import CRAWL_STRIDE
from corpusmill.storage import Folder, Output, canonical_json, digest


@dataclass(frozen=True)
class Place:
    """Where a run stands among crawls."""

    index: DedupIndex
    number: int
    earlier: Sequence[Crawl]

    @property
    def first(self) -> int:
        return self.number * CRAWL_STRIDE

    def names(self) -> dict[int, str]:
        return self.index.names()

    def inputs(self) -> dict[str, Any]:
        """What the crawls before this one were made of."""
        return {"index": {"number": self.number, "earlier": [[c.name, c.inputs] for c in self.earlier]}}


def run_stage(context: RunContext) -> dict[str, Any]:
    """Deduplicate the documents of the run; its totals. Signs only parts that are new."""
    run, settings = context.folder, context.recipe.dedup.model_dump(mode="json")
    cleaned = StageLedger(run, "clean").require_manifest()
    verify_outputs(run, cleaned)
    documents = {name: out for name, out in cleaned["outputs"].items() if name.startswith("documents/")}
    ledger = StageLedger(run, STAGE)
    run.require_space(cleaned["counts"]["documents"] * 1000 + 10_000_000, STAGE)
    with context.watch.stage(STAGE) as progress, _place(context.recipe.dedup, digest(documents)) as place:
        inputs = documents | (place.inputs() if place else {}) | _embeddings(context.recipe.dedup)
        if ledger.open(settings, inputs, STAGE in context.start_over):
            progress.begin(len(cleaned["parts"]), "parts", done=len(cleaned["parts"]))
            return cast(dict[str, Any], ledger.require_manifest()["counts"])
        if place is not None and context.recipe.dedup.index is not None:
            place.index.require_whole(context.recipe.dedup.index.crawl)
        tasks = plan(run, context.recipe.dedup, cleaned, place.first if place else 0)
        chosen = tasks[0].settings_digest if tasks else ""
        records = run_parts(context, ledger, chosen, sign_part, tasks, progress, native=True)
        outputs, counts = _remove(context, [r["part"] for r in records], place, digest(documents), progress)
        counts |= _survivors(records, counts, cleaned)
        manifest = ledger.commit(settings, inputs, records, outputs=outputs, counts=counts)
        run.remove(WORK)
    return cast(dict[str, Any], manifest["counts"])


def _embeddings(settings: Dedup) -> dict[str, Any]:
    """Changed embeddings make the stage be done again."""
    return {"embeddings": EmbeddingFiles(settings.semantic.embeddings).describe()} if settings.semantic else {}


@contextmanager
def _place(settings: Dedup, inputs: str) -> Iterator[Place | None]:
    """The run's place in its index, which is held meanwhile; None without one."""
    chosen = settings.index
    if chosen is None:
        yield None
        return
    folder = Folder(chosen.folder)
    with DedupIndex(folder).owned():
        index = DedupIndex(folder)
        number, earlier = index.place(chosen.crawl, settings, chosen.earlier)
        index.require_last(chosen.crawl, inputs)
        yield Place(index, number, earlier)


def _remove(
    context: RunContext, parts: Sequence[int], place: Place | None, inputs: str, progress: StageProgress
) -> tuple[list[Output], dict[str, Any]]:
    """Write `removed` and `cuts`, and with an index `superseded` and the crawl's place in it; files and counts."""
    engine, run, settings = context.engine, context.folder, context.recipe.dedup
    own = run_corpus(run, [part_name(p) for p in parts], place.first if place else 0)
    earlier = Earlier(engine, run, place.index, place.earlier) if place else None
    progress.say(f"{STAGE}: looking for duplicates")
    found = find_pairs(engine, run, earlier.corpus(own) if earlier else own, settings)
    progress.say(f"{STAGE}: clusters and survivors")
    if earlier is None or place is None:
        labels, corpus = cluster(engine, run, found.pairs, settings.max_edges_in_memory), own
    else:
        clusters = earlier.clusters(own, found, settings.max_edges_in_memory)
        labels, corpus = clusters.labels, clusters.corpus
    stays = survivors(engine, run, corpus, labels)
    rows = removed_rows(engine, run, corpus, found.pairs, labels, stays)
    if settings.semantic:
        progress.say(f"{STAGE}: semantic duplicates")
        rows = with_more(engine, run, rows, _semantic(context, parts, rows, corpus.first))
    outputs, counts = write_removed(engine, run, rows, parts, corpus.first, place.names() if place else {})
    outputs += write_cluster_sizes(engine, run, labels, stays, parts, corpus.first)
    if settings.lines or settings.spans:
        progress.say(f"{STAGE}: spans to cut")
    cuts, cut_counts = write_cuts(context, parts, settings)
    outputs += [*cuts, _quality(run, parts, settings)]
    if earlier is not None and place is not None:
        replaced = _superseded(run, earlier, clusters, stays)
        outputs.append(replaced[0])
        counts["superseded"] = replaced[1]
        _publish(context, place, own, found, labels, inputs)
    return outputs, counts | cut_counts | {"clusters": count_clusters(engine, rows)}


def _quality(run: Folder, parts: Sequence[int], settings: Dedup) -> Output:
    """What a sample of texts says of the removed rows, for the report."""
    with run.writing(QUALITY) as out:
        out.path.write_bytes(canonical_json(estimate_quality(run, parts, settings)))
    return out


def _semantic(context: RunContext, parts: Sequence[int], rows: Dataset, first: int) -> pa.Table:
    """What goes for its embedding, of the documents that the text left; addresses of the corpus."""
    settings = context.recipe.dedup
    assert settings.semantic is not None
    found = context.engine.query("SELECT address FROM removed", {"removed": rows})
    gone = np.sort(found.column("address").to_numpy()) - first
    table = semantic_removed(context.folder, parts, settings.semantic, gone, settings.survivor)
    for i, name in enumerate(table.schema.names):
        if name in ("address", "cluster", "representative", "matched"):
            table = table.set_column(i, name, pa.array(table.column(name).to_numpy() + first))
    return table


def _superseded(run: Folder, earlier: Earlier, clusters: Clusters, stays: Dataset) -> tuple[Output, int]:
    """Documents of earlier crawls that would not stay now: the file, and how many."""
    with run.writing("superseded/part-00000.parquet") as out, PartWriter(out.path, SUPERSEDED) as writer:
        for batch in read_rows(earlier.superseded(clusters, stays)):
            writer.write(batch)
    return out, writer.rows


def _publish(context: RunContext, place: Place, own: Corpus, found: Found, labels: Dataset, inputs: str) -> None:
    """The crawl into the index."""
    settings = context.recipe.dedup
    assert settings.index is not None
    known = apart(context.engine, context.folder, found, settings.verify)
    mine = (*(d[0] for d in (own.facts, own.signatures, own.bands)), labels, found.copies, known)
    count = context.engine.query("SELECT COUNT(*) AS documents FROM facts", {"facts": own.facts})
    crawl = Crawl(place.number, settings.index.crawl, inputs, {}, count.column("documents")[0].as_py())
    place.index.add(crawl, settings, dict(zip(KINDS, mine, strict=True)))


def _survivors(
    records: Sequence[Mapping[str, Any]], counts: Mapping[str, Any], cleaned: Mapping[str, Any]
) -> dict[str, int]:
    documents = sum(r["counts"]["documents"] for r in records)
    assert documents == cleaned["counts"]["documents"], f"{documents} documents signed"
    return {"documents": documents, "survivors": documents - sum(counts["removed"].values())}
