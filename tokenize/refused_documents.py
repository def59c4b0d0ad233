"""Documents that the tokenize stage leaves out, as tokenize.special_tokens_in_text = "refuse" asks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from corpusmill.columns import byte_lengths
from corpusmill.parquet_parts import PartWriter
from corpusmill.schemas import REFUSED
from corpusmill.storage import Folder, Output
from corpusmill.tokenize.special_tokens import Spellings

REASON = "special_token_in_text"


class Refusals:
    """Those of one shard: a row for each is kept in memory, without its text."""

    def __init__(self, special: Sequence[str]) -> None:
        self._spellings = Spellings(special)
        self._rows: list[dict[str, object]] = []

    def without(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Documents whose text spells no special token; the others become rows of the shard's list."""
        spelled = self._spellings.where(batch.column("text"))
        gone = batch.filter(pa.array(spelled))
        sizes = byte_lengths(gone.column("text")).tolist()
        rows = gone.select(["address", "id", "url", "text"]).to_pylist()
        for row, size in zip(rows, sizes, strict=True):
            token = self._spellings.first(row.pop("text"))
            self._rows.append(row | {"why": REASON, "detail": token, "text_bytes": size})
        return batch.filter(pa.array(~spelled)) if spelled.any() else batch

    def counts(self) -> dict[str, dict[str, int]]:
        """By reason, as dedup counts what it removes: documents, and bytes of text."""
        if not self._rows:
            return {"refused": {}, "refused_bytes": {}}
        size = int(np.sum([row["text_bytes"] for row in self._rows]))
        return {"refused": {REASON: len(self._rows)}, "refused_bytes": {REASON: size}}

    def write(self, run: Folder, name: str) -> list[Output]:
        """The shard's list, where there is anything to list."""
        if not self._rows:
            return []
        with run.writing(f"refused/{name}.parquet") as out, PartWriter(out.path, REFUSED) as rows:
            rows.write(pa.RecordBatch.from_pylist(self._rows, REFUSED))
        return [out]
