"""How documents come out of the files of other loaders, and what their formats share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpusmill.errors import InputError
from corpusmill.tokenize.encoded import Encoded

BLOCK_TOKENS = 1 << 20
"""Handled at a time; a document that is longer is handled alone."""
BLOCK_ROWS = 1 << 16
WEIGHT = "weight"
PROVENANCE = ("id", "url", "host", "language", "warc_file", "warc_offset", "offset_kind", "warc_length", "text_bytes")
"""Columns of SHARD_DOCS that leave and come in with the tokens, in formats that have columns."""
TOKEN_TYPES = ("uint16", "uint32", "int32", "int64")
_LONGEST_DOCUMENT = 1 << 28


@dataclass(frozen=True)
class ReadSettings:
    """How foreign files are read. `end` is the end-of-text token, `packed` says that a row is no document."""

    vocab_size: int
    end: int
    token_type: np.dtype | None = None
    column: str | None = None
    packed: bool = False
    batch_tokens: int = BLOCK_TOKENS

    def kind(self) -> np.dtype:
        """The type of tokens in a file that does not say it."""
        return self.token_type or smallest_type(self.vocab_size)


@dataclass(frozen=True)
class ForeignBatch:
    """Documents of one foreign file, in its order; ids in the file's own type, not checked yet.

    `known` has columns of SHARD_DOCS, and perhaps WEIGHT, as far as the file has them.
    """

    file: str
    first_row: int
    encoded: Encoded
    known: dict[str, pa.Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Opened:
    """Foreign files whose heads and sizes have been checked. `total` counts what a progress bar should."""

    total: int
    unit: str  # tokens | documents
    batches: Iterator[ForeignBatch]
    notes: tuple[str, ...] = ()


def smallest_type(vocab_size: int) -> np.dtype:
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def cut(offsets: np.ndarray, tokens: int) -> Iterator[tuple[int, int]]:
    """Ranges of documents that have at most so many tokens; a longer document is alone."""
    at = 0
    while at < len(offsets) - 1:
        stop = int(np.searchsorted(offsets, offsets[at] + tokens, side="right")) - 1
        stop = max(stop, at + 1)
        yield at, stop
        at = stop


def documents_at(
    file: str, ends: Iterable[np.ndarray], tokens: np.ndarray, settings: ReadSettings
) -> Iterator[ForeignBatch]:
    """Documents of a flat file, by their ends in it (int64, in blocks). `tokens` is not copied."""
    start, row = 0, 0
    for block in ends:
        offsets = np.r_[start, block]
        for a, b in cut(offsets, settings.batch_tokens):
            here = tokens[offsets[a] : offsets[b]]
            yield ForeignBatch(file, row + a, Encoded(offsets[a : b + 1] - offsets[a], here))
        start, row = int(offsets[-1]), row + len(block)


def cut_at_ends(pieces: Iterable[tuple[str, np.ndarray]], end: int, joined: bool) -> Iterator[ForeignBatch]:
    """Documents of streams of tokens (file, tokens), each up to and with the token `end`.

    Where a stream begins with that token, it opens documents: each then is what follows one, up to and with the next,
    and the last is closed. `joined`: all files are one stream; else each is one. A document is of the file in which it
    begins. Raises InputError where a document is longer than any can be: the token is not in the file.
    """
    stream = _Stream(end)
    for file, tokens in pieces:
        if stream.file is not None and stream.file != file and not joined:
            yield from stream.finish()
            stream = _Stream(end)
        yield from stream.add(file, tokens)
    yield from stream.finish()


class _Stream:
    """The documents of one stream, and what is left of it after the last end."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.file: str | None = None  # of the piece that came last
        self.opened = False
        self._began = ""  # the file in which the unfinished document began
        self._left: list[np.ndarray] = []
        self._rows: dict[str, int] = {}

    def add(self, file: str, tokens: np.ndarray) -> Iterator[ForeignBatch]:
        if self.file is None and len(tokens) and tokens[0] == self.end:
            self.opened, tokens = True, tokens[1:]
        self.file = file
        if not self._waiting:
            self._began = file
        ends = np.flatnonzero(tokens == self.end) + 1
        if len(ends) and self._began != file:
            yield self._documents(self._began, [*self._left, tokens[: ends[0]]], ends[:1])
            tokens, ends = tokens[ends[0] :], ends[1:] - ends[0]
            self._began, self._left = file, []
        if len(ends):
            yield self._documents(file, [*self._left, tokens[: ends[-1]]], ends)
            tokens, self._left = tokens[ends[-1] :], []
        self._left.append(tokens)
        if self._waiting > _LONGEST_DOCUMENT:
            raise InputError(
                f"{self._began}: the end-of-text token {self.end} is not among {_LONGEST_DOCUMENT:,} tokens: the file "
                "was made with another tokenizer, has another --token-type, or ends documents with another --end-token"
            )

    def finish(self) -> Iterator[ForeignBatch]:
        """The document without an end; where the token opens documents, the next one would have ended it."""
        if self.opened:
            self._left.append(np.array([self.end], self._left[0].dtype))
        if self._waiting:
            yield self._documents(self._began, self._left, np.array([self._waiting]))

    @property
    def _waiting(self) -> int:
        return sum(map(len, self._left))

    def _documents(self, file: str, parts: list[np.ndarray], ends: np.ndarray) -> ForeignBatch:
        ids = parts[0] if len(parts) == 1 else np.concatenate(parts)
        offsets = np.r_[0, ends + (len(ids) - ends[-1])]  # what was left comes before the tokens that `ends` count
        row = self._rows.get(file, 0)
        self._rows[file] = row + len(ends)
        return ForeignBatch(file, row, Encoded(offsets, ids))


def in_blocks(tokens: np.ndarray, size: int = BLOCK_TOKENS) -> Iterator[np.ndarray]:
    return (tokens[at : at + size] for at in range(0, len(tokens), size))


def files_at(path: str, suffix: str, what: str) -> list[Path]:
    """The file of this name, or the files below the folder of this name that end in `suffix`, sorted."""
    place = Path(path)
    if place.is_file():
        return [place]
    found = sorted(p for p in place.rglob(f"*{suffix}") if not p.name.startswith(".")) if place.is_dir() else []
    if not found:
        raise InputError(f"{path}: {f'holds no *{suffix}' if place.is_dir() else 'is not there'}; expected {what}")
    return found


def mapped(path: Path, kind: np.dtype, at: int = 0) -> np.ndarray:
    """The numbers of a file from byte `at` on, memory-mapped. Raises InputError where the file ends within one."""
    size = path.stat().st_size - at
    if size % kind.itemsize:
        raise InputError(
            f"{path} has {size:,} bytes of tokens, which is no multiple of {kind.itemsize}: it is cut, or its tokens "
            f"are not of the type {kind.name} (--token-type)"
        )
    return np.memmap(path, kind, "r", at) if size else np.empty(0, kind)
