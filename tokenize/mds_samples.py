"""Documents out of MosaicML Streaming's data sets. What a shard is, mds_files.py says."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import brotli
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
import zstandard

from corpusmill.errors import InputError
from corpusmill.tokenize.encoded import Encoded
from corpusmill.tokenize.foreign_documents import (
    PROVENANCE,
    WEIGHT,
    ForeignBatch,
    Opened,
    ReadSettings,
    cut,
    cut_at_ends,
)
from corpusmill.tokenize.mds_files import INDEX, TOKENS, VERSION, copy_spans

_COLUMNS = (TOKENS, "input_ids")
_NUMBERS = {"int": "int64"} | {n: n for n in ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")}
_ARRAY_TYPES = {8: "uint8", 9: "int8", 16: "uint16", 17: "int16", 32: "uint32", 33: "int32", 64: "uint64", 65: "int64"}
"""What a byte before an array says of its type, where the column does not. Floating point is left out."""
_UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda raw: zstandard.ZstdDecompressor().decompressobj().decompress(raw),
    "gz": gzip.decompress,
    "bz2": bz2.decompress,
    "br": brotli.decompress,
}
_UNREADABLE = (OSError, EOFError, ValueError, zlib.error, zstandard.ZstdError, brotli.error)


def read(path: str, settings: ReadSettings) -> Opened:
    """The samples of the folder with this index.json; decompressed, a shard at a time is in memory."""
    place = Path(path)
    index = place if place.name == INDEX else place / INDEX
    if not index.is_file():
        raise InputError(f"{index} is not there: give the folder with the {INDEX} of a Streaming data set")
    shards = [_Shard.of(index, entry, settings) for entry in _entries(index)]
    batches: Iterator[ForeignBatch] = (batch for shard in shards for batch in shard.documents(settings))
    if settings.packed:
        batches = cut_at_ends(((b.file, b.encoded.ids) for b in batches), settings.end, joined=True)
    return Opened(sum(s.samples for s in shards), "documents", batches)


def _entries(index: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(index.read_bytes())
        version, shards = found["version"], list(found["shards"])
    except (ValueError, KeyError, TypeError) as e:
        raise InputError(f"{index} is no index of a Streaming data set: {e!r}") from e
    if version != VERSION:
        raise InputError(f"{index} has version {version}; expected {VERSION}")
    return shards


@dataclass(frozen=True)
class _Shard:
    """One shard, its size checked; its samples are looked at when they are read."""

    path: Path  # of what is there: compressed or not
    packing: str | None
    raw: Mapping[str, Any]  # bytes and hashes of the shard when it is not compressed
    samples: int
    columns: Mapping[str, tuple[str, int | None]]  # encoding and size, in order
    tokens: str

    @classmethod
    def of(cls, index: Path, entry: Mapping[str, Any], settings: ReadSettings) -> _Shard:
        try:
            raw, zipped, samples = entry["raw_data"], entry.get("zip_data"), int(entry["samples"])
            layout = zip(entry["column_names"], entry["column_encodings"], entry["column_sizes"], strict=True)
            columns = {name: (encoding, size) for name, encoding, size in layout}
            path, version = index.parent / raw["basename"], (entry["version"], entry["format"])
        except (KeyError, TypeError, ValueError) as e:
            raise InputError(f"{index} describes a shard that is none of MDS: {e!r}") from e
        if version != (VERSION, "mds"):
            raise InputError(
                f"{index} has a shard of version {version[0]}, format {version[1]}; expected {VERSION}, mds"
            )
        packing, described = None, raw
        if zipped and not path.is_file():
            path, packing, described = index.parent / zipped["basename"], str(entry["compression"]), zipped
        if not path.is_file():
            raise InputError(f"{path} is not there; {index} names it")
        if path.stat().st_size != described["bytes"]:
            raise InputError(
                f"{path} has {path.stat().st_size:,} bytes, {index.name} says {described['bytes']:,}: it is cut"
            )
        return cls(path, packing, raw, samples, columns, _token_column(path, columns, settings))

    def documents(self, settings: ReadSettings) -> Iterator[ForeignBatch]:
        data = self._data()
        begins = self._begins(data)
        for a, b in cut(begins, 2 * settings.batch_tokens):
            parts = self._columns(data, begins[a : b + 1], a)
            known = {} if settings.packed else self._known(data, parts, a)
            tokens = self._tokens(data, *parts[self.tokens], settings, a)
            yield ForeignBatch(str(self.path), a, tokens, known)

    def _data(self) -> np.ndarray:
        """The bytes of the shard: mapped, or decompressed. Hashes are checked where the index has them."""
        if self.packing is None:
            data = np.memmap(self.path, np.uint8, "r") if self.raw["bytes"] else np.empty(0, np.uint8)
        else:
            unpack = _UNPACK.get(self.packing.partition(":")[0])
            if unpack is None:
                raise InputError(f"{self.path} is compressed by {self.packing}; expected one of {', '.join(_UNPACK)}")
            try:
                data = np.frombuffer(unpack(self.path.read_bytes()), np.uint8)
            except _UNREADABLE as e:
                raise InputError(f"{self.path} cannot be decompressed ({e}): it is cut or changed") from e
        if len(data) != self.raw["bytes"]:
            raise InputError(f"{self.path} holds {len(data):,} bytes, {INDEX} says {self.raw['bytes']:,}: it is cut")
        for name, expected in self.raw.get("hashes", {}).items():
            found = _hash(name, data)
            if found is not None and found != expected:
                raise InputError(f"{self.path} has {name} {found}, {INDEX} says {expected}: it was changed")
        return data

    def _begins(self, data: np.ndarray) -> np.ndarray:
        """Where each sample begins and the last one ends. int64."""
        samples = int(data[:4].view("<u4")[0]) if len(data) >= 4 else -1
        if samples != self.samples or len(data) < 4 * (samples + 2):
            raise InputError(f"{self.path} has {samples:,} samples, {INDEX} says {self.samples:,}: it is damaged")
        begins = data[4 : 4 * (samples + 2)].view("<u4").astype(np.int64)
        if (np.diff(begins) < 0).any() or begins[0] < 4 * (samples + 2) or begins[-1] != len(data):
            raise InputError(f"{self.path}: its samples do not follow each other to its end: it is damaged")
        return begins

    def _columns(self, data: np.ndarray, begins: np.ndarray, row: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Where each column's bytes begin and end in each sample."""
        heads, ends = begins[:-1], begins[1:]
        at = heads + 4 * sum(not size for _, size in self.columns.values())
        fits, found, head = at <= ends, {}, heads.copy()
        if fits.all():
            for name, (_, size) in self.columns.items():
                stop = at + (size or _numbers(data, head, 4))
                found[name], at = (at, stop), stop
                head = head if size else head + 4
            fits = at == ends
        if not fits.all():
            wrong = row + int(np.flatnonzero(~fits)[0])
            raise InputError(f"{self.path}: the columns of sample {wrong:,} do not fill it: it is damaged")
        return found

    def _known(
        self, data: np.ndarray, parts: Mapping[str, tuple[np.ndarray, np.ndarray]], row: int
    ) -> dict[str, pa.Array]:
        """Columns that shards have, too. The format has no nulls: an empty text and -1 are taken for one."""
        found = {}
        for name in (n for n in (*PROVENANCE, WEIGHT) if n in self.columns):
            encoding, values = self.columns[name][0], _gathered(data, *parts[name])
            if encoding == "str":
                offsets = np.r_[0, np.cumsum(parts[name][1] - parts[name][0])]
                buffers = [None, pa.py_buffer(offsets), pa.py_buffer(values)]
                texts = pa.LargeStringArray.from_buffers(len(offsets) - 1, buffers[1], buffers[2])
                try:
                    texts.validate(full=True)
                except pa.ArrowInvalid as e:
                    raise InputError(f"{self.path}: column {name} of a sample from {row:,} on is not UTF-8") from e
                found[name] = pc.if_else(pc.equal(texts, ""), None, texts)
            elif encoding in _NUMBERS:
                numbers = pa.array(values.view(_NUMBERS[encoding]))
                found[name] = pc.if_else(pc.equal(numbers, -1), None, numbers) if encoding[0] != "u" else numbers
        return found

    def _tokens(
        self, data: np.ndarray, starts: np.ndarray, stops: np.ndarray, settings: ReadSettings, row: int
    ) -> Encoded:
        encoding, _, details = self.columns[self.tokens][0].partition(":")
        declared, _, shape = details.partition(":")
        kind, at = settings.token_type, starts.copy()
        lengths = None
        if encoding == "ndarray":
            if not declared:
                kind, at = self._declared(data, at, row), at + 1
            else:
                kind = np.dtype(declared)
            if not shape:
                heads = _numbers(data, at, 1)
                size = np.left_shift(1, heads & 3)
                if (heads >> 2 != 1).any():
                    raise InputError(f"{self.path}: an array from sample {row:,} on has not one dimension")
                lengths, at = _numbers(data, at + 1, size), at + 1 + size
        assert kind is not None
        counts = (stops - at) // kind.itemsize
        whole = (counts >= 0) & ((stops - at) % kind.itemsize == 0) & (True if lengths is None else counts == lengths)
        if not whole.all():
            wrong = row + int(np.flatnonzero(~whole)[0])
            raise InputError(f"{self.path}: the array of sample {wrong:,} has not the length it says: it is damaged")
        return Encoded(np.r_[0, np.cumsum(counts)], _gathered(data, at, stops).view(kind))

    def _declared(self, data: np.ndarray, at: np.ndarray, row: int) -> np.dtype:
        codes = np.unique(_numbers(data, at, 1))
        if len(codes) != 1 or int(codes[0]) not in _ARRAY_TYPES:
            raise InputError(
                f"{self.path}: arrays from sample {row:,} on have types {codes.tolist()}; expected one type of integers"
            )
        return np.dtype(_ARRAY_TYPES[int(codes[0])])


def _token_column(path: Path, columns: Mapping[str, tuple[str, int | None]], settings: ReadSettings) -> str:
    """The column that holds tokens. Raises InputError where there is none that can be read."""
    name = settings.column or next((c for c in _COLUMNS if c in columns), "")
    if name not in columns:
        raise InputError(f"{path} has columns {', '.join(columns)}; name the one that holds tokens with --column")
    encoding, _, details = columns[name][0].partition(":")
    declared = details.partition(":")[0]
    if encoding == "bytes" and settings.token_type is None:
        raise InputError(f"{path}: column {name} is bytes: say what they are with --token-type (llm-foundry has int64)")
    if encoding not in ("bytes", "ndarray") or (declared and declared not in _ARRAY_TYPES.values()):
        raise InputError(
            f"{path}: column {name} is of encoding {columns[name][0]}; expected ndarray of integers, or bytes"
        )
    return name


def _numbers(data: np.ndarray, places: np.ndarray, size: np.ndarray | int) -> np.ndarray:
    """Little-endian numbers of `size` bytes (at most 4 are read) at any place. int64."""
    value = np.zeros(len(places), np.int64)
    for i in range(4):
        here = np.minimum(places + i, len(data) - 1)
        value |= np.where(i < np.asarray(size), data[here].astype(np.int64) << (8 * i), 0)
    return value


def _gathered(data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    ends = np.cumsum(stops - starts)
    out = np.empty(int(ends[-1]), np.uint8)
    copy_spans(data, starts, stops, out, ends - (stops - starts))
    return out


def _hash(name: str, data: np.ndarray) -> str | None:
    """The hash of this name, or None for one that is not known here."""
    module = next((m for m in (hashlib, xxhash) if hasattr(m, name) and not name.startswith("shake")), None)
    return None if module is None else str(getattr(module, name)(data).hexdigest())
