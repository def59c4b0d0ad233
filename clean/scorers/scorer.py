"""What a scorer is: a measure of a text that needs a model or a list, hence files that are not in this package.

A scorer is a frozen dataclass of settings, cheap to build and to pickle. Its model is loaded at the first batch, once
per process (`functools.lru_cache` in the modules beside this one).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from pydantic import ConfigDict

from corpusmill.errors import InputError
from corpusmill.storage import sha256_of

Scores = dict[str, np.ndarray]
"""float64 [texts] by key. The key "" is the scorer's main value, stored under its name; "x" is stored as "name.x"."""


@runtime_checkable
class TextScorer(Protocol):
    """All that the clean stage asks of a scorer. NaN says that the measure does not apply; it is not stored."""

    def score_batch(self, texts: pa.Array, languages: pa.Array | None) -> Scores: ...


@dataclass(frozen=True, kw_only=True)
class Scorer(ABC):
    """The usual base: rows of other languages are left out, texts arrive as strings, the identity is made of files."""

    rows: Literal["kept", "all"] = "kept"
    """Which rows are scored: those no earlier step dropped, or every row that has text."""
    languages: tuple[str, ...] = ()
    """Score texts in these languages only; empty means all."""

    # without it a mistyped setting in a recipe is silently accepted
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    @abstractmethod
    def score_texts(self, texts: list[str], languages: list[str | None]) -> Scores:
        """Scores of texts that are there (none is null)."""

    def files(self) -> Mapping[str, Path]:
        """Setting to the file or folder it names."""
        return {}

    def check(self) -> None:
        """Raise InputError if a file that will be needed is missing. Loads nothing."""
        for key, path in self.files().items():
            if not path.exists():
                raise InputError(f"{key}: there is no file or folder {path}; give the path of one on this machine")

    def identity(self) -> dict[str, Any]:
        """What decides the values: settings, and the checksums of files instead of their paths."""
        return asdict(self) | {key: checksum(path) for key, path in self.files().items()}

    def score_batch(self, texts: pa.Array, languages: pa.Array | None = None) -> Scores:
        """float64 [len(texts)] by key; NaN where the text is null or in no language of this scorer."""
        values = texts.to_pylist()
        codes = [None] * len(values) if languages is None else languages.to_pylist()
        rows = [i for i, text in enumerate(values) if text is not None and self.applies_to(codes[i])]
        if not rows:
            return {}
        found = self.score_texts([values[i] for i in rows], [codes[i] for i in rows])
        return {key: spread(scores, rows, len(values)) for key, scores in found.items()}

    def applies_to(self, language: str | None) -> bool:
        return not self.languages or language in self.languages

    def score(self, text: str, language: str | None = None) -> float:
        """The main value for one text; NaN where there is none. For people and tests; work in batches."""
        found = self.score_batch(pa.array([text], pa.large_string()), pa.array([language], pa.string()))
        return float(found[""][0]) if "" in found else float("nan")


def spread(scores: np.ndarray, rows: list[int], count: int) -> np.ndarray:
    """`scores` of `rows` among `count`, NaN elsewhere."""
    values = np.full(count, np.nan)
    values[rows] = scores
    return values


def checksum(path: Path) -> str:
    """SHA-256 of a file, or of the names and checksums of all files below a folder."""
    if path.is_dir():
        parts = [f"{p.relative_to(path)} {_sha256(p)}" for p in sorted(path.rglob("*")) if p.is_file()]
        return "sha256:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return f"sha256:{_sha256(path)}"


def _sha256(path: Path) -> str:
    status = path.stat()
    return _sha256_once(str(path.resolve()), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1024)
def _sha256_once(path: str, size: int, modified: int) -> str:
    """Models are large: each is read once per process for as long as it does not change."""
    return sha256_of(path)
