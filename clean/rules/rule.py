"""What a rule is: thresholds over measures that give a reason, or none."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ConfigDict

from corpusmill.clean.setting_checks import check_settings
from corpusmill.clean.text_measures import measure
from corpusmill.columns import batch_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(ABC):
    """Pure, and cheap: it sees measures, never text, so a threshold can be tried on a finished run.

    Subclasses are frozen dataclasses whose fields are thresholds: `min_` is a floor, `max_` a ceiling, both inclusive.
    """

    # without it a mistyped setting in a recipe is silently accepted
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    def __post_init__(self) -> None:
        check_settings(self)

    @abstractmethod
    def reasons(self, measures: pa.StructArray) -> Iterator[tuple[str, pa.BooleanArray]]:
        """Pairs of a reason and the rows it applies to, most telling first: the first that applies is the row's."""

    def judge_measures(self, measures: pa.StructArray) -> pa.StringArray:
        """The reason to drop each row, or null. A null measure, as those that an older part lacks, drops nothing."""
        verdict: pa.Array = pa.nulls(len(measures), pa.string())
        for reason, applies in self.reasons(measures):
            if not applies.true_count:
                continue
            verdict = pc.coalesce(verdict, pc.if_else(applies, pa.scalar(reason), pa.scalar(None, pa.string())))
        return pc.if_else(measures.is_valid(), verdict, pa.scalar(None, pa.string()))

    def judge_batch(self, texts: list[str] | pa.Array) -> pa.StringArray:
        return self.judge_measures(measure(batch_of(texts)))

    def judge(self, text: str) -> str | None:
        """The reason to drop one text, or None. For people and tests; work in batches."""
        reason: str | None = self.judge_batch([text])[0].as_py()
        return reason

    def judge_rows(self, batch: pa.RecordBatch) -> pa.StringArray:
        """As `judge_measures`, for a batch of documents."""
        return self.judge_measures(batch.column("measures"))
