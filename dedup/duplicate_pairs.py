"""Which documents are duplicates of which: exact by digest, by address, and near by bands, each pair verified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpusmill.dedup.agreements import signature_matrix
from corpusmill.dedup.dedup_files import BANDS, BUCKETS, EDGES, FACTS, PAIRS, SIGNATURES, WORK, statement
from corpusmill.dedup.text_checks import check_texts
from corpusmill.engines import Dataset, Datasets, Engine
from corpusmill.recipe import Dedup
from corpusmill.storage import Folder

NEAR, URL = "near_duplicate", "url_duplicate"


@dataclass(frozen=True)
class Corpus:
    """What pairs are looked for in: one run's files, and before them those of an index where there is one."""

    facts: Sequence[Dataset]
    signatures: Sequence[Dataset]
    bands: Sequence[Dataset]
    first: int = 0
    """The smallest address of this run. Pairs of two documents before it are known."""
    copies: Sequence[Dataset] = ()
    """EDGES of the index: exact copies are not in its bands."""
    verified: Sequence[Dataset] = ()
    """PAIRS of the index that shared a bucket and were not alike."""


@dataclass(frozen=True)
class Found:
    """Datasets of PAIRS: the duplicates, and near candidates that verification refused; exact copies as EDGES."""

    pairs: Dataset
    apart: Sequence[Dataset]
    copies: Dataset


@dataclass(frozen=True)
class Similarity:
    """Rows of candidates.sql to PAIRS: the share of places in which two signatures agree estimates their texts' Jaccard
    similarity (Broder 1997). Sent to workers."""

    why: str

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        left, right = (signature_matrix(batch.column(n)) for n in ("left_signature", "right_signature"))
        similarity = (left == right).mean(axis=1) if len(left) else np.zeros(0)
        why = pa.array(np.full(len(left), self.why, object), pa.string())
        columns = [batch.column("root"), batch.column("address"), pa.array(similarity), why]
        return pa.RecordBatch.from_arrays(columns, names=PAIRS.names)


def find_pairs(engine: Engine, run: Folder, corpus: Corpus, settings: Dedup) -> Found:
    """All pairs of duplicates with a document of this run in them."""
    work = Work(engine, run, corpus)
    copies = work.edges("exact") if settings.exact else Dataset(run, (), EDGES)
    exact = engine.write(statement("exact_pairs"), {"edges": copies}, run, f"{WORK}/exact-pairs", PAIRS)
    verified = [exact]
    if settings.urls:
        verified.append(work.verified(work.edges("same_url"), corpus.signatures, URL, "url-pairs"))
    near = work.near(copies, settings) if settings.near else []
    sql = statement("pairs", threshold=settings.verify)
    alike = engine.write(sql, {"verified": near}, run, f"{WORK}/near", PAIRS) if near else Dataset(run, (), PAIRS)
    every = statement("pairs", threshold=-1.0)
    pairs = engine.write(every, {"verified": [*verified, alike]}, run, f"{WORK}/pairs", PAIRS)
    return Found(pairs, near, copies)


@dataclass(frozen=True)
class Work:
    """The statements over one corpus, in the run's work folder."""

    engine: Engine
    run: Folder
    corpus: Corpus

    def edges(self, name: str) -> Dataset:
        sql = statement(name, first=self.corpus.first)
        return self.engine.write(sql, {"facts": self.corpus.facts}, self.run, f"{WORK}/{name}", EDGES)

    def verified(self, edges: Dataset, signatures: Sequence[Dataset], why: str, name: str) -> Dataset:
        """Pairs with their similarity. `edges` has a root and an address; those before this run are left out."""
        sql = statement("candidates", first=self.corpus.first)
        datasets: Datasets = {"edges": edges, "signatures": signatures}
        return self.engine.write(sql, datasets, self.run, f"{WORK}/{name}", PAIRS, Similarity(why))

    def near(self, copies: Dataset, settings: Dedup) -> list[Dataset]:
        """Pairs that share a band, by round. In each, a bucket's rows are compared to its smallest address; those not
        alike enough are a bucket of their own in the next, so a group whose root is a stranger is found all the same.
        """
        known = [copies, *self.corpus.copies]
        start: Datasets = {"bands": self.corpus.bands, "copies": known}
        buckets = self.engine.write(statement("buckets"), start, self.run, f"{WORK}/buckets-0", BUCKETS)
        sql = statement("wanted_signatures")
        named: Datasets = {"signatures": self.corpus.signatures, "buckets": buckets}
        wanted = self.engine.write(sql, named, self.run, f"{WORK}/signatures", SIGNATURES)
        rounds: list[Dataset] = []
        sql = statement("next_buckets", threshold=settings.verify)
        for number in range(settings.leaders):
            if not buckets.names:
                break
            verified = self.verified(buckets, [wanted], NEAR, f"near-{number}")
            name = f"near-{number}-checked"
            corpus = self.corpus
            rounds.append(check_texts(self.engine, self.run, verified, corpus.facts, settings, corpus.first, name))
            datasets: Datasets = {"buckets": buckets, "verified": [rounds[-1], *self.corpus.verified]}
            buckets = self.engine.write(sql, datasets, self.run, f"{WORK}/buckets-{number + 1}", BUCKETS)
        return rounds


def run_corpus(run: Folder, names: Sequence[str], first: int = 0) -> Corpus:
    """The files of the run itself, of the parts with these names."""
    facts, signatures, bands = (
        Dataset(run, tuple(f"dedup/{kind}/{name}.parquet" for name in names), schema)
        for kind, schema in (("facts", FACTS), ("signatures", SIGNATURES), ("bands", BANDS))
    )
    return Corpus([facts], [signatures], [bands], first)
