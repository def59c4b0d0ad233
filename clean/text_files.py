"""Rows of a given file, by name of field: evaluation sets, labelled texts, samples.

JSON Lines, JSON, CSV, TSV, Parquet, or plain text (a line is a row, its field is `text`); JSONL, JSON, CSV and TSV and
plain text may be compressed with gzip (.gz).
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from corpusmill.errors import InputError

_FORMATS = ".jsonl, .json, .csv, .tsv, .parquet or .txt"


def read_rows(path: str | Path) -> Iterator[dict[str, Any]]:
    """Each row as a dict, in the order of the file. A row that cannot be read is an error that names its number."""
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    kind = file.with_suffix("").suffix if file.suffix == ".gz" else file.suffix
    if kind == ".parquet":
        yield from _parquet_rows(file)
        return
    if kind not in (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt"):
        raise InputError(f"{file}: found {kind or 'no ending'}; expected {_FORMATS} (.gz may follow)")
    with _open(file) as f:
        try:
            if kind in (".jsonl", ".ndjson"):
                yield from _json_lines(f, file)
            elif kind == ".json":
                yield from _json_rows(f, file)
            elif kind == ".txt":
                yield from ({"text": line.rstrip("\n")} for line in f if line.strip())
            else:
                yield from csv.DictReader(f, delimiter="\t" if kind == ".tsv" else ",", **_quoting(kind))
        except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, csv.Error) as e:
            raise InputError(f"{file}: expected UTF-8 text of the kind {kind}: {e}") from e


def field_texts(row: dict[str, Any], fields: Sequence[str], where: str) -> list[str]:
    """The strings under `fields`; "a.b" goes into tables, a list gives each of its members. Absent values are none."""
    texts: list[str] = []
    for name in fields:
        if name not in row and name.split(".")[0] not in row:
            raise InputError(f"{where}: no field {name!r}; there is {', '.join(map(str, row))}")
        texts.extend(_strings(row[name]) if name in row else _below(row, name.split(".")))
    return texts


def _below(value: Any, steps: Sequence[str]) -> list[str]:
    if isinstance(value, list):
        return [text for member in value for text in _below(member, steps)]
    if not steps:
        return _strings(value)
    return _below(value.get(steps[0]), steps[1:]) if isinstance(value, dict) else []


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [str(value)]
    return [text for member in value for text in _strings(member)] if isinstance(value, (list, tuple)) else []


def _quoting(kind: str) -> dict[str, Any]:
    # the tab-separated sets that are published (GLUE's) have quotation marks that mean nothing
    return {"quoting": csv.QUOTE_NONE} if kind == ".tsv" else {}


def _open(file: Path) -> IO[str]:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def _json_lines(lines: IO[str], file: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _table(_parse(line, f"{file}: line {number}"), f"{file}: line {number}")


def _json_rows(f: IO[str], file: Path) -> Iterator[dict[str, Any]]:
    whole = _parse(f.read(), str(file))
    if isinstance(whole, dict):  # {"data": [...]}: the one list in it
        lists = [v for v in whole.values() if isinstance(v, list)]
        if len(lists) != 1:
            raise InputError(f"{file}: expected a list of rows, or a table with one such list; found {len(lists)}")
        whole = lists[0]
    for number, row in enumerate(whole, 1):
        yield _table(row, f"{file}: row {number}")


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as e:
        raise InputError(f"{where}: not JSON: {e}") from e


def _table(value: Any, where: str) -> dict[str, Any]:
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        raise InputError(f"{where}: found {type(value).__name__}; expected a table of fields, or a string")
    return value


def _parquet_rows(file: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=1024):
            yield from batch.to_pylist()
    except (pa.ArrowInvalid, OSError) as e:
        raise InputError(f"{file}: not a Parquet file: {e}") from e
