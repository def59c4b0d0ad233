"""The pages that people can be asked about, in groups: kept, or the reason of the drop; language; a measure's range.

A page can be asked about if its text was stored. Which dropped texts are stored is decided by `clean.dropped_text`: for
`sample` a hash of the id decides, so the stored ones stand for all that had a text, and each stratum counts both.
Near-duplicates that dedup removed are left out: their survivors stand for them.

Reads the columns that strata need twice, and the texts of dropped pages once; memory is one row group, and of each
stratum as many candidates as the sample has items. A cap on hosts also holds counts by stratum and host.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from corpusmill.clean.annotation.sample_settings import SampleSettings
from corpusmill.errors import InputError
from corpusmill.ledger import StageLedger, part_name
from corpusmill.parquet_parts import read_part
from corpusmill.recipe import nearest
from corpusmill.schemas import ADDRESS_STRIDE, DOCUMENTS, DROPPED, MEASURES, REMOVED
from corpusmill.storage import Folder

KEPT, DROPPED_PAGE = "kept", "dropped"
KINDS = {"documents": DOCUMENTS, "dropped": DROPPED}
OTHER = "other"
_ORDER_SALT, _HOST_SALT = 0x5A4D504C, 0x484F5354
_EDGE_ROWS = 20_000
"""Quantiles are those of about as many pages, drawn by hash: strata need round groups, not exact edges."""


@dataclass(frozen=True, slots=True, order=True)
class Stratum:
    fate: str
    reason: str = ""
    language: str = ""
    range: str = ""

    def __str__(self) -> str:
        return "/".join(p for p in (self.fate, self.reason, self.language, self.range) if p)


@dataclass(slots=True)
class Group:
    """A stratum's pages: how many, and those that come first in the order of the draw."""

    pages: int = 0
    """With a text, stored or not: what the drawn ones stand for."""
    readable: int = 0
    """With a stored text."""
    first: list[tuple[int, int]] = field(default_factory=list)
    """(hash, address) of the first readable pages; all of them under a cap on hosts are in `by_host`."""
    hosts: Counter[str] = field(default_factory=Counter)
    by_host: dict[str, list[tuple[int, int, int]]] = field(default_factory=lambda: defaultdict(list))
    """Of each host the first pages by a hash of its own: (that hash, hash, address)."""


@dataclass(slots=True)
class Frame:
    groups: dict[Stratum, Group] = field(default_factory=lambda: defaultdict(Group))
    no_text: Counter[str] = field(default_factory=Counter)
    """Pages dropped before they had a text, by reason: nobody can judge them."""
    removed: int = 0


def read_frame(run: Folder, settings: SampleSettings) -> Frame:
    """All strata of a run. Raises InputError where no clean stage has finished, or there is no such measure."""
    parts = StageLedger(run, "clean").require_manifest()["parts"]
    removed = _removed(run)
    grouping = _Grouping(run, parts, settings)
    frame = Frame(removed=len(removed))
    for kind in KINDS:
        for batch, addresses in _rows(run, kind, parts, grouping.columns(kind)):
            if kind == "documents":
                staying = ~np.isin(addresses, removed)
                batch, addresses = batch.filter(pa.array(staying)), addresses[staying]
                readable = np.ones(len(addresses), bool)
            else:
                had_text = batch.column("measures").is_valid()
                frame.no_text.update(batch.filter(pc.invert(had_text)).column("drop_reason").to_pylist())
                batch, addresses = batch.filter(had_text), addresses[had_text.to_numpy(zero_copy_only=False)]
                readable = batch.column("text").is_valid().to_numpy(zero_copy_only=False)
            if batch.num_rows:
                _add(frame, grouping.strata(kind, batch), batch, addresses, readable, settings)
    return frame


def _add(
    frame: Frame,
    strata: tuple[np.ndarray, list[Stratum]],
    batch: pa.RecordBatch,
    addresses: np.ndarray,
    readable: np.ndarray,
    settings: SampleSettings,
) -> None:
    numbers, names = strata
    hashes = hashes_of(batch.column("id"), settings.seed, _ORDER_SALT)
    for number, stratum in enumerate(names):
        inside = numbers == number
        rows = np.flatnonzero(inside & readable)
        group = frame.groups[stratum]
        group.pages += int(inside.sum())
        group.readable += len(rows)
        if settings.max_per_host is not None:
            _add_by_host(group, batch, addresses, hashes, rows, settings)
        else:
            chosen = rows[np.argsort(hashes[rows], kind="stable")[: settings.size]]
            found = [(int(hashes[i]), int(addresses[i])) for i in chosen]
            group.first = sorted(group.first + found)[: settings.size]


def _add_by_host(
    group: Group,
    batch: pa.RecordBatch,
    addresses: np.ndarray,
    hashes: np.ndarray,
    rows: np.ndarray,
    settings: SampleSettings,
) -> None:
    # the cap is drawn by another hash than the sample: by the same one, large hosts would come first
    own = hashes_of(batch.column("id"), settings.seed, _HOST_SALT)
    hosts = batch.column("host").to_pylist()
    for i in rows.tolist():
        host = hosts[i] or ""
        group.hosts[host] += 1
        best = group.by_host[host]
        best.append((int(own[i]), int(hashes[i]), int(addresses[i])))
        best.sort()
        del best[settings.max_per_host :]


class _Grouping:
    """From a batch to strata: which languages stand alone, and where the ranges of the measure end."""

    def __init__(self, run: Folder, parts: Sequence[int], settings: SampleSettings) -> None:
        self.settings = settings
        languages: Counter[str] = Counter()
        sample: list[tuple[int, float]] = []
        if settings.languages or settings.measure:
            for kind in KINDS:
                for batch, _ in _rows(run, kind, parts, [c for c in self.columns(kind) if c != "text"]):
                    languages.update(batch.filter(_had_text(kind, batch)).column("language").to_pylist())
                    if settings.measure:
                        sample = self._sampled(sample, batch)
        named = sorted(languages, key=lambda n: (-languages[n], n or ""))
        self.languages = {n for n in named[: settings.languages] if n is not None}
        self.edges = np.zeros(0)
        if settings.measure:
            if not sample:
                raise InputError(
                    f"no page of {run.url} has a value of {settings.measure!r}{nearest(settings.measure, _measures())}"
                )
            shares = np.arange(1, settings.quantiles) / settings.quantiles
            self.edges = np.unique(np.quantile([v for _, v in sample], shares, method="inverted_cdf"))

    def columns(self, kind: str) -> list[str]:
        columns = ["id", "language"]
        columns += ["host"] if self.settings.max_per_host is not None else []
        columns += ["measures", "drop_reason", "text"] if kind == "dropped" else []
        if self.settings.measure and kind == "documents":
            columns.append("measures")
        return columns + (["scores", "language_score"] if self.settings.measure else [])

    def strata(self, kind: str, batch: pa.RecordBatch) -> tuple[np.ndarray, list[Stratum]]:
        """The stratum of each row: (numbers [rows], what they mean)."""
        rows = batch.num_rows
        fate = KEPT if kind == "documents" else DROPPED_PAGE
        reasons = [""] * rows if kind == "documents" else batch.column("drop_reason").to_pylist()
        languages = [""] * rows
        if self.settings.languages:
            languages = [n if n in self.languages else OTHER for n in batch.column("language").to_pylist()]
        ranges = self._ranges(batch)
        keys: dict[tuple[str, str, str], int] = {}
        numbers = np.fromiter(
            (keys.setdefault(key, len(keys)) for key in zip(reasons, languages, ranges, strict=True)), np.int64, rows
        )
        return numbers, [Stratum(fate, *key) for key in keys]

    def _ranges(self, batch: pa.RecordBatch) -> list[str]:
        if not self.settings.measure:
            return [""] * batch.num_rows
        ends = [f"{e:g}" for e in self.edges]
        names = [f"{self.settings.measure} up to {e}" for e in ends] + [f"{self.settings.measure} above {ends[-1]}"]
        values = _values(batch, self.settings.measure)
        places = np.searchsorted(self.edges, values, side="left")
        return [
            "without a value" if np.isnan(v) else names[p]
            for v, p in zip(values.tolist(), places.tolist(), strict=True)
        ]

    def _sampled(self, sample: list[tuple[int, float]], batch: pa.RecordBatch) -> list[tuple[int, float]]:
        assert self.settings.measure is not None
        values = _values(batch, self.settings.measure)
        hashes = hashes_of(batch.column("id"), self.settings.seed, _HOST_SALT)
        there = np.flatnonzero(~np.isnan(values))
        chosen = there[np.argsort(hashes[there], kind="stable")[:_EDGE_ROWS]]
        return sorted(sample + [(int(hashes[i]), float(values[i])) for i in chosen])[:_EDGE_ROWS]


def hashes_of(ids: pa.Array, seed: int, salt: int) -> np.ndarray:
    """xxh3 of each id under seed and salt, uint64 [n]: an order that nobody chose and every run repeats."""
    names = ids.to_pylist()
    return np.fromiter((xxhash.xxh3_64_intdigest(n or "", seed=seed ^ salt) for n in names), np.uint64, len(names))


def _values(batch: pa.RecordBatch, measure: str) -> np.ndarray:
    """A measure, a score or the language score, float64 [rows]; NaN where there is none."""
    if measure == "language_score":
        values = batch.column(measure)
    elif measure in _measures():
        values = pc.struct_field(batch.column("measures"), measure)
    else:
        values = pc.map_lookup(batch.column("scores"), measure, "first")
    return values.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)


def _measures() -> list[str]:
    return [*(f.name for f in MEASURES), "language_score"]


def _had_text(kind: str, batch: pa.RecordBatch) -> Any:
    return pa.array([True] * batch.num_rows) if kind == "documents" else batch.column("measures").is_valid()


def _rows(
    run: Folder, kind: str, parts: Sequence[int], columns: Sequence[str]
) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Batches with the address of each row."""
    for part in parts:
        at = part * ADDRESS_STRIDE
        for batch in read_part(run, f"{kind}/{part_name(part)}.parquet", KINDS[kind], columns):
            yield batch, np.arange(at, at + batch.num_rows, dtype=np.int64)
            at += batch.num_rows


def _removed(run: Folder) -> np.ndarray:
    """Addresses that a finished dedup stage of these documents removed."""
    clean, dedup = StageLedger(run, "clean").require_manifest(), StageLedger(run, "dedup").manifest()
    documents = {n: out for n, out in clean["outputs"].items() if n.startswith("documents/")}
    if dedup is None or dedup["inputs"] != documents:
        return np.zeros(0, np.int64)
    batches = [
        batch.column("address").to_numpy()
        for part in dedup["parts"]
        for batch in read_part(run, f"removed/{part_name(part)}.parquet", REMOVED, ("address",))
    ]
    return np.concatenate([np.zeros(0, np.int64), *batches])
