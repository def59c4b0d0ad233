"""What earlier crawls left for later ones: their bands, signatures, facts and clusters, removed documents included.

    INDEX/index.json                        settings, and the crawls in order with their files
    INDEX/crawl-0001/{facts,signatures,bands}/*.parquet    as the run wrote them; addresses are the index's own
    INDEX/crawl-0001/labels/*.parquet       members of the clusters that the crawl touched; of all rows for an address
                                            the smallest cluster holds
    INDEX/crawl-0001/{copies,apart}/*.parquet              exact copies; pairs that shared a bucket and are not alike

A crawl is there exactly when index.json names it, which is written last.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from corpusmill.dedup.dedup_files import BANDS, EDGES, FACTS, LABELS, PAIRS, SIGNATURES
from corpusmill.engines import Dataset
from corpusmill.errors import InputError
from corpusmill.ownership import Owner
from corpusmill.recipe import Dedup
from corpusmill.schemas import FORMAT_VERSION, check_version
from corpusmill.storage import Folder

NAME = "index.json"
MAX_CRAWLS = 2047
"""A crawl's number has the eleven highest bits of an address."""
KINDS: dict[str, pa.Schema] = {
    "facts": FACTS,
    "signatures": SIGNATURES,
    "bands": BANDS,
    "labels": LABELS,
    "copies": EDGES,
    "apart": PAIRS,
}
DECIDING = (
    "shingle", "shingle_size", "bands", "rows", "seed", "exact", "urls", "near", "verify", "check", "leaders",
    "survivor", "score", "sources",
)  # fmt: skip
"""Settings by which crawls can be compared only if they are the same."""


@dataclass(frozen=True)
class Crawl:
    number: int
    name: str
    inputs: str
    """Digest of the documents that it was made of."""
    files: Mapping[str, Sequence[str]]
    documents: int
    forgotten: int = 0
    """Documents that were taken out of it."""


class DedupIndex:
    """The index in a folder, as it stood when this was made."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.settings: dict[str, Any] | None = None
        self.crawls: list[Crawl] = []
        self.turn = 0
        """How often its files were written anew."""
        if folder.exists(NAME):
            stored = folder.read_json(NAME)
            check_version(stored.get("format"), f"{folder.url}/{NAME}")
            self.settings = stored["settings"]
            self.crawls = [Crawl(**c) for c in stored["crawls"]]
            self.turn = stored.get("turn", 0)

    @contextmanager
    def owned(self) -> Iterator[None]:
        """No other command changes the index meanwhile."""
        with Owner(self.folder, "dedup"):
            yield

    def place(self, name: str, settings: Dedup, only: Sequence[str] | None) -> tuple[int, list[Crawl]]:
        """(the number of the crawl of that name, the crawls before it that it is compared with).

        `only` names some of those. Raises InputError where the index was made with other settings, or a name is not
        in it.
        """
        self._check(settings)
        known = {c.name: c for c in self.crawls}
        number = known[name].number if name in known else max((c.number for c in self.crawls), default=0) + 1
        if number > MAX_CRAWLS:
            raise InputError(f"{self.folder.url} has {MAX_CRAWLS} crawls, which is all it can: start another index")
        strange = [n for n in only or () if n not in known]
        if strange:
            raise InputError(
                f"dedup.index.earlier: {self.folder.url} has no crawl named {strange[0]!r}; it has "
                + (", ".join(known) or "none")
            )
        return number, [c for c in self.crawls if c.number < number and (only is None or c.name in only)]

    def require_last(self, name: str, inputs: str) -> None:
        """Refuse to make a crawl anew, from other documents, that others were compared with since."""
        later = [c for c in self.crawls if c.name == name and c is not self.crawls[-1] and c.inputs != inputs]
        if later:
            raise InputError(
                f"{self.folder.url}: crawl {name!r} is in the index already, made of other documents, and "
                f"{self.crawls[-1].name!r} was compared with it since. Give these documents another dedup.index.crawl"
            )

    def require_whole(self, name: str) -> None:
        """Refuse to make a crawl anew that documents were taken out of: they would be back."""
        gone = [c.forgotten for c in self.crawls if c.name == name and c.forgotten]
        if gone:
            raise InputError(
                f"{self.folder.url}: {gone[0]:,} documents were taken out of crawl {name!r}; made again from this run, "
                "it would have them back. Give the run another dedup.index.crawl, without these documents"
            )

    def datasets(self, kind: str, crawls: Sequence[Crawl]) -> list[Dataset]:
        """The files of one kind of these crawls; one empty dataset where there are none."""
        found = [Dataset(self.folder, tuple(c.files[kind]), KINDS[kind]) for c in crawls]
        return found or [Dataset(self.folder, (), KINDS[kind])]

    def names(self) -> dict[int, str]:
        return {c.number: c.name for c in self.crawls}

    def add(self, crawl: Crawl, settings: Dedup, sources: Mapping[str, Dataset]) -> None:
        """Copy a crawl's files into the index, then name it there: it appears whole or not at all."""
        others = [c for c in self.crawls if c.number != crawl.number]
        if len(others) < len(self.crawls):
            self.write(others, deciding(settings))
        prefix = f"crawl-{crawl.number:04d}"
        self.folder.remove(prefix)
        files = {kind: self._copy(source, f"{prefix}/{kind}") for kind, source in sources.items()}
        self.write([*others, replace(crawl, files=files)], deciding(settings))

    def write(self, crawls: Sequence[Crawl], settings: Mapping[str, Any] | None = None) -> None:
        self.crawls = sorted(crawls, key=lambda c: c.number)
        self.settings = dict(settings or self.settings or {})
        stored = {"format": FORMAT_VERSION, "settings": self.settings, "crawls": [asdict(c) for c in self.crawls]}
        self.folder.write_json(NAME, stored | ({"turn": self.turn} if self.turn else {}))

    def _copy(self, source: Dataset, prefix: str) -> list[str]:
        names = []
        for i, name in enumerate(source.names):
            names.append(f"{prefix}/{i:05d}.parquet")
            with source.folder.open(name) as f, self.folder.writing(names[-1]) as out, out.path.open("wb") as target:
                shutil.copyfileobj(f, target, 1 << 20)
        return names

    def _check(self, settings: Dedup) -> None:
        wanted = deciding(settings)
        stored = wanted if self.settings is None else self.settings
        for key in DECIDING:
            if wanted[key] != (value := stored.get(key)):
                raise InputError(
                    f"{self.folder.url}: this index was made with dedup.{key} = {value!r}; the recipe says "
                    f"{wanted.get(key)!r}. Crawls can be compared only by the same settings: change the recipe, or "
                    "start another index"
                )


def deciding(settings: Dedup) -> dict[str, Any]:
    found = settings.model_dump(mode="json")
    return {key: found[key] for key in DECIDING}
