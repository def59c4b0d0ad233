"""What an editor is: text in, text out, and what was changed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import pyarrow as pa
from pydantic import ConfigDict

from corpusmill.clean.setting_checks import check_settings
from corpusmill.columns import batch_of

NO_CHANGES: Mapping[str, int] = MappingProxyType({})


class Edit(NamedTuple):
    """One text after one editor."""

    text: str
    changes: Mapping[str, int] = NO_CHANGES
    """Kind of change to how often. Stored with the document as `editor.kind`, as in `pii.email`."""
    drop_reason: str | None = None
    """Why the whole text must go, if the editor found that. The text is stored as edited all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Editor(ABC):
    """Rewrites text before it is measured, so that measures describe what is stored. Pure: the same text in, the same
    text out, in any order and process.

    Subclasses are frozen dataclasses whose fields are their settings in a recipe.
    """

    # without it a mistyped setting in a recipe is silently accepted
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    def __post_init__(self) -> None:
        check_settings(self)

    @abstractmethod
    def edit(self, text: str) -> Edit: ...

    def edit_batch(self, texts: list[str] | pa.Array) -> pa.Array:
        """Edited texts, large_string; null where there was none, or where the editor says the text must go."""
        edits = [None if text is None else self.edit(text) for text in batch_of(texts).to_pylist()]
        return pa.array([None if e is None or e.drop_reason else e.text for e in edits], pa.large_string())
