"""Both ways between our rules and datatrove's filters. Needs the extra `datatrove`; nothing else here loads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import pyarrow as pa

from corpusmill.clean.url_rules import UrlFilter
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


def as_datatrove(block: Any) -> Any:
    """A datatrove block: `pipeline = [reader, as_datatrove(GopherQuality()), as_datatrove(PiiMask()), writer]`.

    A rule becomes a filter; UrlFilter reads the document's `url`. An editor becomes a formatter: it changes the text,
    counts its changes in the block's statistics, and drops the documents it says must go.
    """
    require_extra("as_datatrove", "datatrove", "datatrove")
    if hasattr(block, "judge_batch"):
        return _filter(block)
    if hasattr(block, "edit"):
        return _formatter(block)
    raise InputError(f"as_datatrove: {type(block).__name__} has neither judge_batch nor edit")


def _filter(rule: Any) -> Any:
    from datatrove.pipeline.filters.base_filter import BaseFilter

    by_url = isinstance(rule, UrlFilter)

    class RuleFilter(BaseFilter):
        name = f"corpusmill {type(rule).__name__}"

        def __init__(self) -> None:
            super().__init__(batch_size=256)

        def filter(self, doc: Any) -> bool | tuple[bool, str]:
            return self.filter_batch([doc])[0]

        def filter_batch(self, batch: list[Any]) -> list[bool | tuple[bool, str]]:
            judged = [doc.metadata.get("url") if by_url else doc.text for doc in batch]
            return [True if reason is None else (False, reason) for reason in rule.judge_batch(judged).to_pylist()]

    return RuleFilter()


def _formatter(editor: Any) -> Any:
    from datatrove.pipeline.formatters.base import BaseFormatter

    class EditorFormatter(BaseFormatter):
        name = f"corpusmill {type(editor).__name__}"

        def format(self, text: str) -> str:
            edited: str = editor.edit(text).text
            return edited

        def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
            for doc in data:
                self.stat_update("total")
                with self.track_time():
                    found = editor.edit(doc.text)
                for kind, count in found.changes.items():
                    self.stat_update(kind, value=count)
                if found.drop_reason is not None:
                    self.stat_update("dropped", f"dropped_{found.drop_reason}")
                    continue
                doc.text = found.text
                self.stat_update("forwarded")
                yield doc

    return EditorFormatter()


def _reason(answer: Any, use: str) -> str | None:
    """datatrove answers with a bool or with (bool, reason)."""
    kept, reason = answer if isinstance(answer, tuple) else (answer, None)
    return None if kept else str(reason or use.rpartition(":")[2])
