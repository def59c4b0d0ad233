"""Near-duplicates of a text among documents that were signed before: bands find candidates, signatures verify them.

The text of the documents is not read, so an index of many crawls answers as a run does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dedup.agreements import signature_matrix
from corpusmill.dedup.dedup_files import BANDS, FACTS, SIGNATURES
from corpusmill.dedup.dedup_index import DedupIndex
from corpusmill.dedup.minhash_signatures import MinHash
from corpusmill.engines import Dataset, Engine
from corpusmill.errors import InputError
from corpusmill.ledger import StageLedger, part_name
from corpusmill.schemas import ADDRESS_STRIDE, CRAWL_STRIDE, REMOVED
from corpusmill.storage import Folder

MAX_CANDIDATES = 20_000
"""Documents that are verified: those that share most bands. A page copied a million times shares all of them."""
_KINDS = {"facts": FACTS, "signatures": SIGNATURES, "bands": BANDS}
_FATE = pa.schema([REMOVED.field(n) for n in ("address", "why", "representative", "representative_id", "similarity")])


@dataclass(frozen=True)
class Signed:
    """What signing left of one run, or of the crawls of an index: datasets of FACTS, SIGNATURES and BANDS."""

    facts: Sequence[Dataset]
    signatures: Sequence[Dataset]
    bands: Sequence[Dataset]
    minhash: MinHash
    crawls: Mapping[int, str] = field(default_factory=dict)
    """Names of an index's crawls by number."""
    removed: Sequence[Dataset] = ()
    """REMOVED of the run; none where only an index is at hand, which does not know what became of its documents."""


@dataclass(frozen=True)
class Near:
    """A document like the text. `crawl` is null for a run; `exact` says that the words are the same."""

    similarity: float
    exact: bool
    shared_bands: int
    id: str
    url: str | None
    crawl: str | None
    part: int
    row: int
    text_bytes: int
    fate: str
    """stayed, removed, or unknown"""
    why: str | None = None
    representative: int | None = None
    representative_id: str | None = None


@dataclass(frozen=True)
class Answer:
    """`candidates` share a band with the text; `verified` of them were looked at, `found` are like it enough."""

    candidates: int
    verified: int
    found: int
    near: list[Near]


def minhash_from(settings: Mapping[str, Any]) -> MinHash:
    """From the settings as dedup/settings.json and an index hold them."""
    return MinHash(**{name: settings[name] for name in ("shingle", "shingle_size", "bands", "rows", "seed")})


def signed_run(run: Folder) -> tuple[Signed, dict[str, Any]]:
    """(the files of a run whose dedup stage has finished, the stage's settings). InputError where it has not."""
    parts = StageLedger(run, "dedup").require_manifest()["parts"]
    settings = run.read_json("dedup/settings.json")["settings"]
    names = [part_name(p) for p in parts]
    facts, signatures, bands = (
        [Dataset(run, tuple(f"dedup/{kind}/{n}.parquet" for n in names), schema)] for kind, schema in _KINDS.items()
    )
    removed = [Dataset(run, tuple(f"removed/{n}.parquet" for n in names), _FATE)]
    return Signed(facts, signatures, bands, minhash_from(settings), removed=removed), settings


def signed_index(folder: Folder) -> tuple[Signed, dict[str, Any]]:
    """(the files of all crawls of an index, its settings)."""
    index = DedupIndex(folder)
    facts, signatures, bands = (index.datasets(kind, index.crawls) for kind in _KINDS)
    settings = index.settings or {}
    return Signed(facts, signatures, bands, minhash_from(settings), index.names()), settings


def near_texts(engine: Engine, signed: Signed, text: str, threshold: float, top: int) -> Answer:
    """The `top` documents most like `text`, those at or above `threshold`, the most similar first.

    Similarity is the share of equal minima, which estimates the Jaccard similarity of the shingles with a standard
    error of sqrt(s (1 - s) / hashes). A document of similarity s is a candidate with probability
    1 - (1 - s^rows)^bands, so few are found far below the curve's threshold.

    Reads the band keys once and of the other files only the row groups that hold candidates; memory is MAX_CANDIDATES
    signatures. InputError where the text has no word.
    """
    signature, digest = signed.minhash.sign_with_digests([text])
    if not signed.minhash.has_shingles(signature)[0]:
        raise InputError(f"{text[:40]!r} has no word, so nothing is like it; give a text with words in it")
    candidates, shared = _candidates(engine, signed, signed.minhash.band(signature)[0])
    alike = _alike(engine, signed, signature[0], sorted(shared), threshold)
    best = sorted(alike.items(), key=lambda item: (-item[1], item[0]))[:top]
    facts = _by_address(engine, signed.facts, ("id", "url", "text_bytes", "digest_a", "digest_b"), [a for a, _ in best])
    own = {a: a % CRAWL_STRIDE for a, _ in best}
    columns = ("why", "representative", "representative_id")
    gone = _by_address(engine, signed.removed, columns, list(own.values())) if signed.removed else None
    near = [
        _near(a, s, shared[a], facts[a], digest[0], signed.crawls, None if gone is None else gone.get(own[a], {}))
        for a, s in best
    ]
    return Answer(candidates, len(shared), len(alike), near)


def _near(
    address: int,
    similarity: float,
    shared: int,
    fact: Mapping[str, Any],
    digest: np.ndarray,
    crawls: Mapping[int, str],
    gone: Any,
) -> Near:
    return Near(
        similarity=similarity,
        exact=(fact["digest_a"], fact["digest_b"]) == tuple(digest.tolist()),
        shared_bands=shared,
        id=fact["id"],
        url=fact["url"],
        crawl=crawls.get(address // CRAWL_STRIDE),
        part=address % CRAWL_STRIDE // ADDRESS_STRIDE,
        row=address % ADDRESS_STRIDE,
        text_bytes=fact["text_bytes"],
        fate="unknown" if gone is None else "removed" if gone else "stayed",
        **(gone or {}),
    )


def _candidates(engine: Engine, signed: Signed, keys: np.ndarray) -> tuple[int, dict[int, int]]:
    """(documents that share a band, the shared bands of those that share most, by address)."""
    wanted = ", ".join(str(k) for k in keys.tolist())
    sql = (
        f"SELECT address, COUNT(*) AS shared, COUNT(*) OVER () AS candidates FROM bands WHERE key IN ({wanted}) "  # noqa: S608
        f"GROUP BY address ORDER BY shared DESC, address LIMIT {MAX_CANDIDATES}"
    )
    rows = engine.query(sql, {"bands": signed.bands})
    shared = dict(zip(rows.column("address").to_pylist(), rows.column("shared").to_pylist(), strict=True))
    return (rows.column("candidates")[0].as_py() if rows.num_rows else 0), shared


def _alike(
    engine: Engine, signed: Signed, signature: np.ndarray, addresses: Sequence[int], threshold: float
) -> dict[int, float]:
    """Similarity of each candidate that reaches the threshold."""
    if not addresses:
        return {}
    listed = ", ".join(map(str, addresses))
    sql = f"SELECT address, signature FROM signatures WHERE address IN ({listed})"  # noqa: S608
    found: dict[int, float] = {}
    for batch in engine.query(sql, {"signatures": signed.signatures}).to_batches():
        similarity = (signature_matrix(batch.column("signature")) == signature).mean(axis=1)
        rows = zip(batch.column("address").to_pylist(), similarity.tolist(), strict=True)
        found |= {a: s for a, s in rows if s >= threshold}
    return found


def _by_address(
    engine: Engine, datasets: Sequence[Dataset], columns: Sequence[str], addresses: Sequence[int]
) -> dict[int, dict[str, Any]]:
    if not addresses:
        return {}
    listed = ", ".join(map(str, addresses))
    sql = f"SELECT address, {', '.join(columns)} FROM rows_of WHERE address IN ({listed})"  # noqa: S608
    return {row.pop("address"): row for row in engine.query(sql, {"rows_of": datasets}).to_pylist()}
