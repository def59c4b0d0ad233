"""Take documents out of a run: `corpusmill forget`.

Their tokens are overwritten where they stand, so that no other sample of a training moves; their texts, addresses and
names go from every file of the run that has them, and from the index that it was deduplicated against. What stays are
numbers that say nothing of them. Models that were trained on them stay as they are, and so do the inputs: a stage that
is started over reads these again.

What is to be forgotten is noted first and struck out last; if that is interrupted, the next call ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.errors import InputError
from corpusmill.ledger import replace_outputs
from corpusmill.mill import FORGETTING, RECIPE_NAME, RUN_NAME, stored_recipe
from corpusmill.ownership import Owner
from corpusmill.schemas import ADDRESS_STRIDE, CRAWL_STRIDE
from corpusmill.storage import Folder, sha256_of
from corpusmill.tokenize.token_shards import MANIFEST

_SETS = ("shards", "heldout")
_NAMES = ("id", "url", "host")
_ADDRESSED = ("dedup/signatures", "dedup/bands", "dedup/facts", "cuts", "cluster_sizes")
"""Files whose rows of a forgotten document are left out; they are found by `address`."""

_BLANKED = ("pages", "documents", "dropped", "removed", "superseded", "refused")
"""Files whose rows stay, since their places or counts mean something; they are found by id, url and host."""

_KEPT = frozenset(
    ("address", "status", "extractor", "language", "language_score", "measures", "scores", "edits", "drop_reason",
     "drop_stage", "why", "cluster", "representative", "similarity", "matched", "text_bytes", "matched_crawl",
     "representative_crawl")
)  # fmt: skip
_OTHERS = (("representative_id", "ids"), ("matched_id", "ids"), ("matched_url", "urls"))
"""Columns in which a row of another document may name a forgotten one."""


@dataclass
class Forgotten:
    """What was taken out: documents and tokens of each set, rows of other files, documents of an index's crawls."""

    documents: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    crawls: dict[str, int] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        return not any(sum(counts.values()) for counts in (self.documents, self.rows, self.crawls))


@dataclass(frozen=True)
class _Wanted:
    """Documents by URL, host (of the URL, lower case, without port) and id."""

    urls: frozenset[str]
    hosts: frozenset[str]
    ids: frozenset[str]

    def rows(self, batch: pa.RecordBatch) -> np.ndarray:
        """bool [rows]"""
        found = np.zeros(batch.num_rows, bool)
        for column, wanted in zip(_NAMES, (self.ids, self.urls, self.hosts), strict=True):
            if wanted and column in batch.schema.names:
                values = pa.array(sorted(wanted), pa.string())
                found |= pc.is_in(batch.column(column).cast(pa.string()), values).to_numpy(zero_copy_only=False)
        return found


def forget(
    folder: Folder,
    *,
    urls: Iterable[str] = (),
    hosts: Iterable[str] = (),
    ids: Iterable[str] = (),
    copies: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
) -> Forgotten:
    """Take the documents with any of these URLs, hosts or ids out of a run, or of a folder of token shards.

    With `copies`, duplicates of them that dedup removed go too. InputError if nothing in the run is one of them.
    """
    with Owner(folder, command="corpusmill forget"):
        folder.remove_temporary()
        above = folder.sub("..")
        if folder.exists(MANIFEST) and above.exists(RECIPE_NAME):
            raise InputError(
                f"{folder.url} is part of a run, which would keep texts and addresses: `corpusmill forget` the run"
            )
        begun = folder.read_json(FORGETTING) if folder.exists(FORGETTING) else {"urls": [], "hosts": [], "ids": []}
        names = {
            "urls": sorted({*urls, *begun["urls"]}),
            "hosts": sorted({*(h.lower() for h in hosts), *begun["hosts"]}),
            "ids": sorted({*ids, *begun["ids"]}),
        }
        if not any(names.values()):
            raise InputError("nothing is chosen: name documents with --url, --host or --ids FILE")
        if copies:
            names["ids"] = sorted({*names["ids"], *_copies(folder, _wanted(names))})
        _index_of(folder)  # if it is not there, that is said before anything is changed
        done = _Forgetting(folder, names, begun, say).run()
        folder.remove(FORGETTING)
    if done.nothing and not any(begun.values()):
        raise InputError(f"no document of {folder.url} is one of those; nothing was changed")
    return done


class _Forgetting:
    """One call's work. `files` are those that it, or a call that was interrupted, has begun to write anew."""

    def __init__(
        self, folder: Folder, names: Mapping[str, list[str]], begun: Mapping[str, Any], say: Callable[[str], None]
    ) -> None:
        self.folder, self.names, self.say = folder, names, say
        self.files: list[str] = begun.get("files", [])
        self.wanted, self.done = _wanted(names), Forgotten()
        known = begun.get("known", {"addresses": [], "ids": [], "urls": []})
        self.known = {kind: set(values) for kind, values in known.items()}
        """What is known of the documents from rows that are there only once: kept, so that a second call knows it."""
        _learn(folder, self.wanted, self.known)
        self._note()

    def run(self) -> Forgotten:
        if self.folder.exists(MANIFEST):
            self._blank_tokens("")
            return self.done
        addresses = np.array(sorted(self.known["addresses"]), np.int64)

        def others(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, int]:
            within = batch.column("address").to_numpy() % CRAWL_STRIDE  # an index counts crawls in an address
            left = batch.filter(pa.array(~np.isin(within, addresses)))
            return left, batch.num_rows - left.num_rows

        for kind in _SETS:
            if self.folder.exists(f"{kind}/{MANIFEST}"):
                self._blank_tokens(kind)
        for kind in _ADDRESSED:
            self._rewrite(kind, others)
        for kind in _BLANKED:
            self._rewrite(kind, self._blanked)
        self._forget_in_index()
        replace_outputs(self.folder, {name: self._described(name) for name in self.files})
        self._tell_tokenize()
        if self.folder.exists("report.html"):
            from corpusmill.studio.corpus_report import write_report

            write_report(self.folder)
        return self.done

    def _blank_tokens(self, kind: str) -> None:
        from corpusmill.tokenize.shard_changes import blank
        from corpusmill.tokenize.token_shards import SETTLING

        shards = self.folder.sub(kind) if kind else self.folder
        begun = shards.read_json(SETTLING) if shards.exists(SETTLING) else {}
        rows: dict[str, list[int]] = {name: list(found) for name, found in begun.items()}
        entries = shards.read_json(MANIFEST)["shards"]
        tokens = 0
        for entry in entries:
            at = 0
            for batch in _read(shards, entry["docs"]):
                mine = np.flatnonzero(self.wanted.rows(batch))
                rows.setdefault(entry["name"], []).extend((at + mine).tolist())
                tokens += int(batch.column("num_tokens").to_numpy()[mine].sum())
                at += batch.num_rows
        rows = {name: sorted(set(found)) for name, found in rows.items() if found}
        key = kind or "shards"
        self.done.documents[key], self.done.tokens[key] = sum(map(len, rows.values())), tokens
        if not rows:
            return
        self.say(f"{key}: overwriting {tokens:,} tokens of {self.done.documents[key]:,} documents")
        if kind:
            touched = [e for e in entries if e["name"] in rows]
            self._note(*(f"{kind}/{e[key]}" for e in touched for key in ("name", "docs", "sums") if key in e))
            self._note(f"{kind}/{MANIFEST}")
        blank(shards, rows)

    def _blanked(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, int]:
        """Rows of the documents with nothing but numbers, and no row that names them; how many rows changed."""
        mine = self.wanted.rows(batch)
        if "address" in batch.schema.names:  # removed and refused rows have no host
            within = batch.column("address").to_numpy() % CRAWL_STRIDE
            mine |= np.isin(within, np.array(sorted(self.known["addresses"]), np.int64))
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        if mine.any():
            mask = pa.array(mine)
            for name, column in columns.items():
                if name not in _KEPT:
                    nothing = pa.scalar("" if name == "text" else None, column.type)
                    columns[name] = pc.if_else(mask, nothing, column)
        for name, kind in _OTHERS:
            if name in columns and (values := getattr(self.wanted, kind) | self.known[kind]):
                named = pc.is_in(columns[name], pa.array(sorted(values), columns[name].type))
                columns[name] = pc.if_else(named, pa.scalar(None, columns[name].type), columns[name])
                mine |= named.to_numpy(zero_copy_only=False)
        return pa.RecordBatch.from_arrays(list(columns.values()), schema=batch.schema), int(mine.sum())

    def _rewrite(self, kind: str, edit: Callable[[pa.RecordBatch], tuple[pa.RecordBatch, int]]) -> None:
        """Every file of a kind as `edit` makes it, a row group at a time; files that it does not change stay."""
        for name in self.folder.names(f"{kind}/*.parquet"):
            changed = sum(edit(batch)[1] for batch in _read(self.folder, name))
            if not changed:
                continue
            self.say(f"{name}: written without them")
            self._note(name)
            with self.folder.writing(name) as out, self.folder.open(name) as f:
                schema = pq.ParquetFile(f).schema_arrow
                with pq.ParquetWriter(out.path, schema, compression="zstd") as writer:
                    for batch in _read(self.folder, name):
                        writer.write_batch(edit(batch)[0], row_group_size=max(1, batch.num_rows))
            self.done.rows[kind] = self.done.rows.get(kind, 0) + changed

    def _forget_in_index(self) -> None:
        if (index := _index_of(self.folder)) is None:
            return
        from corpusmill.dedup.index_changes import Chosen
        from corpusmill.dedup.index_changes import forget as take_out
        from corpusmill.engines import make_engine

        self.say(f"{index.url}: written without them")
        chosen = Chosen(self.wanted.urls, self.wanted.hosts, self.wanted.ids)
        engine = make_engine("local", 0, index)
        try:
            self.done.crawls = take_out(engine, index, chosen)
        finally:
            engine.close()

    def _tell_tokenize(self) -> None:
        """The entries of shards that the tokenize stage's records hold."""
        manifests = {
            k: self.folder.read_json(f"{k}/{MANIFEST}") for k in _SETS if self.folder.exists(f"{k}/{MANIFEST}")
        }
        entries = {k: {e["name"]: e for e in m["shards"]} for k, m in manifests.items()}
        for name in self.folder.names("tokenize/records/part-*.json"):
            record = self.folder.read_json(name)
            record["shards"] = {
                kind: [entries.get(kind, {}).get(e["name"], e) for e in known]
                for kind, known in record.get("shards", {}).items()
            }
            self.folder.write_json(name, record)

    def _note(self, *files: str) -> None:
        """Files that are about to be written anew, kept for a call that has to end what this one began."""
        self.files = sorted({*self.files, *files})
        known = {kind: sorted(values) for kind, values in self.known.items()}
        self.folder.write_json(FORGETTING, {**self.names, "files": self.files, "known": known})

    def _described(self, name: str) -> dict[str, Any]:
        path = self.folder.local_path(name)
        return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _learn(run: Folder, wanted: _Wanted, known: dict[str, set[Any]]) -> None:
    """Add the addresses, ids and URLs of the wanted documents, as the cleaned parts have them."""
    for name in run.names("documents/part-*.parquet"):
        part, at = int(name[-13:-8]), 0
        for batch in _read(run, name):
            rows = np.flatnonzero(wanted.rows(batch))
            known["addresses"] |= set((part * ADDRESS_STRIDE + at + rows).tolist())
            for kind, column in (("ids", "id"), ("urls", "url")):
                known[kind] |= set(batch.column(column).take(pa.array(rows)).drop_null().to_pylist())
            at += batch.num_rows


def _index_of(run: Folder) -> Folder | None:
    """The run's index, if it has one: from here, or from the folder in which the run was made. InputError if it is in
    neither."""
    settings = stored_recipe(run).dedup.index if run.exists(RECIPE_NAME) else None
    if settings is None:
        return None
    made_in = run.read_json(RUN_NAME).get("working_folder", "") if run.exists(RUN_NAME) else ""
    for place in (settings.folder, str(Path(made_in) / settings.folder)):
        if Folder(place).exists("index.json"):
            return Folder(place)
    raise InputError(
        f"{run.url} was deduplicated against the index {settings.folder}, which is not there: documents would stay in "
        "it. Go to the folder that its name is relative to, or put it back"
    )


def _copies(run: Folder, wanted: _Wanted) -> set[str]:
    """Ids of documents that dedup put into one cluster with those wanted."""
    rows = []
    for name in run.names("removed/part-*.parquet"):
        for batch in _read(run, name):
            columns = ("address", "id", "url", "cluster", "representative", "representative_id")
            rows.append(batch.select(list(columns)))
    if not rows:
        return set()
    table = pa.Table.from_batches(rows)
    chosen = np.concatenate([_Wanted(wanted.urls, frozenset(), wanted.ids).rows(b) for b in table.to_batches()])
    known: dict[str, set[Any]] = {"addresses": set(), "ids": set(), "urls": set()}
    _learn(run, wanted, known)
    kept = known["addresses"]
    for column in ("representative", "address"):
        chosen |= np.isin(table.column(column).to_numpy(), np.array(sorted(kept), np.int64))
    clusters = np.unique(table.column("cluster").to_numpy()[chosen])
    members = table.filter(pa.array(np.isin(table.column("cluster").to_numpy(), clusters)))
    named = {*members.column("id").to_pylist(), *members.column("representative_id").to_pylist()}
    return {str(name) for name in named if name is not None}


def _wanted(names: Mapping[str, Iterable[str]]) -> _Wanted:
    return _Wanted(*(frozenset(names[kind]) for kind in ("urls", "hosts", "ids")))


def _read(folder: Folder, name: str) -> Iterable[pa.RecordBatch]:
    """A file's rows as they are, a row group at a time."""
    with folder.open(name) as f:
        parquet = pq.ParquetFile(f)
        for group in range(parquet.num_row_groups):
            yield from parquet.read_row_group(group).combine_chunks().to_batches()
