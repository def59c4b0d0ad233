"""Small corpora as the files of a run, without text: what signing leaves, from keys and signatures chosen by a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.dedup.components import cluster
from corpusmill.dedup.dedup_files import BANDS, FACTS, SIGNATURES
from corpusmill.dedup.duplicate_pairs import Corpus, find_pairs, run_corpus
from corpusmill.dedup.removal import removed_rows, survivors
from corpusmill.engines import Engine
from corpusmill.engines.work_files import read_rows
from corpusmill.recipe import Dedup
from corpusmill.storage import Folder


@dataclass(frozen=True)
class Doc:
    """Two bands of two rows: `signature` is four numbers, and a band's key is its two."""

    address: int
    id: str
    preference: str
    signature: tuple[int, int, int, int]
    digest: int | None = None
    url: int | None = None

    @property
    def keys(self) -> list[tuple[int, int]]:
        a, b, c, d = self.signature
        return [(0, 1000 + 10 * a + b), (1, 2000 + 10 * c + d)]


def write_corpus(folder: Path, docs: Sequence[Doc], parts: int = 2) -> Corpus:
    """The documents' facts, signatures and bands, dealt out over `parts` files."""
    names = []
    for i in range(parts):
        some = docs[i::parts]
        names.append(f"part-{i:05d}")
        facts = [
            (d.address, d.id, f"http://x/{d.id}", 10, d.preference, d.digest, d.digest, d.url, d.url) for d in some
        ]
        bands = [(band, key, d.address) for d in some for band, key in d.keys]
        signatures = [(d.address, np.array(d.signature, "<u4").tobytes()) for d in some]
        for kind, schema, rows in (
            ("facts", FACTS, facts),
            ("bands", BANDS, bands),
            ("signatures", SIGNATURES, signatures),
        ):
            _write(folder / "dedup" / kind / f"{names[-1]}.parquet", schema, rows)
    return run_corpus(Folder(str(folder)), names)


def dedup(engine: Engine, folder: Path, corpus: Corpus, settings: Dedup) -> list[dict[str, Any]]:
    """Rows of `removed`."""
    run = Folder(str(folder))
    found = find_pairs(engine, run, corpus, settings)
    labels = cluster(engine, run, found.pairs, settings.max_edges_in_memory)
    rows = removed_rows(engine, run, corpus, found.pairs, labels, survivors(engine, run, corpus, labels))
    return [row for batch in read_rows(rows) for row in batch.to_pylist()]


def slow_removed(docs: Sequence[Doc], settings: Dedup) -> dict[int, tuple[int, int, str, int]]:
    """Address to (representative, cluster, why, matched), as one would say it: no statement, no kernel."""
    by_address = {d.address: d for d in docs}

    def similarity(a: int, b: int) -> float:
        pairs = zip(by_address[a].signature, by_address[b].signature, strict=True)
        return sum(x == y for x, y in pairs) / len(by_address[a].signature)

    pairs: dict[tuple[int, int], tuple[str, float]] = {}
    copies = set()
    for root, others in _groups([(d.digest, d.address) for d in docs if d.digest is not None]):
        for other in others:
            pairs[root, other] = ("exact_duplicate", 1.0)
            copies.add(other)
    if settings.urls:
        for root, others in _groups([(d.url, d.address) for d in docs if d.url is not None]):
            for other in others:
                pairs.setdefault((root, other), ("url_duplicate", similarity(root, other)))
    near = {}
    buckets = _groups([(key, d.address) for d in docs if d.address not in copies for key in d.keys])
    for root, others in buckets:
        for _ in range(settings.leaders):
            apart = []
            for other in others:
                alike = similarity(root, other)
                if alike >= settings.verify:
                    near[root, other] = ("near_duplicate", alike)
                else:
                    apart.append(other)
            if not apart:
                break
            root, *others = apart
    pairs = {**{p: w for p, w in pairs.items() if p not in near or w[0] == "exact_duplicate"}, **near, **{
        p: w for p, w in pairs.items() if w[0] == "exact_duplicate"}}  # fmt: skip
    return _one_stays(docs, pairs)


def _groups(rows: Sequence[tuple[Any, int]]) -> list[tuple[int, list[int]]]:
    found: dict[Any, list[int]] = {}
    for key, address in sorted(rows, key=lambda row: row[1]):
        found.setdefault(key, []).append(address)
    return [(first, rest) for first, *rest in found.values() if rest]


def _one_stays(
    docs: Sequence[Doc], pairs: dict[tuple[int, int], tuple[str, float]]
) -> dict[int, tuple[int, int, str, int]]:
    clusters = [{d.address} for d in docs]
    for left, right in pairs:
        one, other = (next(c for c in clusters if n in c) for n in (left, right))
        if one is not other:
            clusters.remove(other)
            one |= other
    preference = {d.address: (d.preference, d.address) for d in docs}
    weight = {"exact_duplicate": 3.0, "near_duplicate": 1.0, "url_duplicate": 0.0}
    removed = {}
    for members in clusters:
        stays = min(members, key=lambda a: preference[a])
        for address in members - {stays}:
            mine = [
                (-(weight[why] + alike), other, why)
                for pair, (why, alike) in pairs.items()
                if address in pair
                for other in pair
                if other != address
            ]
            _, matched, why = min(mine)
            removed[address] = (stays, min(members), why, matched)
    return removed


def _write(path: Path, schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in schema]
    pq.write_table(pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema), path)
