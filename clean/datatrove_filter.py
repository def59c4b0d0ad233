"""Both ways between our rules and datatrove's filters. Needs the extra `datatrove`; nothing else here loads it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import pyarrow as pa

from corpusmill.clean.rules import Rule
from corpusmill.errors import InputError, require_extra

_METADATA = ("url", "host", "date", "language", "language_score", "title")


class DatatroveRule:
    """A datatrove filter standing in a recipe. Built in the worker: filters load models and tokenizers lazily."""

    def __init__(self, use: str, filter_class: type, settings: Mapping[str, Any], where: str = "") -> None:
        self.use, self.filter_class, self.settings, self.where = use, filter_class, dict(settings), where

    def __reduce__(self) -> tuple[Any, ...]:
        return DatatroveRule, (self.use, self.filter_class, self.settings, self.where)

    @cached_property
    def filter(self) -> Any:
        try:
            return self.filter_class(**self.settings)
        except (TypeError, ImportError) as e:
            raise InputError(f"{self.where}: {self.use} cannot be set up: {e}") from e

    def judge_rows(self, batch: pa.RecordBatch) -> pa.StringArray:
        from datatrove.data import Document

        columns = [n for n in ("id", "text", *_METADATA) if n in batch.schema.names]
        verdicts: list[str | None] = []
        for row in batch.select(columns).to_pylist():
            text, key = row.pop("text"), row.pop("id")
            verdicts.append(
                None if text is None else _reason(self.filter.filter(Document(text, key, metadata=row)), self.use)
            )
        return pa.array(verdicts, pa.string())


def as_datatrove(rule: Rule) -> Any:
    """A datatrove filter that applies `rule`: `pipeline = [reader, as_datatrove(GopherQuality()), writer]`."""
    require_extra("as_datatrove", "datatrove", "datatrove")
    from datatrove.pipeline.filters.base_filter import BaseFilter

    class RuleFilter(BaseFilter):
        name = f"corpusmill {type(rule).__name__}"

        def __init__(self) -> None:
            super().__init__(batch_size=256)

        def filter(self, doc: Any) -> bool | tuple[bool, str]:
            return self.filter_batch([doc])[0]

        def filter_batch(self, batch: list[Any]) -> list[bool | tuple[bool, str]]:
            verdicts = rule.judge_batch([doc.text for doc in batch]).to_pylist()
            return [True if reason is None else (False, reason) for reason in verdicts]

    return RuleFilter()


def _reason(answer: Any, use: str) -> str | None:
    """datatrove answers with a bool or with (bool, reason)."""
    kept, reason = answer if isinstance(answer, tuple) else (answer, None)
    return None if kept else str(reason or use.rpartition(":")[2])
