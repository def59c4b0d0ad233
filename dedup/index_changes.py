"""Changes of an index: documents taken out of it, and its files made fewer.

Both write new files beside the old ones, then index.json, which names them, then remove what it no longer names: a
reader sees the index before or after, and a change that was interrupted leaves the index as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dedup.dedup_files import LABELS, STAYS, statement
from corpusmill.dedup.dedup_index import KINDS, Crawl, DedupIndex
from corpusmill.dedup.preferences import AFTER_ALL
from corpusmill.engines import Dataset, Datasets, Engine
from corpusmill.engines.work_files import read_rows, write_rows
from corpusmill.ingest.warc_pages import host_of
from corpusmill.storage import Folder

WORK = "work"
GONE = pa.schema([("address", pa.int64())])
HEIRS = pa.schema([("gone", pa.int64()), ("address", pa.int64())])
_ORDER = {"bands": "key, address", "apart": "root, address"}
"""Of a compacted file; by address where it is not said. A reader then skips the row groups that it does not want."""


@dataclass(frozen=True)
class Chosen:
    """Documents, by any of these: exact URLs, hosts (of the URL, without port), ids."""

    urls: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()

    def rows(self, facts: pa.RecordBatch) -> np.ndarray:
        """Which rows of FACTS are chosen, bool [rows]."""
        found = np.zeros(facts.num_rows, bool)
        for name, wanted in (("url", self.urls), ("id", self.ids)):
            if wanted:
                found |= pc.is_in(facts.column(name), pa.array(sorted(wanted))).to_numpy(zero_copy_only=False)
        if self.hosts:
            urls = facts.column("url").to_pylist()
            found |= np.fromiter((u is not None and host_of(u) in self.hosts for u in urls), bool, len(urls))
        return found


def forget(engine: Engine, folder: Folder, chosen: Chosen) -> dict[str, int]:
    """Take documents out of an index; crawl to how many. Nothing of them stays: not their keys, nor their addresses.

    Documents that were matched through one of them stay in one cluster. Its copies are not taken out: the first of them
    takes its place. The runs that the crawls came from keep their files.
    """
    with DedupIndex(folder).owned():
        index = DedupIndex(folder)
        change = _Change(engine, index)
        found = {c.name: change.choose(c, chosen) for c in index.crawls}
        if any(found.values()):
            change.take_out(found)
        change.clean_up()
    return found


def compact(engine: Engine, folder: Folder) -> tuple[int, int]:
    """Sort the rows of each crawl into few files; how many files there were, and are."""
    with DedupIndex(folder).owned():
        index = DedupIndex(folder)
        change, before = _Change(engine, index), _count(index.crawls)
        change.write(change.sorted_rows)
        change.clean_up()
        return before, _count(index.crawls)


class _Change:
    """New files for every crawl of an index."""

    def __init__(self, engine: Engine, index: DedupIndex) -> None:
        self.engine = engine
        self.index = index
        self.gone: list[str] = []
        self.clean_up()

    def choose(self, crawl: Crawl, chosen: Chosen) -> int:
        """Note which documents of a crawl go; how many."""
        counted = 0

        def addresses() -> Iterator[pa.RecordBatch]:
            nonlocal counted
            for dataset in self.index.datasets("facts", [crawl]):
                for batch in read_rows(dataset):
                    rows = batch.select(["address"]).filter(pa.array(chosen.rows(batch)))
                    counted += rows.num_rows
                    if rows.num_rows:
                        yield rows

        name = f"{WORK}/gone/{crawl.number:05d}.parquet"
        if write_rows(self.index.folder, name, GONE, addresses()):
            self.gone.append(name)
        return counted

    def take_out(self, counts: Mapping[str, int]) -> None:
        """Every crawl without the documents noted, of which it had so many."""
        self.index.crawls = [replace(c, forgotten=c.forgotten + counts[c.name]) for c in self.index.crawls]
        gone = Dataset(self.index.folder, tuple(self.gone), GONE)
        labels = self._work("current_labels", {"earlier": self._all("labels")}, LABELS)
        stays = self._work("stays", {"labels": labels, "facts": self._all("facts")}, STAYS)
        orphans = self._work("orphans", {"labels": labels, "stays": stays, "gone": gone}, GONE)
        heirs = {
            kind: self._work("next_in_line", {"rows_of": self._all(kind), "gone": gone}, HEIRS, kind, column=column)
            for kind, column in (("labels", "cluster"), ("copies", "root"))
        }
        more: Mapping[str, Datasets] = {
            "facts": {"orphans": orphans},
            "labels": {"heirs": heirs["labels"]},
            "copies": {"heirs": heirs["copies"]},
            "apart": {"heirs": heirs["copies"]},
        }

        def without(kind: str, rows: Sequence[Dataset]) -> tuple[str, Datasets]:
            if kind in more:
                return statement(f"kept_{kind}", after_all=AFTER_ALL), {kind: rows, "gone": gone, **more[kind]}
            columns = ", ".join(f"r.{name} AS {name}" for name in KINDS[kind].names)
            return statement("kept_rows", columns=columns), {"rows_of": rows, "gone": gone}

        self.write(without)

    def sorted_rows(self, kind: str, rows: Sequence[Dataset]) -> tuple[str, Datasets]:
        columns = ", ".join(KINDS[kind].names)
        return f"SELECT {columns} FROM rows_of ORDER BY {_ORDER.get(kind, 'address')}", {"rows_of": rows}  # noqa: S608

    def write(self, rows: Callable[[str, Sequence[Dataset]], tuple[str, Datasets]]) -> None:
        """Every kind of every crawl anew, then the index that names them."""
        turn = self.index.turn + 1
        crawls = []
        for crawl in self.index.crawls:
            files: dict[str, Sequence[str]] = {}
            for kind, schema in KINDS.items():
                sql, datasets = rows(kind, self.index.datasets(kind, [crawl]))
                prefix = f"crawl-{crawl.number:04d}/{kind}-{turn}"
                files[kind] = self.engine.write(sql, datasets, self.index.folder, prefix, schema).names
            crawls.append(replace(crawl, files=files, documents=self._documents(files["facts"])))
        self.index.turn = turn
        self.index.write(crawls)

    def clean_up(self) -> None:
        """Remove what the index does not name."""
        named = {name for crawl in self.index.crawls for names in crawl.files.values() for name in names}
        folder = self.index.folder
        folder.remove(WORK)
        for name in folder.names("crawl-*/*/*.parquet"):
            if name not in named:
                folder.remove(name)

    def _all(self, kind: str) -> list[Dataset]:
        return self.index.datasets(kind, self.index.crawls)

    def _work(self, name: str, datasets: Datasets, schema: pa.Schema, of: str = "", **values: object) -> Dataset:
        return self.engine.write(statement(name, **values), datasets, self.index.folder, f"{WORK}/{name}{of}", schema)

    def _documents(self, facts: Sequence[str]) -> int:
        datasets: Mapping[str, Dataset] = {"facts": Dataset(self.index.folder, tuple(facts), KINDS["facts"])}
        return int(self.engine.query("SELECT COUNT(*) AS n FROM facts", datasets).column("n")[0].as_py())


def _count(crawls: Sequence[Crawl]) -> int:
    return sum(len(names) for crawl in crawls for names in crawl.files.values())
