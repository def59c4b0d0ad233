"""One rule with other thresholds for some languages, as FineWeb-2 has them (Penedo et al. 2025, section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc


class Judge(Protocol):
    """Anything that can say, for each row of a batch of documents, why it goes. Rules can; so can datatrove filters.

    The answer is the reason or null; or a struct of `reason` and `detail`, where there is more to tell than a name.
    """

    def judge_rows(self, batch: pa.RecordBatch) -> pa.StringArray | pa.StructArray: ...


@dataclass(frozen=True, slots=True)
class ByLanguage:
    """Judges rows of the named languages by their own rule, all others (and those of no language) by `otherwise`."""

    otherwise: Judge
    languages: Mapping[str, Judge]

    def judge_rows(self, batch: pa.RecordBatch) -> pa.StringArray:
        found = batch.column("language")
        own = pc.index_in(found, pa.array(list(self.languages), pa.string()))
        verdict = pa.nulls(batch.num_rows, pa.string())
        for i, judge in enumerate([*self.languages.values(), self.otherwise]):
            its = pc.equal(own, i).fill_null(False) if i < len(self.languages) else pc.is_null(own)
            if pc.any(its).as_py():
                verdict = pc.replace_with_mask(verdict, its, judge.judge_rows(batch.filter(its)))
        return verdict
