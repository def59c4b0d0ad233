"""Texts deduplicated by the product, and what it says of each: removed, matched with which, in what cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.dedup_worker import deduplicate
from benchmarks.planted_corpus import RunWriter, document_rows
from corpusmill.ledger import part_name
from corpusmill.parquet_parts import ROWS_PER_GROUP
from corpusmill.recipe import parse_recipe
from corpusmill.schemas import ADDRESS_STRIDE
from corpusmill.storage import Folder

_PART = 10_000


class Removed(NamedTuple):
    """Texts by their number in the list: those that are gone int64 [n], the neighbour that each was matched with [n],
    and for every text a cluster [texts] (its own where it is in none)."""

    gone: np.ndarray
    matched: np.ndarray
    cluster: np.ndarray


def prepare(folder: Path, texts: Sequence[str]) -> None:
    """Make `folder` a run whose documents are these texts."""
    starts = range(0, len(texts), _PART)
    writer = RunWriter(Folder(str(folder)), [f"texts:{len(texts)}:{start}" for start in starts])
    records = []
    for part, start in enumerate(starts):
        pieces = range(start, min(start + _PART, len(texts)), ROWS_PER_GROUP)
        stop = min(start + _PART, len(texts))
        batches = (
            document_rows(pa.array(texts[at : min(at + ROWS_PER_GROUP, stop)], pa.large_string()), at) for at in pieces
        )
        records.append(writer.write(part, batches))
    writer.finish(records)


def removed_from(folder: Path, count: int, verify: float, workers: int = 2) -> Removed:
    """Deduplicate the prepared run with this verification threshold; what it was done with before is forgotten."""
    recipe = parse_recipe({"dedup": {"verify": verify}})
    deduplicate(str(folder), recipe, workers)
    parts = [folder / f"removed/{part_name(p)}.parquet" for p in range(-(-count // _PART))]
    rows = pa.concat_tables(pq.read_table(p, columns=["address", "matched", "representative"]) for p in parts)
    matched = pc.coalesce(rows.column("matched"), rows.column("representative"))
    gone, stays = _number(rows.column("address").to_numpy()), _number(rows.column("representative").to_numpy())
    cluster = np.arange(count)
    cluster[gone] = stays
    return Removed(gone, _number(matched.to_numpy()), cluster)


def _number(address: np.ndarray) -> np.ndarray:
    return address // ADDRESS_STRIDE * _PART + address % ADDRESS_STRIDE
