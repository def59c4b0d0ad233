"""What the report says of pages: who was kept and who was dropped, with examples to read.

One pass over `documents` (no text) and one over `dropped`; memory is one row group, and what is shown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.ledger import part_name
from corpusmill.parquet_parts import read_part
from corpusmill.schemas import ADDRESS_STRIDE, DOCUMENTS, DROPPED
from corpusmill.storage import Folder
from corpusmill.studio.plain_text import excerpt, label
from corpusmill.studio.reasons import LANGUAGE_REASONS
from corpusmill.studio.tallies import WORD_EDGES, Bins, IntegerCounts, Names, id_hashes, smallest

EXAMPLES_PER_REASON = 5
MAX_REASONS_WITH_EXAMPLES = 60
SAMPLED_DOCUMENTS = 10
_FETCH_ROWS = 512
MEASURE_EDGES = {
    "non_symbol_words": WORD_EDGES,
    "mean_word_chars": np.round(np.arange(0.0, 16.01, 0.5), 1),
    "alpha_word_ratio": np.round(np.arange(0.0, 1.001, 0.04), 2),
}


def measure_bins() -> dict[str, Bins]:
    return {name: Bins(edges) for name, edges in MEASURE_EDGES.items()}


@dataclass(frozen=True, slots=True)
class Example:
    """A dropped page; `text` is None where the run did not keep it, or there never was any."""

    url: str
    detail: str
    title: str
    text: str | None


@dataclass
class Kept:
    """The documents of a run."""

    rows: int = 0
    hosts: Counter[str] = field(default_factory=Counter)
    words: IntegerCounts = field(default_factory=IntegerCounts)
    measures: dict[str, Bins] = field(default_factory=measure_bins)
    sample: list[tuple[int, int]] = field(default_factory=list)
    """(hash, address) of the survivors with the smallest hashes."""


@dataclass
class Dropped:
    """The dropped rows of a run; `measures` only of those that have text."""

    rows: int = 0
    stages: dict[str, str] = field(default_factory=dict)
    details: dict[str, Names] = field(default_factory=lambda: defaultdict(Names))
    measures: dict[str, Bins] = field(default_factory=measure_bins)
    examples: dict[str, list[tuple[tuple[bool, int], Example]]] = field(default_factory=lambda: defaultdict(list))

    def languages(self) -> list[tuple[str, int]]:
        """What was dropped for its language, the most frequent first."""
        total = Names()
        for reason in LANGUAGE_REASONS:
            for name, times in self.details.get(reason, {}).items():
                total.count(name, times)
        return total.top(len(total))

    def shown(self, reason: str) -> list[Example]:
        return [example for _, example in self.examples.get(reason, [])]


def read_kept(run: Folder, parts: Iterable[int], removed: np.ndarray) -> Kept:
    """Read all documents; `removed` are the addresses that are no candidates for the sample."""
    kept = Kept()
    for part in parts:
        at = part * ADDRESS_STRIDE
        name = f"documents/{part_name(part)}.parquet"
        for batch in read_part(run, name, DOCUMENTS, ("id", "host", "measures")):
            addresses = np.arange(at, at + batch.num_rows, dtype=np.int64)
            at += batch.num_rows
            _add_kept(kept, batch, addresses, np.isin(addresses, removed))
    return kept


def _add_kept(kept: Kept, batch: pa.RecordBatch, addresses: np.ndarray, gone: np.ndarray) -> None:
    kept.rows += batch.num_rows
    kept.hosts.update(_value_counts(batch.column("host")))
    _add_measures(kept.measures, batch.column("measures"))
    kept.words.add(_field(batch.column("measures"), "non_symbol_words"))
    hashes = id_hashes(batch.column("id"))
    chosen = smallest(hashes, SAMPLED_DOCUMENTS, gone)
    found = [(int(hashes[i]), int(addresses[i])) for i in chosen if not gone[i]]
    kept.sample = sorted(kept.sample + found)[:SAMPLED_DOCUMENTS]


def read_dropped(run: Folder, parts: Iterable[int]) -> Dropped:
    """Read all dropped rows. Of each reason the examples with text come first, then those with the smallest hash."""
    dropped = Dropped()
    columns = ("id", "url", "title", "text", "drop_reason", "drop_detail", "drop_stage", "measures")
    for part in parts:
        for batch in read_part(run, f"dropped/{part_name(part)}.parquet", DROPPED, columns):
            dropped.rows += batch.num_rows
            _add_measures(dropped.measures, batch.column("measures"))
            _count_reasons(dropped, batch)
            _add_examples(dropped, batch)
    return dropped


def _count_reasons(dropped: Dropped, batch: pa.RecordBatch) -> None:
    keys = ["drop_reason", "drop_detail", "drop_stage"]
    table = pa.Table.from_batches([batch.select(keys)])
    rows = table.group_by(keys).aggregate([([], "count_all")]).to_pylist()
    for row in sorted(rows, key=lambda r: (-r["count_all"], str(r["drop_reason"]), str(r["drop_detail"]))):
        dropped.stages.setdefault(row["drop_reason"], row["drop_stage"])
        dropped.details[row["drop_reason"]].count(label(row["drop_detail"]), row["count_all"])


def _add_examples(dropped: Dropped, batch: pa.RecordBatch) -> None:
    hashes = id_hashes(batch.column("id"))
    no_text = batch.column("text").is_null().to_numpy(zero_copy_only=False)
    reasons = batch.column("drop_reason").to_numpy(zero_copy_only=False)
    for reason in sorted(set(reasons)):
        if reason not in dropped.examples and len(dropped.examples) >= MAX_REASONS_WITH_EXAMPLES:
            continue
        rows = np.flatnonzero(reasons == reason)
        chosen = rows[smallest(hashes[rows], EXAMPLES_PER_REASON, no_text[rows])]
        found = [((bool(no_text[i]), int(hashes[i])), _example(batch, int(i))) for i in chosen]
        merged = sorted(dropped.examples[reason] + found, key=lambda pair: pair[0])
        dropped.examples[reason] = merged[:EXAMPLES_PER_REASON]


def _example(batch: pa.RecordBatch, row: int) -> Example:
    values = {n: batch.column(n)[row].as_py() for n in ("url", "drop_detail", "title", "text")}
    text = excerpt(values["text"]) if values["text"] is not None else None
    return Example(label(values["url"]), label(values["drop_detail"]), label(values["title"]), text)


def rows_at(
    run: Folder,
    addresses: Iterable[int],
    columns: Sequence[str] = ("url", "title", "text"),
    kind: str = "documents",
) -> dict[int, Mapping[str, Any]]:
    """Documents (or `dropped` rows) by address. Reads only the row groups they lie in, some hundred rows at a time."""
    found: dict[int, Mapping[str, Any]] = {}
    for part, wanted in groupby(sorted(set(addresses)), key=lambda a: a // ADDRESS_STRIDE):
        rows = [a % ADDRESS_STRIDE for a in wanted]
        with run.open(f"{kind}/{part_name(part)}.parquet") as f:
            parquet = pq.ParquetFile(f)
            start = 0
            for group in range(parquet.num_row_groups):
                end = start + parquet.metadata.row_group(group).num_rows
                inside = [r - start for r in rows if start <= r < end]
                for row, values in _rows_of_group(parquet, group, inside, columns):
                    found[part * ADDRESS_STRIDE + start + row] = values
                start = end
    return found


def _rows_of_group(
    parquet: pq.ParquetFile, group: int, rows: list[int], columns: Sequence[str]
) -> Iterable[tuple[int, Mapping[str, Any]]]:
    at = 0
    if rows:
        for batch in parquet.iter_batches(_FETCH_ROWS, row_groups=[group], columns=list(columns)):
            for row in rows:
                if at <= row < at + batch.num_rows:
                    yield row, batch.slice(row - at, 1).to_pylist()[0]
            at += batch.num_rows


def _add_measures(bins: dict[str, Bins], measures: pa.StructArray) -> None:
    for name, one in bins.items():
        one.add(_field(measures, name))


def _field(measures: pa.StructArray, name: str) -> np.ndarray:
    """The values of one measure, rows without text left out."""
    return pc.drop_null(pc.struct_field(measures, name)).to_numpy(zero_copy_only=False)


def _value_counts(column: pa.Array) -> dict[str, int]:
    return {r["values"] or "(no host)": r["counts"] for r in column.value_counts().to_pylist()}
