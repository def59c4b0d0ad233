"""Foreign token files to a folder of token shards: `corpusmill shards import`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tokenizers import Tokenizer

from corpusmill.errors import InputError
from corpusmill.ingest.warc_pages import host_of
from corpusmill.progress import StageProgress
from corpusmill.recipe import Tokenize
from corpusmill.schemas import ADDRESS_STRIDE, SHARD_DOCS
from corpusmill.storage import Folder
from corpusmill.tokenize import bpe_tokenizer
from corpusmill.tokenize.encoded import Encoded
from corpusmill.tokenize.foreign_documents import BLOCK_TOKENS, PROVENANCE, WEIGHT, ForeignBatch, ReadSettings
from corpusmill.tokenize.foreign_shards import FORMATS, dtype_named, format_named
from corpusmill.tokenize.shard_files import ShardWriter, shard_name, shards_manifest
from corpusmill.tokenize.token_shards import MANIFEST
from corpusmill.whole_folders import whole_folder

TOKENS_PER_SHARD = Tokenize().tokens_per_shard
_PLACE = ("warc_file", "warc_offset", "offset_kind")


@dataclass
class Imported:
    """What was written. `closed` documents had no end-of-text token and were given one; `with_ends` have one inside."""

    shards: int = 0
    documents: int = 0
    tokens: int = 0
    closed: int = 0
    with_ends: int = 0
    notes: tuple[str, ...] = ()


def import_shards(
    path: str,
    name: str,
    tokenizer: str,
    to: str,
    progress: StageProgress,
    *,
    family: str | None = None,
    end_token: str | None = None,
    token_type: str | None = None,
    column: str | None = None,
    packed: bool = False,
    tokens_per_shard: int = TOKENS_PER_SHARD,
) -> Imported:
    """Write a new folder of shards, with the tokenizer in it. Memory: a shard's tokens, and a batch of documents.

    Raises InputError, and writes nothing, where the files are not of this format or not of this tokenizer.
    """
    reader = format_named(name, "--from")
    if (packed or column) and not reader.columns:
        able = ", ".join(n for n, f in FORMATS.items() if f.columns)
        raise InputError(f"--packed and --column are about rows: {name} has none; {able} have")
    loaded, end = bpe_tokenizer.load(tokenizer, family)
    if end_token is not None and loaded.token_to_id(end_token) is None:
        raise InputError(f"--end-token {end_token}: the tokenizer {tokenizer} has no such token")
    with whole_folder(to, last=MANIFEST) as folder:
        files = bpe_tokenizer.save(loaded, folder, end_token or end)
        identity = bpe_tokenizer.identify(loaded, files[0].sha256, end_token or end).describe()
        settings = ReadSettings(
            identity["vocab_size"],
            identity["eos_token_id"],
            dtype_named(token_type),
            column,
            packed,
            min(BLOCK_TOKENS, tokens_per_shard),
        )
        opened = reader.read(path, settings)
        result = Imported(notes=opened.notes)
        progress.begin(opened.total, opened.unit)
        shards = _Shards(folder, identity, tokens_per_shard)
        documents = _Documents(settings, TextBytes(loaded), result)
        for batch in opened.batches:
            for part in documents.prepared(batch):
                shards.add(*part)
            progress.advance(len(batch.encoded.ids if opened.unit == "tokens" else batch.encoded.offsets[1:]))
        entries = shards.finish()
        if not entries:
            raise InputError(f"{path} holds no documents")
        folder.write_json(MANIFEST, shards_manifest(identity, entries))
    result.shards, result.tokens = len(entries), sum(e["num_tokens"] for e in entries)
    result.documents = sum(e["num_documents"] for e in entries)
    return result


class _Shards:
    """Shards being filled, one for each weight."""

    def __init__(self, folder: Folder, identity: Mapping[str, Any], tokens_per_shard: int) -> None:
        self._folder = folder
        self._identity = identity
        self._tokens_per_shard = tokens_per_shard
        self._open: dict[int, ShardWriter] = {}
        self._entries: list[dict[str, Any]] = []

    def add(self, weight: int, rows: pa.RecordBatch, encoded: Encoded, text_bytes: np.ndarray) -> None:
        """Take documents without their closing token; a shard that would be too large is written first."""
        writer = self._open.get(weight)
        if writer is not None and writer.num_tokens + len(encoded.ids) + rows.num_rows > self._tokens_per_shard:
            self._write(weight)
        if weight not in self._open:
            vocabulary, end = self._identity["vocab_size"], self._identity["eos_token_id"]
            self._open[weight] = ShardWriter(vocabulary, end, weight)
        self._open[weight].add(rows, encoded, text_bytes)

    def finish(self) -> list[dict[str, Any]]:
        for weight in sorted(self._open):
            self._write(weight)
        return self._entries

    def _write(self, weight: int) -> None:
        name = shard_name(len(self._entries), weight)
        self._entries.append(self._open.pop(weight).write(self._folder, name)[1])


class _Documents:
    """What a shard is given of foreign batches; checks them, and counts in `result`."""

    def __init__(self, settings: ReadSettings, text_bytes: TextBytes, result: Imported) -> None:
        self._settings = settings
        self._text_bytes = text_bytes
        self._result = result
        self._files: dict[str, int] = {}

    def prepared(self, batch: ForeignBatch) -> Iterator[tuple[int, pa.RecordBatch, Encoded, np.ndarray]]:
        """(weight, columns of SHARD_DOCS, ids without the closing token, bytes of text) of its documents."""
        check_ids(batch, self._settings.vocab_size)
        number = self._files.setdefault(batch.file, len(self._files))
        rows = _rows(batch, number * ADDRESS_STRIDE)
        encoded, closed = without_ends(batch.encoded, self._settings.end)
        self._result.closed += closed
        self._result.with_ends += _with_ends(encoded, self._settings.end)
        text_bytes = self._text_bytes.of(encoded) if "text_bytes" not in batch.known else _whole(batch, "text_bytes", 0)
        weights = np.ones(rows.num_rows, np.int64) if WEIGHT not in batch.known else _whole(batch, WEIGHT, 1)
        for weight in np.unique(weights).tolist():
            chosen = weights == weight
            if chosen.all():
                yield weight, rows, encoded, text_bytes
            else:
                yield weight, rows.filter(pa.array(chosen)), encoded.chosen(chosen), text_bytes[chosen]


def check_ids(batch: ForeignBatch, vocab_size: int) -> None:
    """Raise InputError, naming file and document, for an id that the vocabulary has not."""
    ids = batch.encoded.ids
    if not len(ids) or (int(ids.max()) < vocab_size and int(ids.min()) >= 0):
        return
    at = int(np.flatnonzero((ids >= vocab_size) | (ids < 0))[0])
    document = int(np.searchsorted(batch.encoded.offsets, at, side="right")) - 1
    raise InputError(
        f"{batch.file}: document {batch.first_row + document:,} has token {int(ids[at]):,} at "
        f"{at - int(batch.encoded.offsets[document]):,}; the tokenizer has ids 0 to {vocab_size - 1:,}: the file was "
        "made with another tokenizer, or its tokens are of another --token-type"
    )


def without_ends(encoded: Encoded, end: int) -> tuple[Encoded, int]:
    """Documents without the end-of-text token that closes them, ids as uint32, and how many had none."""
    lengths = np.diff(encoded.offsets)
    lasts = encoded.offsets[1:] - 1
    closed = lengths > 0
    closed[closed] = encoded.ids[lasts[closed]] == end
    kept = np.ones(len(encoded.ids), bool)
    kept[lasts[closed]] = False
    offsets = np.r_[0, np.cumsum(lengths - closed)].astype(np.int64)
    return Encoded(offsets, encoded.ids[kept].astype(np.uint32)), int((~closed).sum())


def _with_ends(encoded: Encoded, end: int) -> int:
    """Documents that have the end-of-text token inside."""
    places = np.flatnonzero(encoded.ids == end)
    return len(np.unique(np.searchsorted(encoded.offsets, places, side="right")))


def _whole(batch: ForeignBatch, name: str, least: int) -> np.ndarray:
    """A column of numbers without gaps. int64."""
    try:
        values = batch.known[name].cast(pa.int64())
    except pa.ArrowInvalid as e:
        raise InputError(f"{batch.file}: column {name} is not of whole numbers: {e}") from e
    if values.null_count or (len(values) and pc.min(values).as_py() < least):
        raise InputError(f"{batch.file}: column {name} has no number of at least {least} in each row")
    return np.asarray(values.to_numpy())


def _rows(batch: ForeignBatch, first_address: int) -> pa.RecordBatch:
    """Columns of SHARD_DOCS: where the file says a document came from, or else the file and its row."""
    count = len(batch.encoded.offsets) - 1
    numbers = pa.array(np.arange(batch.first_row, batch.first_row + count))
    known = {n: _cast(batch, n) for n in PROVENANCE if n in batch.known and n != "text_bytes"}
    row_names = pc.binary_join_element_wise(pa.scalar(batch.file), numbers.cast(pa.string()), ":")
    here = {
        "warc_file": pa.array([batch.file] * count, pa.string()),
        "warc_offset": numbers,
        "offset_kind": pa.array(["row"] * count),
        "warc_length": pa.array(np.diff(batch.encoded.offsets) * batch.encoded.ids.itemsize),
    }
    columns = known | {"address": pa.array(np.arange(count) + (first_address + batch.first_row))}
    columns["id"] = pc.coalesce(known["id"], row_names) if "id" in known else row_names
    if "url" in known and "host" not in known:
        columns["host"] = pa.array([None if u is None else host_of(u) for u in known["url"].to_pylist()], pa.string())
    told = all(n in known for n in _PLACE)
    traced = _all_valid([known[n] for n in _PLACE]) if told else pa.array([False] * count)
    for name, value in here.items():
        columns[name] = pc.if_else(traced, known.get(name, pa.nulls(count, value.type)), value)
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _all_valid(columns: list[pa.Array]) -> pa.Array:
    valid = columns[0].is_valid()
    for column in columns[1:]:
        valid = pc.and_(valid, column.is_valid())
    return valid


def _cast(batch: ForeignBatch, name: str) -> pa.Array:
    try:
        return batch.known[name].cast(SHARD_DOCS.field(name).type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as e:
        raise InputError(
            f"{batch.file}: column {name} is of type {batch.known[name].type}; expected {SHARD_DOCS.field(name).type}"
        ) from e


class TextBytes:
    """How many bytes of text tokens stand for: looked up for byte-level tokenizers, decoded for others."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        spec = json.loads(tokenizer.to_str())
        decoder = spec.get("decoder") or {}
        self._sizes: np.ndarray | None = None
        if decoder.get("type") == "ByteLevel":
            vocabulary = tokenizer.get_vocab()
            self._sizes = np.zeros(max(vocabulary.values()) + 1, np.int64)
            for token, i in vocabulary.items():
                self._sizes[i] = len(token)  # a character for each byte
            for added in spec["added_tokens"]:
                self._sizes[added["id"]] = len(added["content"].encode())

    def of(self, encoded: Encoded) -> np.ndarray:
        """int64 [documents]."""
        if self._sizes is not None:
            sums = np.r_[0, np.cumsum(self._sizes[encoded.ids])]
            return np.diff(sums[encoded.offsets])
        texts = self._tokenizer.decode_batch(encoded.lists(), skip_special_tokens=False)
        return np.array([len(text.encode()) for text in texts], np.int64)
