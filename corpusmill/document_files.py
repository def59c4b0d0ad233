"""The forms in which documents leave: JSON lines (plain, gzip, zstd), Parquet, and Hugging Face data set folders."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa

from corpusmill.parquet_parts import PartWriter
from corpusmill.storage import sha256_of

_ROWS_PER_BATCH = 1000
"""Of an Arrow data set; `datasets` has the same."""
_BYTES_PER_FILE = 500_000_000
"""Of an Arrow data set; `datasets` has the same."""
_GZIP_LEVEL = 6

Batches = Iterable[pa.RecordBatch]


def write_json_lines(path: Path, schema: pa.Schema, batches: Batches, packed: str) -> int:
    """One object a line, columns in the schema's order, null ones left out. `packed` is "", "gz" or "zst"."""
    rows = 0
    with _packing(path, packed) as out:
        for batch in batches:
            for row in batch.to_pylist():
                out.write(_line(row))
            rows += batch.num_rows
    return rows


def write_parquet(path: Path, schema: pa.Schema, batches: Batches) -> int:
    """Row groups of 8,192 rows, zstd."""
    with PartWriter(path, schema) as out:
        for batch in batches:
            out.write(batch)
    return out.rows


def write_dataset(folder: Path, schema: pa.Schema, batches: Batches, bytes_per_file: int = _BYTES_PER_FILE) -> int:
    """What `datasets.load_from_disk` opens: Arrow streams, and two JSON files that name and describe them."""
    folder.mkdir()
    schema = pa.schema([pa.field(f.name, _without_maps(f.type)) for f in schema])
    features = {f.name: _feature(f.type) for f in schema}
    schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    files, rows = _write_arrow(folder, schema, batches, bytes_per_file)
    names = [f"data-{i:05d}-of-{len(files):05d}.arrow" for i in range(len(files))]
    for file, name in zip(files, names, strict=True):
        file.rename(folder / name)
    _write_json(
        folder / "dataset_info.json",
        {"citation": "", "description": "", "features": features, "homepage": "", "license": ""},
    )
    state: dict[str, Any] = {
        "_data_files": [{"filename": name} for name in names],
        # of the content, so that the caches that `datasets` keeps know another data set from this one
        "_fingerprint": _sha256_of_all(folder / name for name in names)[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": "train",
    }
    _write_json(folder / "state.json", state)
    return rows


def _write_arrow(folder: Path, schema: pa.Schema, batches: Batches, bytes_per_file: int) -> tuple[list[Path], int]:
    files: list[Path] = []
    rows = size = 0
    with ExitStack() as stack:
        writer: Any = None
        for batch in _cut(batches):
            if writer is None or size >= bytes_per_file:
                stack.close()
                files.append(folder / f"{len(files)}.part")
                sink = stack.enter_context(pa.OSFile(str(files[-1]), "wb"))
                writer, size = stack.enter_context(pa.ipc.new_stream(sink, schema)), 0
            columns = [_as(batch.column(f.name), f.type) for f in schema]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
            rows, size = rows + batch.num_rows, size + batch.nbytes
    if not files:  # load_from_disk wants one, be it empty
        files.append(folder / "0.part")
        with pa.OSFile(str(files[0]), "wb") as sink, pa.ipc.new_stream(sink, schema):
            pass
    return files, rows


def _cut(batches: Batches) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS_PER_BATCH):
            yield batch.slice(start, _ROWS_PER_BATCH)


def _without_maps(kind: pa.DataType) -> pa.DataType:
    """`datasets` has no maps: a list of {key, value} in their place."""
    if pa.types.is_map(kind):
        return pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))
    return kind


def _as(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if not pa.types.is_map(column.type):
        return column
    pairs = [None if row is None else [{"key": k, "value": v} for k, v in row] for row in column.to_pylist()]
    return pa.array(pairs, kind)


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """A column's type as `datasets` writes it down."""
    if pa.types.is_struct(kind):
        return {f.name: _feature(f.type) for f in kind}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    name = {"double": "float64", "float": "float32"}.get(str(kind), str(kind))
    return {"dtype": name, "_type": "Value"}


def _line(row: dict[str, Any]) -> bytes:
    found = {key: dict(v) if isinstance(v, list) else v for key, v in row.items() if v is not None}
    return (json.dumps(found, ensure_ascii=False, default=_told) + "\n").encode()


def _told(value: Any) -> str:
    assert isinstance(value, datetime), f"no column of ours holds {type(value)}"
    return value.isoformat().replace("+00:00", "Z")


@contextmanager
def _packing(path: Path, packed: str) -> Iterator[IO[bytes]]:
    openers: dict[str, Callable[[IO[bytes]], Any]] = {
        "gz": lambda raw: gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0),  # no name and no time: the same bytes
        "zst": lambda raw: pa.CompressedOutputStream(pa.PythonFile(raw, mode="w"), "zstd"),
    }
    with path.open("wb") as raw:
        if not packed:
            yield raw
            return
        with openers[packed](raw) as out:
            yield cast(IO[bytes], out)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


def _sha256_of_all(paths: Iterable[Path]) -> str:
    return hashlib.sha256("".join(sha256_of(p) for p in paths).encode()).hexdigest()
