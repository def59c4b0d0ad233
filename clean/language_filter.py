"""Which language a text is in, as a filter that stands by itself.

>>> LanguageFilter(languages={"en": 0.5}, identifier="resiliparse").judge("Le meunier porte le blé au moulin.")
'language'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import ConfigDict

from corpusmill.clean.languages import MAX_CHARS, Identifier, judge_language, make_identifier


@dataclass(frozen=True, kw_only=True)
class LanguageFilter:
    """Keeps texts in the languages given, each with the least score for it. Reasons: language, language_unsure.

    `identifier` is lid.176, lid.176.bin, fasttext (any model, by `model`) or resiliparse, as in a recipe; `model` is a
    path, without which the cache is looked in. `max_chars`: fastText sees no more of a text.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    languages: Mapping[str, float] = field(default_factory=lambda: {"en": 0.65})
    identifier: str = "lid.176"
    model: str | None = None
    max_chars: int = MAX_CHARS

    def judge(self, text: str) -> str | None:
        """The reason to drop one text, or None."""
        return judge_language(*self._model.identify(text), self.languages)

    def judge_batch(self, texts: Sequence[str | None] | pa.Array) -> pa.StringArray:
        """The reason to drop each text, or null; null, too, where there is no text."""
        if isinstance(texts, (pa.Array, pa.ChunkedArray)):
            texts = texts.to_pylist()
        return pa.array([None if t is None else self.judge(t) for t in texts], pa.string())

    def judge_rows(self, batch: pa.RecordBatch) -> pa.StringArray:
        """As a rule of a recipe: `use = "corpusmill.clean:LanguageFilter"`."""
        return self.judge_batch(batch.column("text"))

    @cached_property
    def _model(self) -> Identifier:
        return make_identifier(self.identifier, self.model, wanted=self.languages, max_chars=self.max_chars)

    def __getstate__(self) -> dict[str, Any]:
        """Settings alone travel to workers; each loads the model for itself, once."""
        return {k: v for k, v in self.__dict__.items() if k != "_model"}
