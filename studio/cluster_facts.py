"""The clusters of a run, for those who want to look: the largest, and the members of one.

Statements over `removed` choose what is shown; of `documents` only titles, hosts and dates of that are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dedup.dedup_files import FACTS
from corpusmill.engines import Dataset, Engine
from corpusmill.errors import InputError
from corpusmill.ledger import StageLedger, part_name
from corpusmill.parquet_parts import read_part
from corpusmill.schemas import CRAWL_STRIDE, REMOVED
from corpusmill.storage import Folder
from corpusmill.studio.page_facts import rows_at

SURVIVOR = "survivor"
_NAMES_OF_CRAWLS = ("matched_id", "matched_url", "matched_crawl", "representative_crawl")
_IN_SQL = pa.schema([f for f in REMOVED if f.name not in _NAMES_OF_CRAWLS])  # older parts have no others
_WHYS = ("exact_duplicate", "near_duplicate", "url_duplicate", "semantic_duplicate")


@dataclass(frozen=True)
class Member:
    """A document of a cluster; `crawl` where it is of an earlier one, and only named here. `why` may be SURVIVOR."""

    number: int
    address: int
    id: str
    url: str | None
    title: str | None
    host: str | None
    date: str | None
    why: str
    similarity: float | None = None
    matched: int | None = None
    matched_url: str | None = None
    matched_crawl: str | None = None
    text_bytes: int | None = None
    crawl: str | None = None


@dataclass(frozen=True)
class ClusterFacts:
    """`documents` counts the survivor; similarities are those of removed documents with what they matched."""

    cluster: int
    documents: int
    survivor: Member
    why: dict[str, int]
    least_similarity: float
    most_similarity: float
    removed_bytes: int


@dataclass(frozen=True)
class Clusters:
    """Number of all clusters of the run and of removed rows, and those asked for."""

    total: int
    removed: int
    shown: list[ClusterFacts]


class ClusterBrowser:
    """Asks one run, whose dedup stage must have finished (InputError where not)."""

    def __init__(self, run: Folder, engine: Engine) -> None:
        self.run, self.engine = run, engine
        self.parts: list[int] = StageLedger(run, "dedup").require_manifest()["parts"]
        self._removed = self._dataset("removed", _IN_SQL)

    def largest(self, top: int) -> Clusters:
        """The `top` clusters with most documents, those of equal size by their number."""
        rows = self._query(f"{self._summary()} ORDER BY documents DESC, cluster LIMIT {int(top)}")
        total = self._query("SELECT COUNT(DISTINCT cluster) AS clusters, COUNT(*) AS removed FROM removed")[0]
        return Clusters(total["clusters"], total["removed"], self._told(rows))

    def one(self, cluster: int) -> ClusterFacts:
        return self._told(self._query(self._summary(f"WHERE cluster = {cluster}")))[0]

    def with_address(self, address: int) -> int:
        """The cluster of this number, or that a document of this address is in."""
        where = f"cluster = {address} OR address = {address} OR representative = {address}"
        found = self._cluster_where(where)
        if found is None:
            raise InputError(
                f"{self.run.url} has no cluster {address}, and no document of this address in one; "
                "`corpusmill clusters RUN` lists the largest, `--url` finds that of a page"
            )
        return found

    def with_url(self, url: str) -> int:
        """The cluster that the document of this URL or id is in."""
        quoted = "'" + url.replace("'", "''") + "'"
        facts = {"facts": self._dataset("dedup/facts", FACTS)}
        sql = f"SELECT address FROM facts WHERE url = {quoted} OR id = {quoted} ORDER BY address"  # noqa: S608
        addresses = [a % CRAWL_STRIDE for a in self.engine.query(sql, facts).column("address").to_pylist()]
        if not addresses:
            raise InputError(
                f"{self.run.url} has no document with the URL or id {url}; `corpusmill why` tells if it was dropped"
            )
        listed = ", ".join(map(str, addresses))
        found = self._cluster_where(f"address IN ({listed}) OR representative IN ({listed})")
        if found is None:
            raise InputError(f"{url} is in no cluster: no other document of {self.run.url} was found to be like it")
        return found

    def _cluster_where(self, where: str) -> int | None:
        sql = f"SELECT MIN(cluster) AS cluster FROM removed WHERE {where}"  # noqa: S608
        found: int | None = self._query(sql)[0]["cluster"]
        return found

    def members(self, cluster: int, number: int) -> list[Member]:
        """The survivor, then removed documents, the least similar first: at most `number` in all."""
        survivor = self.one(cluster).survivor
        sql = (
            f"SELECT address FROM removed WHERE cluster = {cluster} "  # noqa: S608
            f"ORDER BY similarity, address LIMIT {max(0, number - 1)}"
        )
        addresses = [row["address"] for row in self._query(sql)]
        rows = {row["address"]: row for row in self._rows("address", addresses)}
        about = rows_at(self.run, addresses, ("title", "host", "fetched_at"))
        matched = [r["matched"] for r in rows.values() if r["matched_url"] is None and r["matched"] < CRAWL_STRIDE]
        urls = rows_at(self.run, matched, ("url",))
        return [survivor, *(_removed(i + 2, rows[a], about[a], urls) for i, a in enumerate(addresses))]

    def _told(self, rows: list[dict[str, Any]]) -> list[ClusterFacts]:
        own = [r["representative"] for r in rows if r["representative"] < CRAWL_STRIDE]
        about = rows_at(self.run, own, ("id", "url", "title", "host", "fetched_at"))
        crawls = {
            row["representative"]: row["representative_crawl"]
            for row in self._rows(
                "representative", [r["representative"] for r in rows if r["representative"] not in about]
            )
        }
        return [_cluster(row, about.get(row["representative"]), crawls.get(row["representative"])) for row in rows]

    def _rows(self, column: str, values: list[int]) -> Iterable[dict[str, Any]]:
        """Rows of `removed` with one of these values, read part by part: all columns, whatever version wrote them."""
        wanted = pa.array(values, pa.int64())
        for part in self.parts if values else ():
            for batch in read_part(self.run, f"removed/{part_name(part)}.parquet", REMOVED):
                yield from batch.filter(pc.is_in(batch.column(column), wanted)).to_pylist()

    def _summary(self, where: str = "") -> str:
        counts = ", ".join(f"SUM(CASE why WHEN '{why}' THEN 1 ELSE 0 END) AS {why}" for why in _WHYS)
        return (
            "SELECT cluster, COUNT(*) + 1 AS documents, MIN(representative) AS representative, "  # noqa: S608
            f"MIN(representative_id) AS id, MIN(similarity) AS least, MAX(similarity) AS most, "
            f"CAST(SUM(text_bytes) AS BIGINT) AS removed_bytes, {counts} FROM removed {where} GROUP BY cluster"
        )

    def _dataset(self, folder: str, schema: pa.Schema) -> Dataset:
        return Dataset(self.run, tuple(f"{folder}/{part_name(p)}.parquet" for p in self.parts), schema)

    def _query(self, sql: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.engine.query(sql, {"removed": self._removed}).to_pylist()
        return rows


def _cluster(row: Mapping[str, Any], about: Mapping[str, Any] | None, crawl: str | None) -> ClusterFacts:
    known = about or {}
    survivor = Member(
        number=1, address=row["representative"], id=row["id"], url=known.get("url"), title=known.get("title"),
        host=known.get("host"), date=_day(known.get("fetched_at")), why=SURVIVOR, crawl=crawl,
    )  # fmt: skip
    why = {name: int(row[name]) for name in _WHYS if row[name]}
    return ClusterFacts(
        row["cluster"], row["documents"], survivor, why, row["least"], row["most"], int(row["removed_bytes"] or 0)
    )


def _removed(
    number: int, row: Mapping[str, Any], about: Mapping[str, Any], urls: Mapping[int, Mapping[str, Any]]
) -> Member:
    return Member(
        number=number, address=row["address"], id=row["id"], url=row["url"], title=about["title"], host=about["host"],
        date=_day(about["fetched_at"]), why=row["why"], similarity=row["similarity"], matched=row["matched"],
        matched_url=row["matched_url"] or urls.get(row["matched"], {}).get("url"), matched_crawl=row["matched_crawl"],
        text_bytes=row["text_bytes"],
    )  # fmt: skip


def _day(time: Any) -> str | None:
    return None if time is None else f"{time:%Y-%m-%d}"
