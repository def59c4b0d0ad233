"""Which source of a mixture a document is of: shards hold documents of one source, so that training can weigh them."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import numpy as np
import pyarrow as pa

from corpusmill.errors import InputError

SourceRule = str | Mapping[str, str] | None
"""None: all of one source. "language": by language. Else names and the patterns of the input files that are of them."""

UNKNOWN = "unknown"
"""The source of a document without a language."""


def sources_of_rows(rows: pa.RecordBatch, rule: SourceRule) -> np.ndarray:
    """The source of each row, by its `language` or `warc_file`; "" where there is no rule. str [rows].

    The first pattern that matches a file decides. InputError names a file that none matches.
    """
    if rule is None:
        return np.full(rows.num_rows, "", object)
    if isinstance(rule, str):
        return np.array([language or UNKNOWN for language in rows.column(rule).to_pylist()], object)
    files = rows.column("warc_file").to_pylist()
    known = {file: _source(str(file), rule) for file in set(files)}
    return np.array([known[file] for file in files], object)


def _source(file: str, patterns: Mapping[str, str]) -> str:
    for name, pattern in patterns.items():
        if fnmatchcase(file, pattern):
            return name
    raise InputError(
        f"tokenize.sources: no pattern matches the input {file}; the patterns are {', '.join(patterns.values())}. Add "
        'one for it, or a last one that matches all: rest = "*"'
    )
