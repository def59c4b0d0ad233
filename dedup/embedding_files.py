"""Embeddings that the user supplies: Parquet files with a row for each document, joined to the documents by id.

The vectors come as lists, of fixed or any size, of float16, float32 or float64. They are scaled to length 1 and laid,
in the order of the sorted ids, into one float32 array on disk, so neither the order of files nor of rows shows.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.dedup.unit_vectors import NOT_FINITE, USABLE, ZERO, unit_vectors
from corpusmill.errors import InputError, StorageError
from corpusmill.inputs import open_input
from corpusmill.recipe import nearest
from corpusmill.remote_files import filesystem_of, size_of
from corpusmill.storage import TEMPORARY_SUFFIX, Folder

NO_ROW, NULL = 3, 4
REASONS = {
    USABLE: "usable",
    NO_ROW: "no_embedding",
    NULL: "null_embedding",
    NOT_FINITE: "embedding_not_finite",
    ZERO: "zero_embedding",
}
_BATCH_ROWS = 8192
_CHUNK = 1 << 20


class Embeddings(NamedTuple):
    """Row i belongs to the i-th wanted id."""

    units: np.ndarray  # float32 [n, d], on disk; zeros where unusable
    verdict: np.ndarray  # uint8 [n], a key of REASONS
    unasked: int  # rows whose id was not wanted


class EmbeddingFiles:
    """The files that `source` (a path, glob, folder or fsspec URL) stands for; names of the two columns."""

    def __init__(self, source: str, id_column: str = "id", embedding_column: str = "embedding") -> None:
        self.source, self.id_column, self.embedding_column = source, id_column, embedding_column
        self.names = _named(source)

    def describe(self) -> dict[str, dict[str, Any]]:
        """Size and checksum of each file, for the inputs of a stage: other embeddings make it run again. Reads all of
        them: other numbers may well leave a Parquet footer as it is."""
        return {name: _described(name) for name in self.names}

    def load(self, wanted: pa.Array, scratch: Folder) -> Embeddings:
        """The embeddings of `wanted`, ids without repetition. Reads the ids, then the vectors, 8,192 rows at a time.

        The array takes n * d * 4 bytes on the disk of `scratch` (of the system's temporary folder where that is
        remote), in a file without a name: nothing is left behind, also by a process that is killed. Raises InputError
        for a file or column that is missing or of another type, a row without id, two rows for one wanted id, and
        vectors of different lengths.
        """
        places, unasked = self._places(wanted)
        units: np.ndarray | None = None
        verdict = np.full(len(wanted), NO_ROW, np.uint8)
        for name, where in zip(self.names, places, strict=True):
            for start, column in self._columns(name):
                vectors, given = self._matrix(column, name, start, units)
                if units is None and vectors.shape[1]:
                    units = _array_on_disk(scratch, len(wanted), vectors.shape[1])
                place = where[start : start + len(column)]
                verdict[place[~given & (place >= 0)]] = NULL
                rows = place[given]
                if units is not None and (rows >= 0).any():
                    units[rows[rows >= 0]], verdict[rows[rows >= 0]] = unit_vectors(vectors[rows >= 0])
        return Embeddings(np.zeros((len(wanted), 0), np.float32) if units is None else units, verdict, unasked)

    def _places(self, wanted: pa.Array) -> tuple[list[np.ndarray], int]:
        """(for each file the place in `wanted` of each row's id, int64, -1 where it is not wanted; how many are not)"""
        ids = [self._ids(name) for name in self.names]
        chunks = [chunk for column in ids for chunk in column.chunks]
        found = pc.index_in(pa.chunked_array(chunks, pa.large_string()), value_set=wanted.cast(pa.large_string()))
        place = found.fill_null(-1).to_numpy().astype(np.int64)
        starts = np.cumsum([0, *(len(column) for column in ids)])
        self._refuse_repeated(place, starts, wanted)
        return np.split(place, starts[1:-1]), int((place < 0).sum())

    def _refuse_repeated(self, place: np.ndarray, starts: np.ndarray, wanted: pa.Array) -> None:
        times = np.bincount(place[place >= 0], minlength=len(wanted))
        if len(times) and times.max() > 1:
            which = int(np.flatnonzero(times > 1)[0])
            rows = np.flatnonzero(place == which)[:2]
            files = np.searchsorted(starts, rows, "right") - 1
            said = " and ".join(
                f"{self.names[f]}, row {r - starts[f]:,}" for f, r in zip(files.tolist(), rows.tolist(), strict=True)
            )
            raise InputError(
                f"{self.source}: document {wanted[which].as_py()!r} has more than one embedding ({said}); expected one "
                f"row for each id ({(times > 1).sum():,} ids have several). Remove the other rows"
            )

    def _ids(self, name: str) -> pa.ChunkedArray:
        with _parquet(name) as file:
            column = file.read([self._known(file, name, self.id_column)]).column(0)
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
            raise InputError(f"{name}: column {self.id_column!r} holds {column.type}; expected the ids of documents")
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy())[0])
            raise InputError(
                f"{name}, row {row:,} has no {self.id_column!r} ({column.null_count:,} rows have none): an embedding "
                "belongs to a document by its id. Give each row its id, or remove it"
            )
        return column.cast(pa.large_string())

    def _columns(self, name: str) -> Iterator[tuple[int, pa.Array]]:
        """(number of the first row, vectors) of each batch."""
        with _parquet(name) as file:
            self._known(file, name, self.embedding_column)
            start = 0
            for batch in file.iter_batches(_BATCH_ROWS, columns=[self.embedding_column]):
                yield start, batch.column(0)
                start += batch.num_rows

    def _known(self, file: pq.ParquetFile, name: str, column: str) -> str:
        names = file.schema_arrow.names
        if column not in names:
            setting = "id_column" if column == self.id_column else "embedding_column"
            raise InputError(f"{name} has no column {column!r} (semantic.{setting}){nearest(column, names)}")
        return column

    def _matrix(
        self, column: pa.Array, name: str, start: int, units: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(vectors float32 or float64 [given, d], which rows have one bool [rows])"""
        kind = column.type
        lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
        if not any(is_it(kind) for is_it in lists) or not pa.types.is_floating(kind.value_type):
            raise InputError(
                f"{name}: column {self.embedding_column!r} holds {kind}; expected a list of float16, float32 or "
                "float64 in each row"
            )
        given = column.is_valid().to_numpy(zero_copy_only=False)
        lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
        expected = units.shape[1] if units is not None else int(lengths[given][0]) if given.any() else 0
        wrong = np.flatnonzero(given & ((lengths != expected) | (lengths == 0)))
        if len(wrong):
            raise InputError(
                f"{name}, row {start + int(wrong[0]):,} has an embedding of {lengths[wrong[0]]:,} numbers; expected "
                f"{expected or 'some'}, as in the rows before it. Embeddings of one run come from one model"
            )
        values = column.drop_null().flatten().to_numpy(zero_copy_only=False)  # a null within a list becomes NaN
        wide = np.float64 if values.dtype == np.float64 else np.float32
        return values.astype(wide, copy=False).reshape(int(given.sum()), expected), given


@contextmanager
def _parquet(name: str) -> Iterator[pq.ParquetFile]:
    handle: IO[bytes] = open_input(name)
    with handle:
        try:
            yield pq.ParquetFile(handle)
        except (pa.ArrowException, OSError) as e:
            if isinstance(e, OSError) and e.errno is not None:  # the disk, and not the bytes on it
                raise
            raise InputError(
                f"{name} cannot be read as Parquet: {e}. Embeddings are Parquet files, with an id and a list of "
                "numbers in each row"
            ) from e


def _described(name: str) -> dict[str, Any]:
    seen, size = hashlib.sha256(), 0
    with open_input(name) as f:
        while data := f.read(_CHUNK):
            seen.update(data)
            size += len(data)
    return {"bytes": size, "sha256": seen.hexdigest()}


def _named(source: str) -> Sequence[str]:
    """The files of a glob, the Parquet files below a folder, or the one file of this name; sorted."""
    fs, path = filesystem_of(source)
    prefix = source.partition("://")[0] + "://" if "://" in source else ""
    pattern = path if any(c in path for c in ("*[" if source.startswith("http") else "*?[")) else None
    if pattern is None and not source.startswith("http") and fs.isdir(path):
        pattern = f"{path.rstrip('/')}/**/*.parquet"
    if pattern is None:
        if prefix:
            size_of(source)  # says in a sentence that it is not there
        elif not fs.exists(path):
            raise InputError(f"{source}: there is no such file; semantic.embeddings names Parquet files of embeddings")
        return [source]
    found = sorted(str(p) for p in fs.glob(pattern) if fs.isfile(p))
    if not found:
        raise InputError(f"{source}: no Parquet file of embeddings is there; give a path, glob, folder or URL")
    return [p if "://" in p else prefix + p for p in found]


def _array_on_disk(scratch: Folder, rows: int, columns: int) -> np.ndarray:
    """Zeros, float32. The disk space is taken at once: to find the disk full later would end the process."""
    size = rows * columns * 4
    if not size:
        return np.zeros((rows, columns), np.float32)
    if scratch.is_local:
        scratch.require_space(size, "the array of embeddings")
    folder = scratch.local_path() if scratch.is_local else Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder, prefix=".embeddings.", suffix=TEMPORARY_SUFFIX) as f:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(f.fileno(), 0, size)
        except OSError as e:
            raise StorageError(f"{folder}: {size / 1e6:,.0f} MB for the embeddings do not fit: {e.strerror}") from e
        return np.memmap(f, np.float32, "w+", shape=(rows, columns))  # outlives the file's handle
