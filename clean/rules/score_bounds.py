"""Bounds on a score: drop what a model or a list puts below `min` or above `max`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ConfigDict


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreBounds:
    """Reasons are `<of>_too_low`, `<of>_too_high` and, on request, `<of>_missing`. Bounds are inclusive."""

    of: str
    """A key of the `scores` column: the name of a scorer, or "name.key" where it gives several values."""
    min: float | None = None
    max: float | None = None
    missing: Literal["keep", "drop"] = "keep"
    """What becomes of a row without this score: a scorer skips languages it has no model or list for."""
    languages: tuple[str, ...] = ()
    """Judge texts in these languages only; empty means all."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)
    reads: ClassVar[tuple[str, ...]] = ("scores",)
    """Columns that it judges by: `whatif` can answer for it."""

    def judge_rows(self, batch: pa.RecordBatch) -> pa.StringArray:
        scores = score_of(batch, self.of)
        verdict: pa.Array = pa.nulls(len(scores), pa.string())
        if self.missing == "drop":
            verdict = _where(pc.is_null(scores), f"{self.of}_missing")
        if self.min is not None:
            verdict = pc.coalesce(verdict, _where(pc.less(scores, self.min), f"{self.of}_too_low"))
        if self.max is not None:
            verdict = pc.coalesce(verdict, _where(pc.greater(scores, self.max), f"{self.of}_too_high"))
        if self.languages:
            meant = pc.is_in(batch.column("language"), value_set=pa.array(self.languages, pa.string()))
            verdict = pc.if_else(meant, verdict, pa.scalar(None, pa.string()))
        return verdict


def score_of(batch: pa.RecordBatch, key: str) -> pa.DoubleArray:
    """One value of the `scores` column; null where it is not there."""
    if "scores" not in batch.schema.names:
        return pa.nulls(batch.num_rows, pa.float64())
    return pc.map_lookup(batch.column("scores"), query_key=pa.scalar(key), occurrence="first")


def _where(applies: pa.Array, reason: str) -> pa.StringArray:
    return pc.if_else(pc.fill_null(applies, False), pa.scalar(reason), pa.scalar(None, pa.string()))
