"""What the report says of tokens: whose they are, and how long documents are in them.

Sums come from the manifests and, by SQL, from the sidecars; what DuckDB cannot hold it spills, and what is kept grows
with the languages, the distinct lengths and what is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from corpusmill.engines import Dataset, Engine, make_engine
from corpusmill.errors import DamagedError
from corpusmill.recipe import Recipe
from corpusmill.schemas import SHARD_DOCS
from corpusmill.storage import Folder
from corpusmill.studio.packing_facts import PackingFacts, packing_facts
from corpusmill.studio.tallies import IntegerCounts

TOP_HOSTS = 20
NO_SOURCE, NO_LANGUAGE, NO_HOST = "(no source)", "(no language)", "(no host)"
_COLUMNS = pa.schema([SHARD_DOCS.field(n) for n in ("host", "language", "text_bytes", "num_tokens")])
_SUMS = "COUNT(*) AS documents, CAST(SUM(num_tokens) AS BIGINT) AS tokens, CAST(SUM(text_bytes) AS BIGINT) AS bytes"


@dataclass(slots=True)
class TokenRow:
    """A source, language or host: what of it is trained on, and its held-out tokens."""

    name: str
    documents: int = 0
    tokens: int = 0
    bytes: int = 0
    heldout: int = 0


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """Rows are ordered by their tokens. `sources` has one row where no shard names its source."""

    sources: list[TokenRow]
    languages: list[TokenRow]
    hosts: list[TokenRow]
    """The TOP_HOSTS that have the most tokens to train on."""
    all_hosts: int
    lengths: IntegerCounts
    """Tokens of the documents that are trained on, each counted once."""
    packing: PackingFacts

    @property
    def counted(self) -> int:
        """All tokens that the sidecars name, held out or not."""
        return sum(row.tokens + row.heldout for row in self.languages)


def read_tokens(run: Folder) -> TokenFacts:
    """Aggregate RUN/shards and RUN/heldout. Raises DamagedError where a sidecar cannot be read."""
    manifests = {kind: run.read_json(f"{kind}/manifest.json") for kind in ("shards", "heldout")}
    docs = {kind: _sidecars(run, kind, manifests[kind]["shards"]) for kind in manifests}
    packing = packing_facts(run, _sequence_length(run))
    engine = make_engine("local", 1, run)
    by_language = f"SELECT language AS name, {_SUMS} FROM docs GROUP BY language"  # noqa: S608 (ours)
    by_host = f"SELECT host AS name, {_SUMS} FROM docs GROUP BY host ORDER BY tokens DESC, host LIMIT {TOP_HOSTS}"  # noqa: S608
    distinct = "SELECT COUNT(*) AS n FROM (SELECT DISTINCT host FROM docs)"
    try:
        languages = {kind: _ask(engine, by_language, docs[kind]) for kind in docs}
        hosts = _ask(engine, by_host, docs["shards"])
        ((number,),) = (row.values() for row in _ask(engine, distinct, docs["shards"]))
        lengths = _ask(engine, "SELECT num_tokens, COUNT(*) AS times FROM docs GROUP BY num_tokens", docs["shards"])
    except duckdb.Error as e:
        said = str(e).partition("\n")[0]
        raise DamagedError(f"{run.url}: a shard's .docs.parquet cannot be read: {said}. Tokenise again") from e
    finally:
        engine.close()
    counted = IntegerCounts()
    counted.counts.update({row["num_tokens"]: row["times"] for row in lengths})
    sources = {kind: map(_as_row, manifests[kind]["shards"]) for kind in manifests}
    return TokenFacts(
        _rows(sources["shards"], sources["heldout"], NO_SOURCE),
        _rows(languages["shards"], languages["heldout"], NO_LANGUAGE),
        _rows(hosts, (), NO_HOST),
        number,
        counted,
        packing,
    )


def _sidecars(run: Folder, kind: str, entries: Iterable[Mapping[str, Any]]) -> Dataset:
    return Dataset(run, tuple(f"{kind}/{e['docs']}" for e in entries), _COLUMNS)


def _ask(engine: Engine, sql: str, docs: Dataset) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = engine.query(sql, {"docs": docs}).to_pylist()
    return rows


def _as_row(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A shard's entry in the manifest as a row of SQL."""
    counts = {"documents": entry["num_documents"], "tokens": entry["num_tokens"], "bytes": entry["text_bytes"]}
    return {"name": entry.get("source"), **counts}


def _rows(trained: Iterable[Mapping[str, Any]], held: Iterable[Mapping[str, Any]], nameless: str) -> list[TokenRow]:
    """Rows of one name together, the most tokens first."""
    found: dict[str, TokenRow] = {}
    for row in trained:
        one = found.setdefault(row["name"] or nameless, TokenRow(row["name"] or nameless))
        one.documents, one.tokens, one.bytes = (getattr(one, k) + row[k] for k in ("documents", "tokens", "bytes"))
    for row in held:
        found.setdefault(row["name"] or nameless, TokenRow(row["name"] or nameless)).heldout += row["tokens"]
    return sorted(found.values(), key=lambda row: (-row.tokens, -row.heldout, row.name))


def _sequence_length(run: Folder) -> int:
    """That of the recipe, or the default."""
    stored = run.read_json("recipe.json")["recipe"] if run.exists("recipe.json") else {}
    return int(stored.get("train", {}).get("sequence_length") or Recipe().train.sequence_length)
