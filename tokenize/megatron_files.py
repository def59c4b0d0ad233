"""Megatron's indexed data sets (MMapIndexedDataset, Megatron-Core's IndexedDataset): PREFIX.bin and PREFIX.idx.

The .bin is tokens and nothing else. The .idx, little endian: `MMIDIDX\\0\\0`, version 1 (uint64), a code for the
tokens' type (uint8), the numbers of sequences and of document borders (uint64 each), then for each sequence its length
(int32), for each its first byte in the .bin (int64), and the documents' borders, counted in sequences, from 0 (int64).
From NVIDIA/Megatron-LM, megatron/core/datasets/indexed_dataset.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpusmill.errors import InputError
from corpusmill.storage import Output
from corpusmill.tokenize.foreign_documents import BLOCK_ROWS, Opened, ReadSettings, documents_at, files_at, mapped
from corpusmill.tokenize.shard_exports import Export, Span, document_ends, file_to_write, token_blocks, write_tokens

MAGIC, VERSION = b"MMIDIDX\x00\x00", 1
CODES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float64", 7: "float32", 8: "uint16"}
_HEAD = struct.Struct("<9sQBQQ")
_SMALL_VOCABULARY = 65_500
"""From here on Megatron writes int32 (DType.optimal_dtype)."""


def write(export: Export, to: str) -> list[Output]:
    """Write both files: each document is one sequence. `to` is the prefix, or either name."""
    folder, name = file_to_write(to.removesuffix(".bin").removesuffix(".idx"), ".bin", ".idx")
    smallest = np.dtype(np.uint16 if export.shards.vocab_size < _SMALL_VOCABULARY else np.int32)
    kind = export.kind(smallest, ("uint16", "int32", "int64"))
    spans = export.spans
    for shard, _, _ in spans:
        if (longest := int(np.diff(shard.offsets).max(initial=0))) > np.iinfo(np.int32).max:
            raise InputError(
                f"{shard.name} has a document of {longest:,} tokens; Megatron's index holds up to 2,147,483,647"
            )
    with folder.writing(f"{name}.bin") as tokens, folder.writing(f"{name}.idx") as index:
        write_tokens(tokens, token_blocks(export, spans, kind))
        code = next(code for code, of in CODES.items() if of == kind.name)
        documents = export.num_documents
        write_tokens(index, _index(spans, kind.itemsize), _HEAD.pack(MAGIC, VERSION, code, documents, documents + 1))
    return [tokens, index]


def _index(spans: list[Span], size: int) -> Iterator[np.ndarray]:
    """Lengths, first bytes, and borders of documents that are one sequence each."""
    last = 0
    for ends in document_ends(spans):
        yield np.diff(ends, prepend=last).astype(np.int32)
        last = int(ends[-1])
    last = 0
    for ends in document_ends(spans):
        yield np.r_[last, ends[:-1]] * size
        last = int(ends[-1])
    yield np.zeros(1, np.int64)
    number = 0
    for ends in document_ends(spans):
        yield np.arange(number + 1, number + len(ends) + 1)
        number += len(ends)


def read(path: str, settings: ReadSettings) -> Opened:
    """The documents of a pair, by its prefix or either name, or of all pairs in a folder."""
    prefix = path.removesuffix(".bin").removesuffix(".idx")
    pair = Path(f"{prefix}.idx")
    found = [pair] if pair.is_file() else files_at(path, ".idx", "the prefix of a .bin and .idx, or a folder of them")
    pairs = [_Pair.open(p) for p in found]
    batches = (b for pair in pairs for b in documents_at(str(pair.path), pair.document_ends(), pair.tokens, settings))
    return Opened(sum(len(p.tokens) for p in pairs), "tokens", batches)


@dataclass(frozen=True)
class _Pair:
    """A .bin and its .idx, mapped and compared."""

    path: Path
    tokens: np.ndarray
    firsts: np.ndarray  # int64 [sequences], in bytes
    borders: np.ndarray  # int64 [documents + 1], in sequences

    @classmethod
    def open(cls, index: Path) -> _Pair:
        with index.open("rb") as f:
            head = f.read(_HEAD.size)
        if len(head) < _HEAD.size or not head.startswith(MAGIC):
            raise InputError(f"{index} begins with {head[:9]!r}; Megatron's index begins with {MAGIC!r}")
        _, version, code, sequences, borders = _HEAD.unpack(head)
        kind = CODES.get(code)
        if version != VERSION or kind is None or kind.startswith("float"):
            raise InputError(
                f"{index} has version {version} and tokens of type {kind or code}; expected {VERSION} and integers"
            )
        size, expected = index.stat().st_size, _HEAD.size + 12 * sequences + 8 * borders
        if size == expected + sequences:
            raise InputError(f"{index} has a mode for each sequence: it is of a multimodal data set, not of text")
        if size != expected or borders == 0:
            raise InputError(
                f"{index} has {size:,} bytes, {sequences:,} sequences and {borders:,} borders need {expected:,}: it is "
                "cut, or not an index"
            )
        data = index.with_suffix(".bin")
        if not data.is_file():
            raise InputError(f"{data} is not there; {index} belongs to it")
        at = _HEAD.size
        lengths = np.memmap(index, np.int32, "r", at, sequences) if sequences else np.empty(0, np.int32)
        firsts = np.memmap(index, np.int64, "r", at + 4 * sequences, sequences) if sequences else np.empty(0, np.int64)
        found = cls(data, mapped(data, np.dtype(kind)), firsts, np.memmap(index, np.int64, "r", at + 12 * sequences))
        found.check(index, lengths)
        return found

    def check(self, index: Path, lengths: np.ndarray) -> None:
        """Raise InputError where sequences do not follow each other through the whole .bin, or documents do not."""
        size, at = self.tokens.itemsize, 0
        for start in range(0, len(lengths), BLOCK_ROWS):
            here = lengths[start : start + BLOCK_ROWS].astype(np.int64)
            ends = at + np.cumsum(here) * size
            wrong = np.flatnonzero((self.firsts[start : start + BLOCK_ROWS] != ends - here * size) | (here < 0))
            if len(wrong):
                raise InputError(
                    f"{index}: sequence {start + int(wrong[0]):,} does not begin where the one before it ends: the "
                    "index is damaged"
                )
            at = int(ends[-1])
        if at != self.tokens.nbytes:
            raise InputError(
                f"{self.path} has {self.tokens.nbytes:,} bytes, {index.name} says {at:,}: one of them is cut, or they "
                "do not belong together"
            )
        last = 0
        for start in range(0, len(self.borders), BLOCK_ROWS):
            here = self.borders[start : start + BLOCK_ROWS]
            if (np.diff(here, prepend=last) < 0).any() or (start == 0 and here[0] != 0):
                raise InputError(f"{index}: the documents' borders do not ascend from 0: the index is damaged")
            last = int(here[-1])
        if last != len(lengths):
            raise InputError(
                f"{index}: its documents have {last:,} sequences of {len(lengths):,}: the index is damaged"
            )

    def document_ends(self) -> Iterator[np.ndarray]:
        """For each document the number of tokens up to its end. Blocks of int64."""
        for start in range(1, len(self.borders), BLOCK_ROWS):
            ends = self.borders[start : start + BLOCK_ROWS]
            within = ends < len(self.firsts)
            bytes_before = np.full(len(ends), self.tokens.nbytes)
            bytes_before[within] = self.firsts[ends[within]]
            yield bytes_before // self.tokens.itemsize
