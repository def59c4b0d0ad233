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
import pyarrow.compute as pc
from pydantic import ConfigDict

from corpusmill.clean.languages import MAX_CHARS, Identifier, language_verdicts, make_identifier
from corpusmill.clean.setting_checks import check_settings
from corpusmill.columns import batch_of
from corpusmill.errors import InputError


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

    def __post_init__(self) -> None:
        check_settings(self)
        for language, score in self.languages.items():
            if not 0 <= score <= 1:
                raise InputError(f"languages: found {score} for {language!r}; expected a least score between 0 and 1")

    def judge(self, text: str) -> str | None:
        """The reason to drop one text, or None."""
        reason: str | None = self.judge_batch([text])[0].as_py()
        return reason

    def judge_batch(self, texts: Sequence[str | None] | pa.Array) -> pa.StringArray:
        """The reason to drop each text, or null; null, too, where there is no text."""
        column = batch_of(texts)
        languages, scores = self._model.identify_batch(column.fill_null(""))
        there = column.is_valid()
        verdicts = language_verdicts(pa.array(languages, pa.string()), pa.array(scores, pa.float64()), self.languages)
        return pc.if_else(there, verdicts, pa.scalar(None, pa.string()))

    def judge_rows(self, batch: pa.RecordBatch) -> pa.StringArray:
        """As a rule of a recipe: `use = "corpusmill.clean:LanguageFilter"`."""
        return self.judge_batch(batch.column("text"))

    @cached_property
    def _model(self) -> Identifier:
        return make_identifier(self.identifier, self.model, wanted=self.languages, max_chars=self.max_chars)

    def __getstate__(self) -> dict[str, Any]:
        """Settings alone travel to workers; each loads the model for itself, once."""
        return {k: v for k, v in self.__dict__.items() if k != "_model"}
